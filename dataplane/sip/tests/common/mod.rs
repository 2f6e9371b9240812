//! The appliance of the tests, and whole messages through it.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;

use sip_core::{
    Action, Arrival, Choices, DestinationSet, EditList, Headers, ListenId, ListenPoint, Maddr,
    Member, Message, Output, Oversize, Refusal, Reply, RequestRoute, RouteReason, Rule, Settings,
    Share, SipDrop, Tables, parse, rewrite_request, rewrite_response, route_request,
    route_response, write_reply,
};

/// Faces the callers.
pub const UAC_SIDE: ListenId = ListenId(0);
/// Faces the answering side.
pub const UAS_SIDE: ListenId = ListenId(1);
/// Faces the answering side over IPv6.
pub const UAS_SIDE_V6: ListenId = ListenId(2);

/// A rule without conditions.
pub fn always(action: Action) -> Rule {
    Rule::always(action)
}

/// Two networks, one destination, everything goes there.
pub fn settings() -> Settings {
    let listen = ["10.77.1.1:5060", "10.77.2.1:5060", "[fd77:2::1]:5060"];
    Settings {
        secret: *b"0123456789abcdef",
        domains: vec!["example.com".into()],
        listen: listen.map(|at| ListenPoint::udp(at.parse().unwrap())).to_vec(),
        record_route: true,
        retry_after_seconds: 5,
        maddr: Maddr::Refuse,
        oversize: Oversize::Fragment,
        prefix_tables: vec![],
        sets: vec![set("uas", &[("10.77.2.2:5060", 1)])],
        rules: vec![always(Action::Forward("uas".into()))],
        ..Settings::default()
    }
}

/// A destination set of members with weights.
pub fn set(name: &str, members: &[(&str, u16)]) -> DestinationSet {
    let member =
        |&(at, weight): &(&str, u16)| Member { weight, ..Member::new(at.parse().unwrap()) };
    DestinationSet {
        name: name.into(),
        members: members.iter().map(member).collect(),
        ..DestinationSet::default()
    }
}

/// The tables of [`settings`].
pub fn tables() -> Tables {
    Tables::build(&settings()).unwrap()
}

/// From the caller at 10.77.1.2:5060.
pub fn from_uac() -> Arrival {
    Arrival { source: "10.77.1.2:5060".parse().unwrap(), listen: UAC_SIDE }
}

/// From the answering side at 10.77.2.2:5060.
pub fn from_uas() -> Arrival {
    Arrival { source: "10.77.2.2:5060".parse().unwrap(), listen: UAS_SIDE }
}

/// What became of a message.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    Forwarded(Forwarded),
    Replied { to: SocketAddr, text: String },
    Dropped(SipDrop),
}

/// A message that went on.
#[derive(Debug, PartialEq)]
pub struct Forwarded {
    pub next_hop: SocketAddr,
    pub text: String,
    pub reason: Option<RouteReason>,
    pub leave_from: Option<ListenId>,
}

impl Outcome {
    #[track_caller]
    pub fn forwarded(self) -> Forwarded {
        match self {
            Self::Forwarded(forwarded) => forwarded,
            other => panic!("not forwarded: {other:?}"),
        }
    }

    #[track_caller]
    pub fn replied(self) -> String {
        match self {
            Self::Replied { text, .. } => text,
            other => panic!("not replied: {other:?}"),
        }
    }

    #[track_caller]
    pub fn dropped(self) -> SipDrop {
        match self {
            Self::Dropped(reason) => reason,
            other => panic!("not dropped: {other:?}"),
        }
    }
}

/// Takes `message` through parse, route and rewrite, as the data plane does. The listen point it
/// leaves from is the one in the network of the next hop.
pub fn through(message: &[u8], tables: &Tables, arrival: &Arrival) -> Outcome {
    through_remembering(message, tables, arrival, &mut Choices::with_room(Share::default(), 64))
}

/// As [`through`], by a worker that has these choices in memory.
pub fn through_remembering(
    message: &[u8],
    tables: &Tables,
    arrival: &Arrival,
    choices: &mut Choices,
) -> Outcome {
    let refused = |refusal| match refusal {
        Refusal::Drop(reason) => Outcome::Dropped(reason),
        Refusal::Reply(reply) => {
            let mut out = Output::new();
            match write_reply(message, reply, tables, arrival, &mut out) {
                Ok(to) => Outcome::Replied { to, text: text(out.bytes()) },
                Err(reason) => Outcome::Dropped(reason),
            }
        }
    };
    let (mut headers, mut route) = (Headers::default(), RequestRoute::default());
    let mut edits = EditList::new();
    match parse(message, &mut headers) {
        Err(error) => refused(error.refusal()),
        Ok(Message::Request(request)) => {
            if let Err(refusal) = route_request(&request, tables, arrival, choices, &mut route) {
                return refused(refusal);
            }
            if route.host_name().is_some() {
                return refused(Refusal::Reply(Reply::NextHopName));
            }
            let egress = egress(route.next_hop);
            rewrite_request(&request, &route, tables, arrival, egress, &mut edits);
            Outcome::Forwarded(Forwarded {
                next_hop: route.next_hop,
                text: applied(&edits, &message[..request.body_end()]),
                reason: Some(route.reason),
                leave_from: None,
            })
        }
        Ok(Message::Response(response)) => match route_response(&response, tables) {
            Err(reason) => Outcome::Dropped(reason),
            Ok(route) => {
                rewrite_response(&response, &route, &mut edits);
                Outcome::Forwarded(Forwarded {
                    next_hop: route.next_hop,
                    text: applied(&edits, &message[..response.body_end()]),
                    reason: None,
                    leave_from: route.leave_from,
                })
            }
        },
    }
}

/// The listen point in the network of `next_hop`.
pub fn egress(next_hop: SocketAddr) -> ListenId {
    match next_hop {
        SocketAddr::V6(_) => UAS_SIDE_V6,
        SocketAddr::V4(v4) if v4.ip().octets()[..3] == [10, 77, 1] => UAC_SIDE,
        SocketAddr::V4(_) => UAS_SIDE,
    }
}

/// The message with its edits.
pub fn applied(edits: &EditList, message: &[u8]) -> String {
    let mut patched = message.to_vec();
    edits.patch(&mut patched);
    let mut out = Output::new();
    let replaced = edits.emit_prefix(&patched, &mut out).unwrap();
    let grown = out.len().cast_signed() - replaced.cast_signed();
    assert_eq!(grown, edits.growth());
    text(&[out.bytes(), &patched[replaced..]].concat())
}

/// A response to `request`, as an endpoint makes it (RFC 3261 section 8.2.6.2).
pub fn response_to(request: &str, status: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.split("\r\n").skip(1).take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap().trim().to_ascii_lowercase();
        match name.as_str() {
            "via" | "v" | "from" | "call-id" | "cseq" | "record-route" => {
                text.push_str(line);
            }
            "to" if line.contains("tag=") => text.push_str(line),
            "to" => text.extend([line, ";tag=a6c85cf"]),
            _ => continue,
        }
        text.push_str("\r\n");
    }
    text + &["Content-Length: ", &body.len().to_string(), "\r\n\r\n", body].concat()
}

/// The value of the first header of this name.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    headers(message, name).into_iter().next()
}

/// The values of all headers of this name.
pub fn headers<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    let lines = message.split("\r\n").skip(1).take_while(|line| !line.is_empty());
    let named = lines.filter_map(|line| line.split_once(':'));
    named.filter(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).collect()
}

/// Bytes as text; wrong ones are replaced.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
