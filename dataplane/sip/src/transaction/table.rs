//! Where transactions are kept and found: slots, and an index by keyed hash.

use alloc::vec;
use alloc::vec::Vec;
use core::ptr::from_ref;

use super::index::{Index, NONE};
use super::place::{BranchId, GENERATIONS};
use super::record::{Branch, Transaction};
use crate::limits::TRANSACTIONS_MAX;

/// The slots of transactions and of their further branches.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Transaction>,
    free: u32,
    more: Vec<Branch>,
    free_more: u32,
    by_key: Index,
    by_merged: Index,
    pub(super) alive: u32,
    pub(super) more_alive: u32,
}

/// Transactions that wait for their final response are far fewer than those that live; only they can
/// be merged.
const MERGED_PART: u32 = 32;

impl Table {
    /// Room for so many transactions, at most 2^24 - 1, and further branches.
    pub(super) fn new(transactions: u32, more: u32) -> Self {
        let transactions = transactions.min(TRANSACTIONS_MAX);
        let mut slots = vec![Transaction::FREE; transactions as usize];
        for (slot, next) in slots.iter_mut().zip(1..) {
            slot.next = if next == transactions { NONE } else { next };
        }
        let mut branches = vec![Branch::FREE; more as usize];
        for (branch, next) in branches.iter_mut().zip(1..) {
            branch.next = if next == more { NONE } else { next };
        }
        Self {
            slots,
            free: if transactions == 0 { NONE } else { 0 },
            more: branches,
            free_more: if more == 0 { NONE } else { 0 },
            by_key: Index::new(transactions),
            by_merged: Index::new(transactions / MERGED_PART),
            alive: 0,
            more_alive: 0,
        }
    }

    /// Bytes for so many transactions and further branches, and for the indexes.
    pub(super) fn memory(transactions: u32, more: u32) -> [usize; 2] {
        let records = transactions as usize * size_of::<Transaction>();
        [
            records + more as usize * size_of::<Branch>(),
            Index::memory(transactions) + Index::memory(transactions / MERGED_PART),
        ]
    }

    /// Asks for the place of a key in the index.
    #[inline]
    pub(super) fn fetch_index(&self, key: u64, fetch: impl Fn(*const u8)) {
        self.by_key.fetch(key, fetch);
    }

    /// Asks for a record, which is needed soon: memory works on many such wishes at once.
    #[inline]
    pub(super) fn fetch(&self, slot: u32, fetch: impl Fn(*const u8)) {
        if let Some(record) = self.slots.get(slot as usize) {
            // Each pair of cache lines; the other line of a pair comes with it.
            fetch(from_ref(record).cast());
            fetch(from_ref(&record.source).cast());
        }
    }

    /// The same by reading it.
    #[inline]
    pub(super) fn touch(&self, slot: u32) {
        if let Some(record) = self.slots.get(slot as usize) {
            core::hint::black_box((record.key, record.source.port()));
        }
    }

    /// The slot that a key may be in, or none, as far as the index tells.
    #[inline]
    pub(super) fn look_up(&self, key: u64) -> u32 {
        self.by_key.first(key)
    }

    /// Asks for what the end of a transaction needs, beside its record.
    #[inline]
    pub(super) fn touch_index(&self, slot: u32) {
        if let Some(record) = self.slots.get(slot as usize) {
            core::hint::black_box(self.by_key.head(record.key));
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.free != NONE
    }

    /// A transaction that is alive.
    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Transaction> {
        self.slots.get(slot as usize).filter(|found| found.progress.is_alive)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Transaction> {
        self.slots.get_mut(slot as usize).filter(|found| found.progress.is_alive)
    }

    /// Whether the branch is one of a transaction that is alive, and not of an earlier one.
    #[inline]
    pub(super) fn holds(&self, id: BranchId) -> bool {
        self.get(id.slot)
            .is_some_and(|found| found.generation == id.generation && id.number < found.branches)
    }

    /// The newest transaction of this key for which `fits` holds.
    #[inline]
    pub(super) fn find(&self, key: u64, fits: impl Fn(&Transaction) -> bool) -> Option<u32> {
        let mut slot = self.by_key.first(key);
        while let Some(found) = self.slots.get(slot as usize) {
            if found.key == key && fits(found) {
                return Some(slot);
            }
            slot = found.next;
        }
        None
    }

    /// Whether a transaction without final response shares this with a request.
    #[inline]
    pub(super) fn has_merged(&self, merged: u64) -> bool {
        let mut slot = self.by_merged.first(merged);
        while let Some(found) = self.slots.get(slot as usize) {
            if found.merged == merged {
                return true;
            }
            slot = found.next_merged;
        }
        false
    }

    /// Puts a transaction into a free slot, where it is found by its keys; its branch gets its id.
    pub(super) fn insert(&mut self, new: impl FnOnce(&mut Transaction)) -> Option<u32> {
        let slot = self.free;
        let record = self.slots.get_mut(slot as usize)?;
        self.free = record.next;
        new(record);
        record.progress.is_alive = true;
        let (key, merged) = (record.key, record.merged);
        record.previous = NONE;
        record.next = self.by_key.push(key, slot);
        record.previous_merged = NONE;
        record.next_merged = if merged == 0 { NONE } else { self.by_merged.push(merged, slot) };
        let (next, next_merged) = (record.next, record.next_merged);
        if let Some(next) = self.slots.get_mut(next as usize) {
            next.previous = slot;
        }
        if let Some(next) = self.slots.get_mut(next_merged as usize) {
            next.previous_merged = slot;
        }
        self.alive += 1;
        Some(slot)
    }

    /// Frees a slot with its further branches; a later transaction in it has another generation.
    pub(super) fn remove(&mut self, slot: u32) {
        self.unmerge(slot);
        let Some(record) = self.get_mut(slot) else { return };
        record.progress.is_alive = false;
        record.generation = (record.generation + 1) % GENERATIONS;
        let more = core::mem::replace(&mut record.more, NONE);
        let (key, previous, next) = (record.key, record.previous, record.next);
        self.by_key.remove(key, previous, next);
        if let Some(one) = self.slots.get_mut(previous as usize) {
            one.next = next;
        }
        if let Some(one) = self.slots.get_mut(next as usize) {
            one.previous = previous;
        }
        let mut at = more;
        while let Some(branch) = self.more.get_mut(at as usize) {
            let next = core::mem::replace(&mut branch.next, self.free_more);
            self.free_more = at;
            self.more_alive -= 1;
            at = next;
        }
        if let Some(record) = self.slots.get_mut(slot as usize) {
            record.next = self.free;
            self.free = slot;
        }
        self.alive -= 1;
    }

    /// From now on nothing is merged with a transaction, because it has its final response.
    pub(super) fn unmerge(&mut self, slot: u32) {
        let Some(record) = self.get_mut(slot) else { return };
        let merged = core::mem::replace(&mut record.merged, 0);
        let (previous, next) = (record.previous_merged, record.next_merged);
        if merged == 0 {
            return;
        }
        self.by_merged.remove(merged, previous, next);
        if let Some(one) = self.slots.get_mut(previous as usize) {
            one.next_merged = next;
        }
        if let Some(one) = self.slots.get_mut(next as usize) {
            one.previous_merged = previous;
        }
    }

    /// A branch of a transaction.
    #[inline]
    pub(super) fn branch(&self, slot: u32, number: u8) -> Option<&Branch> {
        let record = self.get(slot)?;
        if number == 0 {
            return Some(&record.first);
        }
        let mut at = record.more;
        loop {
            let branch = self.more.get(at as usize)?;
            if branch.number == number {
                return Some(branch);
            }
            at = branch.next;
        }
    }

    #[inline]
    pub(super) fn branch_mut(&mut self, slot: u32, number: u8) -> Option<&mut Branch> {
        if number == 0 {
            return self.get_mut(slot).map(|record| &mut record.first);
        }
        let mut at = self.get(slot)?.more;
        while self.more.get(at as usize)?.number != number {
            at = self.more.get(at as usize)?.next;
        }
        self.more.get_mut(at as usize)
    }

    /// All branches of a transaction.
    pub(super) fn branches(&self, slot: u32) -> impl Iterator<Item = &Branch> {
        let record = self.get(slot);
        let mut at = record.map_or(NONE, |record| record.more);
        let more = core::iter::from_fn(move || {
            let branch = self.more.get(at as usize)?;
            at = branch.next;
            Some(branch)
        });
        record.map(|record| &record.first).into_iter().chain(more)
    }

    /// Gives a transaction a further branch, whose number it sets.
    pub(super) fn add_branch(&mut self, slot: u32, branch: Branch) -> Option<u8> {
        let at = self.free_more;
        let next = self.more.get(at as usize)?.next;
        let record = self.get_mut(slot)?;
        let number = record.branches;
        record.branches += 1;
        let first = core::mem::replace(&mut record.more, at);
        self.free_more = next;
        *self.more.get_mut(at as usize)? = Branch { number, next: first, ..branch };
        self.more_alive += 1;
        Some(number)
    }

    /// Whether a transaction can have a further branch.
    pub(super) fn has_more(&self) -> bool {
        self.free_more != NONE
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    #[test]
    fn transactions_are_found_until_they_are_removed_and_slots_are_used_again() {
        let mut table = Table::new(100, 10);
        for round in 0..3_u64 {
            let slots: Vec<u32> = (0..100)
                .map(|n| {
                    let new = |record: &mut Transaction| {
                        // Many in one chain.
                        (record.key, record.merged) = (n / 2 * 128 + round, n + 1);
                    };
                    table.insert(new).unwrap()
                })
                .collect();
            assert!(table.insert(|_| {}).is_none() && !table.has_room());
            assert_eq!(table.alive, 100);
            for (n, slot) in (0..).zip(&slots) {
                let found = table.find(n / 2 * 128 + round, |record| record.merged == n + 1);
                assert_eq!(found, Some(*slot));
                assert!(table.has_merged(n + 1));
            }
            for (n, slot) in (0..).zip(&slots).filter(|(n, _)| n % 3 == round).collect::<Vec<_>>() {
                table.remove(*slot);
                assert_eq!(table.find(n / 2 * 128 + round, |record| record.merged == n + 1), None);
                assert!(!table.has_merged(n + 1));
            }
            for slot in slots {
                table.remove(slot);
            }
            assert_eq!(table.alive, 0);
        }
    }

    #[test]
    fn further_branches_come_and_go_with_their_transaction() {
        let mut table = Table::new(2, 3);
        let slot = table.insert(|record| (record.more, record.branches) = (NONE, 1)).unwrap();
        for number in 1..=3 {
            assert!(table.has_more());
            assert_eq!(table.add_branch(slot, Branch::FREE), Some(number));
        }
        assert_eq!(table.add_branch(slot, Branch::FREE), None);
        assert!(!table.has_more());
        assert_eq!(
            table.branches(slot).map(|branch| branch.number).collect::<Vec<_>>(),
            [0, 3, 2, 1]
        );
        assert_eq!(table.branch(slot, 2).map(|branch| branch.number), Some(2));
        assert_eq!(table.branch_mut(slot, 4).map(|branch| branch.number), None);
        table.remove(slot);
        assert!(table.has_more() && table.more_alive == 0);
    }
}
