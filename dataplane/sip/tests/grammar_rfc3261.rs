//! RFC 3261 section 25 as far as a proxy touches it: each way in which what we read may be written,
//! and what is written wrong.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    Outcome, always, from_uac, from_uas, header, headers, response_to, settings, tables, through,
};
use sip_core::limits::{HEADERS_MAX, PARAMETERS_MAX, ROUTES_MAX, URI_MAX, VIAS_MAX};
use sip_core::{Action, Settings, SipDrop, Tables};

const INVITE: &[u8] = include_bytes!("fixtures/invite.sip");

/// The INVITE fixture with some text exchanged.
#[track_caller]
fn invite_with(old: &str, new: &str) -> String {
    let text = String::from_utf8(INVITE.to_vec()).unwrap();
    assert!(text.contains(old), "the fixture has no {old:?}");
    text.replacen(old, new, 1)
}

/// The INVITE fixture with more header lines.
fn invite_and(lines: &str) -> String {
    invite_with("Contact:", &format!("{lines}\r\nContact:"))
}

fn forwarded(message: &str) -> String {
    through(message.as_bytes(), &tables(), &from_uac()).forwarded().text
}

/// Where it goes when it is relayed by its Route or Request-URI.
fn relayed(message: &str) -> Outcome {
    let rules = vec![always(Action::RequestUri)];
    let tables = Tables::build(&Settings { rules, ..settings() }).unwrap();
    through(message.as_bytes(), &tables, &from_uac())
}

fn hop(message: &str) -> String {
    relayed(message).forwarded().next_hop.to_string()
}

#[track_caller]
fn refused(message: &str, expected: &str) {
    let reply = relayed(message).replied();
    assert_eq!(reply.lines().next().unwrap(), format!("SIP/2.0 {expected}"), "{message}");
}

// ---- lines: 7.3.1, 25.1 ----

#[test]
fn compact_forms_in_any_case_with_any_white_space() {
    let invite = String::from_utf8_lossy(INVITE)
        .replace("Via:", "V\t:")
        .replace("From:", "f :")
        .replace("To:", "T:")
        .replace("Call-ID:", "i:\t")
        .replace("Contact:", "M:")
        .replace("Content-Length:", "L :");
    assert_ne!(invite.as_bytes(), INVITE);
    let text = forwarded(&invite);
    assert_eq!(
        header(&text, "v"),
        headers(&forwarded(&invite_with("x", "x")), "Via").get(1).copied()
    );
    assert!(text.ends_with("a=rtpmap:0 PCMU/8000\r\n"));
    // Both forms are one header.
    refused(&invite.replace("CSeq:", "Call-ID: y\r\nCSeq:"), "400 Duplicate Call-ID");
    refused(&invite.replace("CSeq:", "Content-Length: 1\r\nCSeq:"), "400 Duplicate Content-Length");
    // And a reply spells them out.
    let reply = relayed(&invite.replace(": 70", ": 0")).replied();
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        assert_eq!(headers(&reply, name).len(), 1, "{name}");
    }
}

#[test]
fn folds_may_stand_before_after_and_inside_values() {
    let folded = String::from_utf8_lossy(INVITE)
        .replace("Max-Forwards: 70", "Max-Forwards:\r\n 70\r\n\t")
        .replace("314159 INVITE", "\r\n 314159\r\n\t INVITE")
        .replace("Call-ID: ", "Call-ID:\r\n  ")
        .replace(";rport", "\r\n ;\r\n rport");
    let text = forwarded(&folded);
    assert!(text.contains("Max-Forwards:\r\n 69\r\n\t\r\n"), "{text}");
    assert!(text.contains("rport=5060;branch=z9hG4bK776asdhds;received=10.77.1.2"), "{text}");
    assert_eq!(header(&text, "Via"), header(&forwarded(&invite_with("x", "x")), "Via"));
    // A line of nothing but white space goes on with the one before it, it does not end the headers.
    assert!(forwarded(&invite_and("Subject: a\r\n \t")).contains("Subject: a\r\n \t\r\nContact:"));
    // The start line has no folds (section 7.1).
    let start = invite_with("SIP/2.0\r\nVia", "SIP/2.0\r\n Via");
    assert_eq!(relayed(&start).dropped(), SipDrop::SipMalformed);
}

#[test]
fn a_folded_via_list_leads_a_response_back() {
    let request = forwarded(&invite_with("x", "x"));
    let vias = headers(&request, "Via");
    let response = response_to(&request, "200 OK", "");
    for list in [
        format!("Via:\r\n {}\r\n ,\r\n {}\r\n", vias[0], vias[1]),
        format!("v: {} ,{}\r\n", vias[0], vias[1]),
        format!("Via: {}\r\nX: y\r\nVIA:\r\n\t{}\r\n", vias[0], vias[1]),
    ] {
        let single = format!("Via: {}\r\nVia: {}\r\n", vias[0], vias[1]);
        let response = response.replace(&single, &list);
        let out = through(response.as_bytes(), &tables(), &from_uas()).forwarded();
        assert_eq!(out.next_hop, "10.77.1.2:5060".parse().unwrap(), "{list}");
        let left: Vec<_> = [headers(&out.text, "Via"), headers(&out.text, "v")].concat();
        assert_eq!(left, [vias[1]], "{list}");
    }
}

#[test]
fn route_lists_are_one_list_over_lines_and_folds() {
    let ours = "<sip:10.77.1.1;lr>";
    let next = "<sip:10.77.2.9:5070;lr>";
    for (lines, left) in [
        (format!("Route: {ours},{next}"), vec![next]),
        (format!("Route: {ours}\r\nX: y\r\nROUTE : {next}"), vec![next]),
        (format!("Route:\r\n {ours}\r\n ,\r\n {next}"), vec![next]),
        (
            format!("Route: {ours} , {ours}\r\nRoute: {next}, <sip:z>"),
            vec!["<sip:10.77.2.9:5070;lr>, <sip:z>"],
        ),
        (
            format!("Route: \"a, <sip:b> \\\", c\" {ours};x=\"<,\", \"d\"{next}"),
            vec!["\"d\"<sip:10.77.2.9:5070;lr>"],
        ),
        (format!("Route: token with spaces {ours}, {next};p"), vec!["<sip:10.77.2.9:5070;lr>;p"]),
    ] {
        let out = relayed(&invite_and(&lines)).forwarded();
        assert_eq!(out.next_hop, "10.77.2.9:5070".parse().unwrap(), "{lines}");
        let text = out.text.replace("\r\n ", " ");
        assert_eq!(headers(&text, "Route"), left, "{lines}");
    }
    for broken in
        ["<sip:10.77.1.1;lr>,", "\"a <sip:10.77.1.1;lr>", "<sip:10.77.1.1;lr>,,<sip:b>", "<>"]
    {
        refused(&invite_and(&format!("Route: {broken}")), "400 Malformed Route");
    }
}

// ---- URIs: 19.1, 25.1 ----

#[test]
fn uris_in_any_case_with_escapes_passwords_and_parameters() {
    for (uri, expected) in [
        ("SIP:bob@10.77.2.9", "10.77.2.9:5060"),
        ("sip:bob:secret@10.77.2.9:5070", "10.77.2.9:5070"),
        ("sip:b%40b;x=y?z&=+$,/@10.77.2.9", "10.77.2.9:5060"),
        ("sip:10.77.2.9;TRANSPORT=UDP;lr=on;x", "10.77.2.9:5060"),
        ("sip:bob@[fd77:2::9]:5070;user=phone", "[fd77:2::9]:5070"),
        ("sip:bob@[::ffff:10.77.2.9]", "[::ffff:10.77.2.9]:5060"),
    ] {
        let message = invite_with("sip:+493012345@example.com SIP", &format!("{uri} SIP"));
        assert_eq!(hop(&message), expected, "{uri}");
        let routed = invite_and(&format!("Route: <{uri};lr>"));
        assert_eq!(hop(&routed.replace(";lr=on;x;lr", ";lr=on")), expected, "{uri}");
    }
    for uri in [
        "sip:bob@10.77.2.9:",
        "sip:bob@10.77.2.9:0",
        "sip:bob@[fd77:2::9",
        "sip:bob@fd77::9",
        "sip:b@c@10.77.2.9",
        "sip:bob@",
        "bob",
        "sip:bob@10.77.2.9;;lr",
        "sip:bob@10.77.2.9?Route=x",
    ] {
        let message = invite_with("sip:+493012345@example.com SIP", &format!("{uri} SIP"));
        refused(&message, "400 Malformed Request-URI");
    }
}

#[test]
fn header_fields_in_a_route_are_not_followed() {
    refused(&invite_and("Route: <sip:10.77.2.9;lr?Subject=x>"), "400 Malformed Route");
}

#[test]
fn utf_8_stands_wherever_it_is_only_passed_on() {
    let text = invite_with("\"Alice\"", "\"Алиса 大\"").replace("desk", "настольный");
    let out = forwarded(&text);
    assert!(out.contains("From: \"Алиса 大\" <sip:alice@example.com>;tag=1928301774\r\n"));
    let reply = relayed(&text.replace(": 70", ": 0")).replied();
    assert!(header(&reply, "From").unwrap().starts_with("\"Алиса 大\""), "{reply}");
    // Never in a method, nor in a host that we have to look at.
    assert_eq!(relayed(&invite_with("INVITE sip", "ИНВАЙТ sip")).dropped(), SipDrop::SipMalformed);
    refused(&invite_with("@example.com SIP", "@пример.рф SIP"), "400 Malformed Request-URI");
}

// ---- the end of the message: 18.3, 20.14 ----

#[test]
fn content_length_may_be_missing_padded_or_short() {
    let invite = String::from_utf8_lossy(INVITE).into_owned();
    let (head, body) = invite.split_once("\r\n\r\n").unwrap();
    let line = head.lines().find(|line| line.starts_with("Content-Length")).unwrap();
    let with = |length: &str, body: &str| {
        let head = head.replace(&format!("{line}\r\n"), "").replace(line, "");
        forwarded(&format!("{}{length}\r\n\r\n{body}", head.trim_end()))
    };
    assert!(with("", body).ends_with(body));
    assert!(with("", "").ends_with("\r\n\r\n"));
    let padded = format!("\r\nContent-Length: 000{} \t", body.len());
    assert!(with(&padded, &format!("{body}surplus")).ends_with(body));
    // The body may look like anything.
    assert!(with("", " \r\nVia: x\r\n\r\n\0").ends_with("\r\n\r\n \r\nVia: x\r\n\r\n\0"));
}

#[test]
fn leading_crlfs_are_dropped_and_others_are_not() {
    let invite = String::from_utf8_lossy(INVITE).into_owned();
    assert!(forwarded(&format!("\r\n\r\n\r\n{invite}")).starts_with("INVITE "));
    for lead in [" ", "\n", "\r", "\r\n "] {
        assert_eq!(
            relayed(&format!("{lead}{invite}")).dropped(),
            SipDrop::SipMalformed,
            "{lead:?}"
        );
    }
}

// ---- counts: limits.rs ----

#[test]
fn every_count_has_a_limit_that_can_be_reached_and_not_passed() {
    let vias =
        |count: u16| invite_and(vec!["Via: SIP/2.0/UDP a"; count.into()].join("\r\n").as_str());
    forwarded(&vias(VIAS_MAX - 1));
    refused(&vias(VIAS_MAX), "400 Too Many Via");
    let routes = |count: u16| {
        invite_and(vec!["Route: <sip:10.77.2.9;lr>"; count.into()].join("\r\n").as_str())
    };
    forwarded(&routes(ROUTES_MAX));
    refused(&routes(ROUTES_MAX + 1), "400 Too Many Route");
    let lines =
        String::from_utf8_lossy(INVITE).split("\r\n\r\n").next().unwrap().lines().count() - 1;
    let many = |count: usize| invite_and(vec!["X: y"; count - lines].join("\r\n").as_str());
    forwarded(&many(HEADERS_MAX));
    refused(&many(HEADERS_MAX + 1), "400 Too Many Headers");
    let params =
        |count: usize| invite_with(";rport;branch", &format!("{};branch", ";x".repeat(count - 1)));
    forwarded(&params(PARAMETERS_MAX));
    refused(&params(PARAMETERS_MAX + 1), "400 Malformed Via");
    let uri = |length: usize| {
        let user = "9".repeat(length - "sip:@example.com".len());
        invite_with("sip:+493012345@example.com SIP", &format!("sip:{user}@example.com SIP"))
    };
    forwarded(&uri(URI_MAX));
    refused(&uri(URI_MAX + 1), "414 Request-URI Too Long");
}
