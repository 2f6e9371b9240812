//! Requests that go where their user is registered: forks by q, Path (RFC 3327), flows (RFC 5626), GRUUs
//! (RFC 5627), and users of another worker.

use crate::phone::{DOMAIN, Phone, Received};
use crate::registrar::{becomes, bindings, location, registrar};
use std::time::Duration;

/// How long nothing must happen that should not.
const SILENCE: Duration = Duration::from_millis(700);

/// The instance of a phone.
const INSTANCE: &str = "\"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>\"";

/// A parameter of the first Contact in a 200, without its quotes.
#[track_caller]
fn parameter<'a>(answer: &'a Received, name: &str) -> &'a str {
    let start = format!("{name}=\"");
    let found =
        answer.value("Contact").split_once(&start).and_then(|(_, rest)| rest.split_once('"'));
    found.unwrap_or_else(|| panic!("no {name} in\n{}", answer.0)).0
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn phones_of_one_q_ring_together_and_one_answers() {
    let (lab, _folder) = registrar(1, "");
    let alice = Phone::caller("alice", 5061);
    let phones = [5071, 5072, 5073].map(|port| Phone::callee("bob", port));
    for phone in &phones {
        phone.registers("");
    }
    let sent = alice.asks("INVITE", &phones[0].aor(), "");
    let rings = phones.each_ref().map(|phone| {
        let invite = phone.asked("INVITE");
        assert_eq!(invite.uri(), phone.contact());
        phone.answers(&invite, "180 Ringing", "");
        invite
    });
    alice.got(180);
    let answer = phones[1].answers(&rings[1], "200 OK", "");
    let call = crate::phone::Dialog::of_caller(&alice.got(200));
    assert_eq!(answer.contact(), phones[1].contact());
    alice.asks_within(&call, "ACK", Some(sent.cseq()));
    phones[1].asked("ACK");
    for other in [0, 2] {
        let cancel = phones[other].asked("CANCEL");
        phones[other].answers(&cancel, "200 OK", "");
        phones[other].answers(&rings[other], "487 Request Terminated", "");
        phones[other].asked("ACK");
    }
    alice.and_back("BYE", &call, &phones[1]);
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn phones_of_a_lower_q_are_asked_when_the_others_refuse() {
    let (lab, _folder) = registrar(1, "");
    let alice = Phone::caller("alice", 5061);
    let [last, first, second] = [5071, 5072, 5073].map(|port| Phone::callee("bob", port));
    last.registers(";q=0.1");
    first.registers(";q=1.0");
    second.registers(";q=0.5");
    let sent = alice.asks("INVITE", &last.aor(), "");
    for phone in [&first, &second] {
        let invite = phone.asked("INVITE");
        last.not_asked("INVITE", Duration::from_millis(100));
        phone.answers(&invite, "486 Busy Here", "");
        phone.asked("ACK");
    }
    let invite = last.asked("INVITE");
    last.answers(&invite, "486 Busy Here", "");
    last.asked("ACK");
    alice.acknowledge(&sent, &alice.got(486));
    // Other requests go the same way.
    alice.asks("MESSAGE", &first.aor(), "");
    let message = first.asked("MESSAGE");
    first.answers(&message, "200 OK", "");
    alice.got(200);
    second.not_asked("MESSAGE", SILENCE);
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn requests_take_the_path_that_the_registration_came() {
    let (lab, _folder) =
        registrar(1, "service_route = [\"sip:10.77.1.1;lr\", \"sip:10.77.9.9;lr\"]\n");
    let (alice, bob) = (Phone::caller("alice", 5061), Phone::callee("bob", 5071));
    // An edge proxy that put itself into the REGISTER of a phone which only it can reach.
    let edge = Phone::callee("edge", 5090);
    let path = "<sip:token@10.77.2.2:5090;lr>";
    let contact = "sip:bob@192.168.5.5:5060";
    let lines = format!("Contact: <{contact}>\nExpires: 60\nSupported: path\nPath: {path}");
    let answer = bob.register(&lines);
    assert_eq!(answer.status(), Some(200), "{}", answer.0);
    assert_eq!(answer.value("Path"), path);
    assert_eq!(answer.value("Service-Route"), "<sip:10.77.1.1;lr>");
    let sent = alice.asks("INVITE", &bob.aor(), "");
    let invite = edge.asked("INVITE");
    assert_eq!([invite.uri(), invite.value("Route")], [contact, path]);
    edge.answers(&invite, "486 Busy Here", "");
    edge.asked("ACK");
    alice.acknowledge(&sent, &alice.got(486));
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn of_two_flows_the_other_is_used_when_one_is_gone() {
    let (lab, _folder) = registrar(1, "");
    let alice = Phone::caller("alice", 5061);
    let flows = [5071, 5072].map(|port| Phone::callee("bob", port));
    for (phone, number) in flows.iter().zip(1..) {
        let contact = phone.contact();
        let answer = phone.register(&format!(
            "Contact: <{contact};ob>;+sip.instance={INSTANCE};reg-id={number}\nExpires: 60\n\
             Supported: path, outbound"
        ));
        assert_eq!(answer.status(), Some(200), "{}", answer.0);
        assert!(
            answer.values("Require").iter().any(|value| value.contains("outbound")),
            "{}",
            answer.0
        );
        assert_eq!(answer.value("Flow-Timer"), "120");
    }
    becomes(&lab, "bindings", 2);
    // Only one of them is asked; which one, the registrar decides.
    let sent = alice.asks("INVITE", &flows[0].aor(), "");
    let (asked, other) = match flows[0].hear_for(SILENCE) {
        Some(invite) => ((&flows[0], invite), &flows[1]),
        None => ((&flows[1], flows[1].asked("INVITE")), &flows[0]),
    };
    other.not_asked("INVITE", SILENCE);
    // That flow has failed (RFC 5626 section 5.3.1): its binding goes, the other one is asked.
    asked.0.answers(&asked.1, "430 Flow Failed", "");
    let invite = other.asked("INVITE");
    let answer = other.answers(&invite, "200 OK", "");
    let call = crate::phone::Dialog::of_caller(&alice.got(200));
    alice.asks_within(&call, "ACK", Some(sent.cseq()));
    other.asked("ACK");
    other.and_back("BYE", &crate::phone::Dialog::of_callee(&invite, &answer), &alice);
    becomes(&lab, "bindings", 1);
    // The flow comes back as itself: it takes the place of its binding, wherever it comes from.
    let back = Phone::callee("bob", 5073);
    let contact = back.contact();
    for _ in 0..2 {
        let lines =
            format!("Contact: <{contact};ob>;+sip.instance={INSTANCE};reg-id=1\nExpires: 60");
        let answer = back.register(&format!("{lines}\nSupported: path, outbound"));
        assert_eq!(answer.status(), Some(200), "{}", answer.0);
    }
    assert!(location(&lab, "bindings") <= 2);
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_first_hop_without_outbound_is_named() {
    let (_lab, _folder) = registrar(1, "");
    let bob = Phone::callee("bob", 5071);
    // RFC 5626 section 6: the first Path value has no ob, so the edge does not keep the flow.
    let lines = format!(
        "Contact: <{}>;+sip.instance={INSTANCE};reg-id=1\nExpires: 60\nSupported: path, outbound\n\
         Path: <sip:10.77.2.2:5090;lr>",
        bob.contact()
    );
    assert_eq!(bob.register(&lines).status(), Some(439));
    let answer = bob.register(&lines.replace(";lr>", ";lr;ob>"));
    assert_eq!(answer.status(), Some(200), "{}", answer.0);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_gruu_reaches_one_phone_of_a_user() {
    let (lab, _folder) = registrar(1, "");
    let alice = Phone::caller("alice", 5061);
    let (desk, mobile) = (Phone::callee("bob", 5071), Phone::callee("bob", 5072));
    mobile.registers("");
    let lines = format!(
        "Contact: <{}>;+sip.instance={INSTANCE}\nExpires: 60\nSupported: gruu",
        desk.contact()
    );
    let answer = desk.register(&lines);
    assert_eq!(answer.status(), Some(200), "{}", answer.0);
    let own =
        answer.values("Contact").into_iter().find(|value| value.contains("5071")).expect("its own");
    let own = Received(format!("SIP/2.0 200 OK\nContact: {own}\n\n"));
    let (public, temporary) = (parameter(&own, "pub-gruu"), parameter(&own, "temp-gruu"));
    assert!(public.starts_with(&format!("sip:bob@{DOMAIN};gr=")), "{public}");
    assert!(temporary.contains(";gr") && !temporary.contains("bob"), "{temporary}");
    for gruu in [public, temporary] {
        let [call, _] = alice.calls(gruu, &desk);
        alice.and_back("BYE", &call, &desk);
        mobile.not_asked("INVITE", Duration::from_millis(200));
    }
    // A GRUU of an instance that is gone (section 5.4): known, but not there.
    desk.register(&lines.replace("Expires: 60", "Expires: 0"));
    let sent = alice.asks("INVITE", public, "");
    let refused = alice.got(480);
    alice.acknowledge(&sent, &refused);
    let [call, _] = alice.calls(&mobile.aor(), &mobile);
    alice.and_back("BYE", &call, &mobile);
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn users_of_another_worker_are_registered_and_called() {
    let (lab, _folder) = registrar(2, "");
    let alice = Phone::caller("alice", 5061);
    // RSS spreads them by their ports, location by their names: about half are not where they arrive.
    let phones: Vec<_> = (0..40).map(|n| Phone::callee(&format!("user{n}"), 6000 + n)).collect();
    for phone in &phones {
        phone.registers("");
        let found = bindings(&phone.register(""));
        assert_eq!(found.len(), 1, "{}", phone.user);
    }
    becomes(&lab, "aors", 40);
    becomes(&lab, "bindings", 40);
    for phone in &phones {
        let [call, _] = alice.calls(&phone.aor(), phone);
        alice.and_back("BYE", &call, phone);
    }
    let status = lab.status();
    let workers = status["workers"].as_array().expect("workers");
    let each = |what: &str| -> Vec<u64> {
        workers.iter().map(|worker| worker["location"][what].as_u64().expect(what)).collect()
    };
    assert!(each("aors").iter().all(|aors| *aors > 5), "{status:#}");
    let handed: u64 = workers.iter().filter_map(|worker| worker["handed_off"].as_u64()).sum();
    assert!(handed >= 20, "{status:#}");
    assert_eq!(status["conserved"], true);
}
