//! Requests that wait until control says where a host name leads (RFC 3263), or what other appliances know of a user.

use super::Worker;
use crate::awaiting::{Awaited, Awaiting, Held, Patience, WaitingRequest};
use crate::limits::AWAITING_NS_MAX;
use crate::mailbox::Question;
use crate::packet_io::PacketIo;
use crate::probe::Probe;
use crate::stats::QueueCounters;

impl<Io: PacketIo, Pr: Probe> Worker<Io, Pr> {
    /// Keeps a request aside, whose question the SIP stages have left, and asks that unless another request has;
    /// without room it goes on with what is known.
    #[cold]
    pub(super) fn wait(
        &mut self,
        what: Awaited,
        held: Held<Io::Packet>,
        now: u64,
        deadline_ns: Option<u64>,
    ) {
        let Some((question, hash)) = self.take_question(what) else {
            return self.take_as_is(what, held, now);
        };
        let awaiting = self.awaiting_of(what);
        let (has_room, is_asked) = (awaiting.has_room(&held), awaiting.awaits(hash));
        if !(has_room && (is_asked || self.mailbox.questions.push(question).is_ok())) {
            self.awaiting_of(what).refused_full += 1;
            return self.take_as_is(what, held, now);
        }
        self.counters_of_held(&held).parked.add(1);
        let is_new = deadline_ns.is_none();
        let deadline_ns = deadline_ns.unwrap_or_else(|| self.clock_ns(now) + AWAITING_NS_MAX);
        let awaiting = self.awaiting_of(what);
        awaiting.waited += u64::from(is_new);
        awaiting.push(WaitingRequest { held, question: hash, deadline_ns });
    }

    /// Asks for an answer that will soon be over.
    #[cold]
    pub(super) fn ask_again(&mut self) {
        if let Some((question, _)) = self.take_question(Awaited::Name) {
            // With the ring full this is lost; the next request says it again.
            let _ = self.mailbox.questions.push(question);
        }
    }

    /// The answer to the question with this hash has come: the requests that waited for it take their way again.
    #[cold]
    pub(super) fn resume(&mut self, what: Awaited, question: u64) {
        let now = self.clock.raw();
        let patience = match what {
            Awaited::Name => Patience::All,
            // What is not known of a user by now is nowhere.
            Awaited::User => Patience::Names,
        };
        for _ in 0..self.awaiting_of(what).len() {
            let Some(waiting) = self.awaiting_of(what).take_oldest() else { break };
            if waiting.question == question {
                self.count_resumed(&waiting.held);
                self.take_with(patience, waiting.held, now, Some(waiting.deadline_ns));
            } else {
                self.awaiting_of(what).push(waiting);
            }
        }
        self.flush_all();
    }

    /// Refuses the requests that have waited too long.
    pub(super) fn refuse_overdue(&mut self) {
        for what in [Awaited::Name, Awaited::User] {
            if self.awaiting_of(what).is_empty() {
                continue;
            }
            let now = self.clock.raw();
            let now_ns = self.clock_ns(now);
            while let Some(waiting) = self.awaiting_of(what).take_overdue(now_ns) {
                self.awaiting_of(what).timed_out += 1;
                self.count_resumed(&waiting.held);
                self.take_with(Patience::Nothing, waiting.held, now, None);
            }
            self.flush_all();
        }
    }

    /// Takes a request the whole way that may not wait for this any more.
    fn take_as_is(&mut self, what: Awaited, held: Held<Io::Packet>, now: u64) {
        let patience = match what {
            Awaited::Name => Patience::Nothing,
            Awaited::User => Patience::Names,
        };
        self.take_with(patience, held, now, None);
    }

    fn take_with(
        &mut self,
        patience: Patience,
        held: Held<Io::Packet>,
        now: u64,
        deadline_ns: Option<u64>,
    ) {
        self.fast_path.set_patience(patience);
        match held {
            Held::Frame { packet, datagram, port } => {
                self.take(packet, &datagram, port, now, deadline_ns);
            }
            Held::Parcel(parcel) => self.take_message(parcel, self.clock.raw(), deadline_ns),
        }
        self.fast_path.set_patience(Patience::All);
    }

    /// The question that the SIP stages have left, and its hash.
    fn take_question(&mut self, what: Awaited) -> Option<(Question, u64)> {
        match what {
            Awaited::Name => {
                let question = self.fast_path.names().take_wanted()?;
                let hash = self.fast_path.names().hash(&question);
                Some((Question::Name(question), hash))
            }
            Awaited::User => {
                let question = self.fast_path.location().take_question()?;
                Some((Question::User(question), question.number()))
            }
        }
    }

    fn awaiting_of(&mut self, what: Awaited) -> &mut Awaiting<Io::Packet> {
        match what {
            Awaited::Name => &mut self.awaiting,
            Awaited::User => &mut self.lookups,
        }
    }

    fn count_resumed(&self, held: &Held<Io::Packet>) {
        let counters = self.counters_of_held(held);
        counters.parked.set(counters.parked.get() - 1);
    }

    fn counters_of_held(&self, held: &Held<Io::Packet>) -> &QueueCounters {
        match held {
            Held::Frame { port, .. } => self.counters_of(*port),
            Held::Parcel(_) => self.mailbox.parcels.counters(),
        }
    }
}
