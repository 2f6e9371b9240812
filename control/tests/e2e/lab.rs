//! The lab as the tests use it: up while a [`Lab`] lives, gone after it.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What SIPp does as a server in the lab: unlike its built-in scenario it bears an INVITE that comes twice.
pub(crate) const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lab/uas.xml");

/// Where `trunkline` and the two processes are.
pub(crate) fn binary(name: &str) -> PathBuf {
    let folder = std::env::var_os("TRUNKLINE_BIN_DIR")
        .expect("TRUNKLINE_BIN_DIR names the folder of the release binaries; run: make e2e");
    PathBuf::from(folder).join(name)
}

/// A running lab.
pub(crate) struct Lab(());

impl Lab {
    /// Brings it up; what an earlier run left is removed first.
    pub(crate) fn up(queues: u16) -> Self {
        Self::up_with(&["--queues", &queues.to_string()])
    }

    /// As [`Lab::up`], with these arguments of `trunkline lab up`.
    pub(crate) fn up_with(arguments: &[&str]) -> Self {
        trunkline(&["lab", "down"]);
        let lab = Self(());
        let mut command = Command::new(binary("trunkline"));
        command.args(["lab", "up"]).args(arguments).env("TRUNKLINE_ALLOW_FAULTS", "true");
        let output = command.output().expect("trunkline starts");
        assert!(output.status.success(), "{}", text(&output));
        lab
    }

    /// Places calls and gives the report of `trunkline lab call --json`, whatever came of them.
    pub(crate) fn call(&self, arguments: &[&str]) -> Value {
        let output = self.call_command(arguments).output().expect("trunkline starts");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("no report ({error}): {}", text(&output));
        })
    }

    /// The command that [`Lab::call`] runs.
    #[expect(clippy::unused_self, reason = "calls need a lab that is up")]
    pub(crate) fn call_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("trunkline"));
        command.args(["lab", "call", "--json"]).args(arguments);
        command
    }

    /// Runs a command on a host of the lab.
    #[expect(clippy::unused_self, reason = "a host needs a lab that is up")]
    pub(crate) fn exec(&self, host: &str, command: &[&str]) -> Output {
        let mut all = vec!["lab", "exec", host, "--"];
        all.extend(command);
        trunkline(&all)
    }

    /// Asserts that every packet is accounted for, as soon as none is on its way.
    pub(crate) fn assert_conserved(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let status = self.status();
            if status["conserved"] == true {
                return;
            }
            assert!(Instant::now() < deadline, "{status:#}");
            sleep(Duration::from_millis(100));
        }
    }

    /// Changes the configuration and waits until the data plane runs on it.
    pub(crate) fn reconfigure(&self, change: impl Fn(&str) -> String) {
        let before = self.status()["epoch"].as_u64();
        let path = "/run/trunkline/lab/trunkline.toml";
        let config = std::fs::read_to_string(path).expect("the lab's configuration");
        std::fs::write(path, change(&config)).expect("a changed configuration");
        self.signal_control("-HUP");
        for _ in 0..500 {
            if self.status()["epoch"].as_u64() > before {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("the new configuration did not come into force within 5 s");
    }

    /// Sends a signal to control.
    #[expect(clippy::unused_self, reason = "control runs while a lab is up")]
    pub(crate) fn signal_control(&self, signal: &str) {
        let pid = std::fs::read_to_string("/run/trunkline/lab/control.pid").expect("control's pid");
        let status = Command::new("kill").args([signal, pid.trim()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// `trunkline status --json`.
    pub(crate) fn status(&self) -> Value {
        let output = self.try_status();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("no status ({error}): {}", text(&output));
        })
    }

    /// `trunkline status --json`, which may fail while the data plane starts.
    #[expect(clippy::unused_self, reason = "status needs a lab that is up")]
    pub(crate) fn try_status(&self) -> Output {
        trunkline(&["status", "--json", "--socket", "/run/trunkline/lab/dataplane.sock"])
    }

    /// Process id of the data plane.
    pub(crate) fn dataplane(&self) -> u64 {
        self.status()["pid"].as_u64().expect("a process id")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in ["dataplane.log", "control.log", "supervisor.log"] {
                let log = std::path::Path::new("/run/trunkline/lab").join(log);
                let content = std::fs::read_to_string(&log).unwrap_or_default();
                eprintln!("--- {}\n{content}", log.display());
            }
        }
        trunkline(&["lab", "down"]);
    }
}

/// Runs `trunkline` to its end.
pub(crate) fn trunkline(arguments: &[&str]) -> Output {
    Command::new(binary("trunkline")).args(arguments).output().expect("trunkline starts")
}

/// What a command printed, for messages.
pub(crate) fn text(output: &Output) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, part(&output.stdout), part(&output.stderr))
}

/// Asserts that every call of a report succeeded.
pub(crate) fn assert_succeeded(report: &Value, calls: u64) {
    let caller = &report["caller"];
    assert_eq!(caller["successful"], calls, "{report:#}");
    assert_eq!(caller["failed"], 0, "{report:#}");
}

/// Asserts that every call of a report succeeded and every packet is accounted for. Nothing else may send.
pub(crate) fn assert_passed(report: &Value, calls: u64) {
    assert_succeeded(report, calls);
    assert_eq!(report["dataplane"]["conserved"], true, "{report:#}");
    let total = &report["dataplane"]["total"];
    let sum = |names: &[&str]| -> u64 {
        names.iter().map(|name| total[*name].as_u64().expect("a count")).sum()
    };
    assert_eq!(
        sum(&["received", "handed_in", "originated_dropped"]),
        sum(&["forwarded", "replied", "absorbed", "handed_off", "dropped"]),
        "{report:#}"
    );
}
