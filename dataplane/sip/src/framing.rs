//! Where a message ends in a stream of bytes (RFC 3261 section 18.3), before anything else about it is known:
//! by the empty line and Content-Length. And which messages come first when there are too many.

use crate::limits::{HEADERS_MAX, MESSAGE_MAX, STREAM_MESSAGE_MAX};
use crate::message::Method;
use crate::parse::digits;
use crate::parse::error::ParseErrorKind;
use crate::parse::header::{HeaderId, HeaderLines};
use crate::parse::name_addr::NameAddr;
use crate::parse::{scan, start_line};
use crate::route::outcome::Reply;
use memchr::memmem;

/// What a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Nothing whole yet.
    Incomplete,
    /// So many bytes of line breaks, to be skipped.
    LineBreaks(usize),
    /// So many bytes of line breaks that make a keep-alive whole, to be skipped and answered with CRLF
    /// (RFC 5626 section 4.4.1).
    Ping(usize),
    /// A message of so many bytes.
    Message(usize),
    /// Nobody can tell where the next message begins: the connection has to end.
    Bad(FrameError),
}

/// Why a stream is no stream of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// It does not begin as SIP does.
    NotSip,
    /// Its header lines break a rule.
    Headers(ParseErrorKind),
    /// There is no Content-Length, which streams must have (RFC 3261 section 20.14).
    NoLength,
    /// The message is longer than [`STREAM_MESSAGE_MAX`].
    TooLarge,
}

impl FrameError {
    /// How a request is answered before its connection is closed.
    pub fn reply(self) -> Option<Reply> {
        match self {
            Self::NotSip => None,
            Self::Headers(kind) => Some(Reply::Parse(kind)),
            Self::NoLength => Some(Reply::Parse(ParseErrorKind::Missing(HeaderId::ContentLength))),
            Self::TooLarge => Some(Reply::MessageTooLarge),
        }
    }
}

/// Finds message after message in the bytes of one connection.
///
/// It remembers how far it has looked, so that a message that comes byte by byte costs no more than one that
/// comes at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framer {
    /// No empty line begins before this position.
    searched: u32,
    /// Length of the message, once that is known.
    length: u32,
    /// Whether the last that was skipped is the first half of a keep-alive.
    is_half_ping: bool,
}

impl Framer {
    /// What `bytes` begin with: all that came after what was found before. The caller takes what is found
    /// away before it asks again.
    #[expect(clippy::cast_possible_truncation, reason = "at most STREAM_MESSAGE_MAX")]
    pub fn next(&mut self, bytes: &[u8]) -> Frame {
        if self.length == 0 {
            if self.searched == 0
                && let Some(frame) = self.line_breaks(bytes)
            {
                return frame;
            }
            match find_end(bytes, self.searched as usize) {
                Ok(Some(length)) => self.length = length as u32,
                Ok(None) => {
                    self.searched = bytes.len().saturating_sub(3) as u32;
                    return Frame::Incomplete;
                }
                Err(error) => return Frame::Bad(error),
            }
        }
        let length = self.length as usize;
        if bytes.len() < length {
            return Frame::Incomplete;
        }
        *self = Self::default();
        Frame::Message(length)
    }

    /// A CRLF at the beginning; two of them are a keep-alive, whether they come at once or not.
    fn line_breaks(&mut self, bytes: &[u8]) -> Option<Frame> {
        let rest = bytes.strip_prefix(b"\r\n")?;
        if self.is_half_ping {
            self.is_half_ping = false;
            return Some(Frame::Ping(2));
        }
        if rest.starts_with(b"\r\n") {
            return Some(Frame::Ping(4));
        }
        self.is_half_ping = matches!(rest, b"" | b"\r");
        Some(Frame::LineBreaks(2))
    }
}

/// The length of the first message, if its headers are whole; no empty line begins before `searched`.
fn find_end(bytes: &[u8], searched: usize) -> Result<Option<usize>, FrameError> {
    let bounded = bytes.get(..STREAM_MESSAGE_MAX).unwrap_or(bytes);
    let found = memmem::find(bounded.get(searched..).unwrap_or_default(), b"\r\n\r\n");
    let Some(empty_line) = found else {
        check_beginning(bounded)?;
        let is_over = bounded.len() == STREAM_MESSAGE_MAX;
        return if is_over { Err(FrameError::TooLarge) } else { Ok(None) };
    };
    let headers = &bounded[..searched + empty_line + 4];
    check_beginning(headers)?;
    let length = headers.len() + content_length(headers)?;
    if length > STREAM_MESSAGE_MAX { Err(FrameError::TooLarge) } else { Ok(Some(length)) }
}

/// A request line has a method at its beginning and a version at its end, a status line a version at its
/// beginning. TLS and HTTP are told so from their first bytes or line.
fn check_beginning(bytes: &[u8]) -> Result<(), FrameError> {
    let line_end = memchr::memchr(b'\n', bytes);
    let line = &bytes[..line_end.unwrap_or(bytes.len())];
    let word_end = memchr::memchr2(b' ', b'\r', line).unwrap_or(line.len());
    let is_method = matches!(line, b"" | b"\r") || scan::is_token(&line[..word_end]);
    let is_version =
        |text: &[u8]| text.first_chunk::<4>().is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/"));
    let fits = match line_end {
        _ if start_line::is_status_line(line) => true,
        Some(_) => {
            let version =
                line.rsplit(|&byte| byte == b' ').find(|word| !word.trim_ascii().is_empty());
            is_method && version.is_some_and(is_version)
        }
        // The version of a status line begins as a method does.
        None => is_method,
    };
    if fits { Ok(()) } else { Err(FrameError::NotSip) }
}

/// The value of Content-Length; the parser finds the same.
fn content_length(headers: &[u8]) -> Result<usize, FrameError> {
    let mut lines = HeaderLines::new(headers, 0);
    let mut found = None;
    for _ in 0..=HEADERS_MAX + 1 {
        let Some(line) = lines.next_line() else {
            if lines.at() != headers.len() {
                return Err(FrameError::Headers(ParseErrorKind::LineBreak));
            }
            return found.ok_or(FrameError::NoLength);
        };
        if line.id != HeaderId::ContentLength {
            continue;
        }
        if found.is_some() {
            return Err(FrameError::Headers(ParseErrorKind::Duplicate(line.id)));
        }
        found = Some(match digits::decimal(headers, line.value) {
            Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
            None if is_number(line.value.of(headers)) => return Err(FrameError::TooLarge),
            None => return Err(FrameError::Headers(ParseErrorKind::Malformed(line.id))),
        });
    }
    Err(FrameError::Headers(ParseErrorKind::TooManyHeaders))
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// What a message is, as far as its first line and its To tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A response.
    Response,
    /// ACK, BYE, or another request within a dialog: work that has been begun.
    Begun,
    /// CANCEL: it comes first too, but not before the request that it is about.
    Cancel,
    /// A request that begins something.
    New,
}

/// The class of a message: the order in which messages are taken when there are too many.
pub fn class(message: &[u8]) -> Class {
    let line = &message[..memchr::memchr(b'\r', message).unwrap_or(message.len())];
    if start_line::is_status_line(line) {
        return Class::Response;
    }
    let method = &line[..memchr::memchr(b' ', line).unwrap_or(line.len())];
    match Method::of(method) {
        Method::Ack | Method::Bye => Class::Begun,
        Method::Cancel => Class::Cancel,
        _ if has_to_tag(message) => Class::Begun,
        _ => Class::New,
    }
}

fn has_to_tag(message: &[u8]) -> bool {
    let message = message.get(..MESSAGE_MAX).unwrap_or(message);
    let mut lines = HeaderLines::new(message, 0);
    while let Some(line) = lines.next_line() {
        if line.id == HeaderId::To {
            let to = NameAddr::parse(message, line.value.start(), line.value.end());
            return to.is_some_and(|to| !to.tag.is_empty());
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn message(length: &str, body: &str) -> String {
        format!(
            "MESSAGE sip:b@example.com SIP/2.0\r\nTo: <sip:b@example.com>\r\n{length}\r\n{body}"
        )
    }

    /// What is found when the bytes come in pieces of this size.
    fn frames(bytes: &[u8], piece: usize) -> Vec<Frame> {
        let (mut framer, mut found) = (Framer::default(), Vec::new());
        let (mut start, mut end) = (0, 0);
        loop {
            let frame = framer.next(&bytes[start..end]);
            match frame {
                Frame::Incomplete if end == bytes.len() => return found,
                Frame::Incomplete => {
                    end = bytes.len().min(end + piece);
                    continue;
                }
                Frame::LineBreaks(length) | Frame::Ping(length) | Frame::Message(length) => {
                    start += length;
                }
                Frame::Bad(_) => {}
            }
            found.push(frame);
            if matches!(frame, Frame::Bad(_)) {
                return found;
            }
        }
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let one = message("Content-Length: 5\r\n", "hello");
        let two = message("l :\r\n 0\r\n", "");
        let stream = format!("{one}{two}\r\n\r\n{one}SIP/2.0 200 OK\r\nL:0\r\n\r\n");
        let whole = [
            Frame::Message(one.len()),
            Frame::Message(two.len()),
            Frame::Ping(4),
            Frame::Message(one.len()),
            Frame::Message(23),
        ];
        assert_eq!(frames(stream.as_bytes(), stream.len()), whole);
        for piece in [1, 2, 3, 7, 64] {
            let found = frames(stream.as_bytes(), piece);
            let is_message = |frame: &&Frame| matches!(frame, Frame::Message(_));
            let messages = |frames: &[Frame]| frames.iter().filter(is_message).copied().collect();
            let (found_messages, all): (Vec<_>, Vec<_>) = (messages(&found), messages(&whole));
            assert_eq!(found_messages, all, "{piece}");
            let pings = found.iter().filter(|frame| matches!(frame, Frame::Ping(_))).count();
            assert_eq!(pings, 1, "{piece}");
        }
    }

    #[test]
    fn one_line_break_is_skipped_and_two_are_a_ping() {
        assert_eq!(frames(b"\r\n", 2), [Frame::LineBreaks(2)]);
        assert_eq!(frames(b"\r\n\r\n", 4), [Frame::Ping(4)]);
        assert_eq!(frames(b"\r\n\r\n", 2), [Frame::LineBreaks(2), Frame::Ping(2)]);
    }

    #[test]
    fn lengths_that_nobody_can_believe_end_it_at_once() {
        use FrameError::{Headers, NoLength, TooLarge};
        let malformed = Headers(ParseErrorKind::Malformed(HeaderId::ContentLength));
        for (length, error) in [
            ("", NoLength),
            ("Content-Length: 67108864\r\n", TooLarge),
            ("Content-Length: 99999999999999999999\r\n", TooLarge),
            ("Content-Length: 65535\r\n", TooLarge),
            ("Content-Length: -1\r\n", malformed),
            ("Content-Length: 1x\r\n", malformed),
            ("l: 1\r\nl: 2\r\n", Headers(ParseErrorKind::Duplicate(HeaderId::ContentLength))),
            ("Content-Length: 1\r\nX: a\nb\r\n", Headers(ParseErrorKind::LineBreak)),
        ] {
            let text = message(length, "");
            assert_eq!(frames(text.as_bytes(), 9), [Frame::Bad(error)], "{length}");
            assert!(error.reply().is_some());
        }
        let endless = [b"OPTIONS sip:a SIP/2.0\r\nX: ".to_vec(), vec![b'x'; MESSAGE_MAX]].concat();
        assert_eq!(frames(&endless, 1_000), [Frame::Bad(TooLarge)]);
    }

    #[test]
    fn what_is_no_sip_is_told_by_its_beginning() {
        for text in ["\x16\x03\x01\x02", "GET / HTTP/1.1\r\n", "{\"a\"", "\0", "hello\r\n"] {
            assert_eq!(frames(text.as_bytes(), 1), [Frame::Bad(FrameError::NotSip)], "{text:?}");
        }
        for text in ["S", "SIP/", "SIP/2.0 200 ", "INV", "INVITE sip:a", "INVITE sip:a SIP/2.0\r"] {
            assert_eq!(frames(text.as_bytes(), 1), [], "{text:?}");
        }
        assert!(FrameError::NotSip.reply().is_none());
    }

    #[test]
    fn work_that_was_begun_is_told_from_new_work() {
        let request = |method: &str, to: &str| {
            format!("{method} sip:b@example.com SIP/2.0\r\nTo: {to}\r\nl: 0\r\n\r\n")
        };
        let (out, within) = ("\"a;tag=1\" <sip:b@example.com;tag=2>", "<sip:b@example.com>;tag=7");
        for (text, expected) in [
            ("SIP/2.0 180 Ringing\r\n\r\n".into(), Class::Response),
            (request("ACK", out), Class::Begun),
            (request("BYE", out), Class::Begun),
            (request("CANCEL", out), Class::Cancel),
            (request("INVITE", within), Class::Begun),
            (request("INVITE", out), Class::New),
            (request("REGISTER", "sip:b@example.com"), Class::New),
            (String::new(), Class::New),
        ] {
            assert_eq!(class(text.as_bytes()), expected, "{text}");
        }
    }
}
