//! Death and return of the processes.

use crate::lab::{Lab, assert_passed, text, trunkline};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

fn kill(signal: &str, pid: u64) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// Waits until another process than `before` carries the epoch, and gives the time that took.
fn wait_for_restart(lab: &Lab, before: u64) -> Duration {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        let output = lab.try_status();
        if output.status.success() {
            let status: serde_json::Value =
                serde_json::from_slice(&output.stdout).expect("a status");
            if status["pid"].as_u64() != Some(before) && status["epoch"].as_u64() > Some(0) {
                return start.elapsed();
            }
        }
        sleep(Duration::from_millis(20));
    }
    panic!("the data plane did not come back within 10 s");
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_killed_data_plane_is_back_within_two_seconds() {
    let lab = Lab::up(1);
    for _ in 0..3 {
        let before = lab.dataplane();
        kill("-KILL", before);
        let away = wait_for_restart(&lab, before);
        assert!(away < Duration::from_secs(2), "away for {away:?}");
        assert_passed(&lab.call(&["--calls", "500", "--rate", "500"]), 500);
    }
    assert!(trunkline(&["lab", "down"]).status.success());
    let again = Lab::up(1);
    assert_passed(&again.call(&["--calls", "500", "--rate", "500"]), 500);
    drop(lab);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_worker_that_panics_ends_the_process_loudly_and_is_replaced() {
    let lab = Lab::up(2);
    let before = lab.dataplane();
    let output =
        trunkline(&["fault", "panic-worker", "1", "--socket", "/run/trunkline/lab/dataplane.sock"]);
    assert!(output.status.success(), "{}", text(&output));
    let away = wait_for_restart(&lab, before);
    assert!(away < Duration::from_secs(2), "away for {away:?}");
    let log = std::fs::read_to_string("/run/trunkline/lab/dataplane.log").expect("a log");
    assert!(log.contains("a worker was told to panic"), "{log}");
    assert_passed(&lab.call(&["--calls", "500", "--rate", "500"]), 500);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn control_may_die_and_return_while_calls_run() {
    let lab = Lab::up(1);
    let mut calls = lab.call_command(&["--calls", "4000", "--rate", "1000"]);
    let calls = calls.stdout(std::process::Stdio::piped()).spawn().expect("calls start");
    for _ in 0..3 {
        sleep(Duration::from_secs(1));
        let pid = std::fs::read_to_string("/run/trunkline/lab/control.pid").expect("a pid file");
        kill("-KILL", pid.trim().parse().expect("a process id"));
    }
    let output = calls.wait_with_output().expect("calls end");
    assert_passed(&serde_json::from_slice(&output.stdout).expect("a report"), 4_000);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn sigterm_drains_and_exits_with_zero() {
    let lab = Lab::up(1);
    let pid = lab.dataplane();
    let log = || std::fs::read_to_string("/run/trunkline/lab/supervisor.log").expect("a log");
    kill("-TERM", pid);
    wait_for_restart(&lab, pid); // The supervisor was not told to stop, so it starts another.
    assert!(log().contains("exit status: 0"), "{}", log());
    let drained = std::fs::read_to_string("/run/trunkline/lab/dataplane.log").expect("a log");
    assert!(drained.contains("draining"), "{drained}");
}
