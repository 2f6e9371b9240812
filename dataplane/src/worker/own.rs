//! Timers, and messages of our own: nothing was received for them.

use super::Worker;
use crate::fib::NextHop;
use crate::limits::TIMERS_PER_ROUND;
use crate::mailbox::Event;
use crate::packet_io::PacketIo;
use crate::probe::Probe;
use crate::stats::{
    Sent, auth_status, location_status, name_status, overload_status, transaction_status,
};
use crate::verdict::OwnVerdict;
use control_api::DropReason;

/// The port that counts a message of our own for which there was not even a packet.
const NO_EGRESS: usize = 0;

impl<Io: PacketIo, Pr: Probe> Worker<Io, Pr> {
    /// Runs the timers that are due, up to a bound. Gives whether anything was to be sent, or more are due.
    pub(super) fn run_timers(&mut self) -> bool {
        self.set_time(self.clock.raw());
        self.is_behind = self.fast_path.expire(TIMERS_PER_ROUND);
        let has_sent = self.fast_path.has_own_messages();
        if has_sent {
            self.send_own();
            self.flush_all();
        }
        has_sent || self.is_behind
    }

    /// What transactions want done after each message.
    #[inline]
    pub(super) fn finish_message(&mut self) {
        if let Some(next_hop) = self.fast_path.take_failed() {
            self.report_failed(next_hop);
        }
        if self.fast_path.names().wants() {
            self.ask_again();
        }
        if self.fast_path.has_own_messages() {
            self.send_own();
        }
    }

    /// Tells the service core that the next hop on the way to the last target does not answer.
    #[cold]
    pub(super) fn report_failed(&self, next_hop: NextHop) {
        // With the ring full these are lost; the next message says them again.
        let _ = self.mailbox.send(Event::Resolve(next_hop));
        let _ = self.mailbox.send(Event::Unreachable(self.fast_path.target()));
    }

    /// Lets others see how the transactions stand.
    pub(super) fn publish_counts(&mut self) {
        if self.fast_path.overload().is_shedding() {
            // Nothing may have come since, which ends it.
            self.fast_path.set_load_time(self.clock_ns(self.clock.raw()));
        }
        let counters = &self.mailbox.counters;
        if self.sizes.transactions > 0 {
            let counts = self.fast_path.transaction_counts();
            counters.transactions.publish(&transaction_status(self.sizes, &counts));
        }
        if self.location_sizes.aors > 0 {
            let counts = self.fast_path.location().counts();
            let held = self.fast_path.held_replies();
            counters.location.publish(&location_status(
                self.location_sizes,
                &counts,
                held,
                &self.lookups,
            ));
        }
        counters.names.publish(&name_status(&self.fast_path.names().counts(), &self.awaiting));
        counters.overload.publish(&overload_status(&self.fast_path.overload().state()));
        if self.spill.has_siblings() {
            counters.spill.publish(&self.spill);
        }
        self.fast_path.publish_loads(&counters.loads);
        counters.auth.publish(&auth_status(&self.fast_path.digest_counts()));
        counters.beats.add(1);
    }

    /// Sends all messages that transactions have made.
    pub(super) fn send_own(&mut self) {
        while self.fast_path.has_own_messages() {
            let Some(mut packet) = self.io.new_packet() else {
                self.fast_path.discard_own();
                self.drop_own(DropReason::NoPacket);
                continue;
            };
            match self.fast_path.make_own(&mut packet) {
                OwnVerdict::Send { port } => {
                    self.queue(port, packet, usize::from(port), Sent::Originated);
                }
                OwnVerdict::Elsewhere => self.send_own_elsewhere(),
                OwnVerdict::NoNeighbour(next_hop) => {
                    // With the ring full this is lost; a timer will come here again.
                    let _ = self.mailbox.send(Event::Resolve(next_hop));
                    self.drop_own(DropReason::NeighbourFailed);
                }
                OwnVerdict::Drop(reason) => self.drop_own(reason),
            }
        }
    }

    fn drop_own(&self, reason: DropReason) {
        self.ports[NO_EGRESS].counters.drop_unsent(Sent::Originated, reason);
    }

    #[cold]
    fn send_own_elsewhere(&mut self) {
        match self.fast_path.pack_own(&mut self.mailbox.parcels) {
            Ok(parcel) => self.send_parcel(parcel, self.ports.len(), Sent::Originated),
            Err(reason) => self.drop_own(reason),
        }
    }
}
