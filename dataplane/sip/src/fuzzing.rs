//! What the fuzz targets need to see of the inside; not an interface.

use alloc::vec::Vec;

use crate::parse::error::ParseErrorKind;
use crate::parse::scan::Lines;

/// Start and end of each logical line up to the empty one, as the line scan finds them from the
/// start of `bytes`, or why it stops.
pub fn logical_lines(bytes: &[u8]) -> Result<Vec<(usize, usize)>, ParseErrorKind> {
    let mut lines = Lines::new(bytes, 0);
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
