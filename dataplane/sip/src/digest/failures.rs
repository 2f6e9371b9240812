//! How often somebody has failed lately, for a fixed number of sources and users.
//!
//! One number says it all, as in the generic cell rate algorithm (ITU-T I.371): when all failures will be
//! forgotten. Each puts that off by a part of the window; it comes nearer by itself. Whoever is not here has
//! not failed, so that in quiet times the table is only read.

use alloc::boxed::Box;
use alloc::vec;

/// Entries of a set: a cache line.
const WAYS: usize = 4;

/// Who has failed.
#[derive(Debug)]
pub(super) struct Failures {
    sets: Box<[Set]>,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set([Entry; WAYS]);

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The hash of a source or user.
    who: u64,
    /// When it will have been forgotten, in milliseconds.
    forgotten_ms: u64,
}

/// How many failures are too many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// 0 sets no limit.
    pub(super) failures: u32,
    pub(super) window_ms: u64,
    pub(super) block_ms: u64,
}

impl Failures {
    /// Room for about so many; the only allocation.
    pub(super) fn new(entries: u32) -> Self {
        Self { sets: vec![Set::default(); sets(entries)].into() }
    }

    /// Bytes of memory for so many.
    pub(super) fn memory(entries: u32) -> usize {
        sets(entries) * size_of::<Set>()
    }

    /// Whether `who`, a hash, has failed too often.
    #[inline]
    pub(super) fn is_blocked(&self, who: u64, limit: &Limit, now_ms: u64) -> bool {
        let Set(ways) = &self.sets[self.index(who)];
        let over = now_ms + limit.window_ms;
        limit.failures != 0
            && ways.iter().any(|entry| entry.who == who && entry.forgotten_ms > over)
    }

    /// Takes note of a failure. When it was the last one that is allowed, the block begins.
    pub(super) fn note(&mut self, who: u64, limit: &Limit, now_ms: u64) {
        if limit.failures == 0 {
            return;
        }
        let index = self.index(who);
        let Set(ways) = &mut self.sets[index];
        let at = ways
            .iter()
            .position(|entry| entry.who == who)
            .or_else(|| (0..WAYS).min_by_key(|&at| ways[at].forgotten_ms));
        let Some(entry) = at.and_then(|at| ways.get_mut(at)) else { return };
        if entry.who != who {
            *entry = Entry { who, forgotten_ms: 0 };
        }
        let step = limit.window_ms.div_ceil(limit.failures.into());
        entry.forgotten_ms = entry.forgotten_ms.max(now_ms) + step;
        if entry.forgotten_ms >= now_ms + limit.window_ms {
            entry.forgotten_ms = now_ms + limit.window_ms + limit.block_ms;
        }
    }

    fn index(&self, who: u64) -> usize {
        (who >> 32) as usize & (self.sets.len() - 1)
    }
}

/// A power of two.
fn sets(entries: u32) -> usize {
    (entries as usize).div_ceil(WAYS).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    const LIMIT: Limit = Limit { failures: 3, window_ms: 60_000, block_ms: 10_000 };

    /// Blocked after so many failures at once.
    fn failed(times: u32) -> Failures {
        let mut failures = Failures::new(64);
        for _ in 0..times {
            failures.note(7, &LIMIT, 1_000);
        }
        failures
    }

    #[test]
    fn the_last_that_is_allowed_blocks_for_a_time() {
        assert!(!failed(2).is_blocked(7, &LIMIT, 1_000));
        let mut failures = failed(3);
        assert!(failures.is_blocked(7, &LIMIT, 1_000));
        assert!(failures.is_blocked(7, &LIMIT, 10_999));
        assert!(!failures.is_blocked(8, &LIMIT, 1_000));
        assert!(!failures.is_blocked(7, &LIMIT, 11_000));
        failures.note(7, &LIMIT, 11_000);
        assert!(failures.is_blocked(7, &LIMIT, 11_001), "it has not been forgotten yet");
        assert!(!failures.is_blocked(7, &Limit { failures: 0, ..LIMIT }, 11_001));
    }

    #[test]
    fn failures_are_forgotten() {
        let mut failures = Failures::new(64);
        for minute in 0..100 {
            failures.note(7, &LIMIT, minute * 20_000);
            assert!(!failures.is_blocked(7, &LIMIT, minute * 20_000), "{minute}");
        }
    }

    #[test]
    fn those_soonest_forgotten_make_room() {
        let mut failures = Failures::new(4);
        for _ in 0..3 {
            failures.note(7, &LIMIT, 0);
        }
        for who in 10..1_000 {
            failures.note(who, &LIMIT, 1);
        }
        assert!(failures.is_blocked(7, &LIMIT, 1), "a flood of others does not set it free");
    }
}
