//! The worker's part in messages that go through the kernel.

use super::Worker;
use crate::awaiting::Held;
use crate::limits::PARCELS_PER_LOOK;
use crate::packet_io::PacketIo;
use crate::parcel::{Errand, Origin, Parcel};
use crate::probe::Probe;
use crate::stats::{QueueCounters, Sent};
use crate::verdict::Verdict;
use control_api::DropReason;

impl<Io: PacketIo, Pr: Probe> Worker<Io, Pr> {
    /// Takes what the service core has sent: messages from the kernel, up to a bound, and word of those that went
    /// there.
    pub(super) fn take_parcels(&mut self) {
        let mut messages = 0;
        self.has_parcels = false;
        while let Some(parcel) = self.mailbox.parcels.next() {
            match parcel.errand {
                Errand::Received => {
                    messages += 1;
                    let counters = self.mailbox.parcels.counters();
                    counters.received.add(1);
                    counters.received_bytes.add(parcel.message().len() as u64);
                    self.admit(parcel);
                }
                Errand::HandedIn => {
                    messages += 1;
                    self.mailbox.parcels.counters().handed_in.add(1);
                    self.take_message(parcel, self.clock.raw(), None);
                }
                Errand::Sent(origin, is_sent) => {
                    self.count_sent(origin, is_sent, parcel.message().len());
                    self.mailbox.parcels.send_home(parcel);
                }
                Errand::Send(_) | Errand::HandOver(_) | Errand::Empty => {
                    self.mailbox.parcels.send_home(parcel);
                }
            }
            if messages == PARCELS_PER_LOOK {
                self.has_parcels = true;
                return;
            }
        }
    }

    /// Sends a message away that goes over a connection, or that is larger than the MTU: the kernel makes
    /// fragments of it.
    #[cold]
    pub(super) fn send_elsewhere(&mut self, packet: &Io::Packet, port: usize, is_reply: bool) {
        match self.fast_path.pack(packet, &mut self.mailbox.parcels) {
            Ok(parcel) => self.send_parcel(parcel, port, sent_as(is_reply)),
            Err(reason) => self.ports[port].counters.drop_for(reason),
        }
    }

    /// Takes a message unless its source sends too many.
    fn admit(&mut self, parcel: Parcel) {
        let began = self.clock.raw();
        let now_ns = self.clock_ns(began);
        self.fast_path.set_load_time(now_ns);
        match self.fast_path.admit(parcel.source.ip(), now_ns) {
            Ok(()) => self.take_message(parcel, began, None),
            Err(reason) => {
                self.mailbox.parcels.counters().drop_for(reason);
                self.mailbox.parcels.send_home(parcel);
                self.report_bans();
            }
        }
    }

    /// Takes one message the whole way, from `began` on. `deadline_ns` is set for one that has waited before.
    pub(super) fn take_message(
        &mut self,
        mut parcel: Parcel,
        began: u64,
        deadline_ns: Option<u64>,
    ) {
        if self.fast_path.keeps_time() {
            self.set_time(began);
        }
        let outcome = self.fast_path.process_parcel(&mut parcel, &mut self.probe);
        let counters = self.mailbox.parcels.counters();
        let spent_ns = self.clock.delta_as_nanos(began, self.clock.raw());
        counters.busy_ns.add(spent_ns);
        self.fast_path.overload().note_busy(spent_ns);
        match outcome {
            Ok(is_reply) => self.send_made(parcel, sent_as(is_reply)),
            Err(Verdict::Handoff(owner)) => {
                counters.handed_off.add(1);
                parcel.errand = Errand::HandOver(owner);
                self.mailbox.parcels.send(parcel);
            }
            Err(Verdict::Await(what)) => {
                self.wait(what, Held::Parcel(parcel), began, deadline_ns);
            }
            Err(verdict) => {
                match verdict {
                    Verdict::Held => self.hold(self.ports.len()),
                    Verdict::Absorb => counters.absorbed.add(1),
                    Verdict::Drop(reason) => counters.drop_for(reason),
                    _ => counters.drop_for(DropReason::NoRoute),
                }
                self.mailbox.parcels.send_home(parcel);
            }
        }
        self.finish_message();
    }

    /// Sends a message on that came from the kernel or over a connection: as a frame where it can be one, which
    /// spares the service core a system call.
    fn send_made(&mut self, parcel: Parcel, sent: Sent) {
        let kernel = self.ports.len();
        let port = self.fast_path.frame_port(&parcel);
        let Some((port, mut packet)) = port.and_then(|port| Some((port, self.io.new_packet()?)))
        else {
            return self.send_parcel(parcel, kernel, sent);
        };
        match self.fast_path.frame_parcel(&mut packet, &parcel) {
            Ok(()) => self.queue(port, packet, kernel, sent),
            Err(reason) => self.counters_of(kernel).drop_unsent(sent, reason),
        }
        self.mailbox.parcels.send_home(parcel);
    }

    /// Until the kernel has taken it, a message that came in counts as parked there.
    pub(super) fn send_parcel(&mut self, mut parcel: Parcel, port: usize, sent: Sent) {
        if sent != Sent::Originated {
            self.counters_of(port).parked.add(1);
        }
        #[expect(clippy::cast_possible_truncation, reason = "PORTS_MAX fits a u8")]
        let origin = Origin { port: port as u8, sent };
        parcel.errand = Errand::Send(origin);
        self.mailbox.parcels.send(parcel);
    }

    fn count_sent(&self, origin: Origin, is_sent: bool, length: usize) {
        let counters = self.counters_of(origin.port.into());
        if origin.sent != Sent::Originated {
            counters.parked.set(counters.parked.get() - 1);
        }
        if is_sent {
            counters.count_sent(origin.sent);
        } else {
            counters.drop_unsent(origin.sent, DropReason::KernelSend);
        }
        if is_sent {
            let kernel = self.mailbox.parcels.counters();
            kernel.transmitted.add(1);
            kernel.transmitted_bytes.add(length as u64);
        }
    }

    /// The counters of a port, or behind the last one those of the kernel.
    pub(super) fn counters_of(&self, port: usize) -> &QueueCounters {
        self.ports.get(port).map_or(self.mailbox.parcels.counters(), |port| &port.counters)
    }
}

fn sent_as(is_reply: bool) -> Sent {
    if is_reply { Sent::Replied } else { Sent::Forwarded }
}
