//! Header lines: which of the headers that we need is it, and where is its value.

use super::error::{ParseError, ParseErrorKind};
use super::scan::{self, Head, Line, Lines};
use crate::limits::{HEADERS_MAX, ROUTES_MAX, VIAS_MAX};
use crate::message::{Headers, Place, Span};

/// The headers that a stateless proxy looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the headers")]
#[repr(u8)]
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

impl HeaderId {
    /// How many headers we look into.
    pub(crate) const KNOWN: usize = Self::Other as usize;
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
    lines: Lines<'a>,
}

impl<'a> HeaderLines<'a> {
    /// The lines of `bytes` from position `at`, which is the start of one.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, lines: Lines::new(bytes, at) }
    }

    /// The lines that are left of `lines`, which walks over `bytes`.
    #[inline]
    pub(crate) fn behind(bytes: &'a [u8], lines: Lines<'a>) -> Self {
        Self { bytes, lines }
    }

    /// Where the next line starts; behind the empty line once `next_line` has returned `None`.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.lines.at()
    }

    /// The next line, `None` at the empty line.
    #[inline]
    pub(crate) fn next_line(&mut self) -> Result<Option<HeaderLine>, ParseError> {
        let Some(line) = self.next_unread()? else { return Ok(None) };
        let (id, value) = recognise(self.bytes, line);
        Ok(Some(HeaderLine { id, line: Span::new(line.start, line.next), value }))
    }

    /// The next line without a look at its name, `None` at the empty line.
    #[inline(always)]
    fn next_unread(&mut self) -> Result<Option<Line>, ParseError> {
        match self.lines.next_line() {
            Ok(line) if line.end == line.start => Ok(None),
            Ok(line) => Ok(Some(line)),
            Err((kind, at)) => Err(ParseError::new(kind, at)),
        }
    }

    /// Reads all lines up to the empty one, takes note of those we need and returns how many there
    /// were.
    #[inline(always)]
    pub(crate) fn read(&mut self, headers: &mut Headers) -> Result<usize, ParseError> {
        let mut count = 0;
        while let Some(line) = self.next_unread()? {
            count += 1;
            if count > HEADERS_MAX {
                return Err(ParseError::new(ParseErrorKind::TooManyHeaders, line.start));
            }
            let (id, value) = recognise(self.bytes, line);
            if id != HeaderId::Other {
                headers.note(HeaderLine { id, line: Span::new(line.start, line.next), value })?;
            }
        }
        Ok(count)
    }
}

/// Tells the header by its first letter and compares the names that begin so, full and compact
/// (RFC 3261 section 20). Gives the value too, of those that we need.
#[inline(always)]
fn recognise(bytes: &[u8], line: Line) -> (HeaderId, Span) {
    macro_rules! try_names {
        ($($text:literal => $id:ident),+) => {{
            $(
                if const { Name::new($text) }.begins(line.head)
                    && let Some(value) = value(bytes, line, $text.len())
                {
                    return (HeaderId::$id, value);
                }
            )+
        }};
    }
    match line.head.first() | 0x20 {
        b'v' => try_names!(b"via" => Via, b"v" => Via),
        b'f' => try_names!(b"from" => From, b"f" => From),
        b't' => try_names!(b"to" => To, b"t" => To),
        b'i' => try_names!(b"i" => CallId),
        b'c' => {
            try_names!(b"cseq" => CSeq, b"call-id" => CallId, b"content-length" => ContentLength);
        }
        b'm' => try_names!(b"max-forwards" => MaxForwards),
        b'r' => try_names!(b"route" => Route),
        b'l' => try_names!(b"l" => ContentLength),
        b'p' => try_names!(b"proxy-require" => ProxyRequire),
        _ => {}
    }
    (HeaderId::Other, Span::default())
}

/// The value of `line`, whose name is as long as `name`, without white space around it; `None` when
/// no colon follows and so the name is longer.
#[inline(always)]
fn value(bytes: &[u8], line: Line, name: usize) -> Option<Span> {
    let colon = line.start + name;
    let start = match bytes.get(colon..colon + 3) {
        Some([b':', b' ', byte]) if *byte > b' ' => colon + 2,
        _ => value_start(bytes, colon, line.end)?,
    };
    let end = match bytes.get(line.end - 1) {
        Some(byte) if *byte > b' ' => line.end,
        _ => scan::trim_end(bytes, start, line.end),
    };
    Some(Span::new(start, end))
}

/// `HCOLON = *( SP / HTAB ) ":" SWS`: the position behind it.
fn value_start(bytes: &[u8], mut at: usize, end: usize) -> Option<usize> {
    while at < end {
        match bytes.get(at)? {
            b':' => return Some(scan::skip_lws(bytes, at + 1, end)),
            b' ' | b'\t' => at += 1,
            _ => return None,
        }
    }
    None
}

/// A header name of at most 16 bytes, as the words that a line must begin with: its first bytes and,
/// if there are more than eight, its last eight.
#[derive(Clone, Copy)]
struct Name {
    first: Word,
    last: Word,
    length: usize,
}

/// Up to eight bytes to compare with in any case.
#[derive(Clone, Copy)]
struct Word {
    value: u64,
    /// 0x20 where a letter is: the bit that makes it a small one.
    small: u64,
    /// 0xff where a byte counts.
    counts: u64,
}

impl Name {
    /// `text` is in lower case.
    const fn new(text: &[u8]) -> Self {
        let length = text.len();
        let tail = length.saturating_sub(8);
        Self { first: Word::new(text, 0), last: Word::new(text, tail), length }
    }

    /// Whether the line begins with the name.
    #[inline(always)]
    fn begins(self, head: Head) -> bool {
        self.first.is(head.word(0))
            && (self.length <= 8 || self.last.is(head.word(self.length - 8)))
    }
}

impl Word {
    const fn new(text: &[u8], from: usize) -> Self {
        let mut word = Self { value: 0, small: 0, counts: 0 };
        let mut i = 0;
        while i < 8 && from + i < text.len() {
            let byte = text[from + i];
            word.value |= (byte as u64) << (8 * i);
            word.counts |= 0xff << (8 * i);
            if byte.is_ascii_alphabetic() {
                word.small |= 0x20 << (8 * i);
            }
            i += 1;
        }
        word
    }

    #[inline(always)]
    fn is(self, word: u64) -> bool {
        (word | self.small) & self.counts == self.value
    }
}

impl Headers {
    /// Takes note of one line, which has a value of its own place; an empty value counts as
    /// malformed, since none of these headers may be empty.
    #[inline(always)]
    pub(crate) fn note(&mut self, found: HeaderLine) -> Result<(), ParseError> {
        let slot = &mut self.first[found.id as usize];
        if !slot.value.is_empty() || found.value.is_empty() {
            return self.note_odd(found);
        }
        *slot = Place { line: found.line, value: found.value };
        Ok(())
    }

    /// A further line of a header, or an empty one.
    #[inline(never)]
    fn note_odd(&mut self, found: HeaderLine) -> Result<(), ParseError> {
        let at = found.line.start();
        if found.value.is_empty() {
            return Err(ParseError::new(ParseErrorKind::Malformed(found.id), at));
        }
        let (count, max, too_many) = match found.id {
            HeaderId::Via => {
                if self.more_vias == 0 {
                    self.second_via = found.value;
                }
                (&mut self.more_vias, VIAS_MAX, ParseErrorKind::TooManyVias)
            }
            HeaderId::Route => (&mut self.more_routes, ROUTES_MAX, ParseErrorKind::TooManyRoutes),
            HeaderId::ProxyRequire => return Ok(()),
            id => return Err(ParseError::new(ParseErrorKind::Duplicate(id), at)),
        };
        *count += 1;
        if *count >= max { Err(ParseError::new(too_many, at)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(text: &str) -> HeaderId {
        let head = Head::new(text.as_bytes(), 0);
        recognise(text.as_bytes(), Line { start: 0, end: text.len(), next: text.len(), head }).0
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
