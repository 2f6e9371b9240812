//! All appliances announce the service address, and a router spreads flows over them (ECMP).

use super::{Still, Watch, document, has_address, socket};
use crate::cluster::{Cluster, calls, registers, until};
use crate::lab::binary;
use crate::phone::Phone;
use crate::running::Running;
use std::fs::{File, write};
use std::path::Path;
use std::process::{Command, Stdio};

const SERVICE: &str = "10.79.1.10";
const ROUTER: &str = "tl-router";

/// A router at the switch of the lab, removed when dropped.
struct Router(());

impl Router {
    fn up() -> Self {
        let _ = Command::new("ip").args(["netns", "delete", ROUTER]).output();
        let router = Self(());
        for line in [
            &format!("netns add {ROUTER}"),
            &format!("link add eth0 netns {ROUTER} type veth peer name router netns tl-net"),
            "-n tl-net link set router master br0 up",
            &format!("-n {ROUTER} link set lo up"),
            &format!("-n {ROUTER} address add 10.79.0.1/24 dev eth0"),
            &format!("-n {ROUTER} link set eth0 up"),
        ] {
            ip(line);
        }
        // All hosts are on one network here: no redirects past the router.
        for setting in [
            "net.ipv4.ip_forward=1",
            "net.ipv4.fib_multipath_hash_policy=1",
            "net.ipv4.conf.all.send_redirects=0",
            "net.ipv4.conf.eth0.send_redirects=0",
        ] {
            ip(&format!("netns exec {ROUTER} sysctl -qw {setting}"));
        }
        for host in ["uac", "uas", "p1"] {
            ip(&format!("-n tl-{host} route add {SERVICE}/32 via 10.79.0.1"));
        }
        router
    }

    /// The appliances to which it gives packets for the service address.
    #[expect(clippy::unused_self, reason = "needs a router")]
    fn ways(&self) -> Vec<&'static str> {
        let route = ip(&format!("-n {ROUTER} route show {SERVICE}"));
        let hosts = [("f1", "10.79.0.11"), ("f2", "10.79.0.12")];
        let is_way = |address| route.split_whitespace().any(|word| word == address);
        hosts.into_iter().filter(|(_, address)| is_way(*address)).map(|(host, _)| host).collect()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", ROUTER]).output();
    }
}

fn ip(line: &str) -> String {
    let output = Command::new("ip").args(line.split(' ')).output().expect("ip starts");
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A program in a namespace, which also finds the `trunkline` that is tested.
fn start(namespace: &str, log: &Path, command: &[&str]) -> Running {
    let log = File::create(log).expect("a log");
    let folder = binary("trunkline").parent().expect("a folder").display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let mut all = Command::new("ip");
    all.args(["netns", "exec", namespace]).args(command).env("PATH", path).stdin(Stdio::null());
    all.stdout(log.try_clone().expect("a log")).stderr(log);
    Running(all.spawn().expect("ip starts"))
}

fn bird(folder: &Path, namespace: &str, config: &str) -> Running {
    let file = |name: &str| folder.join(format!("{namespace}.{name}")).display().to_string();
    write(file("conf"), config).expect("a configuration");
    let (conf, control, log) = (file("conf"), file("ctl"), folder.join(format!("{namespace}.log")));
    start(namespace, &log, &["bird", "-f", "-c", &conf, "-s", &control])
}

/// `announce.sh` on a host.
fn announce(folder: &Path, host: &str) -> Running {
    let script = folder.join("announce.sh");
    write(&script, document("announce.sh")).expect("a script");
    let (script, service, socket) =
        (script.display().to_string(), format!("{SERVICE}/32"), socket(host));
    let log = folder.join(format!("{host}.announce.log"));
    start(&format!("tl-{host}"), &log, &["sh", &script, &service, "--socket", &socket])
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn bird_spreads_flows_over_those_who_are_well_and_calls_go_on() {
    let lab = Cluster::up("s2p1");
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let router = Router::up();
    let _routing = bird(folder, ROUTER, &document("bird-router.conf"));
    let appliance = document("bird.conf");
    let other = appliance.replace("router id 10.79.0.11;", "router id 10.79.0.12;");
    let _birds = [bird(folder, "tl-f1", &appliance), bird(folder, "tl-f2", &other)];
    let _announced = ["f1", "f2"].map(|host| announce(folder, host));
    until("the router has both ways", || router.ways() == ["f1", "f2"]);

    let proxy = format!("{SERVICE}:5060");
    let phone = |host: &str, at: String, user: String| Phone::new(host, &at, &proxy, &user);
    let callees: Vec<_> = (0..8)
        .map(|n| phone("uas", format!("10.79.0.102:{}", 6_000 + n), format!("user{n}")))
        .collect();
    let callers: Vec<_> = (0..8)
        .map(|n| phone("uac", format!("10.79.0.101:{}", 7_000 + n), format!("caller{n}")))
        .collect();
    // So many that some of their flows go through each appliance.
    let watch_all = |first: u16| -> Vec<_> {
        let at = |n| format!("10.79.0.101:{}", first + n);
        (0..8).map(|n| Watch::begin(phone("uac", at(n), "watch".into()))).collect()
    };
    let longest = |watched: Vec<Watch>| watched.into_iter().map(Watch::end).max();
    callees.iter().for_each(registers);
    let call_all = || callers.iter().zip(&callees).for_each(|(one, other)| calls(one, other));
    call_all();
    for host in ["f1", "f2"] {
        assert!(lab.received(host) > 0, "{host} has had none of 17 flows");
    }
    let running = callers[0].calls(&callees[0].aor(), &callees[0]);

    // A machine that is gone: whatever it had begun goes on at the other one.
    let watched = watch_all(7_100);
    lab.host("cut", "f1");
    until("the router has one way", || router.ways() == ["f2"]);
    call_all();
    eprintln!("bird: f1 cut off, away for {:?}", longest(watched));
    callers[0].and_back("INVITE", &running[0], &callees[0]);
    callers[0].and_back("BYE", &running[0], &callees[0]);
    lab.host("heal", "f1");
    until("the router has both ways again", || router.ways() == ["f1", "f2"]);

    // Whose appliance is not well withdraws its announcement.
    let watched = watch_all(7_200);
    let still = Still::of("f2");
    until("f2 is no way any more", || router.ways() == ["f1"]);
    assert!(!has_address(&lab, "f2", SERVICE));
    call_all();
    eprintln!("bird: f2 not well, away for {:?}", longest(watched));
    drop(still);
    until("f2 is a way again", || router.ways() == ["f1", "f2"]);
    call_all();
}
