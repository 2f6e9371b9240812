//! Rules of the registrar, one by one.

use std::string::String;
use std::{format, vec, vec::Vec};

use super::*;
use crate::location::{Located, LocationSizes, Target, Targets};
use crate::message::{Headers, Message};
use crate::parse::parse;
use crate::route::request::{RequestRoute, begin_route};
use crate::settings::{
    Action, KeepAlive, ListenId, ListenPoint, Nat, RegistrarSettings, Rule, Settings,
};
use std::borrow::ToOwned;

const NOW_MS: u64 = 1_000_000;
const UNIX_MS: u64 = 1_800_000_000_000;

/// A registrar at 10.0.0.1 for example.com.
struct Registrar {
    location: Location,
    tables: Tables,
    out: Output,
}

impl Registrar {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut RegistrarSettings)) -> Self {
        let mut registrar = RegistrarSettings { nat: Nat::Auto, ..RegistrarSettings::default() };
        change(&mut registrar);
        let settings = Settings {
            domains: vec!["example.com".into()],
            listen: vec![ListenPoint { address: "10.0.0.1:5060".parse().unwrap() }],
            retry_after_seconds: 5,
            rules: vec![Rule::always(Action::Register), Rule::always(Action::Locate)],
            registrar,
            ..Settings::default()
        };
        let sizes = LocationSizes { aors: 64, bindings: 64, text_blocks: 512 };
        let mut location = Location::new(sizes, 0, 1, [7; 16]);
        location.set_time(NOW_MS, UNIX_MS);
        location.set_ready();
        let tables = Tables::build(&settings).unwrap();
        Self { location, tables, out: Output::new() }
    }

    fn send(&mut self, message: &str, user: Option<&str>) -> (Registered, String) {
        let mut headers = Headers::default();
        let Ok(Message::Request(request)) = parse(message.as_bytes(), &mut headers) else {
            panic!("{message}")
        };
        let mut route = RequestRoute::default();
        begin_route(&request, &mut route).unwrap();
        let arrival = Arrival { source: "192.0.2.7:5060".parse().unwrap(), listen: ListenId(0) };
        let user = user.map(str::as_bytes);
        let registered =
            self.location.register(&request, &route, &self.tables, &arrival, user, &mut self.out);
        (registered, String::from_utf8(self.out.bytes().to_vec()).unwrap())
    }

    /// The answer to a REGISTER of alice.
    fn register(&mut self, cseq: u32, lines: &str) -> String {
        self.send(&register("alice", "a", cseq, lines), None).1
    }

    fn targets(&mut self, uri: &str) -> (Located, Targets) {
        let message = register("x", "c", 1, "")
            .replace("REGISTER sip:example.com", &format!("INVITE {uri}"))
            .replace("1 REGISTER", "1 INVITE");
        let mut headers = Headers::default();
        let Ok(Message::Request(request)) = parse(message.as_bytes(), &mut headers) else {
            panic!("{message}")
        };
        let arrival = Arrival { source: "192.0.2.9:5060".parse().unwrap(), listen: ListenId(0) };
        let mut targets = Targets::new();
        let located =
            self.location.locate(&request, request.uri, &self.tables, &arrival, &mut targets);
        (located, targets)
    }

    /// URIs of the targets of a request.
    fn locate(&mut self, uri: &str) -> (Located, Vec<String>) {
        let (located, targets) = self.targets(uri);
        let text = |index| {
            let target = targets.get(index).unwrap();
            String::from_utf8(targets.text(target.uri).to_vec()).unwrap()
        };
        (located, (0..targets.len()).map(text).collect())
    }
}

impl Registrar {
    /// The first target of a request, and its Route.
    fn target(&mut self, uri: &str) -> (Target, String) {
        let targets = self.targets(uri).1;
        let target = targets.get(0).unwrap();
        (target, String::from_utf8(targets.text(target.route).to_vec()).unwrap())
    }
}

fn register(user: &str, call: &str, cseq: u32, lines: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{cseq}\r\n\
         From: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\n\
         Call-ID: {call}\r\nCSeq: {cseq} REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
    )
}

/// RFC 3261 section 10.2.1: a binding is added, and the answer names it.
#[test]
fn a_contact_is_bound_and_found() {
    let mut registrar = Registrar::new();
    let answer = registrar.register(1, "Contact: <sip:alice@192.0.2.7>;expires=600\r\n");
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Contact: <sip:alice@192.0.2.7>;expires=600\r\n"), "{answer}");
    let found = registrar.locate("sip:alice@example.com");
    assert_eq!(found, (Located::Found, vec!["sip:alice@192.0.2.7".into()]));
    assert_eq!(registrar.locate("sip:bob@example.com").0, Located::NotRegistered);
}

fn status(answer: &str) -> &str {
    &answer["SIP/2.0 ".len()..answer.find('\r').unwrap()]
}

const PHONE: &str = "Contact: <sip:alice@192.0.2.7>\r\n";

/// RFC 3261 section 10.2.1.1: Contact's own time, then Expires, then ours; what cannot be read is an hour.
#[test]
fn a_time_is_taken_from_contact_then_expires_then_the_settings() {
    let mut registrar = Registrar::with(|settings| {
        (settings.default_expires_s, settings.max_expires_s) = (1_800, 5_000);
    });
    for (cseq, (contact, expires, granted)) in (1..).zip([
        (";expires=600", "Expires: 700\r\n", 600),
        ("", "Expires: 700\r\n", 700),
        ("", "", 1_800),
        (";expires=soon", "", 3_600),
        ("", "Expires: Thu, 01 Dec 1994\r\n", 3_600),
        (";expires=99999", "", 5_000),
    ]) {
        let lines = format!("Contact: <sip:alice@192.0.2.7>{contact}\r\n{expires}");
        let answer = registrar.register(cseq, &lines);
        assert!(answer.contains(&format!(">;expires={granted}\r\n")), "{lines}{answer}");
    }
}

/// RFC 3261 section 10.3 step 7: too brief, but never refused from an hour on.
#[test]
fn too_short_a_time_is_refused_with_the_shortest() {
    let mut registrar = Registrar::with(|settings| settings.min_expires_s = 3_600);
    let answer = registrar.register(1, "Contact: <sip:alice@192.0.2.7>;expires=3599\r\n");
    assert_eq!(status(&answer), "423 Interval Too Brief");
    assert!(answer.contains("Min-Expires: 3600\r\n"), "{answer}");
    let answer = registrar.register(2, "Contact: <sip:alice@192.0.2.7>;expires=3600\r\n");
    assert_eq!(status(&answer), "200 OK");
}

/// RFC 3261 section 10.2.3: without Contact it only asks.
#[test]
fn a_query_lists_all_bindings() {
    let mut registrar = Registrar::new();
    let lines = "Contact: <sip:a@192.0.2.7>;q=0.5, \"B\" <sip:a@192.0.2.8>;expires=60\r\n\
                 m: sip:a@192.0.2.9;q=1.0\r\n";
    registrar.register(1, lines);
    let (registered, answer) = registrar.send(&register("alice", "other", 1, ""), None);
    assert!(matches!(registered, Registered::Reply(_)));
    assert!(answer.contains("Contact: <sip:a@192.0.2.7>;expires=3600;q=0.500\r\n"), "{answer}");
    assert!(answer.contains("Contact: <sip:a@192.0.2.8>;expires=60\r\n"), "{answer}");
    assert!(answer.contains("Contact: <sip:a@192.0.2.9>;expires=3600\r\n"), "{answer}");
    // RFC 3261 section 16.6: by preference.
    let (_, found) = registrar.locate("sip:alice@example.com");
    assert_eq!(found.last().map(String::as_str), Some("sip:a@192.0.2.7"));
    assert_eq!(found.len(), 3);
}

/// RFC 3261 section 10.2.2: a time of 0 removes, and `*` removes all.
#[test]
fn bindings_are_removed() {
    let mut registrar = Registrar::new();
    registrar.register(1, "Contact: <sip:a@192.0.2.7>, <sip:a@192.0.2.8>, <sip:a@192.0.2.9>\r\n");
    let answer = registrar.register(2, "Contact: <sip:a@192.0.2.8>;expires=0\r\n");
    assert!(answer.contains("192.0.2.9") && !answer.contains("192.0.2.8"), "{answer}");
    for wrong in [
        "Contact: *\r\n",
        "Contact: *\r\nExpires: 60\r\n",
        "Contact: *\r\nContact: <sip:a@192.0.2.7>\r\nExpires: 0\r\n",
    ] {
        let answer = registrar.register(3, wrong);
        assert!(status(&answer).starts_with("400"), "{wrong}{answer}");
    }
    let answer = registrar.register(4, "Contact: *\r\nExpires: 0\r\n");
    assert!(status(&answer) == "200 OK" && !answer.contains("Contact:"), "{answer}");
    assert_eq!(registrar.locate("sip:alice@example.com").0, Located::NotRegistered);
    assert_eq!(registrar.location.counts().removed, 3);
}

/// RFC 3261 section 10.3 steps 6 and 7: what is late changes nothing, not even in part.
#[test]
fn a_late_register_changes_nothing() {
    let mut registrar = Registrar::new();
    registrar.register(5, PHONE);
    let late = registrar.register(4, "Contact: <sip:alice@192.0.2.9>, <sip:alice@192.0.2.7>\r\n");
    assert!(status(&late).starts_with("500"), "{late}");
    let late = registrar.register(5, "Contact: *\r\nExpires: 0\r\n");
    assert!(status(&late).starts_with("500"), "{late}");
    let (_, found) = registrar.locate("sip:alice@example.com");
    assert_eq!(found, ["sip:alice@192.0.2.7"]);
    // Another Call-ID has an order of its own.
    let (_, answer) = registrar.send(&register("alice", "b", 1, PHONE), None);
    assert_eq!(status(&answer), "200 OK");
}

/// A retransmission gets the same answer, and must wait for the same change.
#[test]
fn a_retransmission_is_answered_again() {
    let mut registrar = Registrar::new();
    let (first, answer) = registrar.send(&register("alice", "a", 1, PHONE), None);
    let position = registrar.location.position();
    let (again, answer_again) = registrar.send(&register("alice", "a", 1, PHONE), None);
    assert_eq!((first, answer), (again, answer_again));
    assert!(matches!(again, Registered::Changed(_)));
    assert_eq!((registrar.location.position(), registrar.location.waiting()), (position, 1));
    assert_eq!(registrar.location.counts().retransmitted, 1);
}

/// RFC 3261 section 19.1.4: a Contact that is written another way is the same.
#[test]
fn the_same_contact_in_other_words_is_one_binding() {
    let mut registrar = Registrar::new();
    registrar.register(1, "Contact: <sip:alice@192.0.2.7;transport=udp>\r\n");
    let answer = registrar.register(2, "Contact: <sip:%61lice@192.0.2.7;Transport=UDP>\r\n");
    assert_eq!(answer.matches("Contact:").count(), 1, "{answer}");
    assert!(answer.contains("<sip:%61lice@192.0.2.7;Transport=UDP>"), "{answer}");
    let answer = registrar.register(3, "Contact: <sip:alice@192.0.2.7:5060>\r\n");
    assert_eq!(answer.matches("Contact:").count(), 2, "{answer}");
}

/// RFC 3261 sections 10.3 steps 1 to 5, 8.2.2.3 and 21.4.
#[test]
fn a_binding_that_two_contacts_are_about_is_changed_once() {
    let (gone, here) =
        ("Contact: <sip:a@192.0.2.7>;expires=0\r\n", "Contact: <sip:a@192.0.2.7>\r\n");
    let mut registrar = Registrar::new();
    let bound = |registrar: &mut Registrar| registrar.locate("sip:alice@example.com").1.len();
    for (cseq, lines, status, left) in [
        (1, here.to_owned(), "200", 1),
        (2, format!("{gone}{gone}"), "200", 0),
        (3, here.to_owned(), "200", 1),
        (4, format!("{gone}{here}"), "200", 1),
        (5, format!("{here}{gone}"), "200", 1),
        (6, format!("{gone}{here}{gone}"), "200", 1),
        (7, format!("{here}{here}"), "400", 1),
        (8, gone.to_owned(), "200", 0),
    ] {
        let answer = registrar.register(cseq, &lines);
        assert_eq!(
            (answer.split(' ').nth(1), bound(&mut registrar)),
            (Some(status), left),
            "{lines}"
        );
        assert_eq!(registrar.location.counts().bindings, left as u64);
    }
}

#[test]
fn a_flow_that_takes_another_address_may_remove_the_old_one() {
    let mut registrar = Registrar::new();
    let flow = |address: &str| {
        format!("Contact: <sip:alice@{address}>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n")
    };
    registrar.register(1, &format!("Supported: outbound\r\n{}", flow("192.0.2.7")));
    let gone = "Contact: <sip:alice@192.0.2.7>;expires=0\r\n";
    let answer =
        registrar.register(2, &format!("Supported: outbound\r\n{gone}{}", flow("192.0.2.8")));
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    assert_eq!(registrar.locate("sip:alice@example.com").1, ["sip:alice@192.0.2.8"]);
}

#[test]
fn what_is_not_for_us_is_refused() {
    let mut registrar = Registrar::new();
    let to = |uri: &str| {
        register("alice", "a", 1, PHONE)
            .replace("To: <sip:alice@example.com>", &format!("To: {uri}"))
    };
    for (uri, expected) in [
        ("<sip:alice@example.net>", "404"),
        ("<sip:example.com>", "404"),
        ("<tel:+1201555>", "404"),
        ("<sip:alice@>", "400"),
    ] {
        let (_, answer) = registrar.send(&to(uri), None);
        assert!(status(&answer).starts_with(expected), "{uri} {answer}");
    }
    let answer = registrar.register(1, &format!("Require: path, 100rel, foo\r\n{PHONE}"));
    assert_eq!(status(&answer), "420 Bad Extension");
    assert!(answer.contains("Unsupported: 100rel, foo\r\n"), "{answer}");
    for contact in [
        "<mailto:a@b.c>",
        "<sip:a@192.0.2.7?Subject=x>",
        "<sip:a@192.0.2.7>;q=2",
        "<sip:>",
        "<sip:a@192.0.2.7>, <sip:a@192.0.2.7>",
        "<sip:alice@example.com;gr=urn:x>",
    ] {
        let answer = registrar.register(1, &format!("Contact: {contact}\r\n"));
        assert!(status(&answer).starts_with("40"), "{contact} {answer}");
    }
    assert_eq!(registrar.location.counts().aors, 0);
}

/// RFC 3261 section 10.3 step 4: nobody registers for somebody else.
#[test]
fn the_proved_user_must_be_that_of_the_aor() {
    let mut registrar = Registrar::new();
    let message = register("alice", "a", 1, PHONE);
    for (user, expected) in [
        ("bob", "403"),
        ("alice@example.net", "403"),
        ("", "403"),
        ("alice", "200"),
        ("alice@example.com", "200"),
    ] {
        let (_, answer) = registrar.send(&message, Some(user));
        assert!(status(&answer).starts_with(expected), "{user} {answer}");
    }
}

#[test]
fn limits_hold_for_aors_and_sources() {
    let mut registrar = Registrar::with(|settings| {
        (settings.contacts_per_aor, settings.aors_per_source) = (2, 2);
    });
    registrar.register(1, "Contact: <sip:a@192.0.2.7>, <sip:a@192.0.2.8>\r\n");
    let answer = registrar.register(2, "Contact: <sip:a@192.0.2.9>\r\n");
    assert!(status(&answer).starts_with("403"), "{answer}");
    // One goes, one comes.
    let answer =
        registrar.register(3, "Contact: <sip:a@192.0.2.9>, <sip:a@192.0.2.8>;expires=0\r\n");
    assert_eq!(status(&answer), "200 OK");
    let (_, answer) = registrar.send(&register("bob", "b", 1, PHONE), None);
    assert_eq!(status(&answer), "200 OK");
    let (_, answer) = registrar.send(&register("carol", "c", 1, PHONE), None);
    assert!(status(&answer).starts_with("403"), "{answer}");
    assert_eq!(registrar.location.counts().over_limit, 2);
}

#[test]
fn without_room_nothing_changes() {
    let mut registrar = Registrar::new();
    for user in 0..64 {
        let (_, answer) = registrar.send(&register(&format!("u{user}"), "a", 1, PHONE), None);
        assert_eq!(status(&answer), "200 OK");
    }
    let answer = registrar.register(1, PHONE);
    assert!(answer.starts_with("SIP/2.0 503") && answer.contains("Retry-After: 5\r\n"), "{answer}");
    // Those that are there are refreshed.
    let (_, answer) = registrar.send(&register("u7", "a", 2, PHONE), None);
    assert_eq!(status(&answer), "200 OK");
    assert_eq!(registrar.location.counts().refused_full, 1);
}

/// RFC 3327 section 5.3: the Path is kept, and given back to who understands it.
#[test]
fn a_path_is_stored_and_returned_on_request() {
    let mut registrar = Registrar::new();
    let path = "Path: <sip:10.0.0.8;lr>\r\nPath: <sip:10.0.0.9;lr>\r\n";
    let answer = registrar.register(1, &format!("{path}Supported: path\r\n{PHONE}"));
    assert!(answer.contains("Path: <sip:10.0.0.8;lr>, <sip:10.0.0.9;lr>\r\n"), "{answer}");
    let answer = registrar.register(2, &format!("{path}{PHONE}"));
    assert!(status(&answer) == "200 OK" && !answer.contains("Path:"), "{answer}");
    let target = registrar.target("sip:alice@example.com");
    assert_eq!(target.0.next_hop, "10.0.0.8:5060".parse().unwrap());
    assert_eq!(target.1, "<sip:10.0.0.8;lr>, <sip:10.0.0.9;lr>");
}

/// RFC 3608 section 6.3.
#[test]
fn a_service_route_is_given() {
    let mut registrar = Registrar::with(|settings| {
        settings.service_route =
            vec!["sip:p1.example.com;lr".into(), "sip:p2.example.com;lr".into()];
    });
    let answer = registrar.register(1, PHONE);
    let routes =
        "Service-Route: <sip:p1.example.com;lr>\r\nService-Route: <sip:p2.example.com;lr>\r\n";
    assert!(answer.contains(routes), "{answer}");
}

const FLOW: &str = "Contact: <sip:alice@10.9.9.9>;+sip.instance=\"<urn:uuid:1>\";reg-id=";

/// RFC 5626 section 6.
#[test]
fn a_flow_is_known_by_instance_and_reg_id() {
    let mut registrar = Registrar::new();
    let answer = registrar.register(1, &format!("Supported: path, outbound\r\n{FLOW}1\r\n"));
    assert!(answer.contains("Require: outbound\r\nFlow-Timer: 120\r\n"), "{answer}");
    assert!(answer.contains(";+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n"), "{answer}");
    // Another port, the same flow; another reg-id, another flow.
    let moved = FLOW.replace("10.9.9.9", "10.9.9.9:5070");
    let answer = registrar.register(2, &format!("Supported: outbound\r\n{moved}1\r\n"));
    assert_eq!(answer.matches("Contact:").count(), 1, "{answer}");
    let answer = registrar.register(3, &format!("Supported: outbound\r\n{FLOW}2\r\n"));
    assert_eq!(answer.matches("Contact:").count(), 2, "{answer}");
    let (target, _) = registrar.target("sip:alice@example.com");
    assert!(target.is_flow && target.group == 1 && target.leave_from == Some(ListenId(0)));
    assert_eq!(target.next_hop, "192.0.2.7:5060".parse().unwrap());
    // Without the option tag the reg-id does not count.
    let answer = registrar.register(4, &format!("{FLOW}3\r\n"));
    assert!(!answer.contains("Require: outbound") && !answer.contains("reg-id=3"), "{answer}");
}

/// RFC 5626 sections 6 and 11.6.
#[test]
fn a_first_hop_without_outbound_is_refused() {
    let mut registrar = Registrar::new();
    let hop = "Via: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKx\r\n";
    let answer = registrar.register(1, &format!("{hop}Supported: outbound\r\n{FLOW}1\r\n"));
    assert_eq!(status(&answer), "439 First Hop Lacks Outbound Support");
    let path = "Path: <sip:10.0.0.8;lr>, <sip:10.0.0.9;lr;ob>\r\n";
    let answer = registrar.register(2, &format!("{hop}{path}Supported: outbound\r\n{FLOW}1\r\n"));
    assert!(status(&answer) == "200 OK" && answer.contains("Require: outbound"), "{answer}");
    let (target, _) = registrar.target("sip:alice@example.com");
    assert!(!target.is_flow);
    let two = format!("Supported: outbound\r\n{FLOW}1, <sip:alice@192.0.2.7>\r\n");
    assert!(status(&registrar.register(3, &two)).starts_with("400"));
    // A reg-id without instance is ignored.
    let answer =
        registrar.register(4, "Supported: outbound\r\nContact: <sip:alice@192.0.2.7>;reg-id=1\r\n");
    assert!(status(&answer) == "200 OK" && !answer.contains("Require:"), "{answer}");
}

/// RFC 5626 section 5.3: a flow that has failed is forgotten.
#[test]
fn a_failed_flow_is_forgotten() {
    let mut registrar = Registrar::new();
    registrar.register(1, &format!("Supported: outbound\r\n{FLOW}1\r\n"));
    let response = "SIP/2.0 430 Flow Failed\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n\
                    From: <sip:x@example.com>;tag=1\r\nTo: <sip:alice@example.com>;tag=2\r\n\
                    Call-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    let mut headers = Headers::default();
    let Ok(Message::Response(response)) = parse(response.as_bytes(), &mut headers) else {
        panic!("{response}")
    };
    let arrival = Arrival { source: "192.0.2.7:5060".parse().unwrap(), listen: ListenId(0) };
    let Registrar { location, tables, .. } = &mut registrar;
    assert!(location.forget_flow(&response, tables, &arrival));
    assert!(!location.forget_flow(&response, tables, &arrival));
    assert_eq!(registrar.locate("sip:alice@example.com").0, Located::NotRegistered);
}

/// RFC 5627 sections 5.1 to 5.3.
#[test]
fn gruus_lead_to_their_instance_until_it_goes() {
    let mut registrar = Registrar::new();
    let two = "Supported: gruu\r\nContact: <sip:a@192.0.2.7>;+sip.instance=\"<urn:uuid:1>\"\r\n\
               Contact: <sip:a@192.0.2.8>;+sip.instance=\"<urn:uuid:2>\"\r\nContact: <sip:a@192.0.2.9>\r\n";
    let answer = registrar.register(1, two);
    let of = |answer: &str, name: &str, contact: &str| {
        let line = answer.lines().find(|line| line.contains(contact)).unwrap();
        let start = line.find(name).unwrap() + name.len() + 2;
        line[start..].split('"').next().unwrap().to_owned()
    };
    let public = of(&answer, "pub-gruu", "192.0.2.8");
    assert_eq!(public, "sip:alice@example.com;gr=urn:uuid:2");
    let temporary = of(&answer, "temp-gruu", "192.0.2.8");
    assert!(temporary.starts_with("sip:tgruu.") && temporary.ends_with("@example.com;gr"));
    assert!(!temporary.contains("alice"));
    let contact = vec!["sip:a@192.0.2.8".to_owned()];
    assert_eq!(registrar.locate(&public), (Located::Found, contact.clone()));
    assert_eq!(registrar.locate(&temporary), (Located::Found, contact.clone()));
    // Each REGISTER has a new one, and the old one stays good.
    let answer = registrar.register(2, two);
    let next = of(&answer, "temp-gruu", "192.0.2.8");
    assert_ne!(temporary, next);
    assert_eq!(registrar.locate(&temporary).1, contact);
    // With another Call-ID the old ones end.
    let (_, answer) = registrar.send(&register("alice", "b", 1, two), None);
    assert_eq!(registrar.locate(&temporary).0, Located::NotRegistered);
    assert_eq!(registrar.locate(&of(&answer, "temp-gruu", "192.0.2.8")).1, contact);
    for forged in ["sip:tgruu.AAAA@example.com;gr", "sip:alice@example.com;gr"] {
        assert_eq!(registrar.locate(forged).0, Located::Unknown, "{forged}");
    }
    assert_eq!(registrar.locate("sip:alice@example.com;gr=urn:uuid:3").0, Located::NotRegistered);
}

/// A Contact that names another address than the source is reached by the source.
#[test]
fn who_is_behind_nat_is_reached_where_it_registers_from() {
    let contact = "Contact: <sip:alice@10.9.9.9:5070>\r\n";
    for (nat, is_flow) in [(Nat::Auto, true), (Nat::Always, true), (Nat::Never, false)] {
        let mut registrar = Registrar::with(|settings| settings.nat = nat);
        registrar.register(1, contact);
        let (target, _) = registrar.target("sip:alice@example.com");
        let expected = if is_flow { "192.0.2.7:5060" } else { "10.9.9.9:5070" };
        assert_eq!((target.next_hop, target.is_flow), (expected.parse().unwrap(), is_flow));
        // By a proxy it is not behind NAT.
        let answer = registrar.register(2, &format!("Path: <sip:10.0.0.8;lr>\r\n{contact}"));
        assert_eq!(status(&answer), "200 OK");
        let (target, _) = registrar.target("sip:alice@example.com");
        assert_eq!((target.next_hop, target.is_flow), ("10.0.0.8:5060".parse().unwrap(), false));
    }
    let mut registrar = Registrar::with(|settings| settings.nat = Nat::Auto);
    registrar.register(1, PHONE);
    assert!(!registrar.target("sip:alice@example.com").0.is_flow);
    registrar.register(2, "Contact: <sip:alice@phone.invalid>\r\n");
    assert_eq!(registrar.locate("sip:alice@example.com").1.len(), 2);
}

#[test]
fn bindings_behind_nat_are_kept_alive_until_they_are_over() {
    for keepalive in [KeepAlive::Crlf, KeepAlive::Options, KeepAlive::Off] {
        let mut registrar = Registrar::with(|settings| {
            (settings.keepalive, settings.keepalive_s) = (keepalive, 20);
        });
        registrar.register(1, "Contact: <sip:alice@10.9.9.9>;expires=70\r\n");
        registrar.send(&register("bob", "b", 1, &PHONE.replace("7>", "7>;expires=70")), None);
        let mut sent = Vec::new();
        for second in 0..100 {
            registrar.location.set_time(NOW_MS + second * 1_000, UNIX_MS + second * 1_000);
            while registrar.location.expire(64, &registrar.tables) {}
            while let Some(message) = registrar.location.outbox().take() {
                assert_eq!(message.target, "192.0.2.7:5060".parse().unwrap());
                sent.push(String::from_utf8(message.message.to_vec()).unwrap());
            }
        }
        let expected = if keepalive == KeepAlive::Off { 0 } else { 3 };
        assert_eq!(sent.len(), expected);
        if keepalive == KeepAlive::Options {
            let mut headers = Headers::default();
            assert!(parse(sent[0].as_bytes(), &mut headers).is_ok(), "{}", sent[0]);
        }
        let counts = registrar.location.counts();
        assert_eq!((counts.bindings, counts.expired, counts.waiting), (0, 2, 2));
    }
}

/// RFC 3261 section 10.3: a binding ends with its time.
#[test]
fn a_binding_ends_with_its_time_even_before_its_timer_fires() {
    let mut registrar = Registrar::new();
    registrar.register(1, "Contact: <sip:alice@192.0.2.7>;expires=60\r\n");
    registrar.location.set_time(NOW_MS + 60_000, UNIX_MS + 60_000);
    assert_eq!(registrar.locate("sip:alice@example.com").0, Located::NotRegistered);
    let answer = registrar.register(2, "");
    assert!(!answer.contains("Contact:"), "{answer}");
}

#[test]
fn nothing_is_answered_before_all_is_loaded() {
    let mut registrar = Registrar::new();
    let sizes = LocationSizes { aors: 8, bindings: 8, text_blocks: 64 };
    registrar.location = Location::new(sizes, 0, 1, [1; 16]);
    assert!(registrar.register(1, PHONE).starts_with("SIP/2.0 503"));
    assert_eq!(registrar.locate("sip:alice@example.com").0, Located::Loading);
}

/// A backup that is restored, or a store that can be read again, while phones register.
#[test]
fn what_is_loaded_while_phones_register_takes_nothing_from_them() {
    let mut registrar = Registrar::new();
    let other = PHONE.replace("7>", "8>");
    registrar.register(1, &PHONE.replace("7>", "7>;expires=600"));
    registrar.register(2, &other);
    let mut stored = Vec::with_capacity(65_536);
    registrar.location.drain(&mut stored, &registrar.tables);
    let mut running = Registrar::new();
    let third = PHONE.replace("7>", "9>");
    running.register(3, PHONE);
    running.register(4, &third);
    let mut changes = Vec::with_capacity(65_536);
    running.location.drain(&mut changes, &running.tables);
    let counts = running.location.load(&stored, &running.tables).unwrap();
    assert_eq!((counts.aors, counts.bindings, counts.refused), (1, 2, 0));
    let answer = running.register(5, "");
    for contact in ["7>;expires=3600", "8>;expires=3600", "9>;expires=3600"] {
        assert!(answer.contains(contact), "{answer}");
    }
    // The store gets what came of it, and only once.
    changes.clear();
    running.location.drain(&mut changes, &running.tables);
    let records: Vec<_> = crate::location::record::records(&changes).map(Result::unwrap).collect();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].bindings().count(), 3);
    // What ends later counts: here the stored one.
    running.register(6, &PHONE.replace("7>", "7>;expires=60"));
    running.location.load(&stored, &running.tables).unwrap();
    let answer = running.register(7, "");
    assert!(answer.contains("7>;expires=600"), "{answer}");
}

/// What goes to the store comes back from it, in another process.
#[test]
fn what_is_drained_is_loaded() {
    let mut registrar = Registrar::new();
    registrar.register(1, &format!("Supported: outbound\r\n{FLOW}1;q=0.3\r\n"));
    registrar.send(&register("bob", "b", 1, &format!("Path: <sip:10.0.0.8;lr>\r\n{PHONE}")), None);
    registrar.send(&register("carol", "c", 1, &PHONE.replace("7>", "7>;expires=60")), None);
    let mut batch = Vec::with_capacity(65_536);
    assert_eq!(registrar.location.drain(&mut batch, &registrar.tables), Some(3));
    assert!(!registrar.location.has_changes());

    let mut next = Registrar::new();
    next.location =
        Location::new(LocationSizes { aors: 8, bindings: 8, text_blocks: 64 }, 0, 1, [1; 16]);
    next.location.set_time(5, UNIX_MS + 60_000);
    let counts = next.location.load(&batch, &next.tables).unwrap();
    assert_eq!((counts.aors, counts.bindings, counts.expired), (2, 2, 1));
    next.location.set_ready();
    let before = registrar.target("sip:alice@example.com");
    let after = next.target("sip:alice@example.com");
    let of = |one: &(Target, String)| (one.0.next_hop, one.0.is_flow, one.0.q, one.1.clone());
    assert_eq!(of(&before), of(&after));
    assert_eq!(next.target("sip:bob@example.com").1, "<sip:10.0.0.8;lr>");
    let answer = next.register(2, "");
    assert!(
        answer.contains(";expires=3540;q=0.300;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n"),
        "{answer}"
    );
    // The order of requests is known, too, and the store is told to forget who is over.
    assert!(
        next.register(1, &format!("Supported: outbound\r\n{FLOW}1;q=0.3\r\n"))
            .starts_with("SIP/2.0 200")
    );
    assert_eq!(next.location.counts().retransmitted, 1);
    batch.clear();
    next.location.drain(&mut batch, &next.tables);
    let deleted: Vec<_> = crate::location::record::records(&batch).map(Result::unwrap).collect();
    assert!(
        deleted.len() == 1 && deleted[0].is_deletion() && deleted[0].aor() == "carol@example.com"
    );
}
