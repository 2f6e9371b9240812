//! REGISTER at the appliance (RFC 3261 section 10): what a phone can say and what it is told.

use crate::lab::Lab;
use crate::phone::{DOMAIN, Phone, Received};
use crate::sipp::Step::{Got, GotLine, Registers};
use crate::sipp::call;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A lab with so many queues and these lines in `[registrar]`, ready to register.
pub(crate) fn registrar(queues: u16, lines: &str) -> (Lab, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = nic_config::Machine::probe().expect("a machine");
    let lcores: Vec<_> = machine.lcores.into_keys().collect();
    let config = control::lab::default_config(queues, &lcores).expect("the lab's configuration");
    let file = folder.path().join("trunkline.toml");
    std::fs::write(&file, format!("{config}\n[registrar]\n{lines}")).expect("a configuration");
    let lab = Lab::up_with(&["--config", &file.display().to_string()]);
    wait_until_loaded();
    (lab, folder)
}

/// Waits until the workers have what the store had: before, they answer with 503.
pub(crate) fn wait_until_loaded() {
    let phone = Phone::caller("ready", 5999);
    let start = Instant::now();
    loop {
        phone.send(&phone.registration("ready", 1, ""));
        let answer = phone.hear_for(Duration::from_millis(200));
        if answer.as_ref().and_then(Received::status) == Some(200) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "not ready to register: {answer:?}");
        sleep(Duration::from_millis(50));
    }
}

/// The bindings in a 200: URI, q and seconds of each.
pub(crate) fn bindings(answer: &Received) -> Vec<(String, Option<String>, u32)> {
    let binding = |value: &&str| {
        let uri = value.split(['<', '>']).nth(1).expect("a URI").to_owned();
        let parameter = |name: &str| {
            let found = value.split(';').find_map(|part| part.trim().strip_prefix(name));
            found.and_then(|text| text.strip_prefix('=')).map(str::to_owned)
        };
        let seconds = parameter("expires").and_then(|text| text.parse().ok());
        (uri, parameter("q"), seconds.unwrap_or_else(|| panic!("no expires: {value}")))
    };
    answer.values("Contact").iter().map(binding).collect()
}

/// A counter or gauge of location, all workers together.
pub(crate) fn location(lab: &Lab, name: &str) -> u64 {
    let status = lab.status();
    let workers = status["workers"].as_array().expect("workers").clone();
    workers.iter().map(|worker| worker["location"][name].as_u64().expect(name)).sum()
}

/// Waits until a gauge has this value: the data plane says it a fraction of a second later.
#[track_caller]
pub(crate) fn becomes(lab: &Lab, name: &str, value: u64) {
    let start = Instant::now();
    while location(lab, name) != value {
        let now = location(lab, name);
        assert!(start.elapsed() < Duration::from_secs(3), "{name} is {now}, not {value}");
        sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn assert_status(answer: &Received, status: u16) {
    assert_eq!(answer.status(), Some(status), "{}", answer.0);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_phone_registers_refreshes_asks_and_leaves() {
    let (lab, _folder) = registrar(1, "");
    let phone = Phone::caller("alice", 5061);
    let uri = phone.contact();
    let answer = phone.registers("");
    assert_eq!(bindings(&answer), [(uri.clone(), None, 60)]);
    // What a phone does not say has its default, what is too long is shortened.
    let answer = phone.register(&format!("Contact: <{uri}>"));
    assert_eq!(bindings(&answer), [(uri.clone(), None, 3_600)]);
    let answer = phone.register(&format!("Contact: <{uri}>;expires=90000"));
    assert_eq!(bindings(&answer), [(uri.clone(), None, 7_200)]);
    // A second one, and the question who is there.
    let other = "sip:alice@10.77.1.2:5099";
    assert_status(&phone.register(&format!("Contact: <{other}>;q=0.3;expires=120")), 200);
    let all = bindings(&phone.register(""));
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.iter().any(|(uri, q, seconds)| {
        uri == other
            && q.as_deref().is_some_and(|q| q.starts_with("0.3"))
            && (119..=120).contains(seconds)
    }));
    becomes(&lab, "bindings", 2);
    becomes(&lab, "aors", 1);
    // One leaves, then all.
    let answer = phone.register(&format!("Contact: <{other}>;expires=0"));
    assert_eq!(bindings(&answer).len(), 1, "{}", answer.0);
    let answer = phone.register("Contact: *\nExpires: 0");
    assert_eq!(bindings(&answer), [], "{}", answer.0);
    assert_eq!(bindings(&phone.register("")), []);
    becomes(&lab, "bindings", 0);
    becomes(&lab, "aors", 0);
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn what_cannot_be_registered_changes_nothing() {
    let (lab, _folder) = registrar(1, "contacts_per_aor = 2\n");
    let phone = Phone::caller("alice", 5061);
    let uri = phone.contact();
    let answer = phone.register(&format!("Contact: <{uri}>\nExpires: 59"));
    assert_status(&answer, 423);
    assert_eq!(answer.value("Min-Expires"), "60");
    assert_status(&phone.register("Contact: *\nExpires: 60"), 400);
    assert_status(&phone.register(&format!("Contact: *, <{uri}>\nExpires: 0")), 400);
    let three = "Contact: <sip:a@10.77.1.2>, <sip:b@10.77.1.2>, <sip:c@10.77.1.2>";
    assert_status(&phone.register(three), 403);
    becomes(&lab, "bindings", 0);
    // Section 10.3 step 7: with the same Call-ID, CSeq must rise.
    let lines = format!("Contact: <{uri}>\nExpires: 300");
    phone.send(&phone.registration("one", 5, &lines));
    phone.got(200);
    phone.send(&phone.registration("one", 4, "Contact: *\nExpires: 0"));
    let refused = phone.hear_for(Duration::from_secs(2)).and_then(|answer| answer.status());
    assert!(refused.is_some_and(|status| status >= 400), "{refused:?}");
    becomes(&lab, "bindings", 1);
    // The same once more is a retransmission.
    phone.send(&phone.registration("one", 5, &lines));
    assert_eq!(bindings(&phone.got(200)).len(), 1);
    // Another extension than ours.
    let answer = phone.register(&format!("Contact: <{uri}>\nRequire: nothing-of-ours"));
    assert_status(&answer, 420);
    assert_eq!(answer.value("Unsupported"), "nothing-of-ours");
    // Registrations are not what can be subscribed to here (RFC 3680).
    phone.asks("SUBSCRIBE", &phone.aor(), "Event: reg\nExpires: 600");
    phone.got(489);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_binding_that_is_not_refreshed_is_over() {
    let (lab, _folder) = registrar(1, "min_expires_s = 1\n");
    let (alice, bob) = (Phone::caller("alice", 5061), Phone::callee("bob", 5062));
    let lines = format!("Contact: <{}>;expires=2", bob.contact());
    assert_status(&bob.register(&lines), 200);
    let [call, _] = alice.calls(&bob.aor(), &bob);
    alice.and_back("BYE", &call, &bob);
    sleep(Duration::from_millis(3_500));
    let invite = alice.asks("INVITE", &bob.aor(), "");
    alice.acknowledge(&invite, &alice.got(480));
    becomes(&lab, "bindings", 0);
    becomes(&lab, "expired", 1);
    let invite = alice.asks("INVITE", &format!("sip:nobody@{DOMAIN}"), "");
    let refused = alice.hear_for(Duration::from_secs(2)).expect("an answer");
    assert!([Some(404), Some(480)].contains(&refused.status()), "{}", refused.0);
    alice.acknowledge(&invite, &refused);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn sipp_registers_a_thousand_users() {
    let (lab, folder) = registrar(1, "service_route = [\"sip:10.77.1.1;lr\"]\n");
    let contact = "Contact: <sip:sipp[call_number]@[local_ip]:[local_port]>";
    let lines: &'static str = format!("{contact}\nExpires: 600").leak();
    let second: &'static str =
        format!("{contact};expires=600, <sip:two@192.0.2.1>;q=0.1;expires=60").leak();
    let brief: &'static str = format!("{contact}\nExpires: 10").leak();
    let steps = [
        Registers(lines),
        GotLine(200, "Service-Route", "sip:10.77.1.1;lr"),
        Registers(lines),
        GotLine(200, "Contact", "expires=600"),
        Registers(brief),
        GotLine(423, "Min-Expires", "60"),
        Registers(second),
        GotLine(200, "Contact", "192.0.2.1"),
        Registers(""),
        GotLine(200, "Contact", "expires="),
        Registers("Contact: <sip:two@192.0.2.1>;expires=0"),
        Got(200),
    ];
    call(&lab, folder.path(), "registrar", [1_000, 200], &steps);
    becomes(&lab, "aors", 1_000);
    becomes(&lab, "bindings", 1_000);
    lab.assert_conserved();
}
