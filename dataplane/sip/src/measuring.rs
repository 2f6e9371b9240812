//! What the bench needs to see of the inside; not an interface.

use crate::transaction::{Tick, Wheel};

/// The timer wheel of a worker.
#[derive(Debug)]
pub struct Timers(Wheel);

impl Timers {
    /// Timers for entries `0..capacity`.
    pub fn new(capacity: u32) -> Self {
        Self(Wheel::new(capacity, Tick::of_ms(0)))
    }

    /// Arms the timer of an entry.
    #[inline]
    pub fn arm(&mut self, entry: u32, due_ms: u64) {
        self.0.arm(entry, Tick::of_ms(due_ms));
    }

    /// An entry that is due.
    #[inline]
    pub fn next(&mut self, now_ms: u64, budget: &mut u32) -> Option<u32> {
        self.0.next(Tick::of_ms(now_ms), budget)
    }
}
