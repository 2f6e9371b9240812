//! Header lines: which of the headers that we need is it, and where is its value.

use super::error::{ParseError, ParseErrorKind};
use super::scan::{self, Line, Lines};
use crate::limits::{HEADERS_MAX, ROUTES_MAX, VIAS_MAX};
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
        let other = HeaderLine { id: HeaderId::Other, line: span(line), value: Span::default() };
        let known = |id, value| Ok(HeaderLine { id, line: span(line), value });
        recognise(self.bytes, line, known).unwrap_or(Ok(other)).map(Some)
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
            let note = |id, value| headers.note(HeaderLine { id, line: span(line), value });
            if let Some(noted) = recognise(self.bytes, line, note) {
                noted?;
            }
        }
        Ok(count)
    }
}

#[inline(always)]
fn span(line: Line) -> Span {
    Span::new(line.start, line.next)
}

/// Tells the header by its first letter and compares the names that begin so, full and compact
/// (RFC 3261 section 20). Hands id and value of a header that we need to `act`, which is compiled
/// into each of the cases: so there is one jump for each line, not two.
#[inline(always)]
fn recognise<T>(
    bytes: &[u8],
    line: Line,
    mut act: impl FnMut(HeaderId, Span) -> Result<T, ParseError>,
) -> Option<Result<T, ParseError>> {
    let head = Head::new(bytes, line.start);
    macro_rules! try_names {
        ($($text:literal => $id:ident),+) => {{
            $(
                if const { Name::new($text) }.begins(&head)
                    && let Some(value) = value(bytes, line, $text.len())
                {
                    return Some(act(HeaderId::$id, value));
                }
            )+
            None
        }};
    }
    match head.first & 0xff | 0x20 {
        0x76 => try_names!(b"via" => Via, b"v" => Via),
        0x66 => try_names!(b"from" => From, b"f" => From),
        0x74 => try_names!(b"to" => To, b"t" => To),
        0x69 => try_names!(b"i" => CallId),
        0x63 => {
            try_names!(b"cseq" => CSeq, b"call-id" => CallId, b"content-length" => ContentLength)
        }
        0x6d => try_names!(b"max-forwards" => MaxForwards),
        0x72 => try_names!(b"route" => Route),
        0x6c => try_names!(b"l" => ContentLength),
        0x70 => try_names!(b"proxy-require" => ProxyRequire),
        _ => None,
    }
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

/// The first 16 bytes of a line, zeros behind the end of the message.
struct Head {
    first: u64,
    bytes: [u8; 16],
}

impl Head {
    #[inline(always)]
    fn new(bytes: &[u8], start: usize) -> Self {
        let rest = bytes.get(start..).unwrap_or_default();
        let bytes = rest.first_chunk::<16>().copied().unwrap_or_else(|| last_head(rest));
        Self { first: word(&bytes, 0), bytes }
    }
}

#[cold]
fn last_head(rest: &[u8]) -> [u8; 16] {
    let mut head = [0; 16];
    for (to, from) in head.iter_mut().zip(rest) {
        *to = *from;
    }
    head
}

/// The eight bytes at `at`, which is at most 8.
#[inline(always)]
fn word(head: &[u8; 16], at: usize) -> u64 {
    head.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
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
    fn begins(self, head: &Head) -> bool {
        self.first.is(head.first)
            && (self.length <= 8 || self.last.is(word(&head.bytes, self.length - 8)))
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
    /// Takes note of one line; complains about a second one where one may stand.
    #[inline(always)]
    pub(crate) fn note(&mut self, found: HeaderLine) -> Result<(), ParseError> {
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
#[inline(always)]
fn once(slot: &mut Span, id: HeaderId, value: Span) -> Result<(), ParseError> {
    if !slot.is_empty() || value.is_empty() {
        let kind =
            if value.is_empty() { ParseErrorKind::Malformed } else { ParseErrorKind::Duplicate };
        return Err(ParseError::new(kind(id), value.start()));
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

    fn recognised(text: &str) -> HeaderId {
        let line = Line { start: 0, end: text.len(), next: text.len() };
        let id = recognise(text.as_bytes(), line, |id, _| Ok(id));
        id.map_or(HeaderId::Other, |id| id.unwrap())
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
