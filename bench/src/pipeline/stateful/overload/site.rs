//! One worker, its receive ring, and those who send to it: the worker's clock goes by as much as the worker takes.

use super::super::frame::{Frames, Side, payload};
use super::super::home::timed_round;
use super::super::wire::Wire;
use super::calls::{Calls, Counts, FLOOD, Out};
use super::mix::Mix;
use super::offer::{Flood, Offer};
use super::text::Template;
use anyhow::{Context, Result, ensure};
use control_api::status::OverloadStatus;
use core::time::Duration;
use dataplane::decode::DecodeRules;
use dataplane::limits::{BURST_MAX, SOURCES};
use dataplane::mailbox::{Command, ServiceEnd, mailbox};
use dataplane::mbuf::{DpdkQueues, Frame};
use dataplane::packet_io::PacketIo as _;
use dataplane::probe::NoProbe;
use dataplane::stats::QueueCounters;
use dataplane::testing::appliance::{lab_epoch, lab_fib};
use dataplane::worker::{Worker, WorkerPort};
use sip_core::{Settings, TransactionSizes};
use std::sync::Arc;

/// Descriptors of a receive queue, as the appliance has them by default.
pub(super) const RING: usize = 2_048;
/// Callers and callees have their turn after so long at the latest, ns: about as long as a burst of messages that are
/// all forwarded takes.
const TURN_NS: u64 = 25_000;
/// An idle worker looks again after so long, ns.
const IDLE_NS: u64 = 2_000;
/// While calls end, nothing else comes, and time may go by faster, ns.
const DRAIN_NS: u64 = 100_000;
/// A round that takes longer was disturbed by something that the kernel does not tell, ns.
const ROUND_MAX_NS: u64 = 300_000;
/// Stands for the random number of a process.
const BOOT: u64 = 0x0b00_7000;
/// What a message costs before anything is known, ns.
const FIRST_GUESS_NS: f64 = 600.0;

/// What the ring did not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RingLosses {
    /// INVITEs of honest callers.
    pub(super) invites: u64,
    /// Messages of calls that had begun.
    pub(super) begun: u64,
    /// What came from who floods.
    pub(super) flood: u64,
}

/// How it stands at a moment.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) now_ns: u64,
    /// Nanoseconds that the worker had something to do.
    pub(super) busy_ns: u64,
    /// Rounds that were disturbed, for which a typical time counted.
    pub(super) guessed: u64,
    pub(super) rounds: u64,
    pub(super) counts: Counts,
    pub(super) lost: RingLosses,
    pub(super) overload: OverloadStatus,
    /// Frames that lay in the ring after rounds, added up.
    pub(super) waiting: u64,
    /// Calls that are up, or have an answer without ACK.
    pub(super) standing: u64,
}

/// The worker with all that is around it.
pub(super) struct Site {
    worker: Worker<Wire, NoProbe>,
    service: ServiceEnd,
    counters: Arc<QueueCounters>,
    time: Arc<quanta::Mock>,
    clock: quanta::Clock,
    frames: Frames,
    invite: Template,
    flood: Template,
    garbage: Vec<u8>,
    pub(super) calls: Calls,
    pub(super) offer: Offer,
    spare: Vec<Frame>,
    answers: Vec<Out>,
    pub(super) now_ns: u64,
    busy_ns: u64,
    guessed: u64,
    rounds: u64,
    waiting: u64,
    ns_per_message: f64,
    flooded: u32,
    lost: RingLosses,
    text: Vec<u8>,
}

/// Something that arrives.
#[derive(Clone, Copy, Debug)]
enum Arriving {
    Out(Out),
    Flood(Flood),
}

impl Site {
    /// A site at rest.
    ///
    /// # Errors
    /// When the worker does not take its settings.
    pub(super) fn new(
        queues: DpdkQueues,
        settings: &Settings,
        sizes: TransactionSizes,
        offer: Offer,
        hold: Duration,
    ) -> Result<Self> {
        let (clock, (mocked, time)) = (quanta::Clock::new(), quanta::Clock::mock());
        time.increment(Duration::from_secs(1));
        let counters: Arc<QueueCounters> = Arc::default();
        let (mailbox, service) = mailbox();
        let wire = Wire::new(queues, RING, clock.clone());
        let rules = DecodeRules { verify_checksums: true };
        let ports = vec![WorkerPort { rules, counters: Arc::clone(&counters) }];
        let worker = Worker::new(wire, ports, mailbox, mocked, NoProbe);
        let worker = worker.with_transactions(sizes, 0, BOOT);
        let mut worker = worker.with_sources(SOURCES, &settings.secret);
        let fib = lab_fib(1, [0, 0], true); // All sides on the one port.
        ensure!(service.send(Command::Fib(Arc::new(fib))).is_ok(), "the mailbox is full");
        let epoch = Arc::new(lab_epoch(settings));
        ensure!(service.send(Command::Epoch(epoch)).is_ok(), "the mailbox is full");
        worker.attend();
        Ok(Self {
            worker,
            service,
            counters,
            time,
            clock,
            frames: Frames::new(),
            invite: Template::invite(),
            flood: Template::flood(),
            garbage: vec![0xff; 300],
            calls: Calls::new(u64::try_from(hold.as_nanos())?),
            offer,
            spare: Vec::with_capacity(RING),
            answers: Vec::with_capacity(RING),
            now_ns: 0,
            busy_ns: 0,
            guessed: 0,
            rounds: 0,
            waiting: 0,
            ns_per_message: FIRST_GUESS_NS,
            flooded: 0,
            lost: RingLosses::default(),
            text: Vec::with_capacity(2_048),
        })
    }

    /// Lets `length` of the worker's time go by.
    ///
    /// # Errors
    /// When the worker sends what makes no sense.
    pub(super) fn run(&mut self, length: Duration) -> Result<()> {
        let end_ns = self.now_ns + u64::try_from(length.as_nanos())?;
        while self.now_ns < end_ns {
            self.round(IDLE_NS)?;
        }
        Ok(())
    }

    /// Nobody calls any more, and calls that stand come to their end, for at most `longest`.
    ///
    /// # Errors
    /// When the worker sends what makes no sense.
    pub(super) fn drain(&mut self, longest: Duration) -> Result<()> {
        self.offer.stop();
        self.calls.close();
        let end_ns = self.now_ns + u64::try_from(longest.as_nanos())?;
        while self.calls.standing > 0 && self.now_ns < end_ns {
            self.round(DRAIN_NS)?;
        }
        Ok(())
    }

    /// How it stands.
    pub(super) fn moment(&mut self) -> Moment {
        self.worker.attend();
        while self.service.next().is_some() {}
        Moment {
            now_ns: self.now_ns,
            busy_ns: self.busy_ns,
            guessed: self.guessed,
            rounds: self.rounds,
            counts: self.calls.counts,
            lost: self.lost,
            overload: self.service.counters.overload.status(),
            waiting: self.waiting,
            standing: self.calls.standing,
        }
    }

    /// Ends it and gives the queues back.
    pub(super) fn into_queues(mut self) -> DpdkQueues {
        self.spare.clear();
        let mut wire = self.worker.into_io();
        wire.arrived.clear();
        wire.sent.clear();
        wire.into_queues()
    }

    /// Rounds of the worker while its ring has full bursts for it, one behind the other as on a core of its own: its
    /// memory stays in the caches. Then the others have their turn.
    fn round(&mut self, idle_ns: u64) -> Result<()> {
        let until_ns = self.now_ns + TURN_NS;
        self.work(idle_ns);
        while self.now_ns < until_ns && self.worker.io_mut().arrived.len() >= BURST_MAX {
            self.work(idle_ns);
        }
        while self.service.next().is_some() {}
        self.deliver()?;
        self.arrive()
    }

    /// One round of the worker, which makes time go by.
    fn work(&mut self, idle_ns: u64) {
        let round = timed_round(&mut self.worker, &self.counters, &self.clock);
        let took_ns = if round.is_busy || !self.worker.io_mut().sent.is_empty() {
            let took_ns = self.believe(
                self.clock.delta_as_nanos(0, round.ticks),
                round.messages,
                round.is_whole,
            );
            self.busy_ns += took_ns;
            took_ns
        } else {
            self.until_next(idle_ns)
        };
        self.rounds += 1;
        self.now_ns += took_ns;
        self.time.increment(Duration::from_nanos(took_ns));
        self.waiting += self.worker.io_mut().arrived.len() as u64;
    }

    /// What a round took: what was measured, unless something else had the core meanwhile.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds of a round"
    )]
    fn believe(&mut self, ns: u64, messages: u64, is_whole: bool) -> u64 {
        let messages = messages.max(1) as f64;
        if is_whole && ns < ROUND_MAX_NS {
            self.ns_per_message += (ns as f64 / messages - self.ns_per_message) / 256.0;
            return ns.max(1);
        }
        self.guessed += 1;
        (self.ns_per_message * messages) as u64 + 1
    }

    /// How long an idle worker waits until something comes, at most `idle_ns`.
    fn until_next(&self, idle_ns: u64) -> u64 {
        let due = [self.calls.earliest(), self.offer.earliest()].into_iter().flatten().min();
        let wait_ns = due.map_or(idle_ns, |due| due.saturating_sub(self.now_ns));
        wait_ns.clamp(1, idle_ns)
    }

    /// What the worker has sent arrives at callers and callees.
    fn deliver(&mut self) -> Result<()> {
        for frame in self.worker.io_mut().sent.drain(..) {
            self.calls.take(payload(dataplane::packet::PacketBuf::frame(&frame)), self.now_ns)?;
            if self.spare.len() < RING {
                self.spare.push(frame);
            }
        }
        core::mem::swap(&mut self.answers, &mut self.calls.out);
        Ok(())
    }

    /// What was sent to the worker meanwhile comes to its ring: answers, and whatever comes anyway, mixed evenly.
    fn arrive(&mut self) -> Result<()> {
        for _ in 0..self.offer.calls(self.now_ns) {
            self.calls.begin(self.now_ns);
        }
        self.calls.pass(self.now_ns);
        let (flood, kind) = self.offer.flood(self.now_ns);
        let mut fresh = std::mem::take(&mut self.calls.out);
        let mut answers = std::mem::take(&mut self.answers);
        let mut taken = [0; 3];
        for stream in Mix::new([answers.len(), fresh.len(), flood]) {
            let at = taken[stream];
            taken[stream] += 1;
            self.put(match stream {
                0 => Arriving::Out(answers[at]),
                1 => Arriving::Out(fresh[at]),
                _ => Arriving::Flood(kind),
            })?;
        }
        answers.clear();
        fresh.clear();
        self.answers = answers;
        self.calls.out = fresh;
        Ok(())
    }

    /// Puts a message into the ring, if that has room.
    fn put(&mut self, arriving: Arriving) -> Result<()> {
        let is_full = self.worker.io_mut().arrived.len() >= RING;
        if is_full {
            match arriving {
                Arriving::Out(Out::Invite(_)) => self.lost.invites += 1,
                Arriving::Out(_) => self.lost.begun += 1,
                Arriving::Flood(_) => self.lost.flood += 1,
            }
        } else if self.write(arriving) {
            let frame = self.spare.pop().or_else(|| self.worker.io_mut().new_packet());
            let mut frame = frame.context("the mempool has no mbuf for what arrives")?;
            let side = side(arriving);
            self.frames.write(&mut frame, side, &self.text);
            self.worker.io_mut().arrived.push_back(frame);
        }
        if let Arriving::Out(Out::FromCaller(letter) | Out::FromCallee(letter)) = arriving {
            self.calls.release(letter);
        }
        Ok(())
    }

    /// Writes the message; false when it has become pointless.
    fn write(&mut self, arriving: Arriving) -> bool {
        const OK: &str = "SIP/2.0 200 OK";
        let text = &mut self.text;
        text.clear();
        let message = match arriving {
            Arriving::Out(Out::Invite(number)) => Some(self.invite.of(number)),
            Arriving::Out(Out::Ringing(number)) => self.calls.answer(number).map(|answer| {
                text.extend_from_slice(b"SIP/2.0 180 Ringing");
                &answer.as_bytes()[OK.len()..]
            }),
            Arriving::Out(Out::Answer(number)) => self.calls.answer(number).map(str::as_bytes),
            Arriving::Out(Out::Bye(number)) => self.calls.bye(number).map(str::as_bytes),
            Arriving::Out(Out::FromCaller(letter) | Out::FromCallee(letter)) => {
                Some(self.calls.letter(letter).as_bytes())
            }
            Arriving::Flood(Flood::Invites) => {
                self.flooded = (self.flooded + 1) % (FLOOD - 1);
                Some(self.flood.of(FLOOD + self.flooded))
            }
            Arriving::Flood(Flood::Garbage) => Some(&self.garbage[..]),
        };
        message.map(|message| text.extend_from_slice(message)).is_some()
    }
}

fn side(arriving: Arriving) -> Side {
    match arriving {
        Arriving::Out(Out::Invite(_) | Out::Bye(_) | Out::FromCaller(_)) => Side::Caller,
        Arriving::Out(_) => Side::Callee,
        Arriving::Flood(_) => Side::Flooder,
    }
}
