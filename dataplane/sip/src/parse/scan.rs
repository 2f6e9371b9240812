//! Finding line ends, and the small byte classes. This file alone knows how bytes are searched.

use super::error::{ParseError, ParseErrorKind};
use super::registers::{BLOCK, Registers};
use crate::message::Span;

use wide::u8x16;

/// A logical line: header lines go on where the next one starts with white space
/// (RFC 3261 section 7.3.1). Positions are `u32`, so that adding to one needs no check.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    pub(crate) start: u32,
    /// Where its text ends.
    pub(crate) end: u32,
    /// Where the next line starts.
    pub(crate) next: u32,
}

impl Line {
    /// The line with its CRLF.
    #[inline(always)]
    pub(crate) fn span(self) -> Span {
        Span::of_u32(self.start, self.next)
    }

    /// Whether it is the empty line that ends the headers; so is what stands for a fault.
    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Walks over logical lines. CRs and LFs are found 64 bytes at a time, as bits of masks; taking the
/// next line end from a mask costs a few cycles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines<'a, R> {
    registers: R,
    bytes: &'a [u8],
    /// Where the next line starts.
    at: u32,
    /// Where the block starts that the masks describe.
    block: u32,
    /// The LFs behind a CR that have not been passed, as far as all is well.
    ends: u64,
    /// The lowest of the LFs without a CR before them, and of the places behind a CR where no LF is.
    lone: u64,
    /// 1 when the last byte of the block is a CR.
    carry: u64,
    fault: Option<ParseErrorKind>,
}

impl<'a, R: Registers> Lines<'a, R> {
    /// The lines from position `at`, which is the start of one, of a message of at most
    /// [`MESSAGE_MAX`] bytes.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "parse() refuses longer messages")]
    pub(crate) fn new(registers: R, bytes: &'a [u8], at: usize) -> Self {
        let (at, fault) = (at as u32, None);
        let mut lines = Self { registers, bytes, at, block: at, ends: 0, lone: 0, carry: 0, fault };
        lines.load();
        lines
    }

    /// Where the next line starts; with a fault, where that is.
    #[inline(always)]
    pub(crate) fn at(&self) -> usize {
        self.at as usize
    }

    /// What ended the walk before the empty line, if anything did.
    #[inline(always)]
    pub(crate) fn fault(&self) -> Result<(), ParseError> {
        match self.fault {
            None => Ok(()),
            Some(kind) => Err(ParseError::new(kind, self.at())),
        }
    }

    /// The next line, folded lines joined. What is no line counts as an empty one, and
    /// [`Self::fault`] tells.
    #[inline(always)]
    pub(crate) fn next_line(&mut self) -> Line {
        let start = self.at;
        loop {
            while self.ends == 0 {
                if self.is_last_block() {
                    return Line { start, end: start, next: start };
                }
                self.load();
            }
            let next = self.block + self.ends.trailing_zeros() + 1;
            self.ends &= self.ends - 1;
            let end = next - 2;
            // An empty line ends the headers; the body may well start with a space.
            if self.bytes.get(next as usize).is_some_and(|byte| *byte <= b' ')
                && end != start
                && matches!(self.bytes[next as usize], b' ' | b'\t')
            {
                continue;
            }
            self.at = next;
            return Line { start, end, next };
        }
    }

    /// Goes on to the next block; true when this one holds a fault or was the last.
    #[inline(always)]
    fn is_last_block(&mut self) -> bool {
        if self.lone != 0 {
            self.fault = Some(ParseErrorKind::LineBreak);
            self.at = self.block + self.lone.trailing_zeros();
            return true;
        }
        self.block += u64::BITS;
        let is_last = self.block as usize >= self.bytes.len();
        if is_last {
            self.fault = Some(ParseErrorKind::NoEndOfHeaders);
        }
        is_last
    }

    /// Makes the masks of the block at `self.block`.
    #[inline(always)]
    fn load(&mut self) {
        let (returns, feeds) = match chunk(self.bytes, self.block as usize) {
            Some(block) => self.registers.line_breaks(block),
            None => self.last_line_breaks(),
        };
        let expected = returns << 1 | self.carry;
        self.carry = returns >> 63;
        self.ends = feeds & expected;
        self.lone = feeds ^ expected;
        if self.lone != 0 {
            // Only what lies before the first fault counts.
            self.ends &= (self.lone & self.lone.wrapping_neg()) - 1;
        }
    }

    /// The same at the end of the message, which does not fill the block: of its last 64 bytes, those
    /// that are in it.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "less than a block is left")]
    fn last_line_breaks(&self) -> (u64, u64) {
        let left = self.bytes.len().saturating_sub(self.block as usize);
        let missing = u64::BITS - left as u32;
        match self.bytes.last_chunk() {
            Some(block) => {
                let (returns, feeds) = self.registers.line_breaks(block);
                (returns.unbounded_shr(missing), feeds.unbounded_shr(missing))
            }
            None => self.registers.line_breaks(&short_message(self.bytes, self.block as usize)),
        }
    }
}

/// What is left from `at` on of a message that does not fill a block, and zeros.
#[inline(never)]
fn short_message(bytes: &[u8], at: usize) -> [u8; BLOCK] {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut block = [0; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    block
}

/// `N` bytes from `at` on, which is a position in a message; cast down and up again it tells the
/// compiler that adding to it cannot overflow.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "positions in a message fit `u16`")]
pub(crate) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    let at = at as u32 as usize;
    bytes.get(at..at + N)?.first_chunk()
}

/// The eight bytes from `at` on as a word, the first lowest; zeros behind the end of the message.
#[inline(always)]
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    match chunk(bytes, at) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => last_word(bytes, at),
    }
}

/// Whether two parts of a message hold the same bytes; quick when they are short.
#[inline(always)]
pub(crate) fn is_same(bytes: &[u8], one: Span, other: Span) -> bool {
    let length = one.len();
    if length != other.len() || length.wrapping_sub(1) >= 8 {
        return one.of(bytes) == other.of(bytes);
    }
    let differ = word(bytes, one.start()) ^ word(bytes, other.start());
    differ << (64 - 8 * length) == 0
}

#[inline(never)]
fn last_word(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The first position in `at..end` of a byte up to SP or of one of `stops`; `end` if there is none.
#[inline(always)]
pub(crate) fn find_stop<const N: usize>(
    bytes: &[u8],
    mut at: usize,
    end: usize,
    stops: [u8; N],
) -> usize {
    while let Some(&sixteen) = chunk(bytes, at) {
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

/// The first position in `at..end` of a byte that is in no host name or IPv4 address; `end` if there
/// is none. The underscore is no host name byte, but it is in use.
#[inline(always)]
pub(crate) fn host_end(bytes: &[u8], mut at: usize, end: usize) -> usize {
    while let Some(&sixteen) = chunk(bytes, at) {
        let sixteen = u8x16::new(sixteen);
        let is_in = |from: u8x16, first: u8, count: u8| {
            let offset = from - u8x16::splat(first);
            offset.min(u8x16::splat(count - 1)).simd_eq(offset)
        };
        let letters = is_in(sixteen | u8x16::splat(0x20), b'a', 26);
        // "-", "." and the digits follow each other but for the slash.
        let others = is_in(sixteen, b'-', 13) & !sixteen.simd_eq(u8x16::splat(b'/'));
        let host = letters | others | sixteen.simd_eq(u8x16::splat(b'_'));
        let stop = !host.to_bitmask() & 0xffff;
        if stop != 0 {
            return end.min(at + stop.trailing_zeros() as usize);
        }
        at += 16;
        if at >= end {
            return end;
        }
    }
    let rest = bytes.get(at..end).unwrap_or_default();
    rest.iter().position(|&byte| !is_host_byte(byte)).map_or(end, |offset| at + offset)
}

/// Whether `byte` may stand in a host name or IPv4 address.
#[inline]
pub(crate) fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

/// Whether the bytes of `span` are `name`, which is in lower case, in any case.
#[inline(always)]
pub(crate) fn is_name<const N: usize>(bytes: &[u8], span: Span, name: &[u8; N]) -> bool {
    const { assert!(N > 0 && N <= 16) };
    // Of the bytes that are a letter once 0x20 is set, all are letters.
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let is_part = |at: usize, length: usize| {
        let wanted = name[at..at + length].iter().rev();
        let wanted = wanted.fold(0, |word, &byte| word << 8 | u64::from(byte));
        let found = word(bytes, span.start() + at) | SMALL;
        (found ^ wanted) << (64 - 8 * length) == 0
    };
    span.len() == N && is_part(0, N.min(8)) && (N <= 8 || is_part(N - 8, 8))
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

/// Reads the unsigned decimal that `span` holds, of at most ten digits and below 2^32; nothing else
/// may stand there.
#[inline(always)]
pub(crate) fn decimal(bytes: &[u8], span: Span) -> Option<u32> {
    let length = span.len();
    if length.wrapping_sub(1) >= 8 {
        return long_decimal(span.of(bytes));
    }
    let missing = 64 - 8 * length;
    let digits = word(bytes, span.start()) << missing ^ ZEROS << missing;
    (not_digits(digits) == 0).then(|| value_of(digits))
}

#[inline(never)]
fn long_decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = text.iter().fold(0, |value, &byte| value * 10 + u64::from(byte - b'0'));
    u32::try_from(value).ok()
}

/// Eight times the digit zero.
pub(crate) const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The highest bit of each byte that is no digit, once [`ZEROS`] are taken away.
#[inline(always)]
pub(crate) fn not_digits(digits: u64) -> u64 {
    (((digits & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080
}

/// The value of eight digits, the first in the lowest byte: pairs, then fours, then all.
#[inline(always)]
pub(crate) fn value_of(digits: u64) -> u32 {
    let pairs = digits.wrapping_mul((10 << 8) + 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul((100 << 16) + 1) >> 16 & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul((10_000 << 32) + 1) >> 32) as u32
}

/// Reads the port, 1 to 65535, that begins at `at`, and gives the position behind its digits.
#[inline(always)]
pub(crate) fn port(bytes: &[u8], at: usize, end: usize) -> Option<(u16, usize)> {
    let digits = word(bytes, at) ^ ZEROS;
    let length = (not_digits(digits).trailing_zeros() / 8) as usize;
    let length = length.min(end.saturating_sub(at));
    if length.wrapping_sub(1) >= 5 {
        return None;
    }
    let port = u16::try_from(value_of(digits << (64 - 8 * length))).ok()?;
    (port != 0).then_some((port, at + length))
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
    use crate::parse::registers::Compiled;

    /// The lines up to the empty one, or what is wrong.
    fn lines(text: &str) -> Result<Vec<&str>, ParseErrorKind> {
        let mut lines = Lines::new(Compiled, text.as_bytes(), 0);
        let mut found = Vec::new();
        loop {
            let line = lines.next_line();
            lines.fault().map_err(|error| error.kind)?;
            if line.is_empty() {
                return Ok(found);
            }
            found.push(&text[line.start as usize..line.end as usize]);
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
    fn hosts_end_at_the_first_other_byte() {
        for byte in 0..=255_u8 {
            for length in [0, 1, 15, 16, 17, 40] {
                let mut text = b"a-Z.0_9".repeat(6)[..length].to_vec();
                text.push(byte);
                let expected = length + usize::from(is_host_byte(byte));
                assert_eq!(host_end(&text, 0, text.len()), expected, "{byte} {length}");
                text.extend([b'/'; 20]);
                assert_eq!(host_end(&text, 0, text.len()), expected, "{byte} {length}");
                assert_eq!(host_end(&text, 0, length / 2), length / 2);
            }
        }
    }

    #[test]
    fn names_are_the_same_in_any_case_and_no_others() {
        let is = |text: &str| is_name(text.as_bytes(), Span::new(0, text.len()), b"transport");
        assert!(is("transport") && is("TransPORT"));
        assert!(!is("transpor") && !is("transports") && !is("transporT\0") && !is("xransport"));
        for at in 0..5 {
            for byte in 0..=255_u8 {
                let mut name = *b"maddr";
                name[at] = byte;
                let expected = name.eq_ignore_ascii_case(b"maddr");
                assert_eq!(is_name(&name, Span::new(0, 5), b"maddr"), expected, "{name:?}");
            }
        }
    }

    #[test]
    fn numbers_are_whole_and_bounded() {
        let decimal = |text: &str| decimal(text.as_bytes(), Span::new(0, text.len()));
        for number in [0_u32, 7, 42, 999, 1_000, 65_535, 12_345_678, 99_999_999, 100_000_000] {
            assert_eq!(decimal(&number.to_string()), Some(number));
            assert_eq!(decimal(&format!("00{number}")), (number < 100_000_000).then_some(number));
        }
        assert_eq!(decimal("4294967295"), Some(u32::MAX));
        assert_eq!(decimal("4294967296"), None);
        assert_eq!(decimal("00000000001"), None);
        assert_eq!(decimal(""), None);
        for byte in (0..=255_u8).filter(|byte| !byte.is_ascii_digit()) {
            assert_eq!(super::decimal(&[b'1', byte], Span::new(0, 2)), None, "{byte}");
            assert_eq!(super::decimal(&[byte, b'1', b'2'], Span::new(0, 3)), None, "{byte}");
        }
        let port = |text: &str| port(text.as_bytes(), 0, text.len());
        assert_eq!(port("5060"), Some((5060, 4)));
        assert_eq!(port("7;branch"), Some((7, 1)));
        assert_eq!(port("65535 "), Some((65_535, 5)));
        assert_eq!(super::port(b"50600", 0, 4), Some((5060, 4)));
        for text in ["0", "65536", "", "x", ";", "005060", "123456789"] {
            assert_eq!(port(text), None, "{text}");
        }
    }

    #[test]
    fn quoted_pairs_hide_quotes() {
        let text = br#""a\"b\\" <sip:x>"#;
        assert_eq!(quoted_string(text, 0, text.len()), Some(8));
        assert_eq!(quoted_string(br#""a\""#, 0, 4), None);
    }
}
