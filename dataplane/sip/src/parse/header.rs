//! Header lines: which of the headers that we need is it, and where is its value.

use super::error::{ParseError, ParseErrorKind};
use super::scan;
use crate::message::{Headers, Repeated, Span};

/// The headers that a stateless proxy looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the headers")]
pub enum HeaderId {
    Via,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    Route,
    ContentLength,
    ProxyRequire,
    /// Any header that we only pass on.
    Other,
}

/// One header line, folded lines included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderLine {
    pub(crate) id: HeaderId,
    /// From the name to behind the CRLF.
    pub(crate) line: Span,
    /// The value without white space around it.
    pub(crate) value: Span,
}

/// Walks over header lines until the empty one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderLines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> HeaderLines<'a> {
    /// The lines of `bytes` from position `at`, which is the start of one.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Where the next line starts; behind the empty line once `next` has returned `None`.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next line, `None` at the empty line.
    #[inline]
    pub(crate) fn next_line(&mut self) -> Result<Option<HeaderLine>, ParseError> {
        let start = self.at;
        let found = match scan::logical_line(self.bytes, start) {
            Ok(found) => found,
            Err((kind, at)) => return Err(ParseError::new(kind, at)),
        };
        self.at = found.next;
        if found.end == start {
            return Ok(None);
        }
        let text = self.bytes.get(start..found.end).unwrap_or_default();
        let (id, offset) = recognise(text);
        let value = if id == HeaderId::Other {
            Span::default()
        } else {
            let value = scan::skip_lws(self.bytes, start + offset, found.end);
            Span::new(value, scan::trim_end(self.bytes, value, found.end))
        };
        Ok(Some(HeaderLine { id, line: Span::new(start, found.next), value }))
    }
}

/// Tells the header by its first letter and compares the names that begin so, full and compact
/// (RFC 3261 section 20). Returns the offset behind the colon too.
#[inline]
fn recognise(line: &[u8]) -> (HeaderId, usize) {
    let Some(&first) = line.first() else { return (HeaderId::Other, 0) };
    let found = match first | 0x20 {
        b'v' => either(line, b"via", *b"v", HeaderId::Via),
        b'f' => either(line, b"from", *b"f", HeaderId::From),
        b't' => either(line, b"to", *b"t", HeaderId::To),
        b'i' => named(line, b"i", HeaderId::CallId),
        b'c' => named(line, b"cseq", HeaderId::CSeq)
            .or_else(|| named(line, b"call-id", HeaderId::CallId))
            .or_else(|| named(line, b"content-length", HeaderId::ContentLength)),
        b'm' => named(line, b"max-forwards", HeaderId::MaxForwards),
        b'r' => named(line, b"route", HeaderId::Route),
        b'l' => named(line, b"l", HeaderId::ContentLength),
        b'p' => named(line, b"proxy-require", HeaderId::ProxyRequire),
        _ => None,
    };
    found.unwrap_or((HeaderId::Other, 0))
}

#[inline]
fn either<const N: usize>(
    line: &[u8],
    full: &[u8; N],
    compact: [u8; 1],
    id: HeaderId,
) -> Option<(HeaderId, usize)> {
    named(line, full, id).or_else(|| named(line, &compact, id))
}

/// Whether `line` begins with `name` (given in lower case) and a colon.
#[inline]
fn named<const N: usize>(line: &[u8], name: &[u8; N], id: HeaderId) -> Option<(HeaderId, usize)> {
    let (begin, rest) = line.split_first_chunk::<N>()?;
    if !begin.eq_ignore_ascii_case(name) {
        return None;
    }
    // HCOLON = *( SP / HTAB ) ":" SWS
    let space = rest.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count();
    (rest.get(space) == Some(&b':')).then_some((id, N + space + 1))
}

impl Headers {
    /// Takes note of one line; complains about a second one where one may stand.
    #[inline]
    pub(crate) fn note(&mut self, found: HeaderLine) -> Result<(), ParseError> {
        use crate::limits::{ROUTES_MAX, VIAS_MAX};
        let HeaderLine { id, value, .. } = found;
        match id {
            HeaderId::Other => Ok(()),
            HeaderId::Via => self.via.note(found, VIAS_MAX, ParseErrorKind::TooManyVias),
            HeaderId::Route => self.route.note(found, ROUTES_MAX, ParseErrorKind::TooManyRoutes),
            HeaderId::ProxyRequire => {
                self.proxy_require.note(found, u16::MAX, ParseErrorKind::TooManyHeaders)
            }
            HeaderId::From => once(&mut self.from, id, value),
            HeaderId::To => once(&mut self.to, id, value),
            HeaderId::CallId => once(&mut self.call_id, id, value),
            HeaderId::CSeq => once(&mut self.cseq, id, value),
            HeaderId::MaxForwards => once(&mut self.max_forwards, id, value),
            HeaderId::ContentLength => once(&mut self.content_length, id, value),
        }
    }
}

/// Keeps `value` if it is the first of its header; an empty value counts as malformed, since no
/// header that may stand once may be empty.
#[inline]
fn once(slot: &mut Span, id: HeaderId, value: Span) -> Result<(), ParseError> {
    if value.is_empty() {
        return Err(ParseError::new(ParseErrorKind::Malformed(id), value.start()));
    }
    if !slot.is_empty() {
        return Err(ParseError::new(ParseErrorKind::Duplicate(id), value.start()));
    }
    *slot = value;
    Ok(())
}

impl Repeated {
    #[inline]
    fn note(
        &mut self,
        found: HeaderLine,
        max: u16,
        too_many: ParseErrorKind,
    ) -> Result<(), ParseError> {
        if self.lines == 0 {
            self.line = found.line;
            self.value = found.value;
        } else if self.lines >= max {
            return Err(ParseError::new(too_many, found.line.start()));
        }
        self.lines += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(line: &str) -> HeaderId {
        recognise(line.as_bytes()).0
    }

    #[test]
    fn names_are_known_in_any_case_full_and_compact() {
        for (line, id) in [
            ("Via: x", HeaderId::Via),
            ("v:x", HeaderId::Via),
            ("vIA \t: x", HeaderId::Via),
            ("FROM: x", HeaderId::From),
            ("f: x", HeaderId::From),
            ("To:x", HeaderId::To),
            ("T :x", HeaderId::To),
            ("CALL-id: x", HeaderId::CallId),
            ("i:x", HeaderId::CallId),
            ("cseq: 1 ACK", HeaderId::CSeq),
            ("Max-Forwards: 1", HeaderId::MaxForwards),
            ("Route: <sip:a>", HeaderId::Route),
            ("Content-Length: 0", HeaderId::ContentLength),
            ("L: 0", HeaderId::ContentLength),
            ("Proxy-Require: x", HeaderId::ProxyRequire),
        ] {
            assert_eq!(recognised(line), id, "{line}");
        }
    }

    #[test]
    fn other_names_are_not_mistaken() {
        for line in [
            "Viaduct: x",
            "Vi: x",
            "V",
            "Via",
            "Timestamp: 1",
            "Call-Info: x",
            "Contact: x",
            "c: x",
            "Record-Route: <sip:a>",
            "r: x",
            "m: x",
            "Content-Type: x",
            "Content-Lengthy: 1",
            ": x",
            "Call\rid: x",
            "P: x",
            "",
        ] {
            assert_eq!(recognised(line), HeaderId::Other, "{line}");
        }
    }
}
