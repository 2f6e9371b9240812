//! `Request-Line = Method SP Request-URI SP SIP-Version CRLF` and
//! `Status-Line = SIP-Version SP Status-Code SP Reason-Phrase CRLF`, with exactly one SP each.

use super::error::{ParseError, ParseErrorKind};
use super::lines::Lines;
use super::registers::Registers;
use super::scan;
use crate::limits::URI_MAX;
use crate::message::{Method, Span};

/// A start line.
pub(crate) enum StartLine {
    Request { line: Span, method: Method, method_name: Span, uri: Span },
    Response { line: Span, status: u16 },
}

/// Parses the first of `lines`, which walks over `bytes`.
#[inline(always)]
pub(crate) fn parse<R: Registers>(
    bytes: &[u8],
    lines: &mut Lines<'_, R>,
) -> Result<StartLine, ParseError> {
    let found = lines.next_line();
    lines.fault()?;
    let line = Span::of_u32(found.start, found.end);
    let text = line.of(bytes);
    if is_status_line(text) { status_line(text, line) } else { request_line(text, line) }
}

/// Whether the text can only be a status line: a method holds no slash.
#[inline(always)]
pub(crate) fn is_status_line(text: &[u8]) -> bool {
    text.first_chunk().is_some_and(|begin| {
        u32::from_le_bytes(*begin) | 0x0020_2020 == u32::from_le_bytes(*b"sip/")
    })
}

fn status_line(text: &[u8], line: Span) -> Result<StartLine, ParseError> {
    let malformed = || ParseError::new(ParseErrorKind::StatusLine, line.start());
    let (version, rest) = text.split_first_chunk::<8>().ok_or_else(malformed)?;
    if !version.eq_ignore_ascii_case(b"SIP/2.0 ") {
        return Err(ParseError::new(ParseErrorKind::Version, line.start()));
    }
    let (code, rest) = rest.split_first_chunk::<3>().ok_or_else(malformed)?;
    // The reason phrase may be empty, and some leave out the space before an empty one.
    if !matches!(rest.first(), None | Some(b' ')) {
        return Err(malformed());
    }
    let [hundreds, tens, ones] = code.map(|byte| u16::from(byte.wrapping_sub(b'0')));
    match hundreds * 100 + tens * 10 + ones {
        status @ 100..=699 if hundreds < 10 && tens < 10 && ones < 10 => {
            Ok(StartLine::Response { line, status })
        }
        _ => Err(malformed()),
    }
}

#[inline(always)]
fn request_line(text: &[u8], line: Span) -> Result<StartLine, ParseError> {
    let malformed = || ParseError::new(ParseErrorKind::StartLine, line.start());
    let space = scan::find_stop(text, 0, text.len(), []);
    let method = match space {
        1..=8 => Method::of_word(scan::word(text, 0) & u64::MAX >> (64 - 8 * space)),
        _ => None,
    };
    let method = match method {
        Some(method) => method,
        None => other_method(text.get(..space).unwrap_or_default()).ok_or_else(malformed)?,
    };
    let (before, version) = text.split_last_chunk::<8>().ok_or_else(malformed)?;
    if version != b" SIP/2.0" {
        check_version(text, line)?;
    }
    let uri_at = space + 1;
    let uri = before.get(uri_at..).ok_or_else(malformed)?;
    if uri.is_empty()
        || text.get(space) != Some(&b' ')
        || scan::find_stop(text, uri_at, before.len(), []) != before.len()
    {
        return Err(ParseError::new(ParseErrorKind::RequestUri, line.start() + uri_at));
    }
    if uri.len() > URI_MAX {
        let kind = ParseErrorKind::RequestUriTooLong;
        return Err(ParseError::new(kind, line.start() + uri_at));
    }
    let start = line.start();
    Ok(StartLine::Request {
        line,
        method,
        method_name: Span::new(start, start + space),
        uri: Span::new(start + uri_at, start + before.len()),
    })
}

/// A method of less traffic.
#[inline(never)]
fn other_method(name: &[u8]) -> Option<Method> {
    let method = Method::of(name);
    (method != Method::Other || scan::is_token(name)).then_some(method)
}

/// Accepts the version in any case; tells another version from none at all.
#[cold]
fn check_version(text: &[u8], line: Span) -> Result<(), ParseError> {
    let trimmed = text.trim_ascii_end();
    let at = trimmed.iter().rposition(|&byte| byte == b' ').map_or(0, |space| space + 1);
    let version = trimmed.get(at..).unwrap_or_default();
    let is_sip = version.first_chunk::<4>().is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/"));
    let kind = match version.eq_ignore_ascii_case(b"SIP/2.0") {
        true if trimmed.len() == text.len() => return Ok(()),
        true => ParseErrorKind::TrailingSpace,
        false if is_sip => ParseErrorKind::Version,
        false => ParseErrorKind::StartLine,
    };
    Err(ParseError::new(kind, line.start() + at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::registers::Compiled;

    fn kind(text: &str) -> Option<ParseErrorKind> {
        parse(text.as_bytes(), &mut Lines::new(Compiled, text.as_bytes(), 0))
            .err()
            .map(|error| error.kind)
    }

    #[test]
    fn request_line_parts() {
        let text = b"INVITE sip:bob@example.com SIP/2.0\r\n";
        let mut lines = Lines::new(Compiled, text, 0);
        let Ok(StartLine::Request { method, uri, .. }) = parse(text, &mut lines) else {
            panic!("a request")
        };
        assert_eq!((method, uri.of(text)), (Method::Invite, &b"sip:bob@example.com"[..]));
        assert_eq!(lines.at(), text.len());
    }

    #[test]
    fn faults_are_told_apart() {
        use ParseErrorKind as K;
        assert_eq!(kind("INVITE sip:a SIP/2.0\r\n"), None);
        assert_eq!(kind("NEW! sip:a sip/2.0\r\n"), None);
        assert_eq!(kind("INVITE sip:a SIP/7.0\r\n"), Some(K::Version));
        assert_eq!(kind("INVITE sip:a SIP/2.0 \r\n"), Some(K::TrailingSpace));
        assert_eq!(kind("INVITE sip:a HTTP/1.1\r\n"), Some(K::StartLine));
        assert_eq!(kind("INVITE  sip:a SIP/2.0\r\n"), Some(K::RequestUri));
        assert_eq!(kind("INVITE sip:a b SIP/2.0\r\n"), Some(K::RequestUri));
        assert_eq!(kind("INVITE SIP/2.0\r\n"), Some(K::StartLine));
        assert_eq!(kind("INV(TE sip:a SIP/2.0\r\n"), Some(K::StartLine));
        assert_eq!(kind("SIP/3.0 200 OK\r\n"), Some(K::Version));
        assert_eq!(kind("SIP/2.0 200 OK\r\n"), None);
        assert_eq!(kind("SIP/2.0 200\r\n"), None);
        assert_eq!(kind("SIP/2.0 099 x\r\n"), Some(K::StatusLine));
        assert_eq!(kind("SIP/2.0 4294967301 x\r\n"), Some(K::StatusLine));
    }
}
