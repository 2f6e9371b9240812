//! What is due when. Each connection has at most one entry; when it fires, the connection knows whether it is
//! really due or has put that off.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// A place in the table of connections, and the number of the connection that had it then.
pub(super) type Entry = (usize, u64);

/// The times at which connections want to be looked at.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Instant, Entry)>>);

impl Timers {
    /// Looks at a connection then.
    pub(super) fn at(&mut self, due: Instant, entry: Entry) {
        self.0.push(Reverse((due, entry)));
    }

    /// When the next one is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((due, _))| *due)
    }

    /// The next connection that is due by now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Entry> {
        let Reverse((due, _)) = self.0.peek()?;
        if *due > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, entry))| entry)
    }
}
