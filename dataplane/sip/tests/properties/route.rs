//! What is forwarded is the message that came in, with our Via on top; its response finds the way
//! back to where it came from.

use std::cell::RefCell;
use std::sync::LazyLock;

use super::{Appliance, applied, text};
use sip_core::{
    Action, Arrival, Choices, EditList, Headers, ListenId, Message, Method, Output, ParseErrorKind,
    Refusal, Reply, Request, RequestRoute, RouteReason, Rule, RuleFit, Share, SipDrop, Tables,
    explain_request, parse, rewrite_request, rewrite_response, route_request, route_response,
    write_reply,
};

static FORWARDING: LazyLock<Appliance> = LazyLock::new(Appliance::forwarding);
static RELAYING: LazyLock<Appliance> = LazyLock::new(Appliance::relaying);
static CHOOSING: LazyLock<Appliance> = LazyLock::new(Appliance::choosing);
/// The next hop, which answers.
static NEXT: LazyLock<Appliance> =
    LazyLock::new(|| Appliance::new(vec![Rule::always(Action::RequestUri)], *b"another one's..."));

thread_local! {
    /// What a worker remembers.
    static CHOICES: RefCell<Choices> = RefCell::new(Choices::with_room(Share::default(), 64));
}

const OK: Reply = Reply::Other { code: 302, reason: "Moved Temporarily" };

/// Checks the property for one datagram.
pub fn check(datagram: &[u8]) {
    match parse(datagram, &mut Headers::default()) {
        Err(_) => {}
        Ok(Message::Response(response)) => {
            // No forged branch gets through by chance: the check has 64 bits.
            assert!(route_response(&response, &FORWARDING.tables).is_err());
        }
        Ok(Message::Request(request)) => {
            for appliance in [&*FORWARDING, &*RELAYING, &*CHOOSING] {
                for arrival in &appliance.arrivals {
                    for egress in [arrival.listen, ListenId(1)] {
                        forward(datagram, &request, &appliance.tables, arrival, egress);
                    }
                }
            }
        }
    }
}

/// Forwards the request and checks the copy, then the way back.
fn forward(
    datagram: &[u8],
    request: &Request<'_>,
    tables: &Tables,
    arrival: &Arrival,
    egress: ListenId,
) {
    let mut route = RequestRoute::default();
    let routed = CHOICES
        .with_borrow_mut(|choices| route_request(request, tables, arrival, choices, &mut route));
    explained(request, tables, arrival, routed.map(|()| route.reason));
    if routed.is_err() {
        return;
    }
    assert_eq!(tables.listen_id(route.next_hop), None, "never to ourselves");
    let mut edits = EditList::new();
    rewrite_request(request, &route, tables, arrival, egress, &mut edits);
    let Some(copy) = applied(&edits, &datagram[..request.body_end()]) else { return };
    let mut headers = Headers::default();
    let again = match parse(&copy, &mut headers) {
        Ok(Message::Request(again)) => again,
        // Ours is one Via more than the parser takes: the next hop may say so.
        Err(error) if error.kind == ParseErrorKind::TooManyVias => return,
        other => panic!("{other:?}, forwarded:\n{}", text(&copy)),
    };
    assert_eq!(text(again.method_name()), text(request.method_name()));
    assert_eq!(text(again.call_id()), text(request.call_id()));
    assert_eq!(again.cseq_number(), request.cseq_number());
    let body = &datagram[request.body_start()..request.body_end()];
    assert!(&copy[again.body_start()..again.body_end()] == body, "the body is untouched");
    let sent_by = tables.listen_point(egress).address;
    let via = format!("Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK");
    let line_end = copy.windows(2).position(|two| two == b"\r\n").unwrap_or_default();
    assert!(copy[line_end + 2..].starts_with(via.as_bytes()), "{}", text(&copy));
    way_back(&copy, tables, arrival, egress);
}

/// The explanation names the rule that decided.
fn explained(
    request: &Request<'_>,
    tables: &Tables,
    arrival: &Arrival,
    routed: Result<RouteReason, Refusal>,
) {
    let decided = |rule: u16| {
        let explanation = explain_request(request, tables, arrival).unwrap();
        assert!(!explanation.in_dialog);
        assert_eq!(explanation.rules.last(), Some(&RuleFit::Decides), "{explanation:?}");
        assert_eq!(explanation.rules.len(), usize::from(rule) + 1, "{explanation:?}");
        explanation
    };
    match routed {
        Ok(RouteReason::InDialog | RouteReason::Path) => {
            assert!(explain_request(request, tables, arrival).unwrap().in_dialog);
        }
        // By its own headers an ACK or CANCEL may fit another rule than its INVITE did.
        Ok(_) if matches!(request.method(), Method::Ack | Method::Cancel) => {}
        Ok(RouteReason::Member { rule, .. }) => assert!(decided(rule).hash.is_some()),
        Ok(
            RouteReason::RequestUri { rule }
            | RouteReason::Register { rule }
            | RouteReason::Locate { rule },
        )
        | Err(Refusal::Reply(Reply::Rule(rule))) => {
            decided(rule);
        }
        Err(_) => {}
    }
}

/// The next hop answers the copy; the response must reach the source of the request.
fn way_back(copy: &[u8], tables: &Tables, arrival: &Arrival, egress: ListenId) {
    let at_next = Arrival { source: tables.listen_point(egress).address, listen: ListenId(0) };
    let mut out = Output::new();
    match write_reply(copy, OK, &NEXT.tables, &at_next, &mut out) {
        Ok(to) => assert_eq!(to, at_next.source, "the answer comes to us"),
        Err(SipDrop::AckUnanswerable | SipDrop::ReplyTooLarge) => return,
        Err(other) => panic!("a request that was forwarded can be answered: {other:?}"),
    }
    let mut headers = Headers::default();
    let response = match parse(out.bytes(), &mut headers) {
        Ok(Message::Response(response)) => response,
        other => panic!("{other:?}, answered:\n{}", text(out.bytes())),
    };
    let route = match route_response(&response, tables) {
        Ok(route) => route,
        // Responses go to no maddr; the request may have one all the same.
        Err(SipDrop::ResponseUnroutable) if has(copy, b"maddr") => return,
        Err(other) => panic!("{other:?}, answered:\n{}", text(out.bytes())),
    };
    assert_eq!(route.next_hop.ip(), arrival.source.ip());
    assert_eq!(route.leave_from, Some(arrival.listen));
    let mut edits = EditList::new();
    rewrite_response(&response, &route, &mut edits);
    let back = applied(&edits, out.bytes()).expect("it shrinks");
    match parse(&back, &mut Headers::default()) {
        Ok(Message::Response(last)) => assert_eq!(last.status(), 302),
        other => panic!("{other:?}, passed back:\n{}", text(&back)),
    }
}

/// Whether the message holds `word` in any case.
fn has(message: &[u8], word: &[u8]) -> bool {
    message.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}
