//! RSS of a port that runs, through DPDK's own calls, on a virtual device that answers them. One test, because EAL
//! starts once in a process.

use capsule::Runtime;
use capsule::config::RuntimeConfig;
use capsule_ffi::PortProfile;
use dataplane::rss::{DpdkPort, RssDevice};
use nic_config::rss::apply::{Change, RssPort, apply};
use nic_config::rss::{Reta, RssKey};
use std::sync::atomic::{AtomicUsize, Ordering};

const CONFIG: &str = r#"
    app_name = "rss-test"
    master_core = 0
    duration = 1
    dpdk_args = "--no-huge -m 128 --no-pci --log-level=error"

    [mempool]
    capacity = 4095
    cache_size = 256

    [[ports]]
    name = "null"
    device = "net_null0"
    args = "size=300"
    cores = [0, 1]

    [[ports]]
    name = "ring"
    device = "net_ring0"
    cores = [0]
"#;

/// Ports whose start was completed.
static STARTED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn what_is_in_a_port_is_changed_and_put_back() {
    for device in ["net_null0", "net_ring0"] {
        let device = device.to_owned();
        capsule_ffi::set_port_profile(PortProfile {
            device,
            rss: Some(true),
            ..PortProfile::default()
        });
    }
    let config: RuntimeConfig = toml::from_str(CONFIG).expect("the configuration is valid");
    let mut runtime = Runtime::build(config).expect("EAL and the ports start");
    capsule_ffi::on_port_started(|id| {
        STARTED.fetch_add(1, Ordering::Relaxed);
        if capsule_ffi::port_by_name("net_null0") == Some(id) {
            change_and_put_back(DpdkPort { id, queues: 2 });
        } else {
            refuse(id);
        }
        Ok(())
    });
    runtime.execute().expect("the runtime ends after its duration");
    assert_eq!(STARTED.load(Ordering::Relaxed), 2);
}

fn change_and_put_back(mut port: DpdkPort) {
    let before = port.read().expect("the driver answers");
    let key = Some(RssKey::symmetric(0x6d5a, 40).expect("40 bytes"));
    let entries = vec![1; before.reta.entries().len()];
    let reta = Some(Reta::new(entries).expect("a table"));
    let change = Change { key: key.clone(), reta: reta.clone(), fields: None };
    let applied = apply(&mut port, &change).expect("the driver takes it");
    assert_eq!(applied.before, before);
    let now = port.read().expect("the driver answers");
    assert_eq!((&now.key, Some(&now.reta), &now.fields), (&key, reta.as_ref(), &before.fields));
    let undo = Change { key: before.key.clone(), reta: Some(before.reta.clone()), fields: None };
    apply(&mut port, &undo).expect("the driver takes it back");
    assert_eq!(port.read().expect("the driver answers"), before);

    let far = Reta::new(vec![2; before.reta.entries().len()]).expect("a table");
    let error = apply(&mut port, &Change { reta: Some(far), ..Change::default() });
    let error = error.expect_err("there are two queues").to_string();
    assert!(error.contains("names queue 2, but there are queues 0 to 1"), "{error}");
    let long = Change { key: RssKey::microsoft(52).ok(), ..Change::default() };
    let error = apply(&mut port, &long).expect_err("too long").to_string();
    assert!(error.contains("has 52 bytes; this port takes 40"), "{error}");
    assert_eq!(port.read().expect("the driver answers"), before);
}

/// A driver without RSS.
fn refuse(id: u16) {
    let change = Change { key: RssKey::microsoft(40).ok(), ..Change::default() };
    let error = apply(&mut DpdkPort { id, queues: 1 }, &change).expect_err("no RSS").to_string();
    assert!(error.contains("shows no RSS key and table"), "{error}");
    let device = RssDevice::Eal("net_null7".into());
    assert!(device.open(1).is_err_and(|error| error.to_string().contains("No such device")));
}
