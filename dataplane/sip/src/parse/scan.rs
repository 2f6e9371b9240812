//! Finding line ends, and the small byte classes. This file alone knows how bytes are searched.

use super::error::ParseErrorKind;

/// A logical line: header lines go on where the next one starts with white space
/// (RFC 3261 section 7.3.1).
#[derive(Clone, Copy)]
pub(crate) struct LineEnd {
    /// Where its text ends.
    pub(crate) end: usize,
    /// Where the next line starts.
    pub(crate) next: usize,
}

/// The end of the line that starts at `from`, folded lines joined; `Err` holds the position too.
#[inline]
pub(crate) fn logical_line(bytes: &[u8], from: usize) -> Result<LineEnd, (ParseErrorKind, usize)> {
    let mut at = from;
    loop {
        let end = physical_line(bytes, at)?;
        let next = end + 2;
        // An empty line ends the headers; the body may well start with a space.
        match bytes.get(next) {
            Some(b' ' | b'\t') if end != from => at = next,
            _ => return Ok(LineEnd { end, next }),
        }
    }
}

/// Position of the next CRLF at or behind `from`.
#[inline]
fn physical_line(bytes: &[u8], from: usize) -> Result<usize, (ParseErrorKind, usize)> {
    let rest = bytes.get(from..).unwrap_or_default();
    match memchr::memchr2(b'\r', b'\n', rest) {
        Some(offset) => {
            let end = from + offset;
            if bytes[end] == b'\r' && bytes.get(end + 1) == Some(&b'\n') {
                Ok(end)
            } else {
                Err((ParseErrorKind::LineBreak, end))
            }
        }
        None => Err((ParseErrorKind::NoEndOfHeaders, bytes.len())),
    }
}

/// White space inside a folded value: `LWS = [*WSP CRLF] 1*WSP`.
#[inline]
pub(crate) fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The first position at or behind `at` that is not white space.
#[inline]
pub(crate) fn skip_lws(bytes: &[u8], mut at: usize, end: usize) -> usize {
    while at < end && bytes.get(at).copied().is_some_and(is_lws) {
        at += 1;
    }
    at
}

/// `start..end` without white space at its end.
#[inline]
pub(crate) fn trim_end(bytes: &[u8], start: usize, mut end: usize) -> usize {
    while end > start && bytes.get(end - 1).copied().is_some_and(is_lws) {
        end -= 1;
    }
    end
}

/// `token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~")`
#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Whether `text` is a token.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
};

/// Reads an unsigned decimal of at most ten digits that fits `u32`; nothing else may stand there.
#[inline]
pub(crate) fn decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 {
        return None;
    }
    let mut value = 0_u64;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    u32::try_from(value).ok()
}

/// Reads a port, 1 to 65535.
#[inline]
pub(crate) fn port(text: &[u8]) -> Option<u16> {
    if text.len() > 5 {
        return None;
    }
    u16::try_from(decimal(text)?).ok().filter(|&port| port != 0)
}

/// The end of the quoted string whose opening quote stands at `at`: one past the closing quote.
/// `quoted-pair` hides a quote (RFC 3261 section 25.1).
pub(crate) fn quoted_string(bytes: &[u8], at: usize, end: usize) -> Option<usize> {
    let mut at = at + 1;
    while at < end {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_line_ends_where_the_next_one_has_no_white_space() {
        let text = b"Subject: a\r\n b\r\n\tc\r\nTo: x\r\n";
        let line = logical_line(text, 0).ok().unwrap();
        assert_eq!(&text[..line.end], b"Subject: a\r\n b\r\n\tc");
        assert_eq!(&text[line.next..line.next + 2], b"To");
    }

    #[test]
    fn empty_line_does_not_fold_into_the_body() {
        let line = logical_line(b"\r\n body", 0).ok().unwrap();
        assert_eq!((line.end, line.next), (0, 2));
    }

    #[test]
    fn lone_line_breaks_are_refused() {
        for text in [&b"a\nb\r\n"[..], b"a\rb\r\n", b"a\r", b"\n"] {
            assert!(matches!(logical_line(text, 0), Err((ParseErrorKind::LineBreak, _))));
        }
        assert!(matches!(logical_line(b"abc", 0), Err((ParseErrorKind::NoEndOfHeaders, 3))));
    }

    #[test]
    fn numbers_are_whole_and_bounded() {
        assert_eq!(decimal(b"4294967295"), Some(u32::MAX));
        assert_eq!(decimal(b"4294967296"), None);
        assert_eq!(decimal(b""), None);
        assert_eq!(decimal(b"1 "), None);
        assert_eq!(port(b"5060"), Some(5060));
        assert_eq!(port(b"0"), None);
        assert_eq!(port(b"65536"), None);
    }

    #[test]
    fn quoted_pairs_hide_quotes() {
        let text = br#""a\"b\\" <sip:x>"#;
        assert_eq!(quoted_string(text, 0, text.len()), Some(8));
        assert_eq!(quoted_string(br#""a\""#, 0, 4), None);
    }
}
