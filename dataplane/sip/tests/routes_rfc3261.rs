//! Whole messages in and out: Route, Record-Route and dialogs (RFC 3261 sections 16.4, 16.6, 16.12;
//! RFC 5658), and the way of responses (16.7, 18.1.2, 18.2.2).

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    Outcome, UAC_SIDE, UAS_SIDE, always, from_uac, from_uas, header, headers, response_to,
    settings, tables, through,
};
use sip_core::{Action, RouteReason, Settings, SipDrop, Tables};

const INVITE: &[u8] = include_bytes!("fixtures/invite.sip");

fn closed() -> Tables {
    Tables::build(&Settings { rules: vec![], ..settings() }).unwrap()
}

fn open_relay() -> Tables {
    let rules = vec![always(Action::RequestUri)];
    Tables::build(&Settings { rules, ..settings() }).unwrap()
}

/// The INVITE as it leaves us.
fn forwarded() -> String {
    through(INVITE, &tables(), &from_uac()).forwarded().text
}

/// A request inside the dialog of the INVITE fixture: from the caller its Route is the Record-Route
/// set upside down (RFC 3261 section 12.1.2).
fn in_dialog(method: &str, uri: &str, routes: &[&str]) -> String {
    let mut text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.77.1.2:5060;branch=z9hG4bKnext\r\n\
         Max-Forwards: 70\r\n"
    );
    for route in routes {
        text.extend(["Route: ", route, "\r\n"]);
    }
    text + &format!(
        "From: \"Alice\" <sip:alice@example.com>;tag=1928301774\r\n\
         To: Bob <sip:+493012345@example.com>;tag=a6c85cf\r\n\
         Call-ID: a84b4c76e66710@pc33.example.com\r\nCSeq: 314160 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

#[test]
fn section_16_12_marked_routes_lead_the_dialog_without_a_rule() {
    let invite = forwarded();
    let set = headers(&invite, "Record-Route");
    // The caller sees the set from the other end.
    let bye = in_dialog("BYE", "sip:bob@10.77.2.2:5062", &[set[1], set[0]]);
    let out = through(bye.as_bytes(), &closed(), &from_uac()).forwarded();
    assert_eq!(out.next_hop, "10.77.2.2:5062".parse().unwrap());
    assert_eq!(out.reason, Some(RouteReason::InDialog));
    assert!(header(&out.text, "Route").is_none());
    assert!(out.text.starts_with("BYE sip:bob@10.77.2.2:5062 SIP/2.0\r\n"));
    // The callee sees it as it is; another proxy stands behind us.
    let next = "<sip:10.77.1.9;lr>";
    let bye = in_dialog("BYE", "sip:alice@10.77.1.2", &[&format!("{}, {}", set[0], set[1]), next]);
    let out = through(bye.as_bytes(), &closed(), &from_uas()).forwarded();
    assert_eq!(out.next_hop, "10.77.1.9:5060".parse().unwrap());
    assert_eq!(headers(&out.text, "Route"), [next]);
}

#[test]
fn section_16_12_re_invite_is_recorded_again() {
    let invite = forwarded();
    let set = headers(&invite, "Record-Route");
    let again = in_dialog("INVITE", "sip:bob@10.77.2.2", &[set[1], set[0]]);
    let out = through(again.as_bytes(), &closed(), &from_uac()).forwarded().text;
    assert_eq!(headers(&out, "Record-Route"), set);
}

#[test]
fn route_without_a_right_mark_asks_the_rules() {
    let invite = forwarded();
    let set = headers(&invite, "Record-Route");
    let forged = set[1].replace("tl=", "tl=0");
    for route in ["<sip:10.77.1.1;lr>", "<sip:10.77.1.1;lr;tl=0123456789abcdef>", &forged] {
        let bye = in_dialog("BYE", "sip:bob@192.0.2.9", &[route]);
        let reply = through(bye.as_bytes(), &closed(), &from_uac()).replied();
        assert!(reply.starts_with("SIP/2.0 403 Forbidden\r\n"), "{route}");
    }
    // A mark is for one call.
    let bye = in_dialog("BYE", "sip:bob@192.0.2.9", &[set[1]]).replace("a84b4c76e66710", "other");
    assert!(through(bye.as_bytes(), &closed(), &from_uac()).replied().contains(" 403 "));
}

#[test]
fn section_16_4_our_route_is_popped_and_others_followed() {
    let request =
        in_dialog("BYE", "sip:bob@example.org", &["<sip:10.77.1.1;lr>, <sip:10.77.2.9:5070;lr>"]);
    let out = through(request.as_bytes(), &open_relay(), &from_uac()).forwarded();
    assert_eq!(out.next_hop, "10.77.2.9:5070".parse().unwrap());
    assert_eq!(headers(&out.text, "Route"), ["<sip:10.77.2.9:5070;lr>"]);
    // By our domain, too; but never more than twice: the third would be a loop.
    let route = ["<sip:example.com;lr>", "<sip:10.77.2.1;lr>", "<sip:10.77.1.1;lr>"];
    let request = in_dialog("BYE", "sip:bob@10.77.2.9", &route[..2]);
    let out = through(request.as_bytes(), &open_relay(), &from_uac()).forwarded();
    assert_eq!(out.next_hop, "10.77.2.9:5060".parse().unwrap());
    let request = in_dialog("BYE", "sip:bob@10.77.2.9", &route);
    let reply = through(request.as_bytes(), &open_relay(), &from_uac()).replied();
    assert!(reply.starts_with("SIP/2.0 482 Loop Detected\r\n"));
}

#[test]
fn section_16_6_step_6_strict_router_behind_us_gets_itself_as_request_uri() {
    let request = in_dialog("BYE", "sip:bob@192.0.2.5", &["<sip:10.77.2.9;x=y>"]);
    let out = through(request.as_bytes(), &open_relay(), &from_uac()).forwarded();
    assert_eq!(out.next_hop, "10.77.2.9:5060".parse().unwrap());
    assert!(out.text.starts_with("BYE sip:10.77.2.9;x=y SIP/2.0\r\n"), "{}", out.text);
    assert_eq!(headers(&out.text, "Route"), ["<sip:bob@192.0.2.5>"]);
    let routes = ["<sip:10.77.2.9>, <sip:10.77.3.1;lr>", "<sip:10.77.3.2;lr>;z"];
    let request = in_dialog("BYE", "sip:bob@192.0.2.5", &routes);
    let out = through(request.as_bytes(), &open_relay(), &from_uac()).forwarded();
    assert!(out.text.starts_with("BYE sip:10.77.2.9 SIP/2.0\r\n"));
    assert_eq!(
        headers(&out.text, "Route"),
        ["<sip:10.77.3.1;lr>", "<sip:10.77.3.2;lr>;z, <sip:bob@192.0.2.5>"]
    );
}

#[test]
fn section_16_4_strict_router_before_us_is_undone() {
    let invite = forwarded();
    let set = headers(&invite, "Record-Route");
    let ours = set[1].trim_matches(|c| c == '<' || c == '>');
    let routes = [set[0], "<sip:10.77.2.9;lr>", "<sip:bob@10.77.2.2>"];
    let request = in_dialog("BYE", ours, &routes);
    let out = through(request.as_bytes(), &closed(), &from_uac()).forwarded();
    assert_eq!(out.reason, Some(RouteReason::InDialog));
    assert!(out.text.starts_with("BYE sip:bob@10.77.2.2 SIP/2.0\r\n"), "{}", out.text);
    assert_eq!(headers(&out.text, "Route"), ["<sip:10.77.2.9;lr>"]);
    // All in one line, and nothing left of it.
    let request = in_dialog("BYE", ours, &[&format!("{}, <sip:bob@10.77.2.2>", set[0])]);
    let out = through(request.as_bytes(), &closed(), &from_uac()).forwarded();
    assert!(out.text.starts_with("BYE sip:bob@10.77.2.2 SIP/2.0\r\n"));
    assert_eq!(out.next_hop, "10.77.2.2:5060".parse().unwrap());
    assert!(header(&out.text, "Route").is_none());
}

#[test]
fn section_16_4_maddr_that_names_us_is_stripped() {
    let uri = "sip:bob@10.77.2.9;maddr=10.77.1.1;transport=udp;x=y";
    let request = in_dialog("BYE", uri, &[]);
    let out = through(request.as_bytes(), &open_relay(), &from_uac()).forwarded();
    assert!(out.text.starts_with("BYE sip:bob@10.77.2.9;x=y SIP/2.0\r\n"), "{}", out.text);
    assert_eq!(out.next_hop, "10.77.2.9:5060".parse().unwrap());
}

#[test]
fn family_changes_on_the_way() {
    let request = in_dialog("BYE", "sip:bob@[fd77:2::2]:5064", &[]);
    let out = through(request.as_bytes(), &open_relay(), &from_uac()).forwarded();
    assert_eq!(out.next_hop, "[fd77:2::2]:5064".parse().unwrap());
    assert!(headers(&out.text, "Via")[0].starts_with("SIP/2.0/UDP [fd77:2::1]:5060;branch="));
    let ok = response_to(&out.text, "200 OK", "");
    let arrival = sip_core::Arrival { source: out.next_hop, listen: sip_core::ListenId(2) };
    let back = through(ok.as_bytes(), &open_relay(), &arrival).forwarded();
    assert_eq!(back.next_hop, "10.77.1.2:5060".parse().unwrap());
    assert_eq!(back.leave_from, Some(UAC_SIDE));
}

// ---- responses ----

#[test]
fn section_16_7_response_loses_our_via_and_nothing_else() {
    let request = forwarded();
    for status in ["100 Trying", "180 Ringing", "200 OK", "486 Busy Here"] {
        let response = response_to(&request, status, "v=0\r\n");
        let out = through(response.as_bytes(), &tables(), &from_uas()).forwarded();
        assert_eq!(out.next_hop, "10.77.1.2:5060".parse().unwrap());
        assert_eq!(out.leave_from, Some(UAC_SIDE));
        let (ours, _) = response.split_once("\r\nVia:").unwrap().1.split_once("\r\n").unwrap();
        assert_eq!(out.text, response.replacen(&format!("Via:{ours}\r\n"), "", 1));
    }
}

#[test]
fn vias_in_one_line_and_in_compact_form() {
    let request = forwarded();
    let vias = headers(&request, "Via").join(" ,\r\n ");
    let plain = response_to(&request, "200 OK", "");
    let (start, rest) = plain.split_once("\r\n").unwrap();
    let rest: String =
        rest.split_inclusive("\r\n").filter(|line| !line.starts_with("Via:")).collect();
    let response = format!("{start}\r\nv: {vias}\r\n{rest}");
    let out = through(response.as_bytes(), &tables(), &from_uas()).forwarded();
    assert_eq!(headers(&out.text, "v"), [headers(&request, "Via")[1]]);
}

#[test]
fn section_18_2_2_response_goes_to_received_and_rport() {
    let arrival =
        sip_core::Arrival { source: "10.77.1.77:4000".parse().unwrap(), listen: UAC_SIDE };
    let back = |invite: &str| {
        let request = through(invite.as_bytes(), &tables(), &arrival).forwarded().text;
        let response = response_to(&request, "200 OK", "");
        through(response.as_bytes(), &tables(), &from_uas()).forwarded().next_hop.to_string()
    };
    let invite = String::from_utf8_lossy(INVITE);
    assert_eq!(back(&invite), "10.77.1.77:4000");
    assert_eq!(back(&invite.replace(";rport", "")), "10.77.1.77:5060");
    assert_eq!(
        back(&invite.replace("10.77.1.2:5060;rport", "pc33.example.com:5070")),
        "10.77.1.77:5070"
    );
}

#[test]
fn section_18_1_2_responses_that_are_not_ours_are_dropped() {
    let response = response_to(&forwarded(), "200 OK", "");
    let dropped = |old: &str, new: &str| {
        assert!(response.contains(old), "{old}");
        let text = response.replacen(old, new, 1);
        through(text.as_bytes(), &tables(), &from_uas()).dropped()
    };
    assert_eq!(dropped("UDP 10.77.2.1:5060", "UDP 10.77.2.7:5060"), SipDrop::ResponseNotOurs);
    assert_eq!(dropped("UDP 10.77.2.1:5060", "UDP example.com"), SipDrop::ResponseNotOurs);
    assert_eq!(dropped("z9hG4bK-tl100", "z9hG4bK-tl101"), SipDrop::ResponseForged);
    assert_eq!(dropped("z9hG4bK-tl100", "z9hG4bK-other"), SipDrop::ResponseForged);
    assert_eq!(dropped("z9hG4bK776asdhds", "z9hG4bK776asdhdx"), SipDrop::ResponseForged);
    assert_eq!(dropped("UDP 10.77.1.2:5060", "UDP 10.77.1.3:5060"), SipDrop::ResponseForged);
    assert_eq!(dropped(";received=10.77.1.2", ";received=pc33"), SipDrop::ResponseUnroutable);
    assert_eq!(dropped(";received=10.77.1.2", ";maddr=10.77.1.9"), SipDrop::ResponseUnroutable);
    assert_eq!(dropped(";received=10.77.1.2", ";received=224.0.0.1"), SipDrop::ResponseUnroutable);
    assert_eq!(dropped("rport=5060", "rport=0"), SipDrop::ResponseMalformed);
    assert_eq!(dropped("SIP/2.0 200", "SIP/2.0 099"), SipDrop::ResponseMalformed);
    assert_eq!(dropped("\r\nCSeq: 314159", "\r\nCSeq: x"), SipDrop::ResponseMalformed);
    let second = headers(&response, "Via")[1].to_owned();
    assert_eq!(dropped(&format!("Via: {second}\r\n"), ""), SipDrop::ResponseNoVia);
}

#[test]
fn response_to_a_host_name_without_received_is_dropped() {
    // Cannot come of our own requests: we add received to a host name.
    let request =
        forwarded().replace(";rport=5060;branch", ";branch").replace(";received=10.77.1.2", "");
    let invite =
        String::from_utf8_lossy(INVITE).replace("10.77.1.2:5060;rport", "pc33.example.com");
    let named = through(invite.as_bytes(), &tables(), &from_uac()).forwarded().text;
    let response = response_to(&named.replace(";received=10.77.1.2", ""), "200 OK", "");
    let outcome = through(response.as_bytes(), &tables(), &from_uas());
    assert_eq!(outcome, Outcome::Dropped(SipDrop::ResponseUnroutable));
    // An IP literal needs neither.
    let response = response_to(&request, "200 OK", "");
    through(response.as_bytes(), &tables(), &from_uas()).forwarded();
}

#[test]
fn spirals_get_a_branch_of_their_own() {
    // What we forwarded comes back to us as a new request on the other side.
    let first = forwarded();
    let second = through(first.as_bytes(), &tables(), &from_uas()).forwarded().text;
    let vias = headers(&second, "Via");
    assert_eq!(vias.len(), 3);
    let branch = |via: &str| via.split("branch=").nth(1).unwrap().to_owned();
    assert_ne!(branch(vias[0]), branch(vias[1]));
    assert!(branch(vias[0]).starts_with(&format!("z9hG4bK-tl10{}", UAS_SIDE.0)));
}

#[test]
fn our_via_is_known_again_when_a_neighbour_has_respaced_it() {
    let response = response_to(&forwarded(), "200 OK", "");
    for respaced in [
        "SIP / 2.0 / udp  10.77.2.1 : 5060 ; BRANCH = ",
        "SIP/2.0/UDP 10.77.2.1:5060;received=10.77.2.1;branch=",
    ] {
        let text = response.replacen("SIP/2.0/UDP 10.77.2.1:5060;branch=", respaced, 1);
        assert_ne!(text, response);
        let out = through(text.as_bytes(), &tables(), &from_uas()).forwarded();
        assert_eq!(out.next_hop, "10.77.1.2:5060".parse().unwrap());
        assert_eq!(headers(&out.text, "Via").len(), 1);
    }
}
