//! One worker with its callers and callees, round by round; only the worker's own time is taken.

use super::ends::{Ends, Turned};
use super::home::{EPOCH_MS, KEY, Users, sizes_for};
use super::wire::Wire;
use anyhow::{Context, Result, ensure};
use control_api::status::TransactionStatus;
use crossbeam::queue::ArrayQueue;
use dataplane::decode::DecodeRules;
use dataplane::handoff::Handoff;
use dataplane::limits::{BURST_MAX, HANDOFFS_PER_WORKER};
use dataplane::mailbox::{Command, ServiceEnd, mailbox};
use dataplane::mbuf::{DpdkQueues, Frame};
use dataplane::packet_io::PacketIo as _;
use dataplane::probe::Probe;
use dataplane::stats::QueueCounters;
use dataplane::testing::appliance::{lab_epoch, lab_fib, lab_settings};
use dataplane::worker::{Worker, WorkerPort};
use sip_core::{Action, Durability, Fork, Relay, Rule, Settings, TransactionSizes};
use std::sync::Arc;

/// Numbers of calls of different lcores lie so far apart.
const NUMBERS: usize = 10_000_000;
/// Stands for the random number of a process.
const BOOT: u64 = 0x0b00_7000;
/// With so many responses astray a site waits, lest the workers' rings overflow, and time passes for those
/// whom a sleeping neighbour has.
const ASTRAY_MAX: u64 = HANDOFFS_PER_WORKER as u64 / 2;
/// Frames on the wire for each call that is under way.
const FRAMES_PER_CALL: usize = 4;
/// For how long users register: longer than any run.
const EXPIRES_S: u32 = 30_000_000;
/// For how long a call keeps a transaction alive, one after the other: INVITE and BYE for 64 T1 each.
pub(super) const KEPT_MS: u64 = 2 * 64 * 500;

/// What a site is made of.
pub(super) struct Plan {
    /// Which worker it is.
    pub(super) index: usize,
    /// Calls under way at a time.
    pub(super) calls: usize,
    pub(super) for_whom: Calls,
    pub(super) sizes: TransactionSizes,
    /// Nanoseconds that pass with each new call.
    pub(super) ns_per_call: u64,
}

/// Whom calls are for, and what becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    /// All for one address, which is ours, and forwarded to one place.
    ToOnePlace,
    /// For one of so many users of a domain of ours each, but forwarded to one place.
    Relayed { users: u32 },
    /// The same, and sent to the user's binding.
    Located { users: u32 },
}

impl Calls {
    /// Users who register.
    fn registered(self) -> u32 {
        if let Self::Located { users } = self { users } else { 0 }
    }

    /// Users who are called.
    fn users(self) -> u32 {
        match self {
            Self::ToOnePlace => 0,
            Self::Relayed { users } | Self::Located { users } => users,
        }
    }
}

/// A worker, and those who speak through it.
pub(super) struct Site<Pr: Probe> {
    pub(super) worker: Worker<Wire, Pr>,
    pub(super) ends: Ends,
    service: ServiceEnd,
    pub(super) counters: Arc<QueueCounters>,
    /// Time as the worker sees it.
    pub(super) time: Arc<quanta::Mock>,
    /// Time as it is.
    pub(super) clock: quanta::Clock,
    /// Nanoseconds that pass with each new call.
    pub(super) ns_per_call: u64,
    turned: Vec<Frame>,
    /// Responses that come to the wrong worker.
    pub(super) stray: Option<Stray>,
}

/// What the worker took for one round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// Ticks of the clock.
    pub(super) ticks: u64,
    /// Those of them before the first look at the queue.
    pub(super) before: u64,
    /// Those of them after the last message was received or sent.
    pub(super) after: u64,
    /// Messages received.
    pub(super) messages: u64,
    /// Whether anything came, by the queue or from a sibling.
    pub(super) is_busy: bool,
    /// Whether the kernel left the core to us all the time.
    pub(super) is_whole: bool,
}

/// How often the kernel has given this thread's core to another.
pub(super) fn interruptions() -> i64 {
    use nix::sys::resource::{UsageWho, getrusage};
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.involuntary_context_switches())
}

/// How responses lose their way.
pub(super) struct Stray {
    /// Share of the responses, 0 to 1.
    pub(super) share: f64,
    /// Those that come here.
    pub(super) here: Arc<ArrayQueue<Frame>>,
    /// Those that go to the neighbour.
    pub(super) there: Arc<ArrayQueue<Frame>>,
    due: f64,
    /// Responses that have lost their way so far.
    lost: u64,
}

impl Stray {
    /// No response loses its way yet.
    pub(super) fn new(here: Arc<ArrayQueue<Frame>>, there: Arc<ArrayQueue<Frame>>) -> Self {
        Self { share: 0.0, here, there, due: 0.0, lost: 0 }
    }

    /// Sends a response to the neighbour, if it is one that loses its way; gives it back if not.
    fn take(&mut self, frame: Frame) -> Option<Frame> {
        self.due += self.share;
        if self.due < 1.0 {
            return Some(frame);
        }
        self.due -= 1.0;
        self.lost += 1;
        self.there.push(frame).err()
    }
}

fn begin_calls(wire: &mut Wire, ends: &mut Ends, calls: usize) -> Result<()> {
    for _ in 0..calls {
        let mut frame = wire.new_packet().context("the mempool has no mbuf for a call")?;
        ends.invite(&mut frame);
        wire.arrived.push_back(frame);
    }
    Ok(())
}

/// Lets all users register from the callee's host.
fn register<Pr: Probe>(worker: &mut Worker<Wire, Pr>, count: u32) -> Result<()> {
    let mut users = Users::of_callee(count, EXPIRES_S);
    users.begin_pass();
    let mut spare = Vec::with_capacity(BURST_MAX);
    while users.is_under_way() {
        let wire = worker.io_mut();
        spare.append(&mut wire.sent);
        while spare.len() < BURST_MAX {
            spare.push(wire.new_packet().context("the mempool has no mbuf for a REGISTER")?);
        }
        while let Some(mut frame) = spare.pop() {
            if !users.write_next(&mut frame) {
                break;
            }
            wire.arrived.push_back(frame);
        }
        worker.run_once();
        for frame in &worker.io_mut().sent {
            Users::check(frame)?;
        }
    }
    worker.io_mut().sent.clear();
    Ok(())
}

/// The lab's settings, with transactions for all calls: to one place, or to users, whose bindings outlast the
/// run, however fast its time passes.
fn settings(for_whom: Calls) -> Settings {
    let mut settings = lab_settings();
    if for_whom.users() > 0 {
        settings.domains = vec!["example.com".to_owned()];
    }
    if for_whom.registered() > 0 {
        settings.registrar.max_expires_s = EXPIRES_S;
        settings.rules = vec![Rule::always(Action::Register), Rule::always(Action::Locate)];
        settings.registrar.durability = Durability::Memory;
        return settings;
    }
    for rule in &mut settings.rules {
        rule.relay = Relay::Stateful(Fork::No);
    }
    settings
}

/// One round of a worker, with the time that it took.
pub(super) fn timed_round<Pr: Probe>(
    worker: &mut Worker<Wire, Pr>,
    counters: &QueueCounters,
    clock: &quanta::Clock,
) -> Round {
    let (received, handed) = (counters.received.get(), counters.handed_in.get());
    let interrupted = interruptions();
    let wire = worker.io_mut();
    (wire.ticks, wire.first) = (0, None);
    let began = clock.raw();
    worker.run_once();
    let ended = clock.raw();
    let wire = worker.io_mut();
    let messages = counters.received.get() - received;
    Round {
        ticks: (ended - began).saturating_sub(wire.ticks),
        before: wire.first.unwrap_or(ended).saturating_sub(began),
        after: ended.saturating_sub(wire.last.max(began)),
        messages,
        is_busy: messages > 0 || counters.handed_in.get() > handed,
        is_whole: interruptions() == interrupted,
    }
}

impl<Pr: Probe> Site<Pr> {
    /// A site whose calls begin with the first round.
    ///
    /// # Errors
    /// When the mempool has no room for the calls.
    pub(super) fn new(
        queues: DpdkQueues,
        plan: &Plan,
        handoff: Handoff<Frame>,
        probe: Pr,
    ) -> Result<Self> {
        let (clock, (mocked, time)) = (quanta::Clock::new(), quanta::Clock::mock());
        let counters: Arc<QueueCounters> = Arc::default();
        let (mailbox, service) = mailbox();
        let frames = plan.calls * FRAMES_PER_CALL;
        let mut wire = Wire::new(queues, frames, clock.clone());
        let mut ends = Ends::new(plan.calls, plan.index * NUMBERS, plan.for_whom.users());
        let registered = plan.for_whom.registered();
        if registered == 0 {
            begin_calls(&mut wire, &mut ends, plan.calls)?;
        }
        let rules = DecodeRules { verify_checksums: true };
        let ports = vec![WorkerPort { rules, counters: Arc::clone(&counters) }];
        let worker = Worker::new(wire, ports, mailbox, mocked, probe).beside(handoff);
        let worker = worker.with_transactions(plan.sizes, u8::try_from(plan.index)?, BOOT);
        let sizes = sizes_for(registered);
        let mut worker = worker.with_location(sizes, [0, 1], KEY, EPOCH_MS);
        let fib = lab_fib(1, [0, 0], true); // Both sides of the call on the one port.
        ensure!(service.send(Command::Fib(Arc::new(fib))).is_ok(), "the mailbox is full");
        let epoch = Arc::new(lab_epoch(&settings(plan.for_whom)));
        ensure!(service.send(Command::Epoch(epoch)).is_ok(), "the mailbox is full");
        ensure!(service.send(Command::LocationReady).is_ok(), "the mailbox is full");
        worker.attend();
        if registered > 0 {
            register(&mut worker, registered)?;
            begin_calls(worker.io_mut(), &mut ends, plan.calls)?;
        }
        let turned = Vec::with_capacity(frames);
        let ns_per_call = plan.ns_per_call;
        Ok(Self { worker, ends, service, counters, time, clock, ns_per_call, turned, stray: None })
    }

    /// Lets the worker take one round, and callers and callees answer.
    ///
    /// # Errors
    /// When the worker sends what it should not.
    pub(super) fn round(&mut self) -> Result<Round> {
        let round = self.work();
        self.answer()?;
        Ok(round)
    }

    /// The worker's part of a round.
    pub(super) fn work(&mut self) -> Round {
        timed_round(&mut self.worker, &self.counters, &self.clock)
    }

    /// The others' part.
    pub(super) fn answer(&mut self) -> Result<()> {
        let started = self.ends.started;
        let wire = self.worker.io_mut();
        core::mem::swap(&mut wire.sent, &mut self.turned);
        for mut frame in self.turned.drain(..) {
            let turned = self.ends.turn(&mut frame)?;
            let stray = self.stray.as_mut().filter(|_| turned == Turned::Response);
            let left = match stray {
                _ if turned == Turned::Nothing => None,
                Some(stray) => stray.take(frame),
                None => Some(frame),
            };
            wire.arrived.extend(left);
        }
        if let Some(stray) = &self.stray {
            wire.strangers.extend(std::iter::from_fn(|| stray.here.pop()));
            let astray = stray.lost - self.counters.handed_in.get();
            let astray_max = ASTRAY_MAX.min(self.ends.calls() / 4);
            wire.burst = if astray < astray_max { BURST_MAX } else { 0 };
        }
        self.time.increment((self.ends.started - started) * self.ns_per_call);
        Ok(())
    }

    /// Ends the calls that are under way, without new ones after them.
    ///
    /// # Errors
    /// When the worker sends what it should not.
    pub(super) fn end_calls(&mut self) -> Result<()> {
        self.ends.is_closed = true;
        while self.ends.ended < self.ends.started {
            self.round()?;
        }
        self.ends.is_closed = false;
        Ok(())
    }

    /// Begins so many calls, each followed by another one.
    ///
    /// # Errors
    /// When the mempool has no room for them.
    pub(super) fn begin_calls(&mut self, calls: usize) -> Result<()> {
        begin_calls(self.worker.io_mut(), &mut self.ends, calls)
    }

    /// What is counted of its transactions.
    pub(super) fn transactions(&mut self) -> TransactionStatus {
        self.worker.attend();
        self.service.counters.transactions.status()
    }

    /// Ends it and gives the queues back; its transactions are freed.
    pub(super) fn into_queues(self) -> DpdkQueues {
        self.worker.into_io().into_queues()
    }
}
