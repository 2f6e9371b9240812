//! All that the location of one worker consists of.

use alloc::vec::Vec;

use super::aor::AorId;
use super::ask::AorQuestion;
use super::binding::Binding;
use super::changes::Changes;
use super::counts::LocationCounts;
use super::foresee::Ahead;
use super::sources::Sources;
use super::table::Table;
use super::texts::Texts;
use crate::limits::{AOR_MAX, AORS_MAX, BINDING_TEXT_MAX};
use crate::registrar::Work;
use crate::rewrite::keyed_hash::{HashKey, QuickKey};
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
    pub(super) worker: u8,
    pub(super) workers: u8,
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
    /// Others may know bindings that are not here.
    pub(super) asks: bool,
    /// What is to be asked of them.
    pub(super) question: Option<AorQuestion>,
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
            asks: false,
            question: None,
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

    #[inline]
    pub(crate) fn set_position(&mut self, position: u64) {
        self.position = position;
    }

    /// Hash of an instance that is the same in every process.
    pub(super) fn hash_instance_for_good(&self, instance: &[u8]) -> u64 {
        self.keys.stable.begin().text(instance).finish(2)
    }
}

/// `urn:...` of an instance, which is written `"<urn:...>"`.
#[inline]
pub(crate) fn urn_of(instance: &[u8]) -> &[u8] {
    let inside = instance.strip_prefix(b"\"<").and_then(|rest| rest.strip_suffix(b">\""));
    inside.unwrap_or(instance)
}
