//! The kernel beside DPDK on one address: ping, TCP, neighbours.

use crate::lab::{Lab, assert_passed, text};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn ping_and_tcp_work_while_calls_run() {
    let lab = Lab::up(1);
    let mut calls = lab.call_command(&["--calls", "10000", "--rate", "1000"]);
    let calls = calls.stdout(Stdio::piped()).spawn().expect("calls start");
    sleep(Duration::from_secs(2));
    for (ping, address) in [("-4", "10.77.1.1"), ("-6", "fd77:1::1")] {
        let output = lab.exec("uac", &["ping", ping, "-c", "10", "-i", "0.1", "-W", "1", address]);
        assert!(text(&output).contains(" 0% packet loss"), "{}", text(&output));
        tcp_echo(&lab, address);
    }
    let output = calls.wait_with_output().expect("calls end");
    let report = serde_json::from_slice(&output.stdout).expect("a report");
    assert_passed(&report, 10_000);
}

/// A TCP connection to an own address of the appliance, where control does not listen, carries bytes.
fn tcp_echo(lab: &Lab, address: &str) {
    let listen = format!("timeout 5 nc -l {address} 5070 > /run/trunkline/lab/tcp 2>&1 &");
    lab.exec("sut", &["sh", "-c", &listen]);
    sleep(Duration::from_millis(300));
    let send = format!("echo over tcp | timeout 5 nc -N {address} 5070");
    let output = lab.exec("uac", &["sh", "-c", &send]);
    assert!(output.status.success(), "{}", text(&output));
    sleep(Duration::from_millis(300));
    let received = std::fs::read_to_string("/run/trunkline/lab/tcp").expect("what nc received");
    assert_eq!(received, "over tcp\n");
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_neighbour_that_changes_its_mac_address_is_followed() {
    let lab = Lab::up(1);
    assert_passed(&lab.call(&["--calls", "100", "--rate", "100"]), 100);
    let change =
        ["sh", "-c", "ip link set eth0 address 02:00:00:00:77:02 && ping -c 1 -W 2 10.77.2.1"];
    let output = lab.exec("uas", &change);
    assert!(output.status.success(), "{}", text(&output));
    assert_passed(&lab.call(&["--calls", "1000", "--rate", "500"]), 1_000);
}
