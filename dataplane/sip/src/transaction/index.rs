//! An index of slots by keyed hash.
//!
//! ```text
//! heads:   [ 2 | - | 0 | … ]      as many as there are slots, rounded up to a power of two
//!            │       └──► slot 0 ──► slot 5      those whose key has the same low bits
//!            └──► slot 2
//! head:    more 1 │ tag 7 │ slot 24
//! ```
//!
//! A chain runs through the records themselves, in both directions. A head has a few bits of the key of
//! its first record, and knows whether there may be more: so what is not found costs one look at the heads, and what is
//! found costs the record, which is needed anyway. Nothing is ever moved, so no call waits for others.

use alloc::vec;
use alloc::vec::Vec;
use core::ptr::from_ref;

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// The heads of the chains.
#[derive(Debug)]
pub(crate) struct Index {
    heads: Vec<u32>,
    /// Low bits of a key that choose the chain.
    mask: usize,
}

/// The part of a head that is a slot.
const SLOT: u32 = Index::SLOTS_MAX;
/// The part that says that the chain has more than one record.
const MORE: u32 = 1 << 31;
/// The part of a head that is of the key.
fn tag(key: u64) -> u32 {
    ((key >> 57) as u32) << 24
}

impl Index {
    /// Most slots.
    pub(crate) const SLOTS_MAX: u32 = (1 << 24) - 1;

    /// Bytes for an index of so many slots.
    pub(crate) fn memory(slots: u32) -> usize {
        heads(slots) * size_of::<u32>()
    }

    /// An index of so many slots; the only allocation in its life.
    pub(crate) fn new(slots: u32) -> Self {
        let heads = heads(slots);
        Self { heads: vec![NONE; heads], mask: heads - 1 }
    }

    /// The first slot of the chain that a key may be in; none when it cannot be in it.
    #[inline]
    pub(crate) fn first(&self, key: u64) -> u32 {
        let head = self.head(key);
        let may_be_there = head & MORE != 0 || head & !SLOT == tag(key);
        if head != NONE && may_be_there { head & SLOT } else { NONE }
    }

    /// Asks for the head of the chain of a key.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "low bits choose the chain")]
    pub(crate) fn fetch(&self, key: u64, fetch: impl Fn(*const u8)) {
        if let Some(head) = self.heads.get(key as usize & self.mask) {
            fetch(from_ref(head).cast());
        }
    }

    /// The head of the chain of a key.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "low bits choose the chain")]
    pub(crate) fn head(&self, key: u64) -> u32 {
        self.heads.get(key as usize & self.mask).copied().unwrap_or(NONE)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "low bits choose the chain")]
    fn set_head(&mut self, key: u64, head: u32) {
        if let Some(place) = self.heads.get_mut(key as usize & self.mask) {
            *place = head;
        }
    }

    /// Puts a slot in front of its chain; gives what comes behind it.
    #[inline]
    pub(crate) fn push(&mut self, key: u64, slot: u32) -> u32 {
        let old = self.head(key);
        let more = if old == NONE { 0 } else { MORE };
        self.set_head(key, slot | tag(key) | more);
        if old == NONE { NONE } else { old & SLOT }
    }

    /// Takes a slot out of its chain, between these two. Nothing of other records is read: they are far.
    #[inline]
    pub(crate) fn remove(&mut self, key: u64, previous: u32, next: u32) {
        if previous == NONE {
            // Whether there are more behind the next, and what its key is, nobody looks up for this.
            self.set_head(key, if next == NONE { NONE } else { next | MORE });
        }
    }
}

/// Chains of an index over so many slots.
fn heads(slots: u32) -> usize {
    (slots.max(1) as usize).next_power_of_two()
}
