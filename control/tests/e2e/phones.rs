//! Other people's phones and edge proxies: they register, call and are called.

use crate::interop::{baresip, connect, kamailio};
use crate::phone::{DOMAIN, Phone};
use crate::registrar::{becomes, location, registrar};
use crate::running::Running;
use std::fs::read_to_string;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a program has said so far.
fn said(log: &Path) -> String {
    read_to_string(log).expect("a log")
}

/// How long a program may take to say something: a browser has hundreds of megabytes to read first.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn wait_for(log: &Path, words: &str) {
    let start = Instant::now();
    while !said(log).contains(words) {
        assert!(start.elapsed() < PATIENCE, "no `{words}`:\n{}", said(log));
        sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn baresip_registers_calls_is_called_and_leaves() {
    let (lab, folder) = registrar(1, "");
    connect(&lab);
    let folder = folder.path();
    let [callee, caller] = [("bob", "10.77.2.2", "10.77.2.1"), ("alice", "10.77.1.2", "10.77.1.1")].map(
        |(name, address, proxy)| {
            let account = format!(
                "<sip:{name}@{DOMAIN}>;auth_pass=none;regint=60;answermode=auto;outbound=\"sip:{proxy};lr\"\n"
            );
            baresip(folder, name, address, &account)
        },
    );
    let (alice, bob) = (folder.join("alice.log"), folder.join("bob.log"));
    let waiting = Running::start("uas", &bob, &["timeout", "40", "baresip", "-f", &callee]);
    wait_for(&bob, "[1 binding]");
    becomes(&lab, "bindings", 1);
    // Six seconds, then it hangs up, unregisters and ends.
    let command = ["timeout", "20", "baresip", "-f", &caller, "-t", "6", "-e"];
    let dial = format!("/dial sip:bob@{DOMAIN}");
    let mut calling = Running::start("uac", &alice, &[&command[..], &[&dial]].concat());
    wait_for(&alice, "Call established");
    becomes(&lab, "bindings", 2);
    let status = calling.0.wait().expect("baresip ends");
    assert!(status.success(), "{}", said(&alice));
    for log in [&alice, &bob] {
        for words in
            ["Call established", "incoming rtp for 'audio' established", "terminated (duration:"]
        {
            wait_for(log, words);
        }
    }
    // The one that waits leaves as it ends.
    becomes(&lab, "bindings", 1);
    drop(waiting);
    let start = Instant::now();
    while location(&lab, "bindings") > 0 {
        assert!(start.elapsed() < Duration::from_secs(5), "not unregistered:\n{}", said(&bob));
        sleep(Duration::from_millis(100));
    }
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn kamailio_as_an_edge_proxy_is_on_the_path() {
    let (lab, folder) = registrar(1, "");
    let edge = include_str!("interop/edge.cfg");
    let _edge = kamailio(&lab, folder.path(), edge, ["uac", "10.77.1.2", "10.77.1.1:5060"]);
    // The phone knows its edge proxy only.
    let home = Phone::new("uac", "10.77.1.2:5061", "10.77.1.2:5060", "alice");
    let bob = Phone::callee("bob", 5071);
    let lines = format!("Contact: <{}>\nExpires: 60\nSupported: path", home.contact());
    let answer = home.register(&lines);
    assert_eq!(answer.status(), Some(200), "{}", answer.0);
    assert!(answer.value("Path").contains("10.77.1.2"), "{}", answer.0);
    bob.registers("");
    for (caller, callee) in [(&bob, &home), (&home, &bob)] {
        let [call, other] = caller.calls(&callee.aor(), callee);
        callee.and_back("INVITE", &other, caller);
        caller.and_back("BYE", &call, callee);
    }
    lab.assert_conserved();
}
