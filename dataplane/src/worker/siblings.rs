//! Messages for the transactions of another worker, and of ours that came to another one.

use super::Worker;
use crate::decode::Datagram;
use crate::handoff::{Handed, HandoffError};
use crate::limits::HANDOFFS_PER_ROUND;
use crate::packet_io::PacketIo;
use crate::probe::Probe;
use control_api::DropReason;

impl<Io: PacketIo, Pr: Probe> Worker<Io, Pr> {
    /// Gives a packet to the worker that owns its transaction.
    pub(super) fn hand_off(
        &mut self,
        owner: u8,
        packet: Io::Packet,
        datagram: &Datagram,
        port: usize,
    ) {
        let handed = Handed { packet, datagram: datagram.clone(), port };
        let counters = &self.ports[port].counters;
        match self.siblings.send(owner, handed) {
            Ok(()) => counters.handed_off.add(1),
            Err((_, HandoffError::Full)) => counters.drop_for(DropReason::HandoffFull),
            // It carries our check, so it is of a time when there were more workers.
            Err((_, HandoffError::NoSuchWorker)) => counters.drop_for(DropReason::ResponseStale),
        }
    }

    /// Takes messages that siblings hand over, as if they had been received here. Gives whether there
    /// were any.
    pub(super) fn take_handed(&mut self) -> bool {
        let Some(mut handed) = self.siblings.take() else { return false };
        let (began, first_port) = (self.clock.raw(), handed.port);
        if self.fast_path.keeps_time() {
            self.set_time(began);
        }
        for taken in 1.. {
            let Handed { packet, datagram, port } = handed;
            self.ports[port].counters.handed_in.add(1);
            self.take(packet, &datagram, port, began, None);
            if taken == HANDOFFS_PER_ROUND {
                self.note_full(self.clock_ns(began));
                break;
            }
            let Some(next) = self.siblings.take() else { break };
            handed = next;
        }
        self.flush_all();
        let spent_ns = self.clock.delta_as_nanos(began, self.clock.raw());
        self.ports[first_port].counters.busy_ns.add(spent_ns);
        true
    }
}
