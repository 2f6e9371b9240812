//! Where AoRs and bindings are kept and found.

use alloc::vec;
use alloc::vec::Vec;
use core::ptr::from_ref;

use super::aor::AorId;
use super::binding::Binding;
use crate::limits::AORS_MAX;
pub(super) use crate::transaction::NONE;
use crate::transaction::{Index, Text};

/// An AoR: one cache line.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Aor {
    pub(super) id: AorId,
    /// The next one with the same place in the index, or the next free one.
    next: u32,
    /// The one before it.
    previous: u32,
    /// Its first binding.
    pub(crate) first: u32,
    /// `user@host`
    pub(super) text: Text,
    /// The one that changed after it.
    pub(super) next_changed: u32,
    /// The place in the queue of changes that it had last.
    pub(super) position: u64,
    /// Hash of the source address that has brought it.
    pub(super) source: u64,
    /// How many bindings it has.
    pub(crate) bindings: u8,
    pub(super) is_alive: bool,
    /// It waits in the queue of changes.
    pub(super) is_changed: bool,
    /// It was to be replaced while it waited there.
    pub(super) has_passed: bool,
}

impl Aor {
    const FREE: Self = Self {
        id: AorId::NONE,
        next: NONE,
        previous: NONE,
        first: NONE,
        text: Text::NONE,
        next_changed: NONE,
        position: 0,
        source: 0,
        bindings: 0,
        is_alive: false,
        is_changed: false,
        has_passed: false,
    };
}

/// Heads of chains for so many AoRs: so many that nearly all AoRs are the first of theirs.
fn heads(aors: u32) -> u32 {
    aors * 4
}

/// The slots of AoRs and of bindings.
#[derive(Debug)]
pub(crate) struct Table {
    aors: Vec<Aor>,
    free: u32,
    index: Index,
    bindings: Vec<Binding>,
    free_binding: u32,
    pub(super) aors_alive: u32,
    pub(super) bindings_alive: u32,
}

impl Table {
    /// Room for so many.
    pub(super) fn new(aors: u32, bindings: u32) -> Self {
        let aors = aors.min(AORS_MAX);
        let mut slots = vec![Aor::FREE; aors as usize];
        for (slot, next) in slots.iter_mut().zip(1..) {
            slot.next = if next == aors { NONE } else { next };
        }
        let mut places = vec![Binding::FREE; bindings as usize];
        for (place, next) in places.iter_mut().zip(1..) {
            place.next = if next == bindings { NONE } else { next };
        }
        Self {
            aors: slots,
            free: if aors == 0 { NONE } else { 0 },
            index: Index::new(heads(aors)),
            bindings: places,
            free_binding: if bindings == 0 { NONE } else { 0 },
            aors_alive: 0,
            bindings_alive: 0,
        }
    }

    /// Bytes for so many AoRs and bindings, and for the index.
    pub(super) fn memory(aors: u32, bindings: u32) -> [usize; 3] {
        [
            aors as usize * size_of::<Aor>(),
            bindings as usize * size_of::<Binding>(),
            Index::memory(heads(aors.min(AORS_MAX))),
        ]
    }

    /// The slot that an AoR may be in, or none, as far as the index tells.
    #[inline]
    pub(super) fn look_up(&self, id: AorId) -> u32 {
        self.index.first(id.key())
    }

    /// Asks for a place of the index.
    #[inline]
    pub(super) fn fetch_index(&self, id: AorId, fetch: impl Fn(*const u8)) {
        self.index.fetch(id.key(), fetch);
    }

    /// Asks for the record of an AoR.
    #[inline]
    pub(super) fn fetch_aor(&self, slot: u32, fetch: impl Fn(*const u8)) {
        if let Some(aor) = self.aors.get(slot as usize) {
            fetch(from_ref(aor).cast());
        }
    }

    /// Where the first binding of an AoR is.
    #[inline]
    pub(super) fn first_of(&self, slot: u32) -> u32 {
        self.aors.get(slot as usize).map_or(NONE, |aor| aor.first)
    }

    /// Asks for a binding, for both of its cache lines.
    #[inline]
    pub(super) fn fetch_binding(&self, slot: u32, fetch: impl Fn(*const u8)) {
        if let Some(binding) = self.bindings.get(slot as usize) {
            fetch(from_ref(binding).cast());
            fetch(from_ref(&binding.start).cast());
        }
    }

    /// Reads of a binding what its timer looks at, so that it comes near. What it gives means nothing.
    #[inline]
    pub(super) fn touch_binding(&self, slot: u32) -> u32 {
        self.bindings
            .get(slot as usize)
            .map_or(NONE, |binding| binding.aor ^ u32::from(binding.uri_length))
    }

    /// The AoR of this id.
    #[inline]
    pub(super) fn find(&self, id: AorId) -> Option<u32> {
        let mut slot = self.index.first(id.key());
        while let Some(found) = self.aors.get(slot as usize) {
            if found.id == id {
                return Some(slot);
            }
            slot = found.next;
        }
        None
    }

    #[inline]
    pub(crate) fn aor(&self, slot: u32) -> Option<&Aor> {
        self.aors.get(slot as usize)
    }

    #[inline]
    pub(crate) fn aor_mut(&mut self, slot: u32) -> Option<&mut Aor> {
        self.aors.get_mut(slot as usize)
    }

    #[inline]
    pub(crate) fn binding(&self, slot: u32) -> Option<&Binding> {
        self.bindings.get(slot as usize)
    }

    #[inline]
    pub(crate) fn binding_mut(&mut self, slot: u32) -> Option<&mut Binding> {
        self.bindings.get_mut(slot as usize)
    }

    /// The bindings of an AoR, with their slots, the newest first.
    #[inline]
    pub(crate) fn bindings_of(&self, aor: u32) -> impl Iterator<Item = (u32, &Binding)> {
        let mut slot = self.aors.get(aor as usize).map_or(NONE, |aor| aor.first);
        core::iter::from_fn(move || {
            let (found, binding) = (slot, self.bindings.get(slot as usize)?);
            slot = binding.next;
            Some((found, binding))
        })
    }

    /// Bindings that are free.
    #[expect(clippy::cast_possible_truncation, reason = "made with a u32")]
    pub(super) fn bindings_free(&self) -> u32 {
        self.bindings.len() as u32 - self.bindings_alive
    }

    /// Whether there is room for another AoR.
    pub(super) fn has_room(&self) -> bool {
        self.free != NONE
    }

    /// Puts an AoR into a free slot.
    pub(super) fn insert(&mut self, id: AorId, text: Text) -> Option<u32> {
        let slot = self.free;
        let aor = self.aors.get_mut(slot as usize)?;
        self.free = aor.next;
        let next = self.index.push(id.key(), slot);
        *aor = Aor { id, text, next, is_alive: true, ..Aor::FREE };
        if let Some(next) = self.aors.get_mut(next as usize) {
            next.previous = slot;
        }
        self.aors_alive += 1;
        Some(slot)
    }

    /// Frees the slot of an AoR that has no bindings; gives its text, to be freed.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Text> {
        let aor = self.aors.get_mut(slot as usize).filter(|aor| aor.is_alive)?;
        let Aor { id, text, next, previous, .. } = *aor;
        *aor = Aor { next: self.free, ..Aor::FREE };
        self.free = slot;
        self.index.remove(id.key(), previous, next);
        if let Some(one) = self.aors.get_mut(previous as usize) {
            one.next = next;
        }
        if let Some(one) = self.aors.get_mut(next as usize) {
            one.previous = previous;
        }
        self.aors_alive -= 1;
        Some(text)
    }

    /// Gives an AoR a binding that is empty yet.
    pub(super) fn add_binding(&mut self, aor: u32) -> Option<u32> {
        let slot = self.free_binding;
        let owner = self.aors.get_mut(aor as usize)?;
        let binding = self.bindings.get_mut(slot as usize)?;
        self.free_binding = binding.next;
        (binding.aor, binding.next) = (aor, owner.first);
        owner.first = slot;
        owner.bindings += 1;
        self.bindings_alive += 1;
        Some(slot)
    }

    /// Takes a binding, whose text has been given back, from its AoR.
    pub(super) fn remove_binding(&mut self, slot: u32) {
        let Some(binding) = self.bindings.get_mut(slot as usize) else { return };
        let Binding { aor, next, .. } = *binding;
        *binding = Binding { next: self.free_binding, ..Binding::FREE };
        self.free_binding = slot;
        self.bindings_alive -= 1;
        let Some(owner) = self.aors.get_mut(aor as usize) else { return };
        owner.bindings -= 1;
        if owner.first == slot {
            owner.first = next;
            return;
        }
        let mut at = owner.first;
        while let Some(one) = self.bindings.get_mut(at as usize) {
            if one.next == slot {
                one.next = next;
                return;
            }
            at = one.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Aor;

    #[test]
    fn an_aor_takes_a_cache_line() {
        assert_eq!(size_of::<Aor>(), 64);
    }
}
