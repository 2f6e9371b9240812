//! Rules of the registrar, one by one.

use std::string::String;
use std::{format, vec, vec::Vec};

use super::*;
use crate::location::{Located, LocationSizes, Targets};
use crate::message::{Headers, Message};
use crate::parse::parse;
use crate::route::request::{RequestRoute, begin_route};
use crate::settings::{Action, ListenId, ListenPoint, Nat, RegistrarSettings, Rule, Settings};

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

    /// URIs of the targets of a request.
    fn locate(&mut self, uri: &str) -> (Located, Vec<String>) {
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
        let text = |index| {
            let target = targets.get(index).unwrap();
            String::from_utf8(targets.text(target.uri).to_vec()).unwrap()
        };
        (located, (0..targets.len()).map(text).collect())
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
