//! Changed bindings on their way to the store, and the answers that wait for it.

use super::Worker;
use crate::awaiting::Awaited;
use crate::limits::{LOG_ROUNDS, RELEASES_PER_ROUND};
use crate::mailbox::Event;
use crate::packet_io::PacketIo;
use crate::probe::Probe;
use crate::stats::Sent;
use crate::verdict::OwnVerdict;
use control_api::DropReason;

impl<Io: PacketIo, Pr: Probe> Worker<Io, Pr> {
    /// Exchanges changed bindings with the service core, every few rounds, and sends the answers that may leave
    /// since. Gives whether there was anything to do.
    #[inline]
    pub(super) fn tend_location(&mut self) -> bool {
        if self.location_sizes.aors == 0 {
            return false;
        }
        let is_log_round = self.rounds.is_multiple_of(LOG_ROUNDS) || self.mailbox.log.is_loading();
        let has_moved = is_log_round && self.fast_path.exchange_bindings(&mut self.mailbox.log);
        while let Some(question) = self.fast_path.take_answered() {
            self.resume(Awaited::User, question);
        }
        self.send_released() || has_moved
    }

    /// A REGISTER has been taken whose answer waits for the store: until it leaves it counts as parked.
    #[inline]
    pub(super) fn hold(&mut self, port: usize) {
        #[expect(clippy::cast_possible_truncation, reason = "PORTS_MAX fits a u8")]
        self.fast_path.held_replies().set_port(port as u8);
        self.counters_of(port).parked.add(1);
    }

    /// Sends answers whose changes are on stable storage, up to a bound. Gives whether there were any.
    pub(super) fn send_released(&mut self) -> bool {
        if !self.fast_path.held_replies().has_released() {
            return false;
        }
        for _ in 0..RELEASES_PER_ROUND {
            if !self.fast_path.held_replies().has_released() {
                break;
            }
            self.send_released_one();
        }
        self.flush_all();
        true
    }

    fn send_released_one(&mut self) {
        let made = self.io.new_packet().map(|mut packet| {
            let verdict = self.fast_path.make_held(&mut packet);
            (packet, verdict)
        });
        // It is packed before it is forgotten.
        let parcel = match made {
            Some((_, OwnVerdict::Elsewhere)) => {
                Some(self.fast_path.pack_held(&mut self.mailbox.parcels))
            }
            _ => None,
        };
        let port = usize::from(self.fast_path.held_replies().forget_first().unwrap_or(0));
        let counters = self.counters_of(port);
        counters.parked.set(counters.parked.get() - 1);
        match made {
            Some((packet, OwnVerdict::Send { port: egress })) => {
                self.queue(egress, packet, port, Sent::Replied);
            }
            Some((_, OwnVerdict::Elsewhere)) => match parcel {
                Some(Ok(parcel)) => self.send_parcel(parcel, port, Sent::Replied),
                Some(Err(reason)) => self.counters_of(port).drop_for(reason),
                None => self.counters_of(port).drop_for(DropReason::NoPacket),
            },
            // The client asks again, and is answered again.
            Some((_, OwnVerdict::NoNeighbour(next_hop))) => {
                let _ = self.mailbox.send(Event::Resolve(next_hop));
                self.counters_of(port).drop_for(DropReason::NeighbourFailed);
            }
            Some((_, OwnVerdict::Drop(reason))) => self.counters_of(port).drop_for(reason),
            None => self.counters_of(port).drop_for(DropReason::NoPacket),
        }
    }
}
