//! A source that floods is banned, and free again later.

use crate::lab::{Lab, assert_passed, text, trunkline};
use serde_json::Value;
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
