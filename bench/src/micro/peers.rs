//! Published Rust parsers on the same INVITE, and two marks of the craft.
//!
//! Some parse lazily: they split the header lines and leave the values as text until asked. Their
//! `_parse` case is that alone; their `_headers` case also takes apart the values that a proxy
//! needs (RFC 3261 section 16): Via, From, To, Call-ID, CSeq, Max-Forwards. The others do it all in one.

use super::cases::{Work, repeat};
use super::messages::Arrived;
use bytes::Bytes;
use ezk_sip_types::header::typed::{CSeq, CallID, FromTo, MaxForwards, Via};
use ezk_sip_types::msg::{Line, MessageLine, PullParser};
use ezk_sip_types::parse::Parse as _;
use ezk_sip_types::{Headers, Name};
use std::hint::black_box;

const WELL_FORMED: &str = "the INVITE is well-formed";

/// `rsip`: lines only.
pub(super) fn rsip_parse(arrived: &Arrived) -> Work {
    let invite = arrived.message();
    repeat(move || {
        black_box(&rsip::SipMessage::try_from(black_box(invite)).expect(WELL_FORMED));
    })
}

/// `rsip`: with the headers of a proxy.
pub(super) fn rsip_headers(arrived: &Arrived) -> Work {
    use rsip::prelude::{HeadersExt as _, ToTypedHeader as _, UntypedHeader as _};
    let invite = arrived.message();
    repeat(move || {
        let message = rsip::SipMessage::try_from(black_box(invite)).expect(WELL_FORMED);
        black_box(message.via_header().expect(WELL_FORMED).typed().expect(WELL_FORMED));
        black_box(message.from_header().expect(WELL_FORMED).typed().expect(WELL_FORMED));
        black_box(message.to_header().expect(WELL_FORMED).typed().expect(WELL_FORMED));
        black_box(message.call_id_header().expect(WELL_FORMED).value());
        black_box(message.cseq_header().expect(WELL_FORMED).typed().expect(WELL_FORMED));
        black_box(message.max_forwards_header().expect(WELL_FORMED).num().expect(WELL_FORMED));
    })
}

/// `rsipstack`: lines only.
pub(super) fn rsipstack_parse(arrived: &Arrived) -> Work {
    let invite = arrived.message();
    repeat(move || {
        let message = rsipstack::sip::parser::parse_message(black_box(invite));
        black_box(&message.expect(WELL_FORMED));
    })
}

/// `rsipstack`: with the headers of a proxy.
pub(super) fn rsipstack_headers(arrived: &Arrived) -> Work {
    use rsipstack::sip::prelude::{HeadersExt as _, ToTypedHeader as _};
    let invite = arrived.message();
    repeat(move || {
        let message = rsipstack::sip::parser::parse_message(black_box(invite)).expect(WELL_FORMED);
        black_box(message.via_header().expect(WELL_FORMED).typed().expect(WELL_FORMED));
        black_box(message.from_header().expect(WELL_FORMED).typed().expect(WELL_FORMED));
        black_box(message.to_header().expect(WELL_FORMED).typed().expect(WELL_FORMED));
        black_box(message.call_id_header().expect(WELL_FORMED).value());
        black_box(message.cseq_header().expect(WELL_FORMED).typed().expect(WELL_FORMED));
        let max_forwards = message.max_forwards_header().expect(WELL_FORMED).value();
        black_box(max_forwards.parse::<u8>().expect(WELL_FORMED));
    })
}

/// `ezk-sip-types`: start line and lines only.
pub(super) fn ezk_parse(arrived: &Arrived) -> Work {
    let invite = arrived.message();
    repeat(move || {
        black_box(&ezk_message(black_box(invite)));
    })
}

/// `ezk-sip-types`: with the headers of a proxy.
pub(super) fn ezk_headers(arrived: &Arrived) -> Work {
    let invite = arrived.message();
    repeat(move || {
        let (line, headers) = ezk_message(black_box(invite));
        black_box(line);
        black_box(headers.get_named::<Via>().expect(WELL_FORMED));
        black_box(headers.get::<FromTo>(Name::FROM).expect(WELL_FORMED));
        black_box(headers.get::<FromTo>(Name::TO).expect(WELL_FORMED));
        black_box(headers.get_named::<CallID>().expect(WELL_FORMED));
        black_box(headers.get_named::<CSeq>().expect(WELL_FORMED));
        black_box(headers.get_named::<MaxForwards>().expect(WELL_FORMED));
    })
}

/// As its own stack does for each datagram: the bytes are shared by what is parsed from them.
fn ezk_message(invite: &[u8]) -> (MessageLine, Headers) {
    let source = Bytes::copy_from_slice(invite);
    let mut headers = Headers::new();
    let mut start_line = None;
    for line in PullParser::new(&source, 0) {
        let line = std::str::from_utf8(line.expect(WELL_FORMED)).expect(WELL_FORMED);
        if start_line.is_none() {
            start_line = Some(MessageLine::parse(&source)(line).expect(WELL_FORMED).1);
        } else {
            let Line { name, value } = Line::parse(&source, line).expect(WELL_FORMED).1;
            headers.insert(name, value);
        }
    }
    (start_line.expect(WELL_FORMED), headers)
}

/// `rvoip-sip-core`: takes every header apart.
pub(super) fn rvoip_parse(arrived: &Arrived) -> Work {
    let invite = arrived.message();
    repeat(move || {
        black_box(&rvoip_sip_core::parse_message(black_box(invite)).expect(WELL_FORMED));
    })
}

/// `xylosip`: takes every header apart.
pub(super) fn xylosip_parse(arrived: &Arrived) -> Work {
    let invite = arrived.message();
    repeat(move || {
        black_box(&xylosip::Message::parse(black_box(invite)).expect(WELL_FORMED));
    })
}

/// `httparse` on an HTTP request with the INVITE's header lines.
pub(super) fn httparse_request(arrived: &Arrived) -> Work {
    const HEADERS: usize = 16;
    let request = arrived.as_http_request();
    repeat(move || {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let status = parsed.parse(black_box(&request)).expect(WELL_FORMED);
        assert!(status.is_complete());
        black_box(&parsed);
    })
}

/// `memchr` finding the line ends of the INVITE.
pub(super) fn memchr_lines(arrived: &Arrived) -> Work {
    let invite = arrived.message();
    repeat(move || {
        black_box(memchr::memchr_iter(b'\n', black_box(invite)).sum::<usize>());
    })
}
