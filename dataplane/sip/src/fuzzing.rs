//! What the fuzz targets need to see of the inside; not an interface.

use alloc::vec::Vec;

use crate::parse::error::ParseErrorKind;
use crate::parse::lines::Lines;
use crate::parse::registers::{Compiled, Registers, Work, with_widest};

/// Start and end of each logical line up to the empty one, or why they stop.
pub type LogicalLines = Result<Vec<(usize, usize)>, ParseErrorKind>;

/// The logical lines from the start of `bytes`, as the line scan finds them with the registers that
/// the build is for, and with the widest of this CPU.
pub fn logical_lines(bytes: &[u8]) -> [LogicalLines; 2] {
    [Walk(bytes).run(Compiled), with_widest(Walk(bytes))]
}

struct Walk<'a>(&'a [u8]);

impl Work for Walk<'_> {
    type Output = LogicalLines;

    #[inline(always)]
    fn run<R: Registers>(self, registers: R) -> LogicalLines {
        let mut lines = Lines::new(registers, self.0, 0);
        let mut found = Vec::new();
        loop {
            let line = lines.next_line();
            lines.fault().map_err(|error| error.kind)?;
            if line.is_empty() {
                return Ok(found);
            }
            found.push((line.start as usize, line.end as usize));
        }
    }
}
