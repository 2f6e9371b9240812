//! Finding line ends.

use super::error::{ParseError, ParseErrorKind};
use super::registers::{BLOCK, Registers};
use super::scan::chunk;
use crate::message::Span;

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
            let is_more = |&byte: &u8| byte <= b' ' && end != start && matches!(byte, b' ' | b'\t');
            if self.bytes.get(next as usize).is_some_and(is_more) {
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

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;
    use crate::fuzzing::logical_lines;

    /// The lines up to the empty one, or what is wrong.
    fn lines(text: &str) -> Result<Vec<&str>, ParseErrorKind> {
        let [compiled, widest] = logical_lines(text.as_bytes());
        assert_eq!(compiled, widest);
        Ok(compiled?.into_iter().map(|(start, end)| &text[start..end]).collect())
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
}
