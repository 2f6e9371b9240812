//! Requests that wait until control says where a host name leads (RFC 3263).

use super::Worker;
use crate::awaiting::{Held, WaitingForName};
use crate::limits::NAME_NS_MAX;
use crate::packet_io::PacketIo;
use crate::probe::Probe;
use crate::stats::QueueCounters;

impl<Io: PacketIo, Pr: Probe> Worker<Io, Pr> {
    /// Keeps a request aside, whose question the SIP stages have left, and asks that unless another request has;
    /// without room it is refused.
    #[cold]
    pub(super) fn await_name(
        &mut self,
        held: Held<Io::Packet>,
        now: u64,
        deadline_ns: Option<u64>,
    ) {
        let Some(question) = self.fast_path.names().take_wanted() else {
            return self.refuse_name(held, now);
        };
        let name = self.fast_path.names().hash(&question);
        let may_wait = self.awaiting.has_room(&held)
            && (self.awaiting.awaits(name) || self.mailbox.questions.push(question).is_ok());
        if !may_wait {
            self.awaiting.refused_full += 1;
            return self.refuse_name(held, now);
        }
        self.awaiting.waited += u64::from(deadline_ns.is_none());
        let deadline_ns = deadline_ns.unwrap_or_else(|| self.clock_ns(now) + NAME_NS_MAX);
        self.counters_of_held(&held).parked.add(1);
        self.awaiting.push(WaitingForName { held, name, deadline_ns });
    }

    /// Asks for an answer that will soon be over.
    #[cold]
    pub(super) fn ask_again(&mut self) {
        if let Some(question) = self.fast_path.names().take_wanted() {
            // With the ring full this is lost; the next request says it again.
            let _ = self.mailbox.questions.push(question);
        }
    }

    /// The answer to the question with this hash has come: the requests that waited for it take their way again.
    #[cold]
    pub(super) fn resume(&mut self, name: u64) {
        let now = self.clock.raw();
        for _ in 0..self.awaiting.len() {
            let Some(waiting) = self.awaiting.take_oldest() else { break };
            if waiting.name == name {
                self.take_again(waiting.held, now, waiting.deadline_ns);
            } else {
                self.awaiting.push(waiting);
            }
        }
        self.flush_all();
    }

    /// Refuses the requests that have waited too long.
    pub(super) fn refuse_overdue(&mut self) {
        if self.awaiting.is_empty() {
            return;
        }
        let now = self.clock.raw();
        while let Some(waiting) = self.awaiting.take_overdue(self.clock_ns(now)) {
            self.awaiting.timed_out += 1;
            let counters = self.counters_of_held(&waiting.held);
            counters.parked.set(counters.parked.get() - 1);
            self.refuse_name(waiting.held, now);
        }
        self.flush_all();
    }

    fn take_again(&mut self, held: Held<Io::Packet>, now: u64, deadline_ns: u64) {
        let counters = self.counters_of_held(&held);
        counters.parked.set(counters.parked.get() - 1);
        self.take_held(held, now, Some(deadline_ns));
    }

    /// Takes a request the whole way with no more time to wait, so that it is answered.
    fn refuse_name(&mut self, held: Held<Io::Packet>, now: u64) {
        self.fast_path.give_up_names(true);
        self.take_held(held, now, None);
        self.fast_path.give_up_names(false);
    }

    fn take_held(&mut self, held: Held<Io::Packet>, now: u64, deadline_ns: Option<u64>) {
        match held {
            Held::Frame { packet, datagram, port } => {
                self.take(packet, &datagram, port, now, deadline_ns);
            }
            Held::Parcel(parcel) => self.take_message(parcel, self.clock.raw(), deadline_ns),
        }
    }

    fn counters_of_held(&self, held: &Held<Io::Packet>) -> &QueueCounters {
        match held {
            Held::Frame { port, .. } => self.counters_of(*port),
            Held::Parcel(_) => self.mailbox.parcels.counters(),
        }
    }
}
