//! Bytes from the network: whatever they are, nothing panics, and what is forwarded is still the
//! message that came in.

mod common;

use common::{Outcome, from_uac, from_uas, response_to, tables, through};
use proptest::collection::vec;
use proptest::prelude::*;
use sip_core::{Arrival, Headers, Message, Output, Reply, Tables, parse, write_reply};

const FIXTURES: [&[u8]; 6] = [
    include_bytes!("fixtures/invite.sip"),
    include_bytes!("fixtures/cancel.sip"),
    include_bytes!("fixtures/odd_but_legal.sip"),
    include_bytes!("fixtures/sipp_invite.sip"),
    include_bytes!("fixtures/sipp_ack.sip"),
    include_bytes!("fixtures/sipp_bye.sip"),
];

/// The fixtures, and requests and responses that use Route, Record-Route and several Vias.
fn corpus() -> Vec<Vec<u8>> {
    let tables = tables();
    let mut messages: Vec<_> = FIXTURES.map(<[u8]>::to_vec).into();
    for fixture in FIXTURES {
        let text = through(fixture, &tables, &from_uac()).forwarded().text;
        let text = text.replace("\r\n ", " ");
        messages.push(response_to(&text, "200 OK", "v=0\r\n").into_bytes());
        messages.push(text.replace("Record-Route:", "Route:").into_bytes());
    }
    for folder in ["rfc4475", "rfc5118"] {
        let path = format!("{}/tests/fixtures/{folder}", env!("CARGO_MANIFEST_DIR"));
        for file in std::fs::read_dir(path).expect("the fixtures") {
            messages.push(std::fs::read(file.expect("a fixture").path()).expect("a fixture"));
        }
    }
    messages
}

/// Bytes that mean something.
const SPECIAL: &[u8] = b"\r\n:;,<>\"@[] =\\%\0";

/// A message from the corpus with some of its bytes changed, taken out, doubled or cut off.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0..6_u8, any::<u8>(), 0..40_usize);
    (prop::sample::select(corpus()), vec(change, 0..6)).prop_map(|(mut message, changes)| {
        for (place, kind, byte, length) in changes {
            if message.is_empty() {
                break;
            }
            let at = place.index(message.len());
            let end = message.len().min(at + length);
            match kind {
                0 => message[at] = byte,
                1 => message[at] ^= 1 << (byte % 8),
                2 => message.truncate(at),
                3 => drop(message.drain(at..end)),
                4 => {
                    let part = message[at..end].to_vec();
                    message.splice(at..at, part);
                }
                _ => message[at] = SPECIAL[usize::from(byte) % SPECIAL.len()],
            }
        }
        message
    })
}

/// Takes the message through everything there is; checks what comes out.
fn check(message: &[u8], tables: &Tables, arrival: &Arrival) {
    // Only text can be compared afterwards.
    if std::str::from_utf8(message).is_err() {
        through(message, tables, arrival);
        return;
    }
    match through(message, tables, arrival) {
        // Ours may be larger than the largest message; the network will not take it.
        Outcome::Forwarded(out) if out.text.len() > 65_535 => {}
        Outcome::Forwarded(out) => {
            let (mut before, mut after) = (Headers::default(), Headers::default());
            let again = parse(out.text.as_bytes(), &mut after);
            // The copy is the same kind of message, of the same call, and parses.
            match (parse(message, &mut before), again) {
                (Ok(Message::Request(old)), Ok(Message::Request(new))) => {
                    assert_eq!(old.method(), new.method());
                    assert_eq!(text(old.call_id()), text(new.call_id()));
                    assert_eq!(old.cseq_number(), new.cseq_number());
                    assert_eq!(body(message, old.body_start(), old.body_end()), {
                        body(out.text.as_bytes(), new.body_start(), new.body_end())
                    });
                }
                (Ok(Message::Response(old)), Ok(Message::Response(new))) => {
                    assert_eq!(old.status(), new.status());
                    assert_eq!(text(old.call_id()), text(new.call_id()));
                }
                (_, again) => panic!("forwarded as something else: {:?}", again.err()),
            }
        }
        Outcome::Replied { text, .. } => match parse(text.as_bytes(), &mut Headers::default()) {
            Ok(Message::Response(reply)) => assert!(reply.status() >= 200),
            // A reply repeats headers of a request that may be wrong themselves.
            Ok(Message::Request(_)) => panic!("a reply is a response"),
            Err(_) => assert!(text.starts_with("SIP/2.0 4") || text.starts_with("SIP/2.0 5")),
        },
        Outcome::Dropped(_) => {}
    }
    // A reply can be asked for at any time, also by an overloaded worker.
    let mut out = Output::with_capacity(2048);
    let _ = write_reply(message, Reply::Unavailable, tables, arrival, &mut out);
}

/// The tests see messages as text in which each wrong byte is replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn body(message: &[u8], start: usize, end: usize) -> String {
    text(&message[start..end])
}

/// PROPTEST_CASES asks for more.
fn cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.max(4000), failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn random_bytes_do_no_harm(message in vec(any::<u8>(), 0..600)) {
        check(&message, &tables(), &from_uac());
    }

    #[test]
    fn mangled_messages_do_no_harm(message in mangled(), from_uas_side in any::<bool>()) {
        let arrival = if from_uas_side { from_uas() } else { from_uac() };
        check(&message, &tables(), &arrival);
    }
}

#[test]
fn every_truncation_is_refused_or_forwarded_whole() {
    let tables = tables();
    for message in corpus() {
        for end in 0..message.len() {
            check(&message[..end], &tables, &from_uac());
        }
    }
}

#[test]
fn datagrams_at_and_beyond_the_largest_size() {
    let tables = tables();
    let head = String::from_utf8_lossy(FIXTURES[4]).replace("Content-Length: 0\r\n", "");
    for size in [65_507, 65_535, 65_536, 70_000] {
        let mut message = head.clone().into_bytes();
        message.resize(size, b'x');
        match parse(&message, &mut Headers::default()) {
            Ok(_) => assert!(size <= 65_535),
            Err(error) => assert_eq!(error.kind, sip_core::ParseErrorKind::MessageTooLong),
        }
        check(&message, &tables, &from_uac());
        check(&vec![b'\r'; size], &tables, &from_uac());
        check(&vec![b';'; size], &tables, &from_uac());
    }
}

#[test]
fn long_lists_cost_no_more_than_they_are_long() {
    let tables = tables();
    let invite = String::from_utf8_lossy(FIXTURES[0]);
    for (old, new) in [
        ("branch=", &";x".repeat(10_000) as &str),
        (
            "Contact:",
            &format!("Route: {}<sip:10.77.1.1>\r\nContact:", "<sip:10.77.1.1;lr>,".repeat(2_000)),
        ),
        ("Contact:", &format!("X:{}\r\nContact:", "\r\n x".repeat(10_000))),
        ("z9hG4bK", &format!("z9hG4bK{}", "x".repeat(40_000))),
        ("\"Alice\"", &format!("\"{}\"", "\\\"".repeat(10_000))),
    ] {
        let message = invite.replacen(old, new, 1);
        check(message.as_bytes(), &tables, &from_uac());
        let old_branch = message.replace("z9hG4bK", "");
        check(old_branch.as_bytes(), &tables, &from_uac());
    }
}
