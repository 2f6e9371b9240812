//! All that the location of one worker consists of, and how bindings change.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::aor::{self, AorId, AorOwner, AorUri, NoAor};
use super::binding::{Binding, Contact};
use super::changes::Changes;
use super::counts::LocationCounts;
use super::foresee::Ahead;
use super::sources::Sources;
use super::table::Table;
use super::texts::{Said, Texts, rest_length};
use crate::limits::{AOR_MAX, AORS_MAX, BINDING_TEXT_MAX};
use crate::message::{Arrival, Request};
use crate::registrar::Work;
use crate::rewrite::keyed_hash::{HashKey, QuickKey};
use crate::route::tables::Tables;
use crate::transaction::{Outbox, Tick, Wheel};

/// How much of everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocationSizes {
    /// AoRs of a worker, at most [`AORS_MAX`](crate::limits::AORS_MAX).
    pub aors: u32,
    /// Bindings of all of them.
    pub bindings: u32,
    /// Blocks of 64 bytes for texts: one for an AoR, and one for a binding without Path.
    pub text_blocks: u32,
}

impl LocationSizes {
    /// Bytes of memory for all of it.
    pub fn memory(&self) -> usize {
        self.parts().iter().sum()
    }

    /// Bytes of memory for AoRs, bindings, indexes, the timer wheel, and texts.
    pub fn parts(&self) -> [usize; 5] {
        let aors = self.aors.min(AORS_MAX);
        let [records, bindings, index] = Table::memory(aors, self.bindings);
        let texts = Texts::memory(self.text_blocks);
        let indexes = index + Sources::memory(aors);
        [records, bindings, indexes, Wheel::memory(self.bindings), texts]
    }
}

/// The key of AoRs.
pub(super) fn aor_key(key: &[u8; 16]) -> HashKey {
    HashKey::derive(key, 1)
}

/// The keys of hashes.
#[derive(Debug)]
pub(super) struct LocationKeys {
    /// Of this process alone.
    pub(super) aor: HashKey,
    /// Of Contact URIs and instances.
    pub(super) text: QuickKey,
    pub(super) source: HashKey,
    /// The same in every process.
    pub(super) stable: HashKey,
}

/// The location of one worker.
#[derive(Debug)]
pub struct Location {
    worker: u8,
    workers: u8,
    pub(super) keys: LocationKeys,
    pub(crate) now_ms: u64,
    pub(super) unix_ms: u64,
    is_ready: bool,
    pub(crate) table: Table,
    pub(super) texts: Texts,
    pub(super) wheel: Wheel,
    pub(super) outbox: Outbox,
    pub(super) sources: Sources,
    pub(super) changes: Changes,
    pub(super) position: u64,
    pub(crate) counts: LocationCounts,
    /// The AoR in hand.
    pub(crate) aor: Vec<u8>,
    /// A text that is being put together.
    pub(super) scratch: Vec<u8>,
    pub(super) ahead: Ahead,
    /// Temporary GRUUs that were given.
    pub(super) gruus: u32,
    /// The REGISTER in hand.
    pub(crate) work: Work,
}

impl Location {
    /// Room for so many, all of it allocated now. `worker` is its number among `workers`; `key` a random
    /// number that all workers of a process share.
    pub fn new(sizes: LocationSizes, worker: u8, workers: u8, key: [u8; 16]) -> Self {
        let derive = |purpose| HashKey::derive(&key, purpose);
        let keys = LocationKeys {
            aor: aor_key(&key),
            text: QuickKey::derive(&key, 2),
            source: derive(3),
            stable: HashKey::derive(b"Call-ID/instance", 0),
        };
        Self {
            worker,
            workers: workers.max(1),
            keys,
            now_ms: 0,
            unix_ms: 0,
            is_ready: false,
            table: Table::new(sizes.aors, sizes.bindings),
            texts: Texts::new(sizes.text_blocks),
            wheel: Wheel::new(sizes.bindings, Tick::of_ms(0)),
            outbox: Outbox::new(),
            sources: Sources::new(sizes.aors),
            changes: Changes::NONE,
            position: 0,
            counts: LocationCounts::default(),
            aor: Vec::with_capacity(AOR_MAX),
            scratch: Vec::with_capacity(AOR_MAX + BINDING_TEXT_MAX),
            ahead: Ahead::default(),
            gruus: 0,
            work: Work::new(),
        }
    }

    /// Says what time it is: milliseconds of a clock that never goes back, and since 1970.
    #[inline]
    pub fn set_time(&mut self, now_ms: u64, unix_ms: u64) {
        (self.now_ms, self.unix_ms) = (now_ms, unix_ms);
    }

    /// Whether all that was stored has been loaded.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Says that all has been loaded: requests are answered from now on.
    pub fn set_ready(&mut self) {
        self.is_ready = true;
    }

    /// What waits to be sent.
    #[inline]
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Whether something waits to be sent.
    #[inline]
    pub fn has_outgoing(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Who has the bindings that a REGISTER is about.
    #[inline]
    pub fn owner_of_to(
        &mut self,
        request: &Request<'_>,
        tables: &Tables,
        arrival: &Arrival,
    ) -> AorOwner {
        match aor::to_uri(request) {
            _ if self.workers == 1 => AorOwner::Here,
            Some(uri) => match AorUri::read(request.bytes, uri, tables, arrival) {
                Ok(uri) => self.owner_of_uri(request, &uri, tables),
                Err(none) => AorOwner::Nobody(none),
            },
            None => AorOwner::Nobody(NoAor::Malformed),
        }
    }

    /// Who has the bindings of a URI in the request.
    #[inline]
    pub fn owner_of_uri(
        &mut self,
        request: &Request<'_>,
        uri: &AorUri,
        tables: &Tables,
    ) -> AorOwner {
        if self.workers == 1 {
            return AorOwner::Here;
        }
        match self.named_by(request.bytes, uri, tables) {
            Ok((id, _)) => self.owner(id),
            Err(none) => AorOwner::Nobody(none),
        }
    }

    #[inline]
    pub(super) fn owner(&self, id: AorId) -> AorOwner {
        let owner = id.owner(self.workers);
        if owner == self.worker { AorOwner::Here } else { AorOwner::Worker(owner) }
    }

    /// The AoR that the To header names; its text is in `self.aor` then.
    #[inline]
    pub(crate) fn aor_of_to(
        &mut self,
        request: &Request<'_>,
        tables: &Tables,
        arrival: &Arrival,
    ) -> Result<AorId, NoAor> {
        let uri = aor::to_uri(request).ok_or(NoAor::Malformed)?;
        AorUri::read(request.bytes, uri, tables, arrival)?.write(request.bytes, &mut self.aor)?;
        Ok(AorId::of(&self.keys.aor, &self.aor))
    }

    /// The AoR that a URI names.
    #[inline]
    pub(super) fn aor_of(&mut self, bytes: &[u8], uri: &AorUri) -> Result<AorId, NoAor> {
        if let Some(text) = uri.text(bytes) {
            return Ok(AorId::of(&self.keys.aor, text));
        }
        uri.write(bytes, &mut self.aor)?;
        Ok(AorId::of(&self.keys.aor, &self.aor))
    }

    /// A reading of all counts.
    pub fn counts(&self) -> LocationCounts {
        LocationCounts {
            aors: self.table.aors_alive.into(),
            bindings: self.table.bindings_alive.into(),
            waiting: self.waiting(),
            text_blocks_used: self.texts.used().into(),
            timer_lag_ms: self.wheel.lag(self.tick()).into(),
            ..self.counts
        }
    }

    pub(super) fn tick(&self) -> Tick {
        Tick::of_ms(self.now_ms)
    }

    /// Time since 1970 of a time of the worker's clock.
    pub(super) fn unix_of(&self, ms: u64) -> u64 {
        self.unix_ms.saturating_add(ms).saturating_sub(self.now_ms)
    }

    /// Keyed hash of a Contact URI.
    #[inline]
    pub(crate) fn hash_uri(&self, uri: &[u8]) -> u64 {
        self.keys.text.hash(uri)
    }

    /// Hash of a Call-ID.
    #[inline]
    pub(crate) fn hash_call(&self, call_id: &[u8]) -> u64 {
        self.keys.stable.begin().text(call_id).finish(1)
    }

    /// Hash of an instance: of `"<urn:...>"` as of `urn:...`; 0 when there is none.
    #[inline]
    pub(crate) fn hash_instance(&self, instance: &[u8]) -> u64 {
        let urn = urn_of(instance);
        if urn.is_empty() { 0 } else { self.keys.text.hash(urn).max(1) }
    }

    /// The slot of an AoR.
    #[inline]
    pub(crate) fn find(&self, id: AorId) -> Option<u32> {
        self.table.find(id)
    }

    /// The slot of the first binding of an AoR.
    pub(crate) fn first_binding(&self, aor: u32) -> Option<u32> {
        self.table.bindings_of(aor).next().map(|(slot, _)| slot)
    }

    /// The text of a binding, in parts.
    pub(crate) fn text_of<'t>(&'t self, binding: &'t Binding) -> impl Iterator<Item = &'t [u8]> {
        binding.text(binding.text_length(), &self.texts)
    }

    /// The place in the queue of changes of what was done to an AoR. What was not changed now may have
    /// been so by the same request when it came first.
    #[inline]
    pub(crate) fn place_of(&mut self, aor: Option<u32>, has_changed: bool) -> u64 {
        match aor {
            Some(slot) if has_changed => self.changed(slot),
            Some(slot) => self.table.aor(slot).map_or(0, |aor| aor.position),
            None => self.changes.given(),
        }
    }

    #[inline]
    pub(crate) fn set_position(&mut self, position: u64) {
        self.position = position;
    }

    /// Hash of an instance that is the same in every process.
    pub(super) fn hash_instance_for_good(&self, instance: &[u8]) -> u64 {
        self.keys.stable.begin().text(instance).finish(2)
    }

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
}

/// `urn:...` of an instance, which is written `"<urn:...>"`.
#[inline]
pub(crate) fn urn_of(instance: &[u8]) -> &[u8] {
    let inside = instance.strip_prefix(b"\"<").and_then(|rest| rest.strip_suffix(b">\""));
    inside.unwrap_or(instance)
}

/// Whether a text fits a binding.
pub(crate) fn fits(said: &Said<'_>) -> bool {
    said.len() <= BINDING_TEXT_MAX && rest_length(said.len()) <= BINDING_TEXT_MAX
}
