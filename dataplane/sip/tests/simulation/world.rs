//! The simulated world: everything that happens, in the order of virtual time.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::AddAssign;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sip_core::TransactionSizes;

use super::agenda::Agenda;
use super::call::{Call, Dialog, Party};
use super::callee::Saying;
use super::network::{Network, Packet};
use super::plan::{self, Health, Side};
use super::proxy::{Done, POLL_MS, Proxy};
use super::text::Seen;

/// A call is looked at when nothing has happened to it for so long.
pub(crate) const QUIET_MS: u64 = 40_000;

/// A run: everything in it follows from these values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) calls: u32,
    /// Calls that begin in a second.
    pub(crate) rate: u32,
    /// The call whose messages are written down.
    pub(crate) trace: Option<u32>,
}

/// Something that happens.
pub(crate) enum Event {
    Start(u32),
    /// A datagram arrives.
    Arrive(Packet),
    /// A datagram leaves an endpoint.
    Transmit(Packet),
    /// A sibling gives a message to this worker.
    HandOver(usize, Packet),
    /// An ICMP error quotes this datagram.
    Unreachable(Vec<u8>),
    Poll,
    Resend(u32, usize),
    Cancel(u32),
    HangUp(u32, Party, Box<Dialog>),
    Say(u32, usize, Saying),
    Repeat(u32, usize),
    Check(u32),
}

/// How much there was of what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) requests: u64,
    pub(crate) finals: u64,
    pub(crate) cancels: u64,
    pub(crate) legs: u64,
    pub(crate) packets: u64,
    pub(crate) handed_over: u64,
    pub(crate) alive_max: u64,
    pub(crate) virtual_seconds: u64,
    /// Counts of the transaction layer, all workers together.
    pub(crate) opened: u64,
    pub(crate) absorbed: u64,
    pub(crate) retransmitted: u64,
    pub(crate) timed_out: u64,
    pub(crate) failed_over: u64,
    pub(crate) cancelled: u64,
    pub(crate) refused_full: u64,
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.finals += other.finals;
        self.cancels += other.cancels;
        self.legs += other.legs;
        self.packets += other.packets;
        self.handed_over += other.handed_over;
        self.alive_max = self.alive_max.max(other.alive_max);
        self.virtual_seconds += other.virtual_seconds;
        self.opened += other.opened;
        self.absorbed += other.absorbed;
        self.retransmitted += other.retransmitted;
        self.timed_out += other.timed_out;
        self.failed_over += other.failed_over;
        self.cancelled += other.cancelled;
        self.refused_full += other.refused_full;
    }
}

/// A rule that was broken, and what led to it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) call: Option<u32>,
    pub(crate) what: String,
    pub(crate) trace: String,
}

pub(crate) struct World {
    run: Run,
    agenda: Agenda<Event>,
    network: Network,
    pub(crate) rng: SmallRng,
    pub(crate) proxy: Proxy,
    pub(crate) health: Vec<Health>,
    pub(crate) calls: HashMap<u32, Call>,
    pub(crate) summary: Summary,
    fault: Option<Fault>,
    trace: String,
}

impl World {
    pub(crate) fn new(run: Run) -> Self {
        let mut rng = SmallRng::seed_from_u64(run.seed);
        let network = Network::random(&mut rng);
        let (tables, health) = (plan::tables(run.seed), plan::health(run.seed));
        // Now and then there is no room for all.
        let transactions = if rng.random_range(0..4) == 0 { 1 << 12 } else { 1 << 15 };
        let sizes = TransactionSizes { transactions, buffers: transactions * 10 };
        let proxy = Proxy::new(rng.random_range(1..=4), 0x5eed, sizes, tables, health.clone());
        Self {
            run,
            agenda: Agenda::new(),
            network,
            rng,
            proxy,
            health,
            calls: HashMap::new(),
            summary: Summary::default(),
            fault: None,
            trace: String::new(),
        }
    }

    /// Lets everything happen. Gives what there was, or the first rule that was broken.
    pub(crate) fn run(mut self) -> Result<Summary, Fault> {
        self.plan(1, Event::Start(0));
        self.plan(POLL_MS, Event::Poll);
        let timer_c_ms = u64::from(plan::settings(self.run.seed).transactions.timer_c_ms);
        let mut ends_ms = u64::MAX;
        let mut started = 0;
        while let Some(event) = self.agenda.next() {
            if let Event::Start(number) = event {
                started = number + 1;
            }
            self.happen(event);
            if let Some(fault) = self.fault.take() {
                return Err(Fault { trace: self.trace, ..fault });
            }
            let is_over = started == self.run.calls && self.calls.is_empty();
            if is_over && ends_ms == u64::MAX {
                ends_ms = self.now_ms() + 64 * super::caller::T1_MS + timer_c_ms;
            }
            if self.now_ms() >= ends_ms {
                break;
            }
        }
        self.check_end();
        self.summary.virtual_seconds = self.now_ms() / 1_000;
        match self.fault {
            Some(fault) => Err(Fault { trace: self.trace, ..fault }),
            None => Ok(self.summary),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.agenda.now_ms()
    }

    pub(crate) fn plan(&mut self, after_ms: u64, event: Event) {
        self.agenda.plan(after_ms, event);
    }

    /// Says that a rule was broken.
    pub(crate) fn fail(&mut self, call: impl Into<Option<u32>>, what: impl Into<String>) {
        let fault = Fault { call: call.into(), what: what.into(), trace: String::new() };
        self.fault.get_or_insert(fault);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(number) => {
                if number + 1 < self.run.calls {
                    let after_ms = self.rng.random_range(0..=2_000 / self.run.rate.max(1));
                    self.plan(after_ms.into(), Event::Start(number + 1));
                }
                self.start(number);
            }
            Event::Arrive(packet) => self.arrive(packet),
            Event::Transmit(packet) => self.transmit(packet),
            Event::HandOver(worker, packet) => self.receive(worker, packet),
            Event::Unreachable(datagram) => {
                let done = self.proxy.unreachable(&datagram, self.now_ms());
                self.follow_up(done);
            }
            Event::Poll => {
                let done = self.proxy.poll(self.now_ms());
                self.follow_up(done);
                self.check_counts();
                self.plan(POLL_MS, Event::Poll);
            }
            Event::Resend(call, client) => self.resend(call, client),
            Event::Cancel(call) => self.cancel(call),
            Event::HangUp(call, party, dialog) => self.ask(call, party, "BYE", &dialog),
            Event::Say(call, leg, saying) => self.say(call, leg, saying),
            Event::Repeat(call, leg) => self.repeat(call, leg),
            Event::Check(call) => self.check_call(call),
        }
    }

    /// A datagram goes into the network.
    pub(crate) fn transmit(&mut self, packet: Packet) {
        self.summary.packets += 1;
        let mut delays = self.network.carry(&mut self.rng);
        let (first, second) = (delays.next(), delays.next());
        self.note(&packet, if first.is_none() { "lost" } else { "sent" });
        if let Some(after_ms) = second {
            self.plan(after_ms, Event::Arrive(packet.clone()));
        }
        if let Some(after_ms) = first {
            self.plan(after_ms, Event::Arrive(packet));
        }
    }

    fn arrive(&mut self, packet: Packet) {
        if plan::side_of(packet.target) == Side::Proxy {
            let worker = self.proxy.queue_of(&packet);
            return self.receive(worker, packet);
        }
        self.note(&packet, "arrived");
        let seen = Seen::read(std::str::from_utf8(&packet.bytes).expect("text"));
        match seen.status() {
            Some(status) => self.respond(&packet, &seen, status),
            None => self.serve(&packet, &seen),
        }
    }

    fn receive(&mut self, worker: usize, packet: Packet) {
        self.note(&packet, "at the proxy");
        let traced = self.run.trace.map(|_| packet.clone());
        let done = self.proxy.receive(worker, packet, self.now_ms());
        if let (Some(packet), Some(reason)) = (traced, done.dropped) {
            self.note(&packet, &format!("dropped: {reason:?}"));
        }
        self.follow_up(done);
    }

    fn follow_up(&mut self, done: Done) {
        if let Some((worker, packet)) = done.handed_over {
            self.summary.handed_over += 1;
            self.plan(1, Event::HandOver(worker, packet));
        }
        for packet in done.sent {
            self.transmit(packet);
        }
    }

    /// Writes down what happens to the call that is traced.
    fn note(&mut self, packet: &Packet, what: &str) {
        let Some(call) = self.run.trace else { return };
        let text = String::from_utf8_lossy(&packet.bytes);
        let seen = Seen::read(&text);
        if seen.call() == Some(call) {
            let (source, target) = (packet.source, packet.target);
            let _ = writeln!(
                self.trace,
                "{:8} {source:>17} → {target:<17} {what:12} {} [{}] {} to-tag={}",
                self.agenda.now_ms(),
                seen.start,
                seen.cseq,
                seen.branch(),
                seen.to_tag()
            );
        }
    }
}
