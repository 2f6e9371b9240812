//! `name-addr / addr-spec` with header parameters: the values of Route, From and To.

use super::params::Params;
use super::scan;
use crate::message::Span;

/// One value of a Route, From or To header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameAddr {
    pub(crate) uri: Span,
    /// Value of the tag parameter; empty when there is none.
    pub(crate) tag: Span,
    /// Where the last parameter ends: new ones go here.
    pub(crate) params_end: usize,
    /// Position of the comma behind it, or where the header value ends.
    pub(crate) end: usize,
}

impl NameAddr {
    /// Parses the value at `start`, up to a comma or `end`.
    #[inline]
    pub(crate) fn parse(bytes: &[u8], start: usize, end: usize) -> Option<Self> {
        let uri = uri_span(bytes, scan::skip_lws(bytes, start, end), end)?;
        let after = if bytes.get(uri.end()) == Some(&b'>') { uri.end() + 1 } else { uri.end() };
        let mut found = Self { uri, tag: Span::default(), params_end: after, end };
        let mut params = Params::new(bytes, after, end);
        while let Some(param) = params.next_param().ok()? {
            found.params_end = param.whole.end();
            if scan::is_name(bytes, param.name, b"tag") {
                if param.value.is_empty() {
                    return None;
                }
                found.tag = param.value;
            }
        }
        found.end = params.at();
        Some(found)
    }
}

/// The URI of the value whose first byte stands at `at`: inside angle brackets, which may have a
/// display name before them, or bare. A bare URI ends at the first semicolon or comma
/// (RFC 3261 section 20).
#[inline]
pub(crate) fn uri_span(bytes: &[u8], at: usize, end: usize) -> Option<Span> {
    let text = bytes.get(at..end)?;
    let open = match text.first()? {
        b'<' => {
            let close = scan::find_stop(bytes, at + 1, end, [b'>']);
            if close < end && bytes.get(close) == Some(&b'>') {
                return (close > at + 1).then(|| Span::new(at + 1, close));
            }
            at
        }
        b'"' => {
            let open = scan::skip_lws(bytes, scan::quoted_string(bytes, at, end)?, end);
            (open < end && bytes.get(open) == Some(&b'<')).then_some(open)?
        }
        _ => {
            let stop = text.iter().position(|&byte| matches!(byte, b'<' | b';' | b',' | b'"'));
            match stop.map(|stop| text[stop]) {
                Some(b'<') => at + stop?,
                Some(b'"') => return None,
                _ => {
                    let stop = at + stop.unwrap_or(text.len());
                    let uri = Span::new(at, scan::trim_end(bytes, at, stop));
                    return (!uri.is_empty()).then_some(uri);
                }
            }
        }
    };
    let inside = bytes.get(open + 1..end)?;
    let close = inside.iter().position(|&byte| byte == b'>')?;
    (close > 0).then(|| Span::new(open + 1, open + 1 + close))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(&str, &str, usize)> {
        let found = NameAddr::parse(text.as_bytes(), 0, text.len())?;
        let own = |span: Span| &text[span.start()..span.end()];
        Some((own(found.uri), own(found.tag), found.end))
    }

    #[test]
    fn forms() {
        assert_eq!(parts("<sip:a@b;lr>"), Some(("sip:a@b;lr", "", 12)));
        assert_eq!(parts("Bob <sip:b>;tag=1"), Some(("sip:b", "1", 17)));
        assert_eq!(parts("\"B, \\\"<x>\" <sip:b> ; tag = 1"), Some(("sip:b", "1", 28)));
        assert_eq!(parts("sip:a@b;tag=x"), Some(("sip:a@b", "x", 13)));
        assert_eq!(parts("<sip:a>,<sip:b>"), Some(("sip:a", "", 7)));
        assert_eq!(parts("<sip:a>;x=\",\" , <sip:b>"), Some(("sip:a", "", 14)));
    }

    #[test]
    fn broken_values_are_refused() {
        for text in
            ["", "<sip:a", "<>", "\"Bob <sip:b>", "\"Bob\"", "B\"ob <sip:b>", "<sip:a>x", ","]
        {
            assert!(parts(text).is_none(), "{text}");
        }
    }
}
