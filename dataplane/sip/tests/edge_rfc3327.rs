//! The appliance as an edge proxy: RFC 3327 section 5.2, RFC 5626 sections 5.1 to 5.3.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Outcome, UAC_SIDE, from_uas, header, headers, settings, through};
use sip_core::{Action, Arrival, Fork, Relay, RouteReason, Rule, SettingsError, Tables};

/// A phone behind NAT.
const PHONE: &str = "10.77.1.2:40000";

fn edge() -> Tables {
    let rule = Rule { path: true, ..Rule::always(Action::Forward("uas".into())) };
    Tables::build(&sip_core::Settings { rules: vec![rule], ..settings() }).unwrap()
}

fn from_phone() -> Arrival {
    Arrival { source: PHONE.parse().unwrap(), listen: UAC_SIDE }
}

fn register(lines: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.168.7.2:5060;branch=z9hG4bKr;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\n\
         To: <sip:alice@example.com>\r\nCall-ID: r\r\nCSeq: 1 REGISTER\r\n{lines}\
         Content-Length: 0\r\n\r\n"
    )
}

fn invite(uri: &str, routes: &str) -> String {
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.77.2.2:5060;branch=z9hG4bKi\r\n\
         Max-Forwards: 70\r\n{routes}From: <sip:bob@example.com>;tag=2\r\n\
         To: <sip:alice@example.com>\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:bob@10.77.2.9>\r\nContent-Length: 0\r\n\r\n"
    )
}

const CONTACT: &str = "Contact: <sip:alice@192.168.7.2:5060>\r\n";
const FLOW: &str = "Contact: <sip:alice@192.168.7.2>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n";

/// The Path that a REGISTER with these lines gets.
fn path(lines: &str) -> String {
    let sent = through(register(lines).as_bytes(), &edge(), &from_phone()).forwarded();
    assert_eq!(sent.next_hop, "10.77.2.2:5060".parse().unwrap());
    let path = header(&sent.text, "Path").unwrap().to_owned();
    assert!(path.starts_with("<sip:tlp") && path.contains("@10.77.2.1:5060;lr"), "{path}");
    path
}

#[test]
fn a_register_that_goes_on_gets_our_path_above_all_others() {
    assert!(path(CONTACT).ends_with(";lr>"));
    let other = "Path: <sip:10.9.9.9;lr>\r\n";
    let text = register(&[CONTACT, other].concat());
    let sent = through(text.as_bytes(), &edge(), &from_phone()).forwarded();
    let paths = headers(&sent.text, "Path");
    assert!(paths.len() == 2 && paths[1] == "<sip:10.9.9.9;lr>", "{paths:?}");
    // Other methods, and rules without it, get none.
    let sent = through(invite("sip:alice@example.com", "").as_bytes(), &edge(), &from_uas());
    assert_eq!(header(&sent.forwarded().text, "Path"), None);
    let plain = Tables::build(&settings()).unwrap();
    let sent = through(text.as_bytes(), &plain, &from_phone()).forwarded();
    assert_eq!(headers(&sent.text, "Path"), ["<sip:10.9.9.9;lr>"]);
}

#[test]
fn rfc_5626_section_5_1_the_first_hop_of_a_flow_says_so() {
    assert!(path(FLOW).ends_with(";lr;ob>"));
    let two = [CONTACT.trim_end(), ", <sip:a@192.168.7.2>;reg-id=2\r\n"].concat();
    assert!(path(&two).ends_with(";lr;ob>"));
    // It was by somebody else's.
    let hop = "Via: SIP/2.0/UDP 192.168.7.9:5060;branch=z9hG4bKx\r\n";
    assert!(path(&[hop, FLOW].concat()).ends_with(";lr>"));
}

#[test]
fn what_comes_on_the_path_goes_along_the_flow() {
    let tables = edge();
    let route = format!("Route: {}\r\n", path(CONTACT));
    let text = invite("sip:alice@192.168.7.2:5060", &route);
    let sent = through(text.as_bytes(), &tables, &from_uas()).forwarded();
    assert_eq!((sent.next_hop, sent.reason), (PHONE.parse().unwrap(), Some(RouteReason::Path)));
    assert!(sent.text.starts_with("INVITE sip:alice@192.168.7.2:5060 SIP/2.0\r\n"));
    assert_eq!(header(&sent.text, "Route"), None, "{}", sent.text);
    // Requests of the dialog come the same way, from either side.
    let routes = headers(&sent.text, "Record-Route");
    assert!(routes.iter().any(|one| one.starts_with("<sip:tlf")), "{routes:?}");
    let set = routes.iter().map(|one| format!("Route: {one}\r\n")).collect::<Vec<_>>().concat();
    let bye = invite("sip:alice@192.168.7.2:5060", &set).replace("INVITE", "BYE");
    let back = through(bye.as_bytes(), &tables, &from_uas()).forwarded();
    assert_eq!(back.next_hop, PHONE.parse().unwrap());
    assert_eq!(header(&back.text, "Route"), None, "{}", back.text);
    let set = routes.iter().rev().map(|one| format!("Route: {one}\r\n"));
    let set = set.collect::<Vec<_>>().concat();
    let bye = invite("sip:bob@10.77.2.9", &set).replace("INVITE", "BYE");
    let there = through(bye.as_bytes(), &tables, &from_phone()).forwarded();
    assert_eq!(there.next_hop, "10.77.2.9:5060".parse().unwrap());
}

#[test]
fn routes_behind_our_path_stay_for_those_behind_us() {
    let route = format!("Route: {}, <sip:10.77.1.9;lr>\r\n", path(CONTACT));
    let text = invite("sip:alice@192.168.7.2", &route);
    let sent = through(text.as_bytes(), &edge(), &from_uas()).forwarded();
    assert_eq!(sent.next_hop, PHONE.parse().unwrap());
    assert_eq!(header(&sent.text, "Route"), Some("<sip:10.77.1.9;lr>"));
}

#[test]
fn a_path_that_we_did_not_give_leads_nowhere() {
    let good = path(CONTACT);
    let at = good.find('@').unwrap() - 3;
    let mut bad = good.clone().into_bytes();
    bad[at] = if bad[at] == b'0' { b'1' } else { b'0' };
    let bad = String::from_utf8(bad).unwrap();
    for bad in [bad, good.replace("tlp", "tlf")] {
        let text = invite("sip:alice@192.168.7.2", &format!("Route: {bad}\r\n"));
        match through(text.as_bytes(), &edge(), &from_uas()) {
            Outcome::Replied { text, .. } => assert!(text.starts_with("SIP/2.0 403"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    // What the phone itself sends by it is not sent back to it.
    let text = invite("sip:bob@example.com", &format!("Route: {good}\r\n"));
    let sent = through(text.as_bytes(), &edge(), &from_phone()).forwarded();
    assert_eq!(sent.next_hop, "10.77.2.2:5060".parse().unwrap());
}

#[test]
fn only_a_register_that_goes_on_can_get_a_path() {
    let refused = |rule: Rule| -> SettingsError {
        Tables::build(&sip_core::Settings { rules: vec![rule], ..settings() }).unwrap_err()
    };
    let forward = || Action::Forward("uas".into());
    for rule in [
        Rule { path: true, ..Rule::always(Action::Register) },
        Rule { path: true, ..Rule::always(Action::Locate) },
        Rule { path: true, methods: vec!["INVITE".into()], ..Rule::always(forward()) },
    ] {
        assert_eq!(refused(rule).setting, "routes[0].path");
    }
    let rule = Rule {
        path: true,
        methods: vec!["INVITE".into(), "REGISTER".into()],
        relay: Relay::Stateful(Fork::No),
        ..Rule::always(forward())
    };
    assert!(Tables::build(&sip_core::Settings { rules: vec![rule], ..settings() }).is_ok());
}
