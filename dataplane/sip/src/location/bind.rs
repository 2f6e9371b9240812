//! How AoRs and bindings come and go.

use core::net::IpAddr;

use super::aor::AorId;
use super::binding::Contact;
use super::layer::Location;
use super::sources::Sources;
use super::texts::{Said, rest_length};
use crate::limits::BINDING_TEXT_MAX;
use crate::route::tables::Tables;

impl Location {
    /// Whether there is room for so many more bindings, for so many texts of these lengths together, and for
    /// an AoR if `is_new`.
    pub(crate) fn has_room(
        &self,
        is_new: bool,
        bindings: usize,
        texts: usize,
        lengths: usize,
    ) -> bool {
        let aor = if is_new { self.aor.len() } else { 0 };
        (!is_new || self.table.has_room())
            && bindings <= self.table.bindings_free() as usize
            // Each of the texts may leave most of a block empty.
            && self.texts.fits(aor + lengths + (1 + texts) * 60)
    }

    /// AoRs that a source address has brought, about.
    pub(crate) fn aors_of(&self, source: IpAddr) -> u32 {
        self.sources.count(Sources::hash(&self.keys.source, source))
    }

    /// Takes in the AoR whose text is in `self.aor`.
    pub(crate) fn add_aor(&mut self, id: AorId, source: IpAddr) -> Option<u32> {
        core::str::from_utf8(&self.aor).ok()?;
        let mut text = self.texts.store(&self.aor, &[])?;
        let Some(slot) = self.table.insert(id, text) else {
            self.texts.free(&mut text);
            return None;
        };
        let source = Sources::hash(&self.keys.source, source);
        self.sources.add(source);
        if let Some(aor) = self.table.aor_mut(slot) {
            aor.source = source;
        }
        Some(slot)
    }

    /// Forgets an AoR without bindings.
    pub(super) fn forget(&mut self, slot: u32) {
        let source = self.table.aor(slot).map(|aor| aor.source);
        if let Some(mut text) = self.table.remove(slot) {
            self.texts.free(&mut text);
            self.sources.remove(source.unwrap_or(0));
        }
    }

    /// Gives an AoR a binding.
    pub(crate) fn add(
        &mut self,
        aor: u32,
        contact: &Contact,
        said: &Said<'_>,
        tables: &Tables,
    ) -> Option<u32> {
        let slot = self.table.add_binding(aor)?;
        let binding = self.table.binding_mut(slot)?;
        if !binding.keep(said, &mut self.texts, &mut self.scratch) {
            self.table.remove_binding(slot);
            return None;
        }
        binding.set(contact);
        self.arm_anew(slot, tables);
        Some(slot)
    }

    /// Changes a binding, its text only if there is a new one. False when there is no room for that.
    #[inline]
    pub(crate) fn update(
        &mut self,
        slot: u32,
        contact: &Contact,
        said: Option<&Said<'_>>,
        tables: &Tables,
    ) -> bool {
        let Some(binding) = self.table.binding_mut(slot) else { return false };
        if let Some(said) = said
            && !binding.keep(said, &mut self.texts, &mut self.scratch)
        {
            return false;
        }
        binding.set(contact);
        self.arm_sooner(slot, tables);
        true
    }

    /// Takes a binding away.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.wheel.disarm(slot);
        if let Some(binding) = self.table.binding_mut(slot) {
            binding.forget_text(&mut self.texts);
            self.table.remove_binding(slot);
        }
    }

    /// The place in the queue of changes of what was done to an AoR. What was not changed now may have
    /// been so by the same request when it came first.
    #[inline]
    pub(crate) fn place_of(&mut self, aor: Option<u32>, has_changed: bool, tables: &Tables) -> u64 {
        match aor {
            Some(slot) if has_changed => self.changed(slot, tables),
            Some(slot) => self.table.aor(slot).map_or(0, |aor| aor.position),
            None => self.changes.given(),
        }
    }
}

/// Whether a text fits a binding.
pub(crate) fn fits(said: &Said<'_>) -> bool {
    said.len() <= BINDING_TEXT_MAX && rest_length(said.len()) <= BINDING_TEXT_MAX
}
