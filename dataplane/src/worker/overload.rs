//! What a worker notices of having too much to do.

use super::Worker;
use crate::mailbox::Event;
use crate::packet_io::PacketIo;
use crate::probe::Probe;
use sip_core::Overload;

impl<Io: PacketIo, Pr: Probe> Worker<Io, Pr> {
    /// The same worker with room for the buckets of sources. Nobody who does not know `secret` can choose addresses
    /// that push each other out.
    #[must_use]
    pub fn with_sources(mut self, sources: u32, secret: &[u8; 16]) -> Self {
        self.fast_path.give_overload(Overload::new(sources, secret));
        self
    }

    /// More waits than could be taken at once.
    #[inline]
    pub(super) fn note_full(&mut self, now_ns: u64) {
        self.found_full = true;
        self.fast_path.overload().note_full(now_ns);
    }

    /// A poll begins: until now the worker was busy with what the one before gave, timers and all.
    #[inline]
    pub(super) fn note_poll(&mut self, began: u64) {
        if let Some(since) = self.busy_since.take() {
            let spent_ns = self.clock.delta_as_nanos(since, began);
            self.fast_path.overload().note_busy(spent_ns);
        }
    }

    /// Tells the service core whom this worker has banned.
    #[inline]
    pub(super) fn report_bans(&mut self) {
        while let Some(ban) = self.fast_path.take_ban() {
            // With the ring full it is in force all the same, and not listed.
            let _ = self.mailbox.send(Event::Banned(ban));
        }
    }

    /// At the end of a round over all queues: whether they ran empty.
    #[inline]
    pub(super) fn end_round(&mut self) {
        if !self.found_full && !self.has_parcels {
            self.fast_path.overload().note_empty();
        }
        self.found_full = false;
    }
}
