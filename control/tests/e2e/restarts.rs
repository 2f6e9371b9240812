//! Registrations outlive the processes that took them.

use crate::lab::Lab;
use crate::phone::Phone;
use crate::registrar::{becomes, registrar, wait_until_loaded};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Users that register before each restart.
const USERS: u16 = 30;

/// Registers users, which all have their 200.
fn register() -> Vec<Phone> {
    let phones: Vec<_> = (0..USERS).map(|n| Phone::callee(&format!("user{n}"), 6000 + n)).collect();
    for phone in &phones {
        phone.registers(";q=0.7");
    }
    phones
}

fn call_all(phones: &[Phone]) {
    let alice = Phone::caller("alice", 5061);
    for phone in phones {
        let [call, _] = alice.calls(&phone.aor(), phone);
        alice.and_back("BYE", &call, phone);
    }
}

fn kill(pid: u64) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// Waits until another data plane than this one answers.
fn wait_for_another(lab: &Lab, pid: u64) {
    let start = Instant::now();
    loop {
        let status: Option<serde_json::Value> =
            serde_json::from_slice(&lab.try_status().stdout).ok();
        if status.is_some_and(|s| s["pid"] != pid && s["epoch"].as_u64() > Some(0)) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "no data plane");
        sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn registrations_survive_the_data_plane() {
    let (lab, _folder) = registrar(1, "");
    let phones = register();
    let pid = lab.dataplane();
    kill(pid);
    wait_for_another(&lab, pid);
    wait_until_loaded();
    becomes(&lab, "bindings", u64::from(USERS));
    call_all(&phones);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn registrations_survive_control() {
    let (lab, _folder) = registrar(1, "");
    let phones = register();
    lab.signal_control("-9");
    // Calls and answers go on meanwhile.
    call_all(&phones);
    sleep(Duration::from_secs(2));
    phones[0].registers(";q=0.8");
    // What control has is what it had: a data plane that starts now gets it.
    let pid = lab.dataplane();
    kill(pid);
    wait_for_another(&lab, pid);
    wait_until_loaded();
    becomes(&lab, "bindings", u64::from(USERS));
    call_all(&phones);
}
