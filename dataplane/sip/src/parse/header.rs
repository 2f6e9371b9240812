//! Header lines: which of the headers that we need is it, and where is its value.

use super::error::{ParseError, ParseErrorKind};
use super::lines::{Line, Lines};
use super::registers::{Compiled, Registers};
use super::scan;
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
pub(crate) struct HeaderLines<'a, R = Compiled> {
    bytes: &'a [u8],
    lines: Lines<'a, R>,
}

impl<'a> HeaderLines<'a> {
    /// The lines of `bytes` from position `at`, which is the start of one.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, lines: Lines::new(Compiled, bytes, at) }
    }
}

impl<'a, R: Registers> HeaderLines<'a, R> {
    /// The lines that are left of `lines`, which walks over `bytes`.
    #[inline]
    pub(crate) fn behind(bytes: &'a [u8], lines: Lines<'a, R>) -> Self {
        Self { bytes, lines }
    }

    /// Where the next line starts; behind the empty line once `next_line` has returned `None`.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.lines.at()
    }

    /// The next line, `None` at the empty line and where lines cannot be told any more.
    #[inline]
    pub(crate) fn next_line(&mut self) -> Option<HeaderLine> {
        let line = self.lines.next_line();
        if line.is_empty() {
            return None;
        }
        let name = name(self.bytes, line);
        let value = usual_value(self.bytes, line, name).or_else(|| value(self.bytes, line, name));
        let (id, value) =
            value.map_or((HeaderId::Other, Span::default()), |value| (name.id, value));
        Some(HeaderLine { id, line: line.span(), value })
    }

    /// The value of the next Call-ID line; other lines are passed as quickly as their ends are found.
    #[inline]
    pub(crate) fn next_call_id(&mut self) -> Option<Span> {
        loop {
            let line = self.lines.next_line();
            if line.is_empty() {
                return None;
            }
            let first = self.bytes.get(line.start as usize).map_or(0, u8::to_ascii_lowercase);
            if !matches!(first, b'c' | b'i') {
                continue;
            }
            let name = name(self.bytes, line);
            if name.id == HeaderId::CallId {
                let usual = usual_value(self.bytes, line, name);
                if let Some(value) = usual.or_else(|| value(self.bytes, line, name)) {
                    return Some(value);
                }
            }
        }
    }

    /// Reads all lines up to the empty one and takes note of those we need.
    #[inline(always)]
    pub(crate) fn read(&mut self, headers: &mut Headers) -> Result<(), ParseError> {
        let mut left = HEADERS_MAX;
        loop {
            let line = self.lines.next_line();
            if line.is_empty() {
                return self.lines.fault();
            }
            if left == 0 {
                return Err(ParseError::new(ParseErrorKind::TooManyHeaders, line.start as usize));
            }
            left -= 1;
            let name = name(self.bytes, line);
            if name.id == HeaderId::Other {
                continue;
            }
            match usual_value(self.bytes, line, name) {
                Some(value) if headers.is_free(name.id) => headers.put(name.id, line.span(), value),
                _ => headers.note_odd(self.bytes, line, name)?,
            }
        }
    }
}

/// The name that the line begins with, full or compact (RFC 3261 section 20), if we need it: the
/// first two letters point to the only one that it can be. It may yet go on behind that.
#[inline(always)]
fn name(bytes: &[u8], line: Line) -> &'static Name {
    let head = scan::word(bytes, line.start as usize);
    let name = &NAMES[slot(head)];
    if name.begins(bytes, line.start, head) { name } else { &Name::NONE }
}

/// The value of `line` as nearly everybody writes it: behind a colon and one space, and nothing but
/// the line end behind it.
#[inline(always)]
fn usual_value(bytes: &[u8], line: Line, name: &Name) -> Option<Span> {
    let colon = line.start + u32::from(name.length);
    match (scan::chunk(bytes, colon as usize)?, scan::chunk(bytes, line.end as usize - 1)?) {
        ([b':', b' ', first], [last]) if *first > b' ' && *last > b' ' => {
            Some(Span::of_u32(colon + 2, line.end))
        }
        _ => None,
    }
}

/// The value of `line` without white space around it; `None` when no colon follows the name and so
/// it is a longer one.
#[inline(never)]
fn value(bytes: &[u8], line: Line, name: &Name) -> Option<Span> {
    if name.id == HeaderId::Other {
        return None;
    }
    let (mut at, end) = (line.start as usize + usize::from(name.length), line.end as usize);
    // HCOLON = *( SP / HTAB ) ":" SWS
    while at < end {
        match bytes.get(at)? {
            b':' => {
                let start = scan::skip_lws(bytes, at + 1, end);
                return Some(Span::new(start, scan::trim_end(bytes, start, end)));
            }
            b' ' | b'\t' => at += 1,
            _ => return None,
        }
    }
    None
}

/// A header name of at most 16 bytes, as the words that a line must begin with: its first bytes and,
/// if there are more than eight, its last eight.
#[derive(Clone, Copy)]
#[repr(align(64))] // so that a slot is found by a shift
struct Name {
    first: Word,
    last: Word,
    length: u8,
    id: HeaderId,
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

/// What a name may be, by [`slot`]; slots without a name match nothing.
static NAMES: [Name; SLOTS] = {
    use HeaderId::{CSeq, CallId, ContentLength, From, MaxForwards, ProxyRequire, Route, To, Via};
    let full: [(&[u8], HeaderId); 9] = [
        (b"via", Via),
        (b"from", From),
        (b"to", To),
        (b"call-id", CallId),
        (b"cseq", CSeq),
        (b"max-forwards", MaxForwards),
        (b"route", Route),
        (b"content-length", ContentLength),
        (b"proxy-require", ProxyRequire),
    ];
    let compact = [(b'v', Via), (b'f', From), (b't', To), (b'i', CallId), (b'l', ContentLength)];
    let mut names = [Name::NONE; SLOTS];
    let mut i = 0;
    while i < full.len() {
        let (text, id) = full[i];
        Name::put(&mut names, [text[0], text[1]], Name::new(text, id));
        i += 1;
    }
    i = 0;
    while i < compact.len() {
        let (letter, id) = compact[i];
        let mut after = 0;
        while after < 3 {
            Name::put(&mut names, [letter, b": \t"[after]], Name::new(&[letter], id));
            after += 1;
        }
        i += 1;
    }
    names
};

const SLOTS: usize = 128;

/// The slot of a name by its first two bytes, in any case. The factor is one that keeps the names
/// apart; the compiler checks it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the first two bytes are meant")]
const fn slot(head: u64) -> usize {
    const FACTOR: u32 = 0xd8f1_6adf;
    let letters = head as u16 as u32 | 0x2020;
    (letters.wrapping_mul(FACTOR) >> 25) as usize
}

impl Name {
    /// No name.
    const NONE: Self = {
        let word = Word { value: 1, small: 0, counts: 0 };
        Self { first: word, last: word, length: 0, id: HeaderId::Other }
    };

    /// `text` is in lower case.
    #[expect(clippy::cast_possible_truncation, reason = "at most 16")]
    const fn new(text: &[u8], id: HeaderId) -> Self {
        let tail = text.len().saturating_sub(8);
        Self {
            first: Word::new(text, 0),
            last: Word::new(text, tail),
            length: text.len() as u8,
            id,
        }
    }

    /// Puts the name into the slot of names that begin with `letters`, which must be free.
    const fn put(names: &mut [Self; SLOTS], letters: [u8; 2], name: Self) {
        let slot = slot(u16::from_le_bytes(letters) as u64);
        assert!(names[slot].length == 0, "two names in one slot");
        names[slot] = name;
    }

    /// Whether the line at `start`, which begins with the word `head`, begins with the name.
    #[inline(always)]
    fn begins(&self, bytes: &[u8], start: u32, head: u64) -> bool {
        let length = u32::from(self.length);
        self.first.is(head)
            && (length <= 8 || self.last.is(scan::word(bytes, (start + length - 8) as usize)))
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
    fn is(&self, word: u64) -> bool {
        (word | self.small) & self.counts == self.value
    }
}

impl Headers {
    /// Whether no line of the header has been seen.
    #[inline(always)]
    fn is_free(&self, id: HeaderId) -> bool {
        self.first[id as usize].value == Span::default()
    }

    /// Takes note of the first line of a header.
    #[inline(always)]
    fn put(&mut self, id: HeaderId, line: Span, value: Span) {
        self.first[id as usize] = Place { line, value };
    }

    /// A line with unusual white space, or with a longer name than the one it begins with, or a
    /// further line of a header. An empty value counts as malformed, since none of these headers
    /// may be empty.
    #[inline(never)]
    fn note_odd(&mut self, bytes: &[u8], line: Line, name: &Name) -> Result<(), ParseError> {
        match value(bytes, line, name) {
            None => Ok(()),
            Some(value) => self.note(name.id, line.span(), value),
        }
    }

    /// Takes note of one line of a header that we look into.
    pub(crate) fn note(&mut self, id: HeaderId, line: Span, value: Span) -> Result<(), ParseError> {
        let at = line.start();
        if value.is_empty() {
            return Err(ParseError::new(ParseErrorKind::Malformed(id), at));
        }
        if self.is_free(id) {
            self.put(id, line, value);
            return Ok(());
        }
        let (count, max, too_many) = match id {
            HeaderId::Via => {
                if self.more_vias == 0 {
                    self.second_via = value;
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
        let end = u32::try_from(text.len()).unwrap();
        let line = Line { start: 0, end, next: end };
        let name = name(text.as_bytes(), line);
        value(text.as_bytes(), line, name).map_or(HeaderId::Other, |_| name.id)
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
