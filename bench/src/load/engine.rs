//! The generator without its wire and its clock: arrivals, calls, retransmissions, verification.
//!
//! The caller of this module drives it: [`Engine::receive`] for each datagram, [`Engine::advance`] when
//! time has passed, and sends what both leave in the [`Outbox`]. Times are nanoseconds since the run
//! began.
//!
//! ```text
//!   arrivals ──> begin ──> send 0 ──────────────┐
//!                                               v
//!   datagram ──> which call? ──> which message? ──> right? ──> what waits for it is sent, now or later
//!                                               ^                                  │
//!   timers ──> not answered: send again ────────┘                all there: close, settle, free
//! ```

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "slots are bounded by calls_max, message indexes by MESSAGES_MAX, times by the run"
)]

use super::arrivals::Arrivals;
use super::call::{Call, Path, verify};
use super::counts::Counts;
use super::digest;
use super::identity::Identity;
use super::latency::Latency;
use super::reader::{self, Arrived};
use super::script::{Delay, Kind, Message, Method, Script, Side};
use super::template::{CallText, Frame, Template, response_body, write_repeated, write_response};
use super::timers::{Event, Timers, What};
use super::wire::{Local, Outbox};
use core::net::SocketAddr;
use core::ops::Range;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, LogNormal};

/// RFC 3261 17.1.2.2: T2, the longest pause between retransmissions of all but INVITE.
const T2: u64 = 4_000_000_000;
/// How long a record waits for stragglers after its call, in nanoseconds.
const LINGER: u64 = 100_000_000;
/// Calls begun in one go when the generator is behind, so that it still reads in between.
const STARTS_MAX: usize = 64;
/// Timer events handled in one go.
const EVENTS_MAX: usize = 256;

/// What a run is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The scenario's scripts.
    pub(crate) scripts: Vec<Script>,
    /// The generator's callers and callees, in the order of their [`Local`].
    pub(crate) locals: Vec<SocketAddr>,
    /// How many of these are callers; the rest are callees.
    pub(crate) callers: usize,
    /// Where requests go, in turn.
    pub(crate) targets: Vec<SocketAddr>,
    /// Bodies.
    pub(crate) frame: Frame,
    /// Different users.
    pub(crate) users: u32,
    /// RFC 3261's T1 of callers and of callees, in nanoseconds.
    pub(crate) t1: [u64; 2],
    /// How long after its first sending a message must have been answered, in nanoseconds.
    pub(crate) patience: u64,
    /// When a call that completes counts as carried, in nanoseconds of the run's clock.
    pub(crate) carried: Range<u64>,
    /// What is expected of the way.
    pub(crate) path: Path,
    /// Calls that may be open at once.
    pub(crate) calls_max: usize,
    /// Seed of all that is random.
    pub(crate) seed: u64,
    /// A number that tells this run's messages from an earlier one's.
    pub(crate) run: u32,
}

impl Setup {
    fn t1_of(&self, side: Side) -> u64 {
        self.t1[usize::from(side == Side::Callee)]
    }
}

/// The state of a run.
pub(crate) struct Engine {
    setup: Setup,
    /// Templates by caller, script and message; none for what the caller does not send.
    templates: Vec<Vec<Vec<Option<Template>>>>,
    calls: Vec<Call>,
    free: Vec<u32>,
    timers: Timers,
    arrivals: Arrivals,
    random: SmallRng,
    /// Everything counted.
    pub(crate) counts: Counts,
    /// How long messages took.
    pub(crate) latency: Latency,
    /// Calls that could not begin because [`Setup::calls_max`] were open.
    pub(crate) crowded: u64,
    open: usize,
    /// What the response to the request at hand repeats of it, unless that is an INVITE.
    repeated: Vec<u8>,
}

impl Engine {
    /// A run that has not begun.
    pub(crate) fn new(setup: Setup, arrivals: Arrivals) -> Self {
        let templates = setup.locals[..setup.callers].iter().map(|local| {
            let of_script = |script: &Script| {
                let of_message = |message: &Message| {
                    let sends = message.from == Side::Caller;
                    sends.then(|| Template::new(message, *local, &setup.frame))
                };
                script.messages.iter().map(of_message).collect()
            };
            setup.scripts.iter().map(of_script).collect()
        });
        Self {
            templates: templates.collect(),
            calls: Vec::new(),
            free: Vec::new(),
            timers: Timers::default(),
            arrivals,
            random: SmallRng::seed_from_u64(setup.seed),
            counts: Counts::default(),
            latency: Latency::default(),
            crowded: 0,
            open: 0,
            repeated: Vec::new(),
            setup,
        }
    }

    /// Begins the calls that are due and does what timers ask for.
    pub(crate) fn advance(&mut self, now: u64, out: &mut Outbox) {
        for _ in 0..EVENTS_MAX {
            let Some(event) = self.timers.pop(now) else { break };
            self.fire(event, now, out);
        }
        for _ in 0..STARTS_MAX {
            let Some(due) = self.arrivals.pop(now) else { break };
            self.begin(due, now, out);
        }
    }

    /// When [`Engine::advance`] has something to do next; none when nothing is planned.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.arrivals.next_due().into_iter().chain(self.timers.next_due()).min()
    }

    /// Whether no call is to begin any more and none is open.
    pub(crate) fn is_done(&self) -> bool {
        self.arrivals.next_due().is_none() && self.open == 0
    }

    /// Ends the run: calls that still wait for an answer have failed.
    pub(crate) fn finish(&mut self, now: u64) {
        for slot in 0..self.calls.len() {
            let call = &mut self.calls[slot];
            let messages = &self.setup.scripts[usize::from(call.script)].messages;
            if call.open && call.is_waiting(messages) {
                self.counts.timed_out += 1;
                self.close(slot, now, false);
            } else if call.open {
                call.open = false;
                self.counts.in_progress += 1;
            }
            self.settle(slot);
        }
    }

    fn begin(&mut self, due: u64, now: u64, out: &mut Outbox) {
        let Some(slot) = self.free.pop().or_else(|| self.new_record()) else {
            self.crowded += 1;
            return;
        };
        let script = self.choose_script();
        let user = self.random.random_range(0..self.setup.users);
        let (run, callers) = (self.setup.run, self.setup.callers);
        let call = &mut self.calls[slot as usize];
        call.generation = call.generation.wrapping_add(1);
        let identity = Identity { slot, generation: call.generation, run };
        // A user has one address: a second one would be a second binding.
        let caller = user as usize % callers;
        call.begin(identity, script, user, caller as Local);
        self.counts.calls += 1;
        self.open += 1;
        self.latency.schedule(now - due);
        self.send_first(slot as usize, 0, due, now, out);
    }

    fn new_record(&mut self) -> Option<u32> {
        let room = self.calls.len() < self.setup.calls_max;
        room.then(|| {
            self.calls.push(Call::default());
            self.calls.len() as u32 - 1
        })
    }

    fn choose_script(&mut self) -> u8 {
        let scripts = &self.setup.scripts;
        if scripts.len() == 1 {
            return 0;
        }
        let mut dice: f64 = self.random.random();
        let chosen = scripts.iter().position(|script| {
            dice -= script.share;
            dice < 0.0
        });
        chosen.unwrap_or(0) as u8
    }

    /// A datagram has arrived at `local`.
    pub(crate) fn receive(
        &mut self,
        now: u64,
        local: Local,
        source: SocketAddr,
        datagram: &[u8],
        out: &mut Outbox,
    ) {
        self.counts.received += 1;
        let Some(arrived) = reader::read(datagram) else {
            self.counts.wrong.malformed += 1;
            return;
        };
        let Some(identity) = Identity::read(&datagram[arrived.call_id.clone()]) else {
            self.counts.wrong.foreign += 1;
            return;
        };
        let slot = identity.slot as usize;
        match self.calls.get(slot) {
            Some(call) if identity.run == self.setup.run => {
                if call.generation != identity.generation {
                    self.counts.late += 1;
                    return;
                }
            }
            _ => {
                self.counts.wrong.foreign += 1;
                return;
            }
        }
        let Some(index) = self.expected(slot, local, &arrived) else {
            self.unexpected(slot, &arrived, now);
            return;
        };
        self.accept(slot, index, now, local, source, datagram, &arrived, out);
    }

    /// The message of the call's script that this is: one that has not arrived yet, if there is.
    fn expected(&self, slot: usize, local: Local, arrived: &Arrived) -> Option<usize> {
        let call = &self.calls[slot];
        let is_callee = usize::from(local) >= self.setup.callers;
        let side = if is_callee { Side::Callee } else { Side::Caller };
        let messages = &self.setup.scripts[usize::from(call.script)].messages;
        let fits = |index: &usize| {
            let message = &messages[*index];
            message.to == side && Some(message.kind) == arrived.kind && message.cseq == arrived.cseq
        };
        let mut all = (0..messages.len()).filter(fits);
        all.find(|index| call.arrived_mask & 1 << index == 0)
            .or_else(|| (0..messages.len()).find(fits))
    }

    /// A message that the script does not know.
    fn unexpected(&mut self, slot: usize, arrived: &Arrived, now: u64) {
        match arrived.kind {
            Some(kind) if kind.is_provisional() => self.counts.provisional_by_target += 1,
            _ if !self.calls[slot].open => self.counts.late += 1,
            Some(Kind::Response(status, _)) => {
                *self.counts.refused.entry(status).or_default() += 1;
                self.close(slot, now, false);
            }
            _ => self.counts.wrong.unexpected += 1,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what is known of one arrival")]
    fn accept(
        &mut self,
        slot: usize,
        index: usize,
        now: u64,
        local: Local,
        source: SocketAddr,
        datagram: &[u8],
        arrived: &Arrived,
        out: &mut Outbox,
    ) {
        let call = &mut self.calls[slot];
        let script = usize::from(call.script);
        let message = self.setup.scripts[script].messages[index];
        let body = match message.kind {
            Kind::Response(..) => response_body(message.kind, &self.setup.frame),
            Kind::Request(_) => {
                let template = &self.templates[usize::from(call.caller)][script][index];
                template.as_ref().map_or(&b""[..], Template::body)
            }
        };
        if let Err(wrong) = verify(datagram, arrived, &message, call, self.setup.path, body) {
            self.counts.wrong.add(wrong);
            if call.open {
                self.close(slot, now, false);
            }
            return;
        }
        let first = call.arrive(index);
        if matches!(message.kind, Kind::Request(_)) && message.to == Side::Callee {
            self.note_request(slot, local, source, datagram, arrived, &message);
        }
        if !first {
            self.answer_again(slot, index, out);
            return;
        }
        let call = &mut self.calls[slot];
        if call.was_overtaken(index, &self.setup.scripts[script].messages) {
            self.counts.reordered += 1;
        }
        if !call.open {
            return;
        }
        self.measure(slot, index, now);
        self.remember(slot, datagram, arrived, &message);
        self.follow(slot, index, now, out);
        let done = self.setup.scripts[script].done;
        if self.calls[slot].arrived_mask & done == done {
            self.close(slot, now, true);
        }
    }

    /// How long the message took: from when it was due at its sender; for one that the target made,
    /// from when the request it answers was due.
    fn measure(&mut self, slot: usize, index: usize, now: u64) {
        let call = &self.calls[slot];
        let messages = &self.setup.scripts[usize::from(call.script)].messages;
        let message = &messages[index];
        let sender = if message.from == Side::Target { message.after.unwrap_or(0) } else { index };
        if call.sent[sender] > 0 {
            self.latency.message(now.saturating_sub(call.due[sender]));
        }
        if message.kind.is_final() && message.kind.method() != Method::Cancel {
            self.latency.transaction(now.saturating_sub(call.due[message.branch_of]));
        }
    }

    /// What the responses to a request need of it.
    fn note_request(
        &mut self,
        slot: usize,
        local: Local,
        source: SocketAddr,
        datagram: &[u8],
        arrived: &Arrived,
        message: &Message,
    ) {
        let call = &mut self.calls[slot];
        (call.callee, call.hop) = (local, Some(source));
        let is_invite = message.kind.method() == Method::Invite;
        let repeated = if is_invite { &mut call.repeated } else { &mut self.repeated };
        repeated.clear();
        write_repeated(datagram, arrived, &call.id, repeated);
    }

    /// What later requests of the call need of a response.
    fn remember(&mut self, slot: usize, datagram: &[u8], arrived: &Arrived, message: &Message) {
        let call = &mut self.calls[slot];
        match message.kind {
            Kind::Response(200, Method::Invite) => {
                // RFC 3261 12.1.2: the caller's route set is Record-Route from the bottom up.
                for route in arrived.record_routes.as_slice().iter().rev() {
                    call.lines.extend_from_slice(b"Route: ");
                    call.lines.extend_from_slice(&datagram[route.clone()]);
                    call.lines.extend_from_slice(b"\r\n");
                }
                let contact = &datagram[arrived.contact.clone()];
                let uri = contact.strip_prefix(b"<").and_then(|uri| uri.strip_suffix(b">"));
                if !call.lines.is_empty() {
                    call.remote_target.extend_from_slice(uri.unwrap_or_default());
                }
            }
            Kind::Response(401, method) => {
                let user = format!("c{}", String::from_utf8_lossy(&call.user));
                let challenge = &datagram[arrived.challenge.clone()];
                call.lines = digest::authorization(challenge, &user, method).unwrap_or_default();
            }
            _ => {}
        }
    }

    /// Sends what waits for the message with this index, or plans it.
    fn follow(&mut self, slot: usize, index: usize, now: u64, out: &mut Outbox) {
        let script = usize::from(self.calls[slot].script);
        for next in index + 1..self.setup.scripts[script].messages.len() {
            let message = self.setup.scripts[script].messages[next];
            if message.after != Some(index) || message.from == Side::Target {
                continue;
            }
            let (slot32, generation) = (slot as u32, self.calls[slot].generation);
            let what = What::Send(next as u8);
            match message.delay {
                Delay::None => self.send_first(slot, next, now, now, out),
                Delay::Fixed(time) => {
                    self.timers.after(now, time.as_nanos() as u64, slot32, generation, what);
                }
                Delay::LogNormal(mean) => {
                    // With sigma 1 the mean of a log-normal is exp(mu + 1/2).
                    let mu = mean.as_secs_f64().ln() - 0.5;
                    let seconds = LogNormal::new(mu, 1.0)
                        .map_or(mean.as_secs_f64(), |hold| hold.sample(&mut self.random));
                    let due = now + (seconds * 1e9) as u64;
                    self.timers.at_random(Event { due, slot: slot32, generation, what });
                }
            }
        }
    }

    fn send_first(&mut self, slot: usize, index: usize, due: u64, now: u64, out: &mut Outbox) {
        self.calls[slot].due[index] = due;
        self.send(slot, index, out);
        let call = &self.calls[slot];
        let message = &self.setup.scripts[usize::from(call.script)].messages[index];
        // An echo is not repeated: what is not back within the patience is lost.
        let (pause, round) = match message.kind {
            Kind::Request(_) if message.to == Side::Caller => (self.setup.patience, u8::MAX),
            kind if kind.is_retransmitted() => (self.setup.t1_of(message.from), 0),
            _ => return,
        };
        let what = What::Retransmit(index as u8, round);
        self.timers.after(now, pause, slot as u32, call.generation, what);
    }

    /// Puts a message of the call into the outbox.
    fn send(&mut self, slot: usize, index: usize, out: &mut Outbox) {
        let call = &mut self.calls[slot];
        let script = usize::from(call.script);
        let message = &self.setup.scripts[script].messages[index];
        call.sent[index] = call.sent[index].saturating_add(1);
        self.counts.sent += 1;
        match message.kind {
            Kind::Request(_) => {
                let targets = &self.setup.targets;
                let target = targets[slot % targets.len()];
                let template = &self.templates[usize::from(call.caller)][script][index];
                let Some(template) = template else { return };
                let in_dialog = message.branch_of == index;
                let text = CallText {
                    id: &call.id,
                    user: &call.user,
                    remote_target: (in_dialog && !call.remote_target.is_empty())
                        .then_some(&call.remote_target[..]),
                    lines: if in_dialog { &call.lines } else { b"" },
                };
                out.push(call.caller, target, |bytes| template.write(&text, bytes));
            }
            Kind::Response(..) => {
                let Some(hop) = call.hop else { return };
                let Some(local) = self.setup.locals.get(usize::from(call.callee)) else { return };
                let (kind, frame) = (message.kind, &self.setup.frame);
                let is_invite = kind.method() == Method::Invite;
                let repeated = if is_invite { &call.repeated } else { &self.repeated };
                out.push(call.callee, hop, |bytes| {
                    write_response(kind, repeated, *local, frame, bytes);
                });
            }
        }
    }

    /// A message has come once more: its sender has not got the answer.
    fn answer_again(&mut self, slot: usize, index: usize, out: &mut Outbox) {
        let call = &self.calls[slot];
        let messages = &self.setup.scripts[usize::from(call.script)].messages;
        let answers = |next: &usize| {
            let message = &messages[*next];
            message.after == Some(index)
                && call.sent[*next] > 0
                && matches!(message.kind, Kind::Response(..) | Kind::Request(Method::Ack))
        };
        if let Some(answer) = (index + 1..messages.len()).rev().find(answers) {
            self.counts.retransmissions += 1;
            self.send(slot, answer, out);
        }
    }

    fn fire(&mut self, event: Event, now: u64, out: &mut Outbox) {
        let slot = event.slot as usize;
        if self.calls[slot].generation != event.generation {
            return;
        }
        match event.what {
            What::Release => {
                self.settle(slot);
                // What still comes for this call is late, and no message of the next one.
                let call = &mut self.calls[slot];
                call.generation = call.generation.wrapping_add(1);
                self.free.push(event.slot);
            }
            _ if !self.calls[slot].open => {}
            What::Send(index) => self.send_first(slot, index.into(), event.due, now, out),
            What::Retransmit(index, round) => self.repeat(slot, index.into(), round, now, out),
        }
    }

    /// RFC 3261 17.1.1.2, 17.1.2.2, 13.3.1.4: sends a message again unless it was answered; the pauses
    /// double, for all but INVITE up to T2.
    fn repeat(&mut self, slot: usize, index: usize, round: u8, now: u64, out: &mut Outbox) {
        let call = &self.calls[slot];
        let messages = &self.setup.scripts[usize::from(call.script)].messages;
        if call.is_answered(index, messages) {
            return;
        }
        // A provisional response stops the retransmissions of INVITE and leaves the time to the user.
        let is_invite = messages[index].kind == Kind::Request(Method::Invite);
        let is_ringing = is_invite && call.is_proceeding(index, messages);
        let t1 = self.setup.t1_of(messages[index].from);
        let too_late = now >= call.due[index] + self.setup.patience;
        if round == u8::MAX || (too_late && !is_ringing) {
            self.counts.timed_out += 1;
            self.close(slot, now, false);
            return;
        }
        if !is_ringing {
            self.counts.retransmissions += 1;
            self.send(slot, index, out);
        }
        let doubled = t1 << (round + 1).min(10);
        let pause = if is_invite { doubled } else { doubled.min(T2) };
        let what = What::Retransmit(index as u8, round + 1);
        let generation = self.calls[slot].generation;
        self.timers.after(now, pause, slot as u32, generation, what);
    }

    fn close(&mut self, slot: usize, now: u64, complete: bool) {
        let is_carried = self.setup.carried.contains(&now);
        let call = &mut self.calls[slot];
        call.open = false;
        self.open -= 1;
        if complete {
            self.counts.completed += 1;
            self.counts.carried += u64::from(is_carried);
        } else {
            self.counts.failed += 1;
            let messages = &self.setup.scripts[usize::from(call.script)].messages;
            let answer = Kind::Response(200, Method::Invite);
            let answered = messages.iter().position(|message| message.kind == answer);
            let is_up = answered.is_some_and(|index| call.arrived_mask & 1 << index != 0);
            self.counts.failed_up += u64::from(is_up);
        }
        self.timers.after(now, LINGER, slot as u32, call.generation, What::Release);
    }

    /// Adds up what was lost and what came too often, once nothing more of the call is expected.
    fn settle(&mut self, slot: usize) {
        let call = &mut self.calls[slot];
        let messages = &self.setup.scripts[usize::from(call.script)].messages;
        let (lost, duplicates) = call.balance(messages);
        self.counts.lost += lost;
        self.counts.duplicates += duplicates;
        call.sent = Default::default();
        call.arrived = Default::default();
    }
}
