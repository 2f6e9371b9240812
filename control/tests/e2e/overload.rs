//! More than the appliance can do: new work is refused and calls that are up still end; a source that floods is
//! banned, and free again later.

use crate::lab::{Lab, assert_passed, text, trunkline};
use crate::sipp::Step::{Answer, Asked, Confirm, Got, Send, Wait, Within};
use crate::sipp::{Callee, Step, call};
use serde_json::Value;
use std::fs::{create_dir, read_to_string, remove_dir, write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Sends garbage and INVITEs as fast as it can, or asks once whether it is answered.
const FLOOD: &str = include_str!("flood.py");
/// The address that floods, beside that of the honest callers.
const FLOODER: &str = "10.77.1.9";

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_source_that_floods_is_banned_beside_an_honest_one_and_free_again_later() {
    let lab = Lab::up(1);
    lab.reconfigure(|config| {
        // What is shed when the machine is busy is another test's business.
        config.to_owned()
            + "\n[overload]\ntarget_ms = 0\n\n[overload.sources]\nrate = 2000\nburst = 500\nban_after_seconds = 1\nban_seconds = 8\n"
    });
    let added = lab.exec("uac", &["ip", "address", "add", "10.77.1.9/24", "dev", "eth0"]);
    assert!(added.status.success(), "{}", text(&added));
    let ask = || lab.exec("uac", &["python3", "-c", FLOOD, FLOODER, "ask"]).status.success();
    assert!(ask(), "it is not answered before it floods");

    let mut calls = lab.call_command(&["--calls", "1500", "--rate", "250"]);
    let calls = calls.stdout(Stdio::piped()).spawn().expect("calls start");
    let flood = lab.exec("uac", &["python3", "-c", FLOOD, FLOODER, "4"]);
    assert!(flood.status.success(), "{}", text(&flood));
    let banned = sources(&[]);
    assert_eq!(banned[0]["address"], FLOODER, "{banned:#}");
    assert!(!ask(), "it is answered though it is banned");
    let output = calls.wait_with_output().expect("calls end");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_passed(&report, 1_500);

    let status = lab.status();
    for reason in ["source_rate", "source_banned"] {
        assert!(status["drops"][reason].as_u64() > Some(500), "{reason}: {status:#}");
    }
    assert_eq!(status["conserved"], true, "{status:#}");
    let deadline = Instant::now() + Duration::from_secs(12);
    while !ask() {
        assert!(Instant::now() < deadline, "the ban does not end: {:#}", sources(&[]));
        sleep(Duration::from_millis(500));
    }
    assert_eq!(lab.status()["banned_sources"], 0);
    assert_eq!(sources(&["--unban", FLOODER]), Value::Array(vec![]));
}

/// `trunkline sources --json`.
fn sources(arguments: &[&str]) -> Value {
    let socket = ["sources", "--json", "--socket", "/run/trunkline/lab/dataplane.sock"];
    let output = trunkline(&[&socket, arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)))
}

/// What a call does that lasts for some seconds.
const LONG: [Step; 6] =
    [Send("INVITE"), Got(200), Within("ACK"), Wait(6_000), Within("BYE"), Got(200)];
const ANSWERS: [Step; 5] =
    [Asked("INVITE"), Answer("200 OK"), Asked("ACK"), Asked("BYE"), Confirm("200 OK")];
/// Calls that are up, and how many are placed in a second.
const PACE: [u32; 2] = [300, 150];

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn calls_that_are_up_end_properly_while_new_ones_are_refused() {
    let lab = Lab::up(1);
    // Longer than the pauses of the capped worker.
    lab.reconfigure(|config| {
        config.to_owned() + "\n[overload]\ntarget_ms = 60\ninterval_ms = 200\n"
    });
    let folder = tempfile::tempdir().expect("a folder");
    let callee = Callee::start(&lab, folder.path(), "5060", PACE[0], &ANSWERS);
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| call(&lab, folder.path(), "service", PACE, &LONG));
        sleep(Duration::from_secs(3)); // All of them are up.
        let cap = Cap::on_worker_of(lab.dataplane());
        // New calls to a server that is not there, until the others have ended.
        let flood = lab.exec("uac", &["python3", "-c", FLOOD, "10.77.1.2", "6", "30000", "six"]);
        assert!(flood.status.success(), "{}", text(&flood));
        drop(cap);
        calls.join().expect("each call that was up ended");
    });
    callee.passed();
    let status = lab.status();
    let overload = &status["workers"][0]["overload"];
    assert!(overload["episodes"].as_u64() > Some(0), "{status:#}");
    assert!(overload["answered"].as_u64() > Some(50), "{status:#}");
    assert_eq!(status["conserved"], true, "{status:#}");
    sleep(Duration::from_secs(2));
    assert_eq!(lab.status()["workers"][0]["overload"]["first_permille"], 1_000, "it is over");
}

/// A share of a core: 1 ms in each 50 ms. SIPp and its like on the same machine are too slow to overload a whole one.
const QUOTA_US: [u32; 2] = [1_000, 50_000];

/// A worker that may use no more than [`QUOTA_US`] of its core, until this is dropped.
struct Cap {
    group: PathBuf,
    /// Where the threads were before.
    home: PathBuf,
    threads: Vec<String>,
}

impl Cap {
    fn on_worker_of(pid: u64) -> Self {
        let [quota, period] = QUOTA_US;
        let threads = worker_threads(pid);
        let v1 = Path::new("/sys/fs/cgroup/cpu");
        assert!(v1.join("tasks").exists(), "the cpu controller of cgroups v1 is needed");
        let group = v1.join("trunkline-e2e");
        let _ = remove_dir(&group);
        create_dir(&group).expect("a cgroup");
        write(group.join("cpu.cfs_period_us"), period.to_string()).expect("a period");
        write(group.join("cpu.cfs_quota_us"), quota.to_string()).expect("a quota");
        for thread in &threads {
            write(group.join("tasks"), thread).expect("the worker moves there");
        }
        Self { group, home: v1.join("tasks"), threads }
    }
}

impl Drop for Cap {
    fn drop(&mut self) {
        for thread in &self.threads {
            let _ = write(&self.home, thread);
        }
        let _ = remove_dir(&self.group);
    }
}

/// The threads that run on the worker's core alone: its own, and what DPDK keeps there.
fn worker_threads(pid: u64) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the data plane's threads");
    let names = tasks.flatten().map(|task| task.file_name().to_string_lossy().into_owned());
    let is_worker = |thread: &String| {
        let status = read_to_string(format!("/proc/{pid}/task/{thread}/status"));
        let status = status.unwrap_or_default();
        status.lines().any(|line| line == "Cpus_allowed_list:\t1")
    };
    let threads: Vec<_> = names.into_iter().filter(is_worker).collect();
    assert!(!threads.is_empty(), "a worker on core 1: the machine needs two cores");
    threads
}
