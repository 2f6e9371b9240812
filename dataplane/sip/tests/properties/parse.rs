//! Parsing says the same about the same bytes, stays inside them, and depends on nothing behind the
//! message.

use sip_core::{Headers, Message, parse};

/// Checks the property for one datagram.
pub fn check(datagram: &[u8]) {
    match parse(datagram, &mut Headers::default()) {
        Err(error) => assert!(usize::from(error.at) <= datagram.len(), "{error:?}"),
        Ok(message) => {
            let end = inside(&message, datagram);
            // What lies behind Content-Length is not part of the message (RFC 3261 section 18.3).
            let mut headers = Headers::default();
            let again =
                parse(&datagram[..end], &mut headers).expect("it parses without its surplus");
            assert_eq!(inside(&again, datagram), end);
            assert_eq!(essence(&message), essence(&again));
        }
    }
}

/// Where the message ends.
fn inside(message: &Message<'_>, datagram: &[u8]) -> usize {
    let (start, end) = match message {
        Message::Request(request) => (request.body_start(), request.body_end()),
        Message::Response(response) => (response.body_start(), response.body_end()),
    };
    assert!(start <= end && end <= datagram.len());
    assert_eq!(&datagram[start - 4..start], b"\r\n\r\n", "headers end with an empty line");
    end
}

/// What a message says about itself.
fn essence<'a>(message: &Message<'a>) -> (&'a [u8], &'a [u8], &'a [u8], u16, u32) {
    match message {
        Message::Request(request) => {
            assert!(!request.uri().is_empty() && !request.method_name().is_empty());
            let (method, uri) = (request.method_name(), request.uri());
            (method, uri, request.call_id(), 0, request.cseq_number())
        }
        Message::Response(response) => {
            assert!((100..700).contains(&response.status()));
            (b"", b"", response.call_id(), response.status(), response.cseq_number())
        }
    }
}
