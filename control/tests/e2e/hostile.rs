//! Bad input beside running calls: nothing panics, nothing leaks, everything is counted.

use crate::lab::{Lab, assert_passed, assert_succeeded, text};
use crate::stateful::stateful;
use serde_json::Value;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Sends frames of every bad kind through a raw socket of the callers' host.
const SENDER: &str = include_str!("hostile.py");
const FRAMES: u64 = 100_000;

/// Sends forged responses from the servers' host.
const FORGER: &str = include_str!("forged.py");
const FORGED: u64 = 20_000;

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_hundred_thousand_bad_datagrams_beside_calls() {
    let lab = Lab::up(1);
    let before = resting(&lab, None);
    let mac = lab.exec("sut", &["cat", "/sys/class/net/uac0/address"]);
    let mac = String::from_utf8_lossy(&mac.stdout).trim().to_owned();

    let mut calls = lab.call_command(&["--calls", "8000", "--rate", "500"]);
    let calls = calls.stdout(Stdio::piped()).spawn().expect("calls start");
    sleep(Duration::from_secs(2));
    let frames = FRAMES.to_string();
    let output = lab.exec("uac", &["python3", "-c", SENDER, "eth0", &mac, &frames]);
    assert!(output.status.success(), "{}", text(&output));
    let output = calls.wait_with_output().expect("calls end");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_succeeded(&report, 8_000); // What is bad may still come.

    let after = resting(&lab, before["mbufs_in_use"].as_u64());
    assert_eq!(after["pid"], before["pid"], "the data plane died");
    assert_eq!(after["mbufs_in_use"], before["mbufs_in_use"], "mbufs leaked");
    assert_eq!(after["conserved"], true, "{after:#}");
    let count = |status: &Value, what: &str| status["total"][what].as_u64().expect("a count");
    let refused = |status: &Value| count(status, "dropped") + count(status, "replied");
    let seen = refused(&after) - refused(&before);
    assert!(seen > FRAMES / 2, "only {seen} of the bad datagrams reached us: {after:#}");
    let reasons = [
        "sip_malformed",
        "keepalive",
        "port_zero",
        "udp_length",
        "ipv4_checksum",
        "response_not_ours",
    ];
    for reason in reasons {
        assert!(after["drops"][reason].as_u64() > Some(0), "no {reason}: {after:#}");
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn twenty_thousand_forged_responses_beside_calls_with_transactions() {
    let (lab, _folder) = stateful(500, 65_536);
    let mut calls = lab.call_command(&["--calls", "2000", "--rate", "500"]);
    let calls = calls.stdout(Stdio::piped()).spawn().expect("calls start");
    sleep(Duration::from_secs(1));
    let output = lab.exec("uas", &["python3", "-c", FORGER, &FORGED.to_string()]);
    assert!(output.status.success(), "{}", text(&output));
    let output = calls.wait_with_output().expect("calls end");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_succeeded(&report, 2_000);
    let status = settled(&lab);
    let forged = status["drops"]["response_forged"].as_u64().unwrap_or(0);
    assert!(forged > FORGED * 9 / 10 && forged <= FORGED, "{status:#}");
    assert_eq!(status["drops"]["response_stale"], Value::Null, "{status:#}");
}

/// The status after a single call, once nothing is on its way.
///
/// AF_XDP keeps the frames of each port's last burst until the next one, and that burst may hold one
/// message or two. So the call is placed again, a few times, until as many mbufs rest in the
/// rings as before; with a leak that never happens.
fn resting(lab: &Lab, mbufs: Option<u64>) -> Value {
    for _ in 0..10 {
        assert_passed(&lab.call(&["--calls", "1"]), 1);
        let status = settled(lab);
        if mbufs.is_none_or(|mbufs| status["mbufs_in_use"] == mbufs) {
            return status;
        }
    }
    settled(lab)
}

/// The status once its counters stand still.
fn settled(lab: &Lab) -> Value {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut last = lab.status();
    loop {
        sleep(Duration::from_millis(300));
        let next = lab.status();
        let is_quiet = next["total"]["received"] == last["total"]["received"]
            && next["mbufs_in_use"] == last["mbufs_in_use"]
            && next["total"]["parked"] == 0;
        if is_quiet || Instant::now() > deadline {
            return next;
        }
        last = next;
    }
}
