//! The line scan in wide registers against a walk byte by byte.

use sip_core::ParseErrorKind::{self, LineBreak, NoEndOfHeaders};
use sip_core::fuzzing::{LogicalLines, logical_lines};

/// Checks the property for one datagram, at every place that it can have in a block: the scan looks
/// at whole blocks, and what it reads behind the end must not matter.
pub fn check(datagram: &[u8]) {
    for shift in [0, 1, 31, 63] {
        let begin = shift.min(datagram.len());
        let bytes = &datagram[begin..];
        let expected = reference(bytes);
        let is_same = |found: &LogicalLines| match (found, &expected) {
            // Whether a CR is alone that ends the datagram depends on what would come next.
            (Err(LineBreak | NoEndOfHeaders), Err(_)) if bytes.last() == Some(&b'\r') => true,
            _ => *found == expected,
        };
        let found = logical_lines(bytes);
        assert!(
            found.iter().all(is_same),
            "{:?}: found {found:?}, expected {expected:?}",
            super::text(bytes)
        );
    }
}

/// RFC 3261 sections 7.3.1 and 25.1, one byte after the other.
fn reference(bytes: &[u8]) -> Result<Vec<(usize, usize)>, ParseErrorKind> {
    let mut lines = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'\r', Some(b'\n')) if at == start => return Ok(lines),
            (b'\r', Some(b'\n')) => {
                if !matches!(bytes.get(at + 2), Some(b' ' | b'\t')) {
                    lines.push((start, at));
                    start = at + 2;
                }
                at += 2;
            }
            (b'\r' | b'\n', _) => return Err(LineBreak),
            _ => at += 1,
        }
    }
    Err(NoEndOfHeaders)
}
