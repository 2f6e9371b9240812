//! Any bytes can be answered or dropped; an answer is a response to what came in.

use std::sync::LazyLock;

use super::{Appliance, text};
use sip_core::ParseErrorKind as Kind;
use sip_core::{Headers, Message, Output, Refusal, Reply, parse, write_reply};

static APPLIANCE: LazyLock<Appliance> = LazyLock::new(Appliance::forwarding);

/// Checks the property for one datagram.
pub fn check(datagram: &[u8]) {
    let mut headers = Headers::default();
    let parsed = parse(datagram, &mut headers);
    let own = match &parsed {
        Err(error) => match error.refusal() {
            Refusal::Reply(reply) => reply,
            Refusal::Drop(_) => Reply::Forbidden,
        },
        Ok(_) => Reply::BadExtension,
    };
    let mut out = Output::new();
    for reply in [own, Reply::Unavailable, Reply::BadExtension] {
        for arrival in &APPLIANCE.arrivals {
            let written = write_reply(datagram, reply, &APPLIANCE.tables, arrival, &mut out);
            let Ok(to) = written else { continue };
            assert_eq!(to.ip(), arrival.source.ip(), "an answer goes to where the request is from");
            assert!(!matches!(parsed, Ok(Message::Response(_))), "a response is never answered");
            answered(&parsed, reply.code(&APPLIANCE.tables), out.bytes());
        }
    }
    // An overloaded worker may have less room than the answer needs.
    let mut small = Output::with_capacity(200);
    let _ = write_reply(datagram, own, &APPLIANCE.tables, &APPLIANCE.arrivals[0], &mut small);
    assert!(small.len() <= small.bytes().len());
}

/// Checks an answer with this code to what was parsed.
fn answered(parsed: &Result<Message<'_>, sip_core::ParseError>, code: u16, answer: &[u8]) {
    let what = || text(answer);
    assert!(answer.starts_with(format!("SIP/2.0 {code} ").as_bytes()), "{}", what());
    assert!(answer.ends_with(b"Content-Length: 0\r\n\r\n"), "{}", what());
    match (parse(answer, &mut Headers::default()), parsed) {
        (Ok(Message::Response(response)), parsed) => {
            assert_eq!(response.status(), code);
            assert_eq!(response.body_start(), answer.len(), "nothing ends the headers early");
            if let Ok(Message::Request(request)) = parsed {
                assert_eq!(text(response.call_id()), text(request.call_id()));
                assert_eq!(response.cseq_number(), request.cseq_number());
            }
        }
        // The headers that an answer repeats may be what is wrong with the request, or lacks there.
        (Err(error), Err(_)) => assert!(
            matches!(
                error.kind,
                Kind::Malformed(_) | Kind::Missing(_) | Kind::TooManyVias | Kind::TooManyHeaders
            ),
            "{error:?}: {}",
            what()
        ),
        (other, _) => panic!("{other:?}: {}", what()),
    }
}
