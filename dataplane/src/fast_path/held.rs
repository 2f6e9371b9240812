//! Answers to REGISTER that wait for the store.

use super::own::encode_alone;
use super::{FastPath, Scratch};
use crate::held_replies::HeldReplies;
use crate::limits::FORGOTTEN_PER_LOOK;
use crate::location_log::{Bindings, LocationLog};
use crate::packet::PacketBuf;
use crate::parcel::{Parcel, WorkerParcels};
use crate::verdict::OwnVerdict;
use control_api::DropReason;
use sip_core::{LoadCounts, Location, Store, Tables};

impl FastPath {
    /// Gets room for answers that wait, which it has none of before.
    pub fn give_held_replies(&mut self, held: HeldReplies) {
        self.scratch.held = held;
    }

    /// The answers that wait.
    #[inline]
    pub fn held_replies(&mut self) -> &mut HeldReplies {
        &mut self.scratch.held
    }

    /// Gives changed bindings to the log, and takes stored ones and confirmations from it. Gives whether there
    /// was anything to do.
    #[inline]
    pub fn exchange_bindings(&mut self, log: &mut LocationLog) -> bool {
        let Some(epoch) = &self.epoch else { return false };
        let Scratch { location, held, answered, .. } = &mut self.scratch;
        let tables = &epoch.tables;
        let has_store = tables.registrar().store == Store::Disk;
        let has_forgotten = !has_store && location.forget_changes(FORGOTTEN_PER_LOOK);
        let has_moved = log.run(&mut Stored { location, tables, has_store, answered });
        held.set_flushed(log.flushed_to());
        has_moved || has_forgotten
    }

    /// A question for a user's bindings that has been answered since.
    #[inline]
    pub fn take_answered(&mut self) -> Option<u64> {
        self.scratch.answered.pop()
    }

    /// Makes the frame of the oldest answer that may leave. It stays.
    pub fn make_held<P: PacketBuf>(&mut self, packet: &mut P) -> OwnVerdict {
        let (Some(epoch), Some(fib)) = (&self.epoch, &self.fib) else {
            return OwnVerdict::Drop(DropReason::NoEpoch);
        };
        let Scratch { held, adjacencies, egress, checksums, .. } = &mut self.scratch;
        let Some(reply) = held.first() else { return OwnVerdict::Drop(DropReason::NoRoute) };
        encode_alone(packet, &reply, (epoch, fib), adjacencies, (egress, *checksums))
    }

    /// Puts that answer, when it is larger than the MTU or goes over a connection, into a parcel.
    ///
    /// # Errors
    /// As [`WorkerParcels::load`].
    pub fn pack_held(&mut self, parcels: &mut WorkerParcels) -> Result<Parcel, DropReason> {
        let Scratch { held, egress, .. } = &self.scratch;
        let reply = held.first().ok_or(DropReason::NoRoute)?;
        parcels.load(egress, reply.message, &[])
    }
}

/// The bindings, as the log sees them.
struct Stored<'l> {
    location: &'l mut Location,
    tables: &'l Tables,
    has_store: bool,
    answered: &'l mut Vec<u64>,
}

impl Bindings for Stored<'_> {
    #[inline]
    fn has_changes(&self) -> bool {
        self.has_store && self.location.has_changes()
    }

    fn drain(&mut self, records: &mut Vec<u8>) -> Option<u64> {
        self.location.drain(records, self.tables)
    }

    fn load(&mut self, records: &[u8]) -> LoadCounts {
        self.location.load(records, self.tables).unwrap_or_default()
    }

    fn replace(&mut self, records: &[u8]) {
        // The service core has read all of them.
        let _ = self.location.replace(records, self.tables);
    }

    fn answered(&mut self, numbers: &[u8]) {
        let (numbers, _) = numbers.as_chunks();
        let room = self.answered.capacity() - self.answered.len();
        self.answered.extend(numbers.iter().take(room).map(|number| u64::from_ne_bytes(*number)));
    }
}
