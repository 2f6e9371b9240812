//! Finding line ends, and the small byte classes. This file alone knows how bytes are searched.

use super::error::ParseErrorKind;

use wide::{u8x16, u8x32};

/// Bytes looked at in one step: a bit for each in a register.
const BLOCK: usize = 64;

/// A logical line: header lines go on where the next one starts with white space
/// (RFC 3261 section 7.3.1).
#[derive(Clone, Copy)]
pub(crate) struct Line {
    pub(crate) start: usize,
    /// Where its text ends.
    pub(crate) end: usize,
    /// Where the next line starts.
    pub(crate) next: usize,
    pub(crate) head: Head,
}

/// Walks over logical lines. CRs and LFs are found 64 bytes at a time, as bits of masks; taking the
/// next line end from a mask costs a few cycles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines<'a> {
    bytes: &'a [u8],
    /// Where the next line starts.
    at: usize,
    /// The first bytes of the next line.
    head: Head,
    /// Where the block starts that the masks describe.
    block: usize,
    /// The LFs behind a CR that have not been passed.
    ends: u64,
    /// The LFs without a CR before them, and the places behind a CR where no LF is.
    lone: u64,
    /// 1 when the last byte of the block is a CR.
    carry: u64,
}

impl<'a> Lines<'a> {
    /// The lines from position `at`, which is the start of one.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        let head = Head::new(bytes, at);
        let mut lines = Self { bytes, at, head, block: at, ends: 0, lone: 0, carry: 0 };
        lines.load();
        lines
    }

    /// Where the next line starts.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next line, folded lines joined; an error with its position.
    #[inline(always)]
    pub(crate) fn next_line(&mut self) -> Result<Line, (ParseErrorKind, usize)> {
        let (start, head) = (self.at, self.head);
        loop {
            while self.ends == 0 {
                if self.lone != 0 {
                    return Err((ParseErrorKind::LineBreak, self.block));
                }
                self.block += BLOCK;
                if self.block >= self.bytes.len() {
                    return Err((ParseErrorKind::NoEndOfHeaders, self.bytes.len()));
                }
                self.load();
            }
            let bit = self.ends.trailing_zeros();
            self.ends &= self.ends - 1;
            if self.lone != 0 && self.lone & (u64::MAX >> (63 - bit)) != 0 {
                return Err((ParseErrorKind::LineBreak, self.block));
            }
            let next = self.block + bit as usize + 1;
            let end = next - 2;
            self.head = Head::new(self.bytes, next);
            // An empty line ends the headers; the body may well start with a space.
            if matches!(self.head.first(), b' ' | b'\t') && end != start {
                continue;
            }
            self.at = next;
            return Ok(Line { start, end, next, head });
        }
    }

    /// Makes the masks of the block at `self.block`.
    #[inline(always)]
    fn load(&mut self) {
        let (returns, feeds) = masks(self.bytes, self.block);
        let expected = returns << 1 | self.carry;
        self.ends = feeds & expected;
        self.lone = feeds ^ expected;
        self.carry = returns >> 63;
    }
}

/// The CRs and LFs among the 64 bytes from `at` on; there are none behind the end.
#[inline(always)]
fn masks(bytes: &[u8], at: usize) -> (u64, u64) {
    if let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        return (mask(block, b'\r'), mask(block, b'\n'));
    }
    last_masks(bytes, at)
}

/// The same for the last block, which the message does not fill.
#[inline(never)]
fn last_masks(bytes: &[u8], at: usize) -> (u64, u64) {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut block = [0; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    (mask(&block, b'\r'), mask(&block, b'\n'))
}

/// A bit for each byte of `block` that is `byte`.
#[inline(always)]
fn mask(block: &[u8; BLOCK], byte: u8) -> u64 {
    let (halves, _) = block.as_chunks::<32>();
    halves.iter().rev().fold(0, |mask, &half| {
        let equal = u8x32::new(half).simd_eq(u8x32::splat(byte));
        mask << 32 | u64::from(equal.to_bitmask())
    })
}

/// The first 16 bytes of a line, zeros behind the end of the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head(u64, u64);

impl Head {
    #[inline(always)]
    pub(crate) fn new(bytes: &[u8], at: usize) -> Self {
        match bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
            Some(head) => Self::of(*head),
            None => Self::last(bytes, at),
        }
    }

    #[inline(never)]
    fn last(bytes: &[u8], at: usize) -> Self {
        let mut head = [0; 16];
        for (to, from) in head.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
            *to = *from;
        }
        Self::of(head)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
    fn of(head: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(head);
        Self(both as u64, (both >> 64) as u64)
    }

    /// The first byte.
    #[inline(always)]
    pub(crate) fn first(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// Eight bytes from `at` on, which is at most 8.
    #[inline(always)]
    pub(crate) fn word(self, at: usize) -> u64 {
        match at {
            0 => self.0,
            8 => self.1,
            _ => self.0 >> (8 * at) | self.1 << (64 - 8 * at),
        }
    }
}

/// The first position in `at..end` of a byte up to SP or of one of `stops`; `end` if there is none.
#[inline(always)]
pub(crate) fn find_stop<const N: usize>(
    bytes: &[u8],
    mut at: usize,
    end: usize,
    stops: [u8; N],
) -> usize {
    while let Some(&sixteen) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let sixteen = u8x16::new(sixteen);
        let mut found = sixteen.min(u8x16::splat(b' ')).simd_eq(sixteen);
        for stop in stops {
            found |= sixteen.simd_eq(u8x16::splat(stop));
        }
        let found = found.to_bitmask();
        if found != 0 {
            return end.min(at + found.trailing_zeros() as usize);
        }
        at += 16;
        if at >= end {
            return end;
        }
    }
    let is_stop = |byte: &u8| *byte <= b' ' || stops.contains(byte);
    let rest = bytes.get(at..end).unwrap_or_default();
    rest.iter().position(is_stop).map_or(end, |offset| at + offset)
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

static TOKEN: [bool; 256] = table(b"-.!%*_+`'~");

/// A table that holds letters, digits and the bytes of `others`.
pub(crate) const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    let mut i = 0;
    while i < others.len() {
        table[others[i] as usize] = true;
        i += 1;
    }
    table
}

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
    use std::prelude::v1::*;

    use super::*;

    /// The lines up to the empty one, or what is wrong.
    fn lines(text: &str) -> Result<Vec<&str>, ParseErrorKind> {
        let mut lines = Lines::new(text.as_bytes(), 0);
        let mut found = Vec::new();
        loop {
            let line = lines.next_line().map_err(|(kind, _)| kind)?;
            if line.end == line.start {
                return Ok(found);
            }
            found.push(&text[line.start..line.end]);
        }
    }

    #[test]
    fn lines_end_where_the_next_one_has_no_white_space() {
        let text = "Subject: a\r\n b\r\n\tc\r\nTo: x\r\n\r\n body";
        assert_eq!(lines(text).unwrap(), ["Subject: a\r\n b\r\n\tc", "To: x"]);
    }

    #[test]
    fn lone_line_breaks_are_refused() {
        use ParseErrorKind::{LineBreak, NoEndOfHeaders};
        for text in ["a\nb\r\n", "a\rb\r\n", "\nx", "a\r\rb\r\n", "a\n\r\n"] {
            assert_eq!(lines(text), Err(LineBreak), "{text:?}");
        }
        assert_eq!(lines("abc"), Err(NoEndOfHeaders));
        assert_eq!(lines("a\r\nb\r"), Err(LineBreak));
        assert_eq!(lines("a\r\nb\r\n"), Err(NoEndOfHeaders));
        assert_eq!(lines("a\r\n\r\n lone \n in \r the body"), Ok(vec!["a"]));
    }

    /// Every length around the block size, with the line end at every place in the block.
    #[test]
    fn blocks_meet_without_a_seam() {
        for length in 0..200 {
            for lone in ["", "\r", "\n", "\t\0\x0b"] {
                let text = format!("{}{lone}b\r\nx: y\r\n\r\n", "a".repeat(length));
                let found = lines(&text);
                match lone {
                    "\r" | "\n" => assert_eq!(found, Err(ParseErrorKind::LineBreak)),
                    _ => assert_eq!(found.unwrap(), [&text[..=length + lone.len()], "x: y"]),
                }
            }
        }
    }

    #[test]
    fn stops_are_found_at_every_distance() {
        for length in 0..50 {
            for after in ["", ";", " ", "\0", ";tail of some length"] {
                let text = format!("{}{after}", "x".repeat(length));
                assert_eq!(find_stop(text.as_bytes(), 0, text.len(), [b';']), length, "{text}");
                assert_eq!(find_stop(text.as_bytes(), 0, length / 2, [b';']), length / 2);
            }
        }
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
