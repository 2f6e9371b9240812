//! Rules of the registrar, one by one.

mod extensions;
mod refusals;

use std::string::String;
use std::{format, vec, vec::Vec};

use super::*;
use crate::location::{AorUri, Located, LocationSizes, Target, Targets};
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
            listen: vec![ListenPoint::udp("10.0.0.1:5060".parse().unwrap())],
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
        let uri = AorUri::read(request.bytes, request.uri, &self.tables, &arrival).unwrap();
        let located = self.location.locate(&request, &uri, &self.tables, &mut targets);
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

fn status(answer: &str) -> &str {
    &answer["SIP/2.0 ".len()..answer.find('\r').unwrap()]
}

const PHONE: &str = "Contact: <sip:alice@192.0.2.7>\r\n";

const FLOW: &str = "Contact: <sip:alice@10.9.9.9>;+sip.instance=\"<urn:uuid:1>\";reg-id=";

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

/// Another appliance that shares the user has changed the bindings.
#[test]
fn what_another_appliance_has_changed_takes_the_place_of_what_there_is() {
    let drained = |of: &mut Registrar| {
        let mut bytes = Vec::with_capacity(65_536);
        of.location.drain(&mut bytes, &of.tables);
        bytes
    };
    let has_passed = |bytes: &[u8]| {
        let record = crate::location::record::records(bytes).next().unwrap().unwrap();
        (record.has_passed(), record.bindings().count())
    };
    let (mut here, mut there) = (Registrar::new(), Registrar::new());
    there.register(1, &PHONE.replace("7>", "8>"));
    let theirs = drained(&mut there);
    here.register(1, PHONE);
    // The change of our own goes first, and says that something was passed over.
    here.location.replace(&theirs, &here.tables).unwrap();
    assert_eq!(has_passed(&drained(&mut here)), (true, 1));
    here.location.replace(&theirs, &here.tables).unwrap();
    assert!(!here.location.has_changes());
    let answer = here.register(2, "");
    assert!(answer.contains("8>") && !answer.contains("7>"), "{answer}");
    here.register(3, PHONE);
    assert_eq!(has_passed(&drained(&mut here)), (false, 2));
    let mut nothing = Vec::new();
    crate::location::record::write("alice@example.com", &[], &mut nothing).unwrap();
    here.location.replace(&nothing, &here.tables).unwrap();
    let counts = here.location.counts();
    assert_eq!((counts.aors, counts.bindings, counts.waiting), (0, 0, 0));
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
