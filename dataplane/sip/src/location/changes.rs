//! What the store does not know yet: AoRs in the order in which they changed, each of them once.
//! Without a store only AoRs that have lost their last binding wait here, to be forgotten.
//!
//! The queue runs through the records of the AoRs, so it has room for all of them: however long the
//! store is away, nothing is lost and nothing grows.

use alloc::vec::Vec;

use super::layer::Location;
use super::record::{self, BindingView};
use super::table::NONE;
use super::texts;
use crate::route::tables::Tables;
use crate::settings::Store;

/// The queue of changes.
#[derive(Debug)]
pub(super) struct Changes {
    first: u32,
    last: u32,
    waiting: u64,
    /// Places that were given so far.
    given: u64,
}

impl Changes {
    pub(super) const NONE: Self = Self { first: NONE, last: NONE, waiting: 0, given: 0 };

    /// The place that was given last.
    pub(super) fn given(&self) -> u64 {
        self.given
    }
}

impl Location {
    /// Whether the store does not know all yet.
    #[inline]
    pub fn has_changes(&self) -> bool {
        self.changes.first != NONE
    }

    /// AoRs that the store does not know the last change of.
    #[inline]
    pub fn waiting(&self) -> u64 {
        self.changes.waiting
    }

    /// The place in the queue of the change that [`Self::register`] has just answered with `Changed`: it
    /// is in the store when that has all up to this place.
    #[inline]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Puts an AoR into the queue, if it is not in it; gives its place.
    #[inline]
    pub(crate) fn changed(&mut self, slot: u32, tables: &Tables) -> u64 {
        let Some(aor) = self.table.aor_mut(slot) else { return 0 };
        let is_kept = tables.registrar().store == Store::Disk || aor.bindings == 0;
        if aor.is_changed || !is_kept {
            return aor.position;
        }
        self.changes.given += 1;
        self.changes.waiting += 1;
        (aor.is_changed, aor.position) = (true, self.changes.given);
        aor.next_changed = NONE;
        let last = core::mem::replace(&mut self.changes.last, slot);
        match self.table.aor_mut(last) {
            Some(last) => last.next_changed = slot,
            None => self.changes.first = slot,
        }
        self.changes.given
    }

    /// Moves the oldest changes to `batch`, as records, while they fit its capacity, which is not less than
    /// [`RECORD_MAX`](crate::limits::RECORD_MAX); gives the place up to which the queue is empty now,
    /// none when nothing was moved.
    pub fn drain(&mut self, batch: &mut Vec<u8>, tables: &Tables) -> Option<u64> {
        let mut moved = None;
        while self.write_record(self.changes.first, batch, tables) {
            moved = self.take_first();
        }
        moved
    }

    /// Takes at most so many changes out of the queue, for nobody: there is no store. Gives whether there
    /// were any.
    pub fn forget_changes(&mut self, most: usize) -> bool {
        let had_changes = self.has_changes();
        for _ in 0..most {
            if self.take_first().is_none() {
                break;
            }
        }
        had_changes
    }

    /// Writes the record of an AoR, if it fits.
    fn write_record(&mut self, slot: u32, batch: &mut Vec<u8>, tables: &Tables) -> bool {
        let Some(aor) = self.table.aor(slot) else { return false };
        let texts: usize = self.table.bindings_of(slot).map(|(_, one)| one.text_length()).sum();
        let length = record::length(aor.text.len(), aor.bindings.into(), texts);
        if length > batch.capacity() - batch.len() {
            return false;
        }
        self.scratch.clear();
        texts::push(&self.texts, aor.text, &mut self.scratch);
        record::begin(length, &self.scratch, (aor.bindings.into(), aor.has_passed), batch);
        for (_, binding) in self.table.bindings_of(slot) {
            let view = BindingView {
                uri: &[],
                instance: &[],
                path: &[],
                expires_unix_ms: self.unix_of(binding.expires_ms),
                call_id_hash: binding.call,
                cseq: binding.cseq,
                reg_id: binding.reg_id,
                q: binding.q,
                is_flow: binding.is_flow,
                source: binding.source(),
                listen: tables.listen_point(binding.listen).address,
                transport: tables.transport_of(binding.listen),
            };
            let lengths = [binding.uri_length, binding.instance_length, binding.path_length];
            record::push_binding(&view, lengths.map(usize::from), batch);
            binding
                .text(binding.text_length(), &self.texts)
                .for_each(|part| batch.extend_from_slice(part));
        }
        true
    }

    /// Takes the first AoR out of the queue; without bindings it is forgotten.
    fn take_first(&mut self) -> Option<u64> {
        let slot = self.changes.first;
        let aor = self.table.aor_mut(slot)?;
        self.changes.first = aor.next_changed;
        (aor.is_changed, aor.has_passed) = (false, false);
        let (position, is_over) = (aor.position, aor.bindings == 0);
        if self.changes.first == NONE {
            self.changes.last = NONE;
        }
        self.changes.waiting -= 1;
        if is_over {
            self.forget(slot);
        }
        Some(position)
    }
}
