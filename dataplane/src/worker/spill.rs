//! Stateless work that is too much for this worker, and that of siblings for which it is.

use super::Worker;
use crate::decode::{decode, locate};
use crate::limits::SPILL_AFTER_BURSTS;
use crate::packet::PacketBuf;
use crate::packet_io::{Burst, PacketIo};
use crate::probe::{Probe, Stage};
use crate::spill::{Batch, Place, Spill};
use control_api::DropReason;

impl<Io: PacketIo, Pr: Probe> Worker<Io, Pr> {
    /// The same worker with siblings that it can give stateless work to, and take some from.
    #[must_use]
    pub fn spilling(mut self, spill: Spill<Io::Packet>) -> Self {
        self.spill = spill;
        self
    }

    /// Gives a part of a burst to siblings, if so many bursts of the port were full that more waits than this worker can
    /// do, or if some messages must follow others that were given before. Gives back what stays.
    #[inline]
    pub(super) fn spill(
        &mut self,
        port: usize,
        burst: Burst<Io::Packet>,
        now_ns: u64,
    ) -> Burst<Io::Packet> {
        if !self.spill.has_siblings() {
            return burst;
        }
        let is_backlogged = self.ports[port].full_bursts >= SPILL_AFTER_BURSTS;
        if self.fast_path.is_stateless() && self.spill.begin(is_backlogged) {
            self.part(port, burst, now_ns)
        } else {
            burst
        }
    }

    fn part(&mut self, port: usize, burst: Burst<Io::Packet>, now_ns: u64) -> Burst<Io::Packet> {
        let (mut kept, mut bytes, mut spilled) = (Burst::new(), 0, 0);
        for packet in burst {
            let frame = packet.frame();
            let located = locate(frame).ok().filter(|_| packet.is_contiguous());
            // What has no Call-ID is no work for others: it is answered or dropped at once.
            let call_id = located.as_ref().and_then(|datagram| {
                let message = &frame[datagram.payload.clone()];
                sip_core::call_id(message).map(|call_id| (datagram, message, call_id))
            });
            let Some((datagram, message, call_id)) = call_id else {
                kept.push(packet);
                continue;
            };
            let seat = match self.spill.place(call_id) {
                Place::Here => {
                    kept.push(packet);
                    continue;
                }
                Place::Sibling(seat) => Ok(seat),
                Place::Nowhere => Err(DropReason::HandoffFull),
            };
            bytes += frame.len() as u64;
            // The rates of sources are counted where they are received.
            let source = datagram.source.ip();
            let admitted = self.fast_path.admit(source, now_ns);
            let admitted = admitted.and_then(|()| self.fast_path.skim(message));
            match admitted.and(seat) {
                Ok(seat) => {
                    self.spill.give(seat, packet);
                    spilled += 1;
                }
                Err(reason) => self.ports[port].counters.drop_for(reason),
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "PORTS_MAX fits a u8")]
        self.spill.send(port as u8);
        let counters = &self.ports[port].counters;
        counters.received_bytes.add(bytes);
        counters.handed_off.add(spilled);
        self.report_bans();
        self.probe.end(Stage::Decode);
        kept
    }

    /// Takes a batch of a sibling's work, as if it had been received here. Gives whether there was one.
    #[inline]
    pub(super) fn take_spilled(&mut self) -> bool {
        let Some((source, batch)) = self.spill.take() else { return false };
        let (port, count) = (usize::from(batch.port), batch.packets.len());
        let began = self.clock.raw();
        self.ports[port].counters.handed_in.add(count as u64);
        self.fast_path.set_load_time(self.clock_ns(began));
        if self.fast_path.is_stateless() {
            self.take_batch(batch, began);
        } else {
            // Another epoch has begun here: what belongs together is to meet where it is received.
            self.give_back(self.spill.owner(source), batch);
        }
        self.flush_all();
        // Only now: what follows may leave elsewhere as soon as this is known.
        self.spill.finish(source, count);
        let spent_ns = self.clock.delta_as_nanos(began, self.clock.raw());
        self.ports[port].counters.busy_ns.add(spent_ns);
        true
    }

    fn take_batch(&mut self, batch: Batch<Io::Packet>, began: u64) {
        let port = usize::from(batch.port);
        for packet in &batch.packets {
            packet.prefetch();
        }
        let rules = self.ports[port].rules;
        for packet in batch.packets {
            match decode(packet.frame(), rules) {
                Ok(datagram) => self.take(packet, &datagram, port, began, None),
                Err(reason) => self.ports[port].counters.drop_for(reason),
            }
        }
    }

    #[cold]
    fn give_back(&mut self, owner: u8, batch: Batch<Io::Packet>) {
        let port = usize::from(batch.port);
        let rules = self.ports[port].rules;
        for packet in batch.packets {
            match decode(packet.frame(), rules) {
                Ok(datagram) => self.hand_off(owner, packet, &datagram, port),
                Err(reason) => self.ports[port].counters.drop_for(reason),
            }
        }
    }
}
