//! Whole messages in and out: what RFC 3261 asks of a stateless proxy.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    Forwarded, Outcome, UAC_SIDE, always, from_uac, from_uas, header, headers, response_to, set,
    settings, tables, through,
};
use sip_core::{Action, Arrival, ListenId, RouteReason, Rule, Settings, SipDrop, Tables};

const INVITE: &[u8] = include_bytes!("fixtures/invite.sip");
const CANCEL: &[u8] = include_bytes!("fixtures/cancel.sip");

/// The INVITE fixture with some text exchanged.
#[track_caller]
fn invite_with(old: &str, new: &str) -> String {
    let text = String::from_utf8(INVITE.to_vec()).unwrap();
    assert!(text.contains(old), "the fixture has no {old:?}");
    text.replacen(old, new, 1)
}

fn from_uac_through(message: &str) -> Outcome {
    through(message.as_bytes(), &tables(), &from_uac())
}

#[track_caller]
fn status(outcome: Outcome) -> String {
    outcome.replied().lines().next().unwrap().to_owned()
}

fn with_rules(rules: Vec<Rule>) -> Tables {
    Tables::build(&Settings { rules, ..settings() }).unwrap()
}

/// Relays anything anywhere: what only tests of the way itself want.
fn open_relay() -> Tables {
    with_rules(vec![always(Action::RequestUri)])
}

// ---- the copy that is forwarded: 16.6 ----

#[test]
fn section_16_6_invite_gets_via_record_route_and_one_hop_less() {
    let Forwarded { next_hop, text, reason, .. } =
        through(INVITE, &tables(), &from_uac()).forwarded();
    assert_eq!(next_hop, "10.77.2.2:5060".parse().unwrap());
    assert_eq!(reason, Some(RouteReason::Member { rule: 0, set: 0, member: 0 }));
    assert!(text.starts_with("INVITE sip:+493012345@example.com SIP/2.0\r\nVia: SIP/2.0/UDP "));
    let vias = headers(&text, "Via");
    assert_eq!(vias.len(), 2);
    assert!(vias[0].starts_with("SIP/2.0/UDP 10.77.2.1:5060;branch=z9hG4bK-tl100"), "{}", vias[0]);
    // 18.2.1 and RFC 3581: the client asked for rport, so it gets received too.
    assert_eq!(
        vias[1],
        "SIP/2.0/UDP 10.77.1.2:5060;rport=5060;branch=z9hG4bK776asdhds;received=10.77.1.2"
    );
    assert_eq!(header(&text, "Max-Forwards"), Some("69"));
    // RFC 5658: the egress side on top, the ingress side beneath.
    let routes = headers(&text, "Record-Route");
    assert_eq!(routes.len(), 2);
    assert!(routes[0].starts_with("<sip:10.77.2.1:5060;lr;tl="), "{}", routes[0]);
    assert!(routes[1].starts_with("<sip:10.77.1.1:5060;lr;tl="), "{}", routes[1]);
    // Everything else is as it was.
    let original = String::from_utf8_lossy(INVITE).into_owned();
    let (_, rest) = original.split_once("From: ").unwrap();
    assert!(text.ends_with(&format!("From: {rest}")));
}

#[test]
fn section_16_6_step_4_record_route_only_where_a_dialog_can_open() {
    for (method, expected) in [("SUBSCRIBE", 2), ("REFER", 2), ("BYE", 0), ("NOTIFY", 0)] {
        let text = invite_with("INVITE sip", &format!("{method} sip"))
            .replace("314159 INVITE", &format!("1 {method}"));
        let text = from_uac_through(&text).forwarded().text;
        assert_eq!(headers(&text, "Record-Route").len(), expected, "{method}");
    }
    let off = Tables::build(&Settings { record_route: false, ..settings() }).unwrap();
    let text = through(INVITE, &off, &from_uac()).forwarded().text;
    assert!(header(&text, "Record-Route").is_none());
}

#[test]
fn section_16_6_step_4_our_record_route_stands_above_others() {
    let text = invite_with("Contact:", "Record-Route: <sip:192.0.2.9;lr>\r\nContact:");
    let text = from_uac_through(&text).forwarded().text;
    let routes = headers(&text, "Record-Route");
    assert_eq!((routes.len(), routes[2]), (3, "<sip:192.0.2.9;lr>"));
}

#[test]
fn same_listen_point_on_both_sides_is_recorded_once() {
    let sets = vec![set("uas", &[("10.77.1.9:5060", 1)])];
    let tables = Tables::build(&Settings { sets, ..settings() }).unwrap();
    let text = through(INVITE, &tables, &from_uac()).forwarded().text;
    assert_eq!(headers(&text, "Record-Route").len(), 1);
}

#[test]
fn section_16_6_step_3_max_forwards_is_added_when_missing() {
    let text = invite_with("Max-Forwards: 70\r\n", "");
    let text = from_uac_through(&text).forwarded().text;
    assert_eq!(headers(&text, "Max-Forwards"), ["70"]);
}

#[test]
fn max_forwards_keeps_its_length() {
    let text = invite_with("Max-Forwards: 70", "Max-Forwards: 100");
    assert!(from_uac_through(&text).forwarded().text.contains("Max-Forwards:  99\r\n"));
}

#[test]
fn surplus_behind_content_length_is_cut_off_and_leading_crlf_dropped() {
    let text = format!("\r\n\r\n{}surplus", String::from_utf8_lossy(INVITE));
    let forwarded = from_uac_through(&text).forwarded().text;
    assert!(forwarded.starts_with("INVITE "));
    assert!(forwarded.ends_with("a=rtpmap:0 PCMU/8000\r\n"));
}

#[test]
fn odd_but_legal_message_passes_with_all_its_white_space() {
    // After RFC 4475 section 3.1.1.1: folds, compact forms, lists, quoted strings, odd spacing.
    let odd = include_bytes!("fixtures/odd_but_legal.sip");
    let Forwarded { text, .. } = through(odd, &tables(), &from_uac()).forwarded();
    assert!(text.contains("\r\nMaX-fOrWaRdS:   67\r\n"), "{text}");
    // The topmost Via came first and has another address: received, and rport as asked.
    assert!(text.contains("192.0.2.2;rport=5060;branch=390skdjuw;received=10.77.1.2\r\ns :"));
    assert!(text.ends_with("a=rtpmap:0 PCMU/8000\r\n"));
    // Its response comes back through us: the branch is the hash of RFC 2543 messages.
    let response = response_to(&text.replace("\r\n ", " "), "200 OK", "");
    let back = through(response.as_bytes(), &tables(), &from_uas()).forwarded();
    assert_eq!(back.next_hop, "10.77.1.2:5060".parse().unwrap());
}

// ---- branches: 16.11 ----

#[test]
fn section_16_11_copies_ack_and_cancel_get_the_same_branch_and_way() {
    let one = through(INVITE, &tables(), &from_uac()).forwarded();
    assert_eq!(one, through(INVITE, &tables(), &from_uac()).forwarded());
    let cancel = through(CANCEL, &tables(), &from_uac()).forwarded();
    let ack = String::from_utf8_lossy(CANCEL).replace("CANCEL", "ACK");
    let ack = from_uac_through(&ack).forwarded();
    for other in [&cancel, &ack] {
        assert_eq!(header(&one.text, "Via"), header(&other.text, "Via"));
        assert_eq!(one.next_hop, other.next_hop);
    }
    let other = invite_with("z9hG4bK776asdhds", "z9hG4bK776asdhdt");
    assert_ne!(header(&one.text, "Via"), header(&from_uac_through(&other).forwarded().text, "Via"));
}

#[test]
fn section_16_11_rfc_2543_branch_hashes_the_transaction() {
    let via = |text: &str| headers(&from_uac_through(text).forwarded().text, "Via")[0].to_owned();
    let old = invite_with("branch=z9hG4bK776asdhds", "branch=1");
    let ack = old.replace("INVITE sip", "ACK sip").replace("314159 INVITE", "314159 ACK");
    assert_eq!(via(&old), via(&ack));
    for (from, to) in [("314159", "314160"), ("a84b4c76e66710", "b"), ("=1928301774", "=2")] {
        assert_ne!(via(&old), via(&old.replace(from, to)), "{from}");
    }
}

#[test]
fn secret_decides_the_branch() {
    let other = Tables::build(&Settings { secret: [7; 16], ..settings() }).unwrap();
    let one = through(INVITE, &tables(), &from_uac()).forwarded().text;
    assert_ne!(
        header(&one, "Via"),
        header(&through(INVITE, &other, &from_uac()).forwarded().text, "Via")
    );
}

// ---- received and rport: 18.2.1, RFC 3581 ----

#[test]
fn section_18_2_1_received_only_where_sent_by_differs() {
    let via = |old: &str, new: &str| {
        let text = invite_with(";rport", "").replace(old, new);
        headers(&from_uac_through(&text).forwarded().text, "Via")[1].to_owned()
    };
    let same = "SIP/2.0/UDP 10.77.1.2:5060;branch=z9hG4bK776asdhds";
    assert_eq!(via("10.77.1.2:5060;branch", "10.77.1.2:5060;branch"), same);
    assert_eq!(
        via("10.77.1.2:5060;branch", "pc33.example.com;branch"),
        "SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776asdhds;received=10.77.1.2"
    );
    assert_eq!(
        via("10.77.1.2:5060;branch", "10.0.0.9;branch"),
        "SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK776asdhds;received=10.77.1.2"
    );
}

#[test]
fn claims_of_the_client_about_its_address_are_replaced() {
    let text = invite_with(";rport;", ";received=203.0.113.9;rport=9;");
    let text = from_uac_through(&text).forwarded().text;
    assert_eq!(
        headers(&text, "Via")[1],
        "SIP/2.0/UDP 10.77.1.2:5060;received=10.77.1.2;rport=5060;branch=z9hG4bK776asdhds"
    );
}

#[test]
fn ipv6_source_stands_in_received_without_brackets() {
    let arrival = Arrival { source: "[fd77:2::2]:6000".parse().unwrap(), listen: ListenId(2) };
    let text = through(INVITE, &tables(), &arrival).forwarded().text;
    assert_eq!(
        headers(&text, "Via")[1],
        "SIP/2.0/UDP 10.77.1.2:5060;rport=6000;branch=z9hG4bK776asdhds;received=fd77:2::2"
    );
}

// ---- validation: 16.3 ----

#[test]
fn section_16_3_refusals_name_the_fault() {
    for (old, new, expected) in [
        (
            "sip:+493012345@example.com SIP/2.0",
            "http://example.com SIP/2.0",
            "416 Unsupported URI Scheme",
        ),
        (
            "sip:+493012345@example.com SIP/2.0",
            "sip:@example.com SIP/2.0",
            "400 Malformed Request-URI",
        ),
        ("Max-Forwards: 70", "Max-Forwards: 0", "483 Too Many Hops"),
        ("Max-Forwards: 70", "Max-Forwards: 256", "400 Malformed Max-Forwards"),
        ("Max-Forwards: 70", "Max-Forwards: x", "400 Malformed Max-Forwards"),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 70", "400 Duplicate Max-Forwards"),
        ("SIP/2.0\r\n", "SIP/7.0\r\n", "505 Version Not Supported"),
        ("SIP/2.0\r\n", "SIP/2.0 \r\n", "400 White Space Ends Request Line"),
        ("example.com SIP", "example.com?Subject=x SIP", "400 Malformed Request-URI"),
        ("314159 INVITE", "314159 BYE", "400 CSeq Method Mismatch"),
        ("314159 INVITE", "2147483648 INVITE", "400 Malformed CSeq"),
        ("Content-Length: 1", "Content-Length: 9", "400 Content-Length Too Large"),
        ("Content-Length: 1", "Content-Length: -", "400 Malformed Content-Length"),
        ("Contact:", "Call-ID: x\r\nContact:", "400 Duplicate Call-ID"),
        ("Contact:", "t: <sip:x>\r\nContact:", "400 Duplicate To"),
        ("Contact:", "Route: <sip:a\r\nContact:", "400 Malformed Route"),
    ] {
        let outcome = from_uac_through(&invite_with(old, new));
        assert_eq!(status(outcome), format!("SIP/2.0 {expected}"), "{new}");
    }
    let long = invite_with("sip:+493012345", &format!("sip:{}", "9".repeat(1100)));
    assert_eq!(status(from_uac_through(&long)), "SIP/2.0 414 Request-URI Too Long");
}

#[test]
fn section_16_3_step_5_unsupported_extensions_are_listed() {
    let text = invite_with("Contact:", "Proxy-Require: foo, bar\r\nproxy-require: baz\r\nContact:");
    let reply = from_uac_through(&text).replied();
    assert!(reply.starts_with("SIP/2.0 420 Bad Extension\r\n"));
    assert_eq!(headers(&reply, "Unsupported"), ["foo, bar", "baz"]);
}

#[test]
fn what_cannot_be_answered_is_dropped() {
    for name in ["Via", "CSeq"] {
        let text = invite_with(&format!("{name}: "), &format!("X-{name}: "));
        assert_eq!(from_uac_through(&text).dropped(), SipDrop::SipMalformed, "{name}");
    }
    // Without these the client still knows its transaction.
    for name in ["From", "To", "Call-ID"] {
        let text = invite_with(&format!("{name}: "), &format!("X-{name}: "));
        let reply = from_uac_through(&text).replied();
        assert!(reply.starts_with(&format!("SIP/2.0 400 Missing {name}\r\n")), "{reply}");
        assert_eq!(header(&reply, name), None);
    }
    let ack = String::from_utf8_lossy(CANCEL).replace("CANCEL", "ACK").replace(": 70", ": 0");
    assert_eq!(from_uac_through(&ack).dropped(), SipDrop::AckUnanswerable);
    for text in ["", "\r\n\r\n", "hello", "\0\0\0\0", "GET / HTTP/1.1\r\n\r\n"] {
        assert_eq!(from_uac_through(text).dropped(), SipDrop::SipMalformed, "{text:?}");
    }
}

#[test]
fn lone_line_feed_is_answered_when_the_headers_before_it_suffice() {
    let text = invite_with("User-Agent: desk", "User-Agent: de\nsk");
    assert_eq!(status(from_uac_through(&text)), "SIP/2.0 400 CR or LF Alone");
}

#[test]
fn header_via_and_route_counts_are_bounded() {
    for (line, count, expected) in [
        ("X: y\r\n", 300, "400 Too Many Headers"),
        ("Route: <sip:10.77.1.1;lr>\r\n", 40, "400 Too Many Route"),
    ] {
        let text = invite_with("Contact:", &format!("{}Contact:", line.repeat(count)));
        assert_eq!(status(from_uac_through(&text)), format!("SIP/2.0 {expected}"));
    }
}

// ---- replies: 8.2.6, 16.11 ----

#[test]
fn section_8_2_6_reply_repeats_what_it_must() {
    let text = invite_with("Max-Forwards: 70", "Via: SIP/2.0/UDP 192.0.2.7\r\nMax-Forwards: 0");
    let Outcome::Replied { to, text } = from_uac_through(&text) else { panic!("not replied") };
    assert_eq!(to, "10.77.1.2:5060".parse().unwrap());
    assert_eq!(
        headers(&text, "Via"),
        [
            "SIP/2.0/UDP 10.77.1.2:5060;rport=5060;branch=z9hG4bK776asdhds;received=10.77.1.2",
            "SIP/2.0/UDP 192.0.2.7"
        ]
    );
    assert_eq!(header(&text, "From"), Some("\"Alice\" <sip:alice@example.com>;tag=1928301774"));
    assert_eq!(header(&text, "Call-ID"), Some("a84b4c76e66710@pc33.example.com"));
    assert_eq!(header(&text, "CSeq"), Some("314159 INVITE"));
    assert_eq!(header(&text, "Content-Length"), Some("0"));
    let to = header(&text, "To").unwrap();
    assert!(to.starts_with("Bob <sip:+493012345@example.com>;tag=tl-"), "{to}");
    assert!(text.ends_with("\r\n\r\n"));
}

#[test]
fn section_8_2_7_tag_is_the_same_for_each_copy_and_kept_when_there() {
    let refused = invite_with(": 70", ": 0");
    let reply = || from_uac_through(&refused).replied();
    assert_eq!(reply(), reply());
    let tagged = refused.replace("Bob <sip:+493012345@example.com>", "<sip:b@c>;tag=x");
    assert_eq!(header(&from_uac_through(&tagged).replied(), "To"), Some("<sip:b@c>;tag=x"));
}

#[test]
fn section_18_2_2_reply_goes_to_the_source_address_and_the_right_port() {
    let refused = invite_with(": 70", ": 0");
    let arrival = Arrival { source: "10.77.1.77:4000".parse().unwrap(), listen: UAC_SIDE };
    let to = |text: &str| match through(text.as_bytes(), &tables(), &arrival) {
        Outcome::Replied { to, .. } => to.to_string(),
        other => panic!("not replied: {other:?}"),
    };
    assert_eq!(to(&refused), "10.77.1.77:4000");
    assert_eq!(to(&refused.replace(";rport", "")), "10.77.1.77:5060");
    assert_eq!(to(&refused.replace(":5060;rport", "")), "10.77.1.77:5060");
    assert_eq!(to(&refused.replace(":5060;rport", ":5070")), "10.77.1.77:5070");
}

#[test]
fn unavailable_says_when_to_come_back() {
    let sets = vec![set("uas", &[("10.77.2.2:5060", 0)])];
    let tables = Tables::build(&Settings { sets, ..settings() }).unwrap();
    let reply = through(INVITE, &tables, &from_uac()).replied();
    assert!(reply.starts_with("SIP/2.0 503 No Destination In Use\r\n"));
    let relay = invite_with("@example.com SIP", "@example.org SIP");
    let reply = through(relay.as_bytes(), &open_relay(), &from_uac()).replied();
    assert!(reply.starts_with("SIP/2.0 503 Next Hop Not Resolved\r\n"));
    assert_eq!(header(&reply, "Retry-After"), Some("5"));
}

// ---- targets: 16.5 and the rules ----

#[test]
fn section_16_5_no_rule_no_relay() {
    let tables = with_rules(vec![]);
    assert_eq!(status(through(INVITE, &tables, &from_uac())), "SIP/2.0 404 Not Found");
    let foreign = invite_with("@example.com SIP", "@192.0.2.55 SIP");
    let outcome = through(foreign.as_bytes(), &tables, &from_uac());
    assert_eq!(status(outcome), "SIP/2.0 403 Forbidden");
    let number = invite_with("sip:+493012345@example.com SIP", "tel:+493012345 SIP");
    let outcome = through(number.as_bytes(), &tables, &from_uac());
    assert_eq!(status(outcome), "SIP/2.0 404 Not Found");
}

#[test]
fn first_rule_that_matches_decides() {
    let reject = |code, reason: &str| Action::Reject { code, reason: reason.into() };
    let tables = with_rules(vec![
        Rule { methods: vec!["BYE".into()], ..always(reject(600, "No Bye")) },
        Rule { domains: vec!["EXAMPLE.net".into()], ..always(reject(601, "No Net")) },
        Rule { user_prefixes: vec!["+49301".into()], ..always(reject(602, "No Berlin")) },
        Rule { sources: vec!["10.77.1.0/24".parse().unwrap()], ..always(reject(603, "Decline")) },
        always(Action::Forward("uas".into())),
    ]);
    let first = |text: &str| status(through(text.as_bytes(), &tables, &from_uac()));
    assert_eq!(first(&invite_with("x", "x")), "SIP/2.0 602 No Berlin");
    assert_eq!(first(&invite_with("sip:+", "sip:%2B")), "SIP/2.0 602 No Berlin");
    assert_eq!(first(&invite_with("sip:+49", "sip:+48")), "SIP/2.0 603 Decline");
    assert_eq!(first(&invite_with("example.com SIP", "Example.NET SIP")), "SIP/2.0 601 No Net");
    let bye = invite_with("INVITE sip", "BYE sip").replace("314159 INVITE", "1 BYE");
    assert_eq!(first(&bye), "SIP/2.0 600 No Bye");
    let elsewhere = Arrival { source: "10.77.9.2:5060".parse().unwrap(), listen: UAC_SIDE };
    let text = invite_with("sip:+49", "sip:+48");
    through(text.as_bytes(), &tables, &elsewhere).forwarded();
}

#[test]
fn request_uri_target_honours_port_and_transport() {
    let hop = |uri: &str| {
        let text = invite_with("sip:+493012345@example.com SIP", &format!("{uri} SIP"));
        through(text.as_bytes(), &open_relay(), &from_uac())
    };
    let to = |uri: &str| hop(uri).forwarded().next_hop.to_string();
    assert_eq!(to("sip:a@10.77.2.9"), "10.77.2.9:5060");
    assert_eq!(to("sip:10.77.2.9:5070;transport=UDP"), "10.77.2.9:5070");
    assert_eq!(to("sip:a@[fd77:2::9]"), "[fd77:2::9]:5060");
    assert_eq!(status(hop("sip:a@10.77.2.9;transport=tcp")), "SIP/2.0 503 Transport Not Available");
    assert_eq!(status(hop("sips:a@10.77.2.9")), "SIP/2.0 480 SIPS Not Allowed");
    assert_eq!(status(hop("sip:a@224.0.1.75")), "SIP/2.0 403 Forbidden");
    assert_eq!(status(hop("sip:a@10.77.1.1")), "SIP/2.0 404 Not Found");
}

#[test]
fn section_16_11_calls_spread_over_members_and_stay_there() {
    let sets = vec![set("uas", &[("10.77.2.2:5060", 1), ("10.77.2.3:5060", 1)])];
    let tables = Tables::build(&Settings { sets, ..settings() }).unwrap();
    let mut counts = [0; 2];
    for call in 0..200 {
        let text = invite_with("a84b4c76e66710", &format!("call{call}"));
        let to = through(text.as_bytes(), &tables, &from_uac()).forwarded().next_hop;
        let cancel =
            String::from_utf8_lossy(CANCEL).replace("a84b4c76e66710", &format!("call{call}"));
        assert_eq!(through(cancel.as_bytes(), &tables, &from_uac()).forwarded().next_hop, to);
        counts[usize::from(to == "10.77.2.3:5060".parse().unwrap())] += 1;
    }
    assert!(counts.iter().all(|&count| count > 60), "{counts:?}");
}

// ---- SIPp's built-in scenarios ----

#[test]
fn sipp_messages_pass_both_ways() {
    let tables = tables();
    let invite = include_bytes!("fixtures/sipp_invite.sip");
    let forwarded = through(invite, &tables, &from_uac()).forwarded();
    assert_eq!(forwarded.next_hop, "10.77.2.2:5060".parse().unwrap());
    assert_eq!(
        headers(&forwarded.text, "Via")[1],
        "SIP/2.0/UDP 10.77.1.2:5060;branch=z9hG4bK-4711-1-0"
    );
    let ok = response_to(&forwarded.text, "200 OK", "v=0\r\n");
    let back = through(ok.as_bytes(), &tables, &from_uas()).forwarded();
    assert_eq!(back.next_hop, "10.77.1.2:5060".parse().unwrap());
    assert_eq!(headers(&back.text, "Via"), ["SIP/2.0/UDP 10.77.1.2:5060;branch=z9hG4bK-4711-1-0"]);
    for next in
        [&include_bytes!("fixtures/sipp_ack.sip")[..], include_bytes!("fixtures/sipp_bye.sip")]
    {
        assert_eq!(through(next, &tables, &from_uac()).forwarded().next_hop, forwarded.next_hop);
    }
}
