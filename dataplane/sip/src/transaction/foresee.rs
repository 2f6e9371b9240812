//! Looking ahead: what the messages of a burst will need is asked for before the first of them is taken,
//! so that memory brings it side by side. With a million transactions nothing of one is near.

use smallvec::SmallVec;

use super::layer::Transactions;
use super::place::BranchId;
use crate::parse::scan;
use crate::rewrite::branch;
use crate::route::tables::Tables;
use crate::settings::ListenId;

/// How far into a message its Via is looked for.
const LOOK_MAX: usize = 1024;

/// Messages that are looked at before the first of them is taken: those of a burst.
const AHEAD_MAX: usize = 32;

/// The keys of the requests of a burst.
pub(super) type Ahead = SmallVec<[u64; AHEAD_MAX]>;

impl Transactions {
    /// Asks with `fetch`, which is told addresses, for what `message`, which came in by `arrived_at`, is
    /// likely to need: a response for its record, a request for its place in the index. It has an effect on time
    /// alone, so it only looks at Vias in their usual form and place: in the second line.
    #[inline]
    pub fn foresee(
        &mut self,
        message: &[u8],
        arrived_at: ListenId,
        tables: &Tables,
        fetch: impl Fn(*const u8),
    ) {
        let Some((sent_by, branch)) = usual_via(message) else { return };
        if message.starts_with(b"SIP/2.0 ") {
            if let Some((place, _)) = branch::read_place(branch) {
                self.table.fetch(BranchId::unpack(place).1.slot, fetch);
            }
        } else if self.ahead.len() < AHEAD_MAX {
            let key = tables.keys.unique_branch(branch, sent_by, arrived_at);
            self.table.fetch_index(key, fetch);
            self.ahead.push(key);
        }
    }

    /// Asks for the records of the requests of a burst, whose places in the index have come meanwhile. Nothing
    /// in between waits for anything, so that memory has as many wishes at a time as it can work on.
    #[inline]
    pub fn look_ahead(&mut self, fetch: impl Fn(*const u8)) {
        for &key in &self.ahead {
            self.table.fetch(self.table.look_up(key), &fetch);
        }
        self.ahead.clear();
    }
}

/// Sent-by and branch of `Via: SIP/2.0/UDP sent-by;branch=...` in the second line.
#[inline]
fn usual_via(message: &[u8]) -> Option<(&[u8], &[u8])> {
    // Without the rest nothing stops behind `end`.
    let end = message.len().min(LOOK_MAX);
    let message = message.get(..end)?;
    // Stops at blanks, too.
    let mut stop = scan::find_stop(message, 0, end, [b'\n']);
    while *message.get(stop)? != b'\n' {
        stop = scan::find_stop(message, stop + 1, end, [b'\n']);
    }
    let value = message.get(stop + 1..end)?.strip_prefix(b"Via: SIP/2.0/UDP ")?;
    let start = end - value.len();
    let sent_by_end = scan::find_stop(message, start, end, [b';']);
    let branch = message.get(sent_by_end..end)?.strip_prefix(b";branch=")?;
    let branch_start = end - branch.len();
    let branch_end = scan::find_stop(message, branch_start, end, [b';', b',', b'\r']);
    Some((message.get(start..sent_by_end)?, message.get(branch_start..branch_end)?))
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::{LOOK_MAX, usual_via};

    #[test]
    fn the_usual_via_is_found_and_no_other() {
        let via = |rest: &str| format!("BYE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP {rest}");
        let found = via("10.0.0.1:5060;branch=z9hG4bK1;rport\r\nTo: b");
        assert_eq!(usual_via(found.as_bytes()), Some((&b"10.0.0.1:5060"[..], &b"z9hG4bK1"[..])));
        let found = via("h;branch=z9hG4bK1\r\n");
        assert_eq!(usual_via(found.as_bytes()), Some((&b"h"[..], &b"z9hG4bK1"[..])));
        let endless = "x ".repeat(LOOK_MAX);
        let others = [
            via("h;rport;branch=z9hG4bK1\r\n"),
            via(""),
            "x".into(),
            endless,
            via(&"h".repeat(LOOK_MAX)),
        ];
        for other in others.into_iter().chain([String::new()]) {
            assert_eq!(usual_via(other.as_bytes()), None, "{other}");
        }
    }
}
