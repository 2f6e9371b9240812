//! Keys and tables of ports that run, by the operator's command: virtual ports that DPDK drives, and interfaces whose
//! drivers have no RSS.

use crate::lab::{Lab, binary, text, trunkline};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// An appliance on two virtual ports with two queues each, without a network.
struct Appliance {
    supervisor: Child,
    folder: tempfile::TempDir,
}

impl Appliance {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let run = folder.path().display();
        let port = |number: u8, more: &str| {
            format!(
                "[[ports]]\nname = \"null{number}\"\nvdev = \"net_null{number}\"\nqueues = 2\n{more}"
            )
        };
        let key = vec!["5a"; 40].join(":");
        let ports = port(0, &format!("rss_key = \"{key}\"\n")) + &port(1, "");
        let config = format!(
            "[appliance]\nname = \"null\"\nrun_directory = \"{run}\"\nstate_directory = \"{run}/state\"\n\
             [lcores]\nworkers = [0, 1]\nidle = \"sleep\"\n[memory]\nhugepages = \"never\"\naors = 64\n\
             transactions = 1024\n{ports}[[listen]]\naddress = \"127.0.0.9:5060\"\n\
             [[destination_sets]]\nname = \"core\"\nprobe = false\nmembers = [{{ address = \"192.0.2.2:5060\" }}]\n\
             [[routes]]\nforward = \"core\"\n"
        );
        let file = folder.path().join("trunkline.toml");
        std::fs::write(&file, config).expect("a configuration");
        let mut command = Command::new(binary("trunkline"));
        command.arg("run").arg("--config").arg(&file).arg("--log-directory").arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let appliance = Self { supervisor: command.spawn().expect("trunkline starts"), folder };
        let start = Instant::now();
        while appliance.rss(&["show", "--port", "null0"]).1 != Some(0) {
            let log = std::fs::read_to_string(appliance.folder.path().join("dataplane.log"));
            assert!(start.elapsed() < Duration::from_secs(20), "{}", log.unwrap_or_default());
            sleep(Duration::from_millis(100));
        }
        appliance
    }

    /// What `trunkline rss` says, and its exit status.
    fn rss(&self, arguments: &[&str]) -> (String, Option<i32>) {
        let socket = self.folder.path().join("api.sock");
        let socket = socket.to_str().expect("a path");
        let output = trunkline(&[&["rss"], arguments, &["--socket", socket]].concat());
        (text(&output), output.status.code())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (said, status) = self.rss(&[arguments, &["--json"]].concat());
        assert_eq!(status, Some(0), "{said}");
        let start = said.find('{').expect("an object");
        serde_json::from_str(&said[start..]).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    fn plan(&self, name: &str, plan: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, plan).expect("a plan");
        path.to_str().expect("a path").to_owned()
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.supervisor.id().to_string()).status();
        let _ = self.supervisor.wait();
    }
}

#[test]
#[ignore = "needs root and the machine: make e2e"]
fn key_and_table_are_shown_applied_and_undone() {
    let appliance = Appliance::start();
    let first = appliance.json(&["show", "--port", "null0"]);
    assert_eq!(first["driver"], "net_null");
    assert_eq!(first["key"], vec!["5a"; 40].join(":"), "the key of the configuration");
    let entries = first["reta"].as_array().expect("a table").len();
    let in_turn: Vec<_> = (0..2).cycle().take(entries).collect();
    assert_eq!(first["reta"], serde_json::json!(in_turn));

    let key = vec!["6d:5a"; 20].join(":");
    let fields = first["fields"].as_str().expect("fields");
    let reta = vec![1; entries];
    let plan = format!(r#"{{"key": "{key}", "reta": {reta:?}, "fields": "{fields}", "seed": 1}}"#);
    let plan = appliance.plan("plan.json", &plan);
    let now = appliance.json(&["apply", &plan, "--port", "null0"]);
    assert_eq!((&now["key"], &now["reta"]), (&key.clone().into(), &serde_json::json!(reta)));
    assert_eq!((&now["entries_changed"], &now["undo_steps"]), (&(entries / 2).into(), &1.into()));
    let other = appliance.json(&["show", "--port", "null1"]);
    assert_ne!(other["key"], key, "the other port keeps its own");
    // The software computes with what is in the port.
    let flow = ["--source", "192.0.2.7:5060", "--destination", "198.51.100.1:5060"];
    let place = appliance.json(&[&["show", "--port", "null0"], &flow[..]].concat());
    assert_eq!(place["queue"], 1);

    let undone = appliance.json(&["undo", "--port", "null0"]);
    assert_eq!((&undone["key"], &undone["reta"]), (&first["key"], &first["reta"]));
    let refused = [
        (vec!["undo", "--port", "null0"], "there is no change to undo"),
        (vec!["undo"], "which port? name one of null0, null1"),
        (vec!["apply", &plan, "--port", "nil"], "there is no port \"nil\"; there are null0, null1"),
    ];
    for (arguments, wanted) in refused {
        let (said, status) = appliance.rss(&arguments);
        assert!(status == Some(2) && said.contains(wanted), "{arguments:?}: {said}");
    }
    let far = appliance.plan("far.json", &format!(r#"{{"reta": {:?}}}"#, vec![2; entries]));
    let (said, status) = appliance.rss(&["apply", &far, "--port", "null0"]);
    assert!(status == Some(2) && said.contains("but there are queues 0 to 1"), "{said}");
    let shown = appliance.json(&["show", "--port", "null0"]);
    assert_eq!((&shown["key"], &shown["reta"]), (&first["key"], &first["reta"]));
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_driver_without_rss_says_so() {
    let _lab = Lab::up(2);
    let plan = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&plan, format!(r#"{{"reta": {:?}}}"#, vec![1; 128])).expect("a plan");
    let plan = plan.path().to_str().expect("a path");
    let socket = ["--port", "uac0", "--socket", "/run/trunkline/lab/api.sock"];
    for command in [vec!["rss", "show"], vec!["rss", "apply", plan], vec!["rss", "undo"]] {
        let output = trunkline(&[&command[..], &socket].concat());
        let said = text(&output);
        let is_told = said.contains("kernel interface uac0") && said.contains("not supported");
        assert!(output.status.code() == Some(2) && is_told, "{command:?}: {said}");
    }
}
