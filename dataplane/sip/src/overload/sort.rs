//! What a message is, as far as shedding must know: from its first line, its topmost Via and its To, without
//! parsing it.

use crate::limits::MESSAGE_MAX;
use crate::message::Method;
use crate::parse::header::{HeaderId, HeaderLines};
use crate::parse::name_addr::NameAddr;
use crate::parse::start_line;
use crate::rewrite::branch::read_hex;

/// The beginning of the tags that we put into To of what is shed; the hash behind it proves them.
pub(crate) const SHED_TAG: &[u8] = b"to-";

/// The kinds of messages, those that are shed first on top. `via` is the topmost Via, which a retransmission
/// repeats byte by byte, and an ACK as well (RFC 3261 sections 17.1.1.3, 17.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'m> {
    /// INVITE or REGISTER outside of a dialog.
    First { via: &'m [u8] },
    /// Another request outside of a dialog.
    Other { via: &'m [u8] },
    /// An ACK whose tag may be one of ours.
    Acknowledgement { via: &'m [u8], tag: u64 },
    /// All else: what belongs to work that has been begun, and what cannot be told, which the parser refuses at
    /// less cost than an answer has.
    Begun,
}

/// The kind of a message.
pub(super) fn sort(message: &[u8]) -> Kind<'_> {
    let message = message.get(..MESSAGE_MAX).unwrap_or(message);
    if start_line::is_status_line(message) {
        return Kind::Begun;
    }
    let method = &message[..memchr::memchr(b' ', message).unwrap_or(0)];
    let method = Method::of(method);
    if matches!(method, Method::Bye | Method::Cancel) {
        return Kind::Begun;
    }
    let (mut via, mut to) = (None, None);
    let mut lines = HeaderLines::new(message, 0);
    while via.is_none() || to.is_none() {
        let Some(line) = lines.next_line() else { return Kind::Begun };
        match line.id {
            HeaderId::Via if via.is_none() => via = Some(topmost(line.value.of(message))),
            HeaderId::To => to = NameAddr::parse(message, line.value.start(), line.value.end()),
            _ => {}
        }
    }
    let (Some(via), Some(to)) = (via, to) else { return Kind::Begun };
    let to_tag = to.tag.of(message);
    match method {
        Method::Ack => match to_tag.strip_prefix(SHED_TAG).and_then(read_hex) {
            Some(tag) => Kind::Acknowledgement { via, tag },
            None => Kind::Begun,
        },
        _ if !to_tag.is_empty() => Kind::Begun,
        Method::Invite | Method::Register => Kind::First { via },
        _ => Kind::Other { via },
    }
}

/// Lines before To in a message as nearly everybody writes it.
const LINES_MAX: usize = 12;

/// Whether a message is an INVITE or REGISTER outside of a dialog whose topmost Via `wants`, as nearly everybody writes
/// them: with Via first, and To unfolded and without a tag or anything like it. What this says of a message [`sort`]
/// says too; it does not say it of all.
#[inline]
pub(super) fn is_usual_first(message: &[u8], wants: impl FnOnce(&[u8]) -> bool) -> bool {
    if !(message.starts_with(b"INVITE ") || message.starts_with(b"REGISTER ")) {
        return false;
    }
    let Some(mut line) = next_line(message) else { return false };
    let Some(via) = line.strip_prefix(b"Via: ") else { return false };
    let Some(end) = memchr::memchr2(b',', b'\r', via) else { return false };
    if via[0] <= b' ' || !wants(via[..end].trim_ascii_end()) {
        return false;
    }
    for _ in 0..LINES_MAX {
        let Some(next) = next_line(line) else { return false };
        line = next;
        match line {
            [b'T', b'o', b':', value @ ..] => return is_without_tag(value),
            // An empty line, a To that is written in another way, and a line that goes on.
            [b'\r' | b'\n' | b't' | b'T' | b' ' | b'\t', ..] => return false,
            _ => {}
        }
    }
    false
}

/// What lies behind the end of the line that `text` begins with.
#[inline]
fn next_line(text: &[u8]) -> Option<&[u8]> {
    text.get(memchr::memchr(b'\n', text)? + 1..)
}

/// Whether the line that `text` begins with ends there, is a plain address and has nothing in it that may be a tag.
#[inline]
fn is_without_tag(text: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'\n', text) else { return false };
    let (line, next) = (&text[..end], text.get(end + 1));
    let is_whole = next.is_some_and(|next| !matches!(next, b' ' | b'\t'));
    let mut letters = memchr::memchr2_iter(b'g', b'G', line);
    let is_tag = |at: usize| at >= 2 && line[at - 2..at].eq_ignore_ascii_case(b"ta");
    is_whole && line.starts_with(b" <") && line.ends_with(b">\r") && !letters.any(is_tag)
}

/// The first value of a Via line.
pub(super) fn topmost(line: &[u8]) -> &[u8] {
    line[..memchr::memchr(b',', line).unwrap_or(line.len())].trim_ascii_end()
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::{Kind, is_usual_first, sort};

    fn request(method: &str, to: &str) -> String {
        format!(
            "{method} sip:b@example.com SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.1;branch=1 , SIP/2.0/UDP x\r\n\
             Via: SIP/2.0/UDP y\r\nTo: {to}\r\n\r\n"
        )
    }

    #[test]
    fn messages_are_told_by_method_and_tag() {
        let via = b"SIP/2.0/UDP 192.0.2.1;branch=1".as_slice();
        let (out, within) = ("<sip:b@example.com;tag=2>", "<sip:b@example.com>;tag=7");
        for (method, to, kind) in [
            ("INVITE", out, Kind::First { via }),
            ("REGISTER", out, Kind::First { via }),
            ("SUBSCRIBE", out, Kind::Other { via }),
            ("FOO", out, Kind::Other { via }),
            ("INVITE", within, Kind::Begun),
            ("BYE", out, Kind::Begun),
            ("CANCEL", out, Kind::Begun),
            ("ACK", within, Kind::Begun),
            ("ACK", "<sip:b@a>;tag=to-00000000000000ff", Kind::Acknowledgement { via, tag: 255 }),
            ("ACK", "<sip:b@a>;tag=to-xx", Kind::Begun),
            ("INVITE", "\"b <", Kind::Begun),
        ] {
            assert_eq!(sort(request(method, to).as_bytes()), kind, "{method} {to}");
        }
        for text in ["", " ", "INVITE", "INVITE sip:a SIP/2.0\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n"] {
            assert_eq!(sort(text.as_bytes()), Kind::Begun, "{text}");
            assert!(!is_usual_first(text.as_bytes(), |_| true), "{text}");
        }
    }

    #[test]
    fn what_is_told_at_a_glance_is_what_is_told_by_reading() {
        let via = b"SIP/2.0/UDP 192.0.2.1;branch=1".as_slice();
        let message = |method: &str, to: &str| {
            format!(
                "{method} sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=1 , SIP/2.0/UDP x\r\n\
                 Max-Forwards: 70\r\n{to}\r\nFrom: <sip:a@example.com>;tag=7\r\n\r\n"
            )
        };
        for (method, to, is_told) in [
            ("INVITE", "To: <sip:b@example.com>", true),
            ("REGISTER", "To: <sip:b@example.com>", true),
            ("INVITE", "To: <sip:b@example.com>;tag=7", false),
            ("INVITE", "To: <sip:b@example.com>;TAG=7", false),
            ("INVITE", "To: <sip:b@example.com>\r\n ;tag=7", false),
            ("INVITE", "to: <sip:b@example.com>;tag=7", false),
            ("INVITE", "t: <sip:b@example.com>;tag=7\r\nTo: <sip:b@example.com>", false),
            ("INVITE", "T : <sip:b@example.com>;tag=7\r\nTo: <sip:b@example.com>", false),
            ("INVITE", "X: y", false),
            ("OPTIONS", "To: <sip:b@example.com>", false),
            ("BYE", "To: <sip:b@example.com>", false),
            ("ACK", "To: <sip:b@example.com>", false),
        ] {
            let message = message(method, to);
            let told = is_usual_first(message.as_bytes(), |found| {
                assert_eq!(found, via);
                true
            });
            assert_eq!(told, is_told, "{method} {to}");
            assert!(!told || sort(message.as_bytes()) == Kind::First { via }, "{message}");
            assert!(!is_usual_first(message.as_bytes(), |_| false));
            for cut in 0..message.len() {
                let cut = &message.as_bytes()[..cut];
                assert!(!is_usual_first(cut, |_| true) || matches!(sort(cut), Kind::First { .. }));
            }
        }
    }
}
