//! Whole messages in and out: rules that only some messages meet. OPTIONS to ourselves, loops,
//! `maddr`, `sips:`, and both sides of a double Record-Route.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    Outcome, UAC_SIDE, UAS_SIDE_V6, always, from_uac, from_uas, header, headers, response_to, set,
    settings, tables, through,
};
use sip_core::{Action, Arrival, ListenPoint, Maddr, RouteReason, Settings, SipDrop, Tables};

fn request(method: &str, uri: &str, more: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.77.1.2:5060;branch=z9hG4bKping\r\n{more}\
         From: <sip:ping@10.77.1.2>;tag=1\r\nTo: <{uri}>\r\nCall-ID: c@10.77.1.2\r\n\
         CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn from_uac_through(message: &str, tables: &Tables) -> Outcome {
    through(message.as_bytes(), tables, &from_uac())
}

#[track_caller]
fn status(outcome: Outcome) -> String {
    outcome.replied().lines().next().unwrap().to_owned()
}

fn with(change: impl FnOnce(&mut Settings)) -> Tables {
    let mut settings = settings();
    change(&mut settings);
    Tables::build(&settings).unwrap()
}

/// Relays anything anywhere, and follows `maddr` if so.
fn relay(maddr: Maddr) -> Tables {
    with(|settings| {
        settings.rules = vec![always(Action::RequestUri)];
        settings.maddr = maddr;
    })
}

// ---- OPTIONS to ourselves: 11.2, 16.3 step 3 ----

#[test]
fn section_11_2_options_to_ourselves_is_answered_with_what_we_can() {
    for uri in ["sip:10.77.1.1", "sip:10.77.2.1:5060;transport=udp", "sip:example.com"] {
        let Outcome::Replied { to, text } =
            from_uac_through(&request("OPTIONS", uri, "Max-Forwards: 70\r\n"), &tables())
        else {
            panic!("{uri} is not answered")
        };
        assert_eq!(to, "10.77.1.2:5060".parse().unwrap());
        assert!(text.starts_with("SIP/2.0 200 OK\r\n"), "{text}");
        for (name, value) in [
            ("Accept", ""),
            ("Accept-Encoding", "identity"),
            ("Accept-Language", "en"),
            ("Supported", ""),
            ("Content-Length", "0"),
        ] {
            assert_eq!(header(&text, name), Some(value), "{text}");
        }
        // A proxy is method agnostic.
        assert_eq!(header(&text, "Allow"), None);
        assert!(header(&text, "To").unwrap().contains(">;tag=tl-"), "{text}");
    }
}

#[test]
fn an_appliance_that_is_about_to_go_says_so_to_who_probes_it_and_serves_all_else() {
    let tables = with(|settings| {
        settings.rules = vec![always(Action::RequestUri)];
        settings.is_leaving = true;
    });
    let asked = from_uac_through(&request("OPTIONS", "sip:example.com", ""), &tables);
    assert_eq!(status(asked), "SIP/2.0 503 Service Unavailable");
    for method in ["INVITE", "OPTIONS"] {
        from_uac_through(&request(method, "sip:bob@10.77.2.9", ""), &tables).forwarded();
    }
}

#[test]
fn options_for_a_user_or_for_others_meet_the_rules() {
    for uri in ["sip:bob@example.com", "sip:bob@10.77.1.1", "sip:example.org", "sip:10.77.1.1:5070"]
    {
        from_uac_through(&request("OPTIONS", uri, ""), &tables()).forwarded();
    }
    // Nor is one that has a way to go yet for us, nor any other method.
    let further = request("OPTIONS", "sip:example.com", "Route: <sip:10.77.2.9;lr>\r\n");
    let out = from_uac_through(&further, &relay(Maddr::Refuse)).forwarded();
    assert_eq!(out.next_hop, "10.77.2.9:5060".parse().unwrap());
    from_uac_through(&request("REGISTER", "sip:example.com", ""), &tables()).forwarded();
    // Our own Route is no way to go.
    let ours = request("OPTIONS", "sip:example.com", "Route: <sip:10.77.1.1;lr>\r\n");
    assert_eq!(status(from_uac_through(&ours, &tables())), "SIP/2.0 200 OK");
}

#[test]
fn section_16_3_step_3_options_without_hops_left_is_answered() {
    let none = "Max-Forwards: 0\r\n";
    let last = request("OPTIONS", "sip:bob@example.com", none);
    assert_eq!(status(from_uac_through(&last, &tables())), "SIP/2.0 200 OK");
    let invite = request("INVITE", "sip:bob@example.com", none);
    assert_eq!(status(from_uac_through(&invite, &tables())), "SIP/2.0 483 Too Many Hops");
}

#[test]
fn section_8_2_2_3_options_to_ourselves_may_require_nothing() {
    let required = "Require: 100rel\r\nRequire : foo\r\n";
    let reply = from_uac_through(&request("OPTIONS", "sip:example.com", required), &tables());
    let reply = reply.replied();
    assert!(reply.starts_with("SIP/2.0 420 Bad Extension\r\n"), "{reply}");
    assert_eq!(headers(&reply, "Unsupported"), ["100rel", "foo"]);
    // What we only pass on may require anything.
    let passed = request("OPTIONS", "sip:bob@example.com", required);
    from_uac_through(&passed, &tables()).forwarded();
}

// ---- loops: 16.3 step 4 ----

#[test]
fn section_16_3_step_4_a_loop_ends_after_ten_turns() {
    let tables = tables();
    let mut message = request("INVITE", "sip:bob@example.com", "Max-Forwards: 70\r\n");
    let mut turns = 0;
    let reply = loop {
        match through(message.as_bytes(), &tables, &from_uas()) {
            Outcome::Forwarded(out) => message = out.text,
            Outcome::Replied { text, .. } => break text,
            Outcome::Dropped(reason) => panic!("dropped: {reason:?}"),
        }
        turns += 1;
    };
    assert_eq!(turns, 10);
    assert!(reply.starts_with("SIP/2.0 482 Loop Detected\r\n"), "{reply}");
    assert_eq!(headers(&reply, "Via").len(), 11);
}

#[test]
fn many_vias_of_others_are_no_loop() {
    let others = "Via: SIP/2.0/UDP 192.0.2.1, SIP/2.0/UDP 192.0.2.2\r\n".repeat(40);
    let message = request("INVITE", "sip:bob@example.com", &others);
    from_uac_through(&message, &tables()).forwarded();
}

// ---- maddr: 16.6 step 7, 18.2.2 ----

#[test]
fn section_16_6_step_7_maddr_of_the_next_hop_is_refused_or_honoured() {
    let uri = "sip:bob@example.org:5070;maddr=10.77.2.8";
    let to_uri = request("INVITE", uri, "");
    let routed = "Route: <sip:10.77.2.9;lr;maddr=10.77.2.8>\r\n";
    let to_route = request("INVITE", "sip:bob@example.org", routed);
    for message in [&to_uri, &to_route] {
        let refused = from_uac_through(message, &relay(Maddr::Refuse));
        assert_eq!(status(refused), "SIP/2.0 403 Maddr Refused");
    }
    let honour = relay(Maddr::Honour);
    let hop = |message: &str| from_uac_through(message, &honour).forwarded().next_hop.to_string();
    assert_eq!(hop(&to_uri), "10.77.2.8:5070");
    assert_eq!(hop(&to_route), "10.77.2.8:5060");
    let multicast = request("INVITE", "sip:bob@example.org;maddr=224.0.1.75", "");
    assert_eq!(status(from_uac_through(&multicast, &honour)), "SIP/2.0 403 Forbidden");
    // A destination set decides by itself.
    let out = from_uac_through(&to_uri, &tables()).forwarded();
    assert_eq!(out.next_hop, "10.77.2.2:5060".parse().unwrap());
    assert!(out.text.starts_with(&format!("INVITE {uri} SIP/2.0\r\n")));
}

#[test]
fn section_18_2_2_maddr_of_a_via_is_refused_or_honoured() {
    let refuse = tables();
    let honour = with(|settings| settings.maddr = Maddr::Honour);
    let invite = |maddr: &str| {
        request("INVITE", "sip:bob@example.com", "Max-Forwards: 70\r\n")
            .replace("5060;branch", &format!("5062;{maddr};branch"))
    };
    let back = |maddr: &str, tables: &Tables| {
        let forwarded = from_uac_through(&invite(maddr), tables).forwarded().text;
        through(response_to(&forwarded, "200 OK", "").as_bytes(), tables, &from_uas())
    };
    assert_eq!(back("maddr=10.77.1.9", &refuse).dropped(), SipDrop::ResponseUnroutable);
    let out = back("maddr=10.77.1.9", &honour).forwarded();
    assert_eq!(out.next_hop, "10.77.1.9:5062".parse().unwrap());
    for wrong in ["maddr=224.0.1.75", "maddr=pc33.example.com", "maddr", "maddr=255.255.255.255"] {
        assert_eq!(back(wrong, &honour).dropped(), SipDrop::ResponseUnroutable, "{wrong}");
    }
    // Our own replies go by the same rule; refused, maddr leaves them on their way to the source.
    let refused = invite("maddr=10.77.1.9").replace(": 70", ": 0");
    let to = |tables: &Tables| match from_uac_through(&refused, tables) {
        Outcome::Replied { to, .. } => to.to_string(),
        other => panic!("not replied: {other:?}"),
    };
    assert_eq!(to(&refuse), "10.77.1.2:5062");
    assert_eq!(to(&honour), "10.77.1.9:5062");
}

// ---- schemes: 16.3 step 2, 26.2.2 ----

#[test]
fn section_26_2_2_sips_never_leaves_over_udp() {
    for uri in ["sips:bob@example.com", "SIPS:10.77.2.9"] {
        let outcome = from_uac_through(&request("INVITE", uri, ""), &tables());
        assert_eq!(status(outcome), "SIP/2.0 480 SIPS Not Allowed", "{uri}");
    }
    let routed = request("INVITE", "sip:bob@example.org", "Route: <sips:10.77.2.9;lr>\r\n");
    let outcome = from_uac_through(&routed, &relay(Maddr::Refuse));
    assert_eq!(status(outcome), "SIP/2.0 480 SIPS Not Allowed");
    let number = request("INVITE", "tel:+49-30-1234;phone-context=x", "");
    from_uac_through(&number, &tables()).forwarded();
}

// ---- double Record-Route: RFC 5658 ----

#[test]
fn a_port_for_vias_alone_stays_out_of_record_route() {
    let tables = with(|settings| {
        settings.listen[1] = ListenPoint::udp("10.77.2.1:5070".parse().unwrap());
        let more = ["10.77.1.1:5070", "10.77.2.1:5060", "[fd77:2::1]:5070"];
        settings.listen.extend(more.map(|at| ListenPoint::udp(at.parse().unwrap())));
        settings.via_ports = vec![5070];
    });
    // The tests' network sends to the set from the second listen point.
    let text = from_uac_through(&request("INVITE", "sip:bob@example.com", ""), &tables);
    let text = text.forwarded().text;
    let via = header(&text, "Via").unwrap();
    assert!(via.starts_with("SIP/2.0/UDP 10.77.2.1:5070;branch="), "{via}");
    let routes = headers(&text, "Record-Route");
    assert!(routes[0].starts_with("<sip:10.77.2.1:5060;lr;tl="), "{routes:?}");
    assert!(routes[1].starts_with("<sip:10.77.1.1:5060;lr;tl="), "{routes:?}");
}

#[test]
fn rfc_5658_families_get_a_record_route_each_and_both_come_back() {
    let tables = with(|settings| settings.sets = vec![set("uas", &[("[fd77:2::2]:5060", 1)])]);
    let invite = request("INVITE", "sip:bob@example.com", "");
    let text = from_uac_through(&invite, &tables).forwarded().text;
    let routes = headers(&text, "Record-Route");
    assert!(routes[0].starts_with("<sip:[fd77:2::1]:5060;lr;tl="), "{routes:?}");
    assert!(routes[1].starts_with("<sip:10.77.1.1:5060;lr;tl="), "{routes:?}");
    // The callee, over IPv6, sees them as they are; the caller, over IPv4, from the other end.
    let source = "[fd77:2::2]:5060".parse().unwrap();
    let callee = Arrival { source, listen: UAS_SIDE_V6 };
    for (arrival, order, target) in
        [(&callee, [0, 1], "sip:ping@10.77.1.2"), (&from_uac(), [1, 0], "sip:bob@[fd77:2::2]")]
    {
        let route = format!("Route: {}\r\nRoute: {}\r\n", routes[order[0]], routes[order[1]]);
        let bye = request("BYE", target, &route);
        let out = through(bye.as_bytes(), &tables, arrival).forwarded();
        assert_eq!(out.reason, Some(RouteReason::InDialog));
        assert_eq!(header(&out.text, "Route"), None);
        assert!(target.contains(&out.next_hop.ip().to_string()), "{}", out.next_hop);
    }
}

#[test]
fn rfc_5658_ports_get_a_record_route_each() {
    let tables = with(|settings| {
        settings.listen[1] = ListenPoint::udp("10.77.1.1:5080".parse().unwrap());
    });
    // The tests' network sends to the set from the second listen point.
    let invite = request("INVITE", "sip:bob@example.com", "");
    let text = through(invite.as_bytes(), &tables, &Arrival { listen: UAC_SIDE, ..from_uac() });
    let text = text.forwarded().text;
    let routes = headers(&text, "Record-Route");
    assert!(routes[0].starts_with("<sip:10.77.1.1:5080;lr;tl="), "{routes:?}");
    assert!(routes[1].starts_with("<sip:10.77.1.1:5060;lr;tl="), "{routes:?}");
}
