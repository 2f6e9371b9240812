//! The torture tests of RFC 4475 (all 49 messages) and RFC 5118, and what this proxy makes of them.
//!
//! The fixtures are the messages of the RFCs. Only the Content-Length of `ipv6-in-sdp`,
//! `mult-ip-in-sdp` and `ipv4-mapped-ipv6` differs: it is that of their bodies as printed.
//!
//! A proxy looks at what it needs. RFC 3261 section 16.3 step 1: what is involved in validation and
//! forwarding must be well-formed, anything else should be left alone, well-formed or not. So many
//! messages that are wrong for an endpoint go on unchanged.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
#[path = "torture/table.rs"]
mod table;

use common::{
    Outcome, always, from_uac, from_uas, header, headers, settings, tables, text, through,
};
use sip_core::{Action, Settings, SipDrop, Tables};
use table::{Dropped, Forwarded, NeverReturned, RFC4475, RFC5118, Replied, Returned, Row};

#[test]
fn rfc4475_messages() {
    check("rfc4475", &RFC4475, &tables());
}

#[test]
fn rfc5118_messages() {
    check("rfc5118", &RFC5118, &relay());
    // Through a destination set, what stands in the Request-URI matters less (16.3 step 1).
    for (file, _, why) in &RFC5118 {
        let outcome = through(&fixture("rfc5118", file), &tables(), &from_uac());
        assert_eq!(matches!(outcome, Outcome::Forwarded(_)), *file != "ipv6-bad", "{file}: {why}");
    }
}

#[test]
fn every_fixture_has_its_row() {
    for (folder, table) in [("rfc4475", &RFC4475[..]), ("rfc5118", &RFC5118[..])] {
        let files = std::fs::read_dir(path(folder)).unwrap();
        let mut files: Vec<_> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let mut rows: Vec<_> = table.iter().map(|row| format!("{}.dat", row.0)).collect();
        files.sort();
        rows.sort();
        assert_eq!(files, rows, "{folder}");
    }
}

fn relay() -> Tables {
    Tables::build(&Settings { rules: vec![always(Action::RequestUri)], ..settings() }).unwrap()
}

fn path(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn fixture(folder: &str, name: &str) -> Vec<u8> {
    std::fs::read(path(&format!("{folder}/{name}.dat"))).unwrap()
}

fn check(folder: &str, table: &[Row], tables: &Tables) {
    for (file, expected, why) in table {
        let message = fixture(folder, file);
        let outcome = through(&message, tables, &from_uac());
        let about = format!("{folder}/{file}, {why}");
        match expected {
            Forwarded(to, changes) => {
                let out = outcome.forwarded();
                assert_eq!(out.next_hop, to.parse().unwrap(), "{about}");
                assert_eq!(out.text, copy(&message, &out.text, changes, &about), "{about}");
            }
            Replied(status) => {
                let reply = outcome.replied();
                assert_eq!(reply.lines().next(), Some(&*format!("SIP/2.0 {status}")), "{about}");
                check_echo(&text(&message), &reply, &about);
            }
            Dropped(reason) => assert_eq!(outcome.dropped(), *reason, "{about}"),
            Returned(to) => {
                assert_eq!(outcome.dropped(), SipDrop::ResponseNotOurs, "{about}");
                let out = through(&with_our_via(&message), tables, &from_uas()).forwarded();
                assert_eq!(out.next_hop, to.parse().unwrap(), "{about}");
                assert_eq!(out.text, text(&message), "{about}");
            }
            NeverReturned(reason) => {
                outcome.dropped();
                let ours = with_our_via(&message);
                assert_eq!(through(&ours, tables, &from_uas()).dropped(), *reason, "{about}");
            }
        }
    }
}

/// The beginnings of the lines that we add.
const ADDED: [&str; 4] = [
    "Via: SIP/2.0/UDP 10.77.2.1:5060;branch=z9hG4bK-tl100",
    "Via: SIP/2.0/UDP [fd77:2::1]:5060;branch=z9hG4bK-tl100",
    "Record-Route: <sip:10.77.",
    "Record-Route: <sip:[fd77:2::1]:5060;lr;tl=",
];

/// What the copy of `message` must be: the lines that we add, which are taken from `out`, and the
/// message with its changes, up to the end of its body.
fn copy(message: &[u8], out: &str, changes: &[(&str, &str)], about: &str) -> String {
    let message = text(message);
    let (start_line, rest) = message.split_once("\r\n").unwrap();
    let lacks_hops = !message.to_lowercase().contains("\nmax-forwards:");
    let is_added = |line: &&str| {
        ADDED.iter().any(|begin| line.starts_with(begin))
            || (lacks_hops && *line == "Max-Forwards: 70\r\n")
    };
    let added: String = out.split_inclusive("\r\n").skip(1).take_while(is_added).collect();
    assert_eq!(added.matches("Via: ").count(), 1, "{about}");
    let mut rest = rest.to_owned();
    for (old, new) in changes {
        assert!(rest.contains(old), "{about}: no {old:?}");
        rest = rest.replacen(old, new, 1);
    }
    if rest.contains("Content-Length: 0\r\n") {
        rest.truncate(rest.find("\r\n\r\n").unwrap() + 4);
    }
    format!("{start_line}\r\n{added}{rest}")
}

/// RFC 3261 section 8.2.6.2: a reply repeats what the request has of these.
fn check_echo(request: &str, reply: &str, about: &str) {
    for name in ["From", "Call-ID", "CSeq"] {
        assert_eq!(header(reply, name), header(request, name), "{about}: {name}");
    }
    let (to, asked) = (header(reply, "To"), header(request, "To"));
    assert_eq!(to.is_some(), asked.is_some(), "{about}");
    if let (Some(to), Some(asked)) = (to, asked) {
        assert!(to.starts_with(asked), "{about}: {to}");
    }
    assert_eq!(headers(reply, "Via").len(), headers(request, "Via").len(), "{about}");
    assert!(header(reply, "Via").unwrap().contains(";received=10.77.1.2"), "{about}");
}

/// The response as it would come back to us if we had forwarded its request: our Via stands in place
/// of a first one of two, or else before the only one.
fn with_our_via(response: &[u8]) -> Vec<u8> {
    let response = text(response);
    let vias = headers(&response, "Via");
    let request = format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: {}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\n\
         Call-ID: x\r\nCSeq: 1 INVITE\r\n\r\n",
        vias.last().unwrap()
    );
    let forwarded = through(request.as_bytes(), &tables(), &from_uac()).forwarded().text;
    let ours = format!("Via: {}\r\n", headers(&forwarded, "Via")[0]);
    let first = format!("Via: {}\r\n", vias[0]);
    let kept = if vias.len() > 1 { "" } else { &*first };
    response.replacen(&first, &(ours + kept), 1).into_bytes()
}
