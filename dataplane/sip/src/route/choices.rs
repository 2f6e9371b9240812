//! What a worker remembers of its choices, where no hash can tell them again.
//!
//! ```text
//!   call hash ⊕ CSeq ──► bucket ─► [ key | member, second ] [ · ] [ · ] … 8
//!                                    newest ──────────────────────► oldest, falls out
//! ```
//!
//! A table of fixed size, made once at start: nothing in it grows or is freed, and a choice costs
//! one bucket, which is two cache lines. A request that is not found is left to the hash.

use alloc::boxed::Box;
use alloc::vec;
use core::net::SocketAddr;

use super::dispatch::{Candidate, seed};
use super::loads::{Loads, MemberLoad};
use super::tables::Tables;

use crate::limits::{
    CAPACITIES_MAX, CHOICES_MAX, SETS_MAX, TRANSACTION_SECONDS_MAX as LIFE_SECONDS,
};
use crate::message::Response;
use crate::rewrite::told::told;

/// Entries of a bucket: enough that none is lost before the table is half full.
const WAYS: usize = 8;

/// How far ahead of its rate a member may be asked, in microseconds: bursts of a tenth of a second.
const BURST_US: u64 = 100_000;

/// What one worker remembers: choices of transactions, turns of round robin, use of capacities, what members say of
/// their load.
#[derive(Debug)]
pub struct Choices {
    now_ms: u64,
    share: Share,
    /// Key and value of each entry; a key is never 0 where there is a choice.
    buckets: Box<[[[u64; 2]; WAYS]]>,
    turns: Box<[u32]>,
    /// When the capacity of each slot is free again, in microseconds.
    free_at_us: Box<[u64]>,
    loads: Loads,
}

/// Which worker of how many this is: each gets its share of a member's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// How many workers there are, at least 1.
    pub workers: u16,
}

impl Default for Share {
    /// One worker, which has all.
    fn default() -> Self {
        Self { workers: 1 }
    }
}

/// Requests per second of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capacity {
    /// All workers together; 0 is without limit.
    pub(super) per_second: u32,
    /// Where its use is counted.
    pub(super) slot: u16,
}

impl Default for Choices {
    fn default() -> Self {
        Self::new(Share::default())
    }
}

impl Choices {
    /// A memory of [`CHOICES_MAX`] choices for one of these workers. Its pages come from the system
    /// when they are first used.
    pub fn new(share: Share) -> Self {
        Self::with_room(share, CHOICES_MAX)
    }

    /// The same for this many choices.
    pub fn with_room(share: Share, choices: usize) -> Self {
        Self {
            now_ms: 0,
            share,
            buckets: vec![[[0; 2]; WAYS]; choices.div_ceil(WAYS)].into(),
            turns: vec![0; SETS_MAX].into(),
            free_at_us: vec![0; CAPACITIES_MAX].into(),
            loads: Loads::default(),
        }
    }

    /// Says what time it is, in milliseconds of any clock that all workers and
    /// [`Tables::with_member_states`](crate::Tables::with_member_states) share. Once a burst is
    /// enough, and only with tables that [keep time](crate::Tables::keeps_time).
    pub fn set_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// The time that was said last.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// What was chosen under this key within the life of a transaction.
    pub(super) fn find(&self, key: u64) -> Option<u32> {
        let (key, bucket) = self.place(key);
        let [_, value] = self.buckets.get(bucket)?.iter().find(|entry| entry[0] == key)?;
        let (chosen, at) = ((value >> 32) as u32, *value & 0xffff_ffff);
        (self.now_seconds().wrapping_sub(at) & 0xffff_ffff <= LIFE_SECONDS).then_some(chosen)
    }

    /// Remembers a choice; the oldest of its bucket is forgotten.
    pub(super) fn record(&mut self, key: u64, chosen: u32) {
        let (key, bucket) = self.place(key);
        let value = u64::from(chosen) << 32 | self.now_seconds() & 0xffff_ffff;
        let Some(bucket) = self.buckets.get_mut(bucket) else { return };
        let at = bucket.iter().position(|entry| entry[0] == key).unwrap_or(WAYS - 1);
        bucket[..=at].rotate_right(1);
        bucket[0] = [key, value];
    }

    /// Counts the turns of a set.
    pub(super) fn turn(&mut self, set: u16) -> usize {
        let Some(turn) = self.turns.get_mut(usize::from(set)) else { return 0 };
        *turn = turn.wrapping_add(1);
        *turn as usize
    }

    /// Whether this worker may give the member another request now.
    pub(super) fn has_room(&self, capacity: Capacity) -> bool {
        let free_at = self.free_at_us.get(usize::from(capacity.slot)).copied().unwrap_or(0);
        capacity.per_second == 0 || free_at <= self.now_ms * 1000 + BURST_US
    }

    /// Gives the member another request, when there is room for it (the generic cell rate algorithm
    /// of ITU-T I.371).
    pub(super) fn take(&mut self, capacity: Capacity) -> bool {
        if capacity.per_second == 0 {
            return true;
        }
        let is_free = self.has_room(capacity);
        let now_us = self.now_ms * 1000;
        let interval = u64::from(self.share.workers) * 1_000_000 / u64::from(capacity.per_second);
        if is_free && let Some(free_at) = self.free_at_us.get_mut(usize::from(capacity.slot)) {
            *free_at = now_us.max(*free_at) + interval;
        }
        is_free
    }

    /// Takes note of what a response to a request of ours says of the load of the member at `source`, when it comes from
    /// one that was asked (RFC 7339 section 5.4). Its branch must have been proved.
    #[inline]
    pub fn hear(&mut self, response: &Response<'_>, source: SocketAddr, tables: &Tables) {
        if tables.asks_members()
            && let Some(told) = told(response)
            && let Some(place) = tables.load_place(source)
        {
            self.loads.hear(place, source, told, self.now_ms);
        }
    }

    /// Whether a request of the call with this hash is among those that a member does not want now.
    #[cold]
    pub fn holds_back(&self, member: SocketAddr, call: u64, tables: &Tables) -> bool {
        let place = tables.load_place(member);
        place.is_some_and(|place| self.loads.holds_back(place, seed(member), call, self.now_ms))
    }

    /// Whether requests may be on their way that a member did not want.
    pub(super) fn has_strays(&self) -> bool {
        self.loads.has_strays(self.now_ms)
    }

    /// Whether a member wants fewer requests now.
    pub(super) fn is_reduced(&self, member: &Candidate) -> bool {
        self.loads.is_reduced(member.load, member.seed(), self.now_ms)
    }

    /// Whether a transaction is among those that a member does not want now.
    pub(super) fn keeps_from(&self, member: &Candidate, transaction: u64) -> bool {
        self.loads.holds_back(member.load, member.seed(), transaction, self.now_ms)
    }

    /// A request was kept back from a member, and given to another or refused.
    pub(super) fn count_kept(&mut self, member: &Candidate, is_diverted: bool) {
        self.loads.count(member.load, is_diverted, self.now_ms);
    }

    /// There are other tables from now on.
    pub fn note_tables(&mut self) {
        self.loads.note_places();
    }

    /// Whether a member has said anything, or a request was kept back, since the last call; or tables have changed.
    pub fn take_load_news(&mut self) -> bool {
        self.loads.take_news()
    }

    /// What is kept back from a member that is asked, by its place of [`Tables::asked_members`].
    pub fn member_load(&self, place: u16, member: SocketAddr) -> MemberLoad {
        self.loads.load(place, member)
    }

    fn now_seconds(&self) -> u64 {
        self.now_ms / 1000
    }

    /// The key as it is stored, and its bucket.
    #[expect(clippy::cast_possible_truncation, reason = "below CHOICES_MAX")]
    fn place(&self, key: u64) -> (u64, usize) {
        let bucket = (u128::from(key) * (self.buckets.len() as u128)) >> 64;
        (key | 1, bucket as usize)
    }
}

/// The key of a transaction: what its INVITE, ACK and CANCEL share.
pub(super) fn transaction(call: u64, cseq: u32) -> u64 {
    call ^ u64::from(cseq).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    fn key(n: u32) -> u64 {
        u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn remembers_the_newest_and_no_more_than_there_is_room_for() {
        let mut choices = Choices::default();
        choices.set_time(1_000);
        let many = u32::try_from(2 * CHOICES_MAX).unwrap();
        for n in 0..many {
            choices.record(key(n), n);
        }
        let found: Vec<_> = (0..many).filter(|&n| choices.find(key(n)).is_some()).collect();
        assert!(found.len() <= CHOICES_MAX && found.len() > CHOICES_MAX * 9 / 10);
        assert!(found.iter().all(|&n| choices.find(key(n)) == Some(n)));
        let newest = (many - 1000..many).filter(|&n| choices.find(key(n)).is_some()).count();
        assert_eq!(newest, 1000);
    }

    #[test]
    fn a_choice_is_replaced_and_ends_with_its_transaction() {
        let mut choices = Choices::default();
        choices.set_time(5_000);
        choices.record(7, 1);
        choices.record(7, 2);
        assert_eq!(choices.find(7), Some(2));
        choices.set_time(5_000 + LIFE_SECONDS * 1000);
        assert_eq!(choices.find(7), Some(2));
        choices.set_time(6_000 + LIFE_SECONDS * 1000);
        assert_eq!(choices.find(7), None);
    }

    #[test]
    fn each_worker_has_its_share_of_a_capacity() {
        let capacity = Capacity { per_second: 1000, slot: 3 };
        for workers in [1, 4] {
            let mut choices = Choices::new(Share { workers });
            let mut taken = 0;
            for now_ms in 60_000..70_000 {
                choices.set_time(now_ms);
                taken += (0..5).filter(|_| choices.take(capacity)).count();
            }
            let share = 10_000 / usize::from(workers);
            assert!(taken.abs_diff(share) <= share / 50, "{taken} of {share}");
        }
    }
}
