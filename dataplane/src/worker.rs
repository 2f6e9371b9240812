//! One worker per lcore: receive burst, stages, transmit burst, mailbox. It owns everything it
//! touches: queues, tables, counters, scratch.
//!
//! ```text
//!   rx burst ─ decode all ─┬─ per packet: parse, route, rewrite, encode ─ Verdict ─┬─ tx burst
//!                          └─ drop, counted                                        ├─ drop, counted
//!   from siblings: packets of our transactions ─ the same ─────────────────────────┼─ to a sibling
//!   mailbox: new epoch, new routes ─────────────────── parked messages again ──────┼─ park
//!   names, users: answers ─ requests that waited for them ─────────────────────────┼─ wait for one
//!   parcels: messages from the kernel ── parse, route, rewrite ────────────────────┴─ to the kernel
//!   from siblings: bursts of stateless work that is too much for them ─ decode all ─ the same
//!   timers ─ messages of our own ─ new packets ─────────────────────────────────────── tx burst
//! ```

mod flows;
mod location;
mod overload;
mod own;
mod parcels;
mod siblings;
mod spill;
mod transmit;
mod waiting;

use crate::awaiting::{Awaited, Awaiting, Held};
use crate::decode::{Datagram, DecodeRules, locate, usual_payload, verify};
use crate::encode::ChecksumPorts;
use crate::fast_path::FastPath;
use crate::flows::FlowCounter;
use crate::handoff::Handoff;
use crate::held_replies::HeldReplies;
use crate::limits::{
    BURST_MAX, HELD_BYTES, MAILBOX_ROUNDS, PARKED_NS_MAX, SPILL_AFTER_BURSTS, TIMER_ROUNDS,
    TX_BURST_MAX,
};
use crate::mailbox::{Command, Event, WorkerEnd};
use crate::packet::PacketBuf;
use crate::packet_io::{Burst, PacketIo, TxFrames};
use crate::parcel::Origin;
use crate::parked::{Parked, Waiting};
use crate::probe::{NoProbe, Probe, Stage};
use crate::spill::Spill;
use crate::stats::{QueueCounters, Sent};
use crate::verdict::Verdict;
use control_api::DropReason;
use sip_core::{Digest, Location, LocationSizes, Names, Share, TransactionSizes, Transactions};
use smallvec::SmallVec;
use std::sync::Arc;

/// What a worker is told about one of its ports.
#[derive(Clone, Debug)]
pub struct WorkerPort {
    /// How strictly its frames are checked.
    pub rules: DecodeRules,
    /// The counters of this worker's queue pair on it.
    pub counters: Arc<QueueCounters>,
}

/// A poll-mode worker over the queue pairs of `Io`.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Worker<Io: PacketIo, Pr: Probe = NoProbe> {
    io: Io,
    ports: Vec<Port<Io::Packet>>,
    mailbox: WorkerEnd,
    siblings: Handoff<Io::Packet>,
    spill: Spill<Io::Packet>,
    flows: Option<FlowCounter>,
    fast_path: FastPath,
    sizes: TransactionSizes,
    location_sizes: LocationSizes,
    parked: Parked<Io::Packet>,
    /// Requests that wait for names.
    awaiting: Awaiting<Io::Packet>,
    /// Requests that wait for bindings of their users.
    lookups: Awaiting<Io::Packet>,
    clock: quanta::Clock,
    rounds: u32,
    /// More timers are due than ran in the last round.
    is_behind: bool,
    /// A queue, or what comes by other ways, gave as much as is taken at once in this round.
    found_full: bool,
    /// When the last poll began, if it gave anything.
    busy_since: Option<u64>,
    /// More parcels wait than were taken at the last look.
    has_parcels: bool,
    /// The service core has been told that it runs.
    has_started: bool,
    is_stopped: bool,
    /// What measures the stages.
    pub probe: Pr,
}

struct Port<P> {
    rules: DecodeRules,
    counters: Arc<QueueCounters>,
    tx: TxFrames<P>,
    /// Bytes of the frames in `tx`.
    tx_bytes: u64,
    /// For each frame in `tx`, which counter it moves when it has left.
    origins: SmallVec<[Origin; TX_BURST_MAX]>,
    /// Full bursts one after the other, up to [`SPILL_AFTER_BURSTS`].
    full_bursts: u8,
}

impl<Io: PacketIo, Pr: Probe> Worker<Io, Pr> {
    /// A worker that owns `io`, with one entry of `ports` for each port of `io`.
    pub fn new(
        io: Io,
        ports: Vec<WorkerPort>,
        mailbox: WorkerEnd,
        clock: quanta::Clock,
        probe: Pr,
    ) -> Self {
        let computing =
            (0..ports.len()).zip(0_u8..).filter(|(port, _)| io.computes_checksums(*port));
        let checksums =
            computing.fold(ChecksumPorts::default(), |ports, (_, port)| ports.with(port));
        let mut fast_path = FastPath::default();
        fast_path.leave_checksums(checksums);
        let ports = ports.into_iter().map(|port| Port {
            rules: port.rules,
            counters: port.counters,
            tx: SmallVec::new(),
            tx_bytes: 0,
            origins: SmallVec::new(),
            full_bursts: 0,
        });
        Self {
            io,
            ports: ports.collect(),
            mailbox,
            siblings: Handoff::default(),
            spill: Spill::default(),
            flows: None,
            fast_path,
            sizes: TransactionSizes { transactions: 0, buffers: 0 },
            location_sizes: LocationSizes { aors: 0, bindings: 0, text_blocks: 0 },
            parked: Parked::default(),
            awaiting: Awaiting::default(),
            lookups: Awaiting::default(),
            clock,
            rounds: 0,
            is_behind: false,
            found_full: false,
            busy_since: None,
            has_parcels: false,
            has_started: false,
            is_stopped: false,
            probe,
        }
    }

    /// The same worker as one of several, which share the capacities of destinations.
    #[must_use]
    pub fn sharing(mut self, share: Share) -> Self {
        self.fast_path.share(share);
        self
    }

    /// The same worker with a way to its siblings.
    #[must_use]
    pub fn beside(mut self, siblings: Handoff<Io::Packet>) -> Self {
        self.siblings = siblings;
        self
    }

    /// The same worker, number `worker` of the process, with room for transactions; what it does not have
    /// room for it answers with 503. The memory comes from the node of the calling thread. `boot` is a
    /// random number that all workers share.
    #[must_use]
    pub fn with_transactions(mut self, sizes: TransactionSizes, worker: u8, boot: u64) -> Self {
        self.fast_path.give_transactions(Transactions::new(sizes, worker, boot));
        self.sizes = sizes;
        self
    }

    /// The same worker with room for bindings, and for answers that wait until those are stored. `key` is a
    /// random number that all workers share. `epoch_ms` is the time since 1970, in milliseconds, at the zero
    /// of the clock.
    #[must_use]
    pub fn with_location(
        mut self,
        sizes: LocationSizes,
        [worker, workers]: [u8; 2],
        key: [u8; 16],
        epoch_ms: u64,
    ) -> Self {
        if sizes.aors > 0 {
            self.fast_path.give_location(Location::new(sizes, worker, workers, key), epoch_ms);
            self.fast_path.give_held_replies(HeldReplies::new(HELD_BYTES));
        }
        self.location_sizes = sizes;
        self
    }

    /// The same worker with a memory of where host names lead. `key` is random.
    #[must_use]
    pub fn with_names(mut self, key: u64) -> Self {
        self.fast_path.give_names(Names::new(key));
        self
    }

    /// The same worker with a memory of nonces and failures.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.fast_path.give_digest(digest);
        self
    }

    /// One round over all ports, and over what transactions want. Gives whether there was anything to do.
    pub fn run_once(&mut self) -> bool {
        self.rounds = self.rounds.wrapping_add(1);
        let is_mailbox_round = self.rounds.is_multiple_of(MAILBOX_ROUNDS);
        if is_mailbox_round {
            self.attend();
        }
        let mut is_busy = self.has_parcels;
        if self.has_parcels {
            self.take_parcels();
            self.flush_all();
        }
        let mut frames = 0;
        for port in 0..self.ports.len() {
            frames += self.poll_port(port);
        }
        is_busy |= frames > 0;
        if self.spill.has_siblings() {
            self.spill.note_own(frames);
            is_busy |= self.take_spilled();
        }
        if self.fast_path.keeps_state() {
            is_busy |= self.take_handed();
            let is_timer_round = self.rounds.is_multiple_of(TIMER_ROUNDS) && !is_mailbox_round;
            if self.is_behind || is_timer_round {
                is_busy |= self.run_timers();
            }
            is_busy |= self.tend_location();
        }
        self.end_round();
        is_busy
    }

    /// Looks into the mailbox, after timers, after what siblings hand over, after parked messages and
    /// after parcels.
    pub fn attend(&mut self) {
        let now = self.clock.raw();
        self.set_time(now);
        let has_news = self.take_commands();
        if !self.parked.is_empty() {
            self.reconsider_parked(has_news);
        }
        self.refuse_overdue();
        self.take_parcels();
        self.take_handed();
        if self.fast_path.keeps_state() {
            self.run_timers();
        }
        self.flush_all();
        self.publish_counts();
        self.publish_flows(self.clock_ns(now));
    }

    /// Does what the service core says. Gives whether it said anything.
    fn take_commands(&mut self) -> bool {
        if !self.has_started {
            self.has_started = self.mailbox.send(Event::Started);
        }
        let mut has_news = false;
        while let Some(command) = self.mailbox.next() {
            let mut learned = None;
            has_news |= !matches!(command, Command::Name(_) | Command::Flows(_));
            let answer = match command {
                Command::Epoch(epoch) => {
                    let number = epoch.number;
                    let retired = self.fast_path.swap_epoch(epoch);
                    Some(Event::Applied { number, retired })
                }
                Command::Fib(fib) => self.fast_path.swap_fib(fib).map(Event::Retired),
                Command::Credentials(credentials) => {
                    let retired = self.fast_path.swap_credentials(credentials);
                    Some(Event::RetiredCredentials(retired))
                }
                Command::Unreachable(quoted) => {
                    self.fast_path.unreachable(quoted);
                    self.send_own();
                    None
                }
                Command::Name(answer) => {
                    learned = Some(self.fast_path.names().hash(&answer.question));
                    self.fast_path.names().learn(answer).map(Event::RetiredName)
                }
                Command::LocationReady => {
                    self.fast_path.location().set_ready();
                    None
                }
                Command::AskForUsers(asks) => {
                    self.fast_path.location().set_asks(asks);
                    None
                }
                Command::FromMemory(is_degraded) => {
                    self.fast_path.held_replies().set_degraded(is_degraded);
                    None
                }
                Command::Unban(source) => {
                    self.fast_path.overload().unban(source);
                    None
                }
                Command::Flows(table) => {
                    if let Some(flows) = &mut self.flows {
                        flows.put_back(table);
                    }
                    None
                }
                Command::Stop => {
                    self.is_stopped = true;
                    None
                }
                Command::Panic => panic!("a worker was told to panic"),
            };
            // WorkerEnd::next gave a command only because its answer fits.
            let _ = answer.is_none_or(|answer| self.mailbox.send(answer));
            if let Some(name) = learned {
                self.resume(Awaited::Name, name);
            }
        }
        has_news
    }

    /// Whether the service core has told this worker to end.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Gives the queues back and ends.
    pub fn into_io(self) -> Io {
        self.io
    }

    /// The queues, for tests that feed them and look at what came out.
    pub fn io_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// Takes one burst; gives how many frames it had.
    fn poll_port(&mut self, port: usize) -> usize {
        let began = self.clock.raw();
        self.note_poll(began);
        self.probe.start();
        let mut burst = Burst::new();
        self.io.rx_burst(port, &mut burst);
        let frames = burst.len();
        if frames < BURST_MAX {
            self.ports[port].full_bursts = 0;
        }
        if frames == 0 {
            return 0;
        }
        self.busy_since = Some(began);
        self.probe.end(Stage::Receive);
        if self.fast_path.keeps_time() {
            self.set_time(began);
        }
        let now_ns = self.clock_ns(began);
        if frames == BURST_MAX {
            self.note_full(now_ns);
            let full_bursts = &mut self.ports[port].full_bursts;
            *full_bursts = (*full_bursts + 1).min(SPILL_AFTER_BURSTS);
        }
        self.fast_path.set_load_time(now_ns);
        self.ports[port].counters.bursts.add(1);
        self.ports[port].counters.received.add(frames as u64);
        for packet in &burst {
            packet.prefetch();
        }
        self.count_flows(port, &burst);
        let burst = self.spill(port, burst, now_ns);
        if !burst.is_empty() {
            self.take_burst(port, burst, began);
        }
        let spent_ns = self.clock.delta_as_nanos(began, self.clock.raw());
        self.ports[port].counters.busy_ns.add(spent_ns);
        frames
    }

    /// Decodes the whole burst first, so that the next frames' headers arrive from memory while the
    /// first are read; then takes the SIP stages packet by packet.
    fn take_burst(&mut self, port: usize, burst: Burst<Io::Packet>, began: u64) {
        let rules = self.ports[port].rules;
        let now_ns = self.clock_ns(began);
        let mut bytes = 0;
        let skims_first = self.fast_path.skims_first();
        let decoded: SmallVec<[Result<Datagram, DropReason>; BURST_MAX]> = burst
            .iter()
            .map(|packet| {
                bytes += packet.frame().len() as u64;
                if !packet.is_contiguous() {
                    return Err(DropReason::FrameMultiSegment);
                }
                // What is not taken is told as early as can be: a flood comes faster than its checksums are reckoned.
                let usual = skims_first.then(|| usual_payload(packet.frame())).flatten();
                usual.map_or(Ok(()), |message| self.fast_path.skim(message))?;
                let datagram = locate(packet.frame())?;
                self.fast_path.admit(datagram.source.ip(), now_ns)?;
                if usual.is_none() {
                    self.fast_path.skim(&packet.frame()[datagram.payload.clone()])?;
                }
                verify(packet.frame(), &datagram, rules)?;
                Ok(datagram)
            })
            .collect();
        self.report_bans();
        self.ports[port].counters.received_bytes.add(bytes);
        self.probe.end(Stage::Decode);
        let looks_ahead = self.fast_path.keeps_state();
        if looks_ahead {
            for (packet, datagram) in burst.iter().zip(&decoded) {
                if let Ok(datagram) = datagram {
                    self.fast_path.foresee(packet.frame(), datagram);
                }
            }
            self.fast_path.look_ahead(burst.len());
            self.probe.end(Stage::Transaction);
        }
        for (packet, decoded) in burst.into_iter().zip(&decoded) {
            if looks_ahead {
                self.fast_path.look_on();
            }
            match decoded {
                Ok(datagram) => self.take(packet, datagram, port, began, None),
                Err(reason) => self.ports[port].counters.drop_for(*reason),
            }
        }
        self.flush_all();
        self.probe.end(Stage::Transmit);
    }

    /// Takes one message the whole way. `deadline_ns` is set for one that was parked before.
    fn take(
        &mut self,
        mut packet: Io::Packet,
        datagram: &Datagram,
        port: usize,
        now: u64,
        deadline_ns: Option<u64>,
    ) {
        match self.fast_path.process(&mut packet, datagram, &mut self.probe) {
            Verdict::Forward { port: egress } => {
                self.queue(egress, packet, port, Sent::Forwarded);
            }
            Verdict::Reply { port: egress } => self.queue(egress, packet, port, Sent::Replied),
            Verdict::Drop(reason) => self.ports[port].counters.drop_for(reason),
            Verdict::Absorb => self.ports[port].counters.absorbed.add(1),
            Verdict::Held => self.hold(port),
            Verdict::Elsewhere { is_reply } => self.send_elsewhere(&packet, port, is_reply),
            Verdict::Handoff(owner) => self.hand_off(owner, packet, datagram, port),
            Verdict::Unreachable(next_hop) => {
                self.ports[port].counters.drop_for(DropReason::NeighbourFailed);
                self.report_failed(next_hop);
            }
            Verdict::Await(what) => {
                let datagram = datagram.clone();
                self.wait(what, Held::Frame { packet, datagram, port }, now, deadline_ns);
            }
            Verdict::Park(next_hop) => {
                let deadline_ns = deadline_ns.unwrap_or_else(|| self.clock_ns(now) + PARKED_NS_MAX);
                let (datagram, target) = (datagram.clone(), self.fast_path.target());
                self.park(Waiting { packet, datagram, port, target, next_hop, deadline_ns });
            }
        }
        self.finish_message();
    }

    fn park(&mut self, waiting: Waiting<Io::Packet>) {
        let counters = &self.ports[waiting.port].counters;
        let may_wait = !self.parked.is_full()
            && (self.parked.awaits(waiting.next_hop)
                || self.mailbox.send(Event::Resolve(waiting.next_hop)));
        if may_wait {
            self.parked.push(waiting);
            counters.parked.add(1);
        } else {
            counters.drop_for(DropReason::NeighbourQueueFull);
        }
    }

    /// After a change of routes or neighbours every parked message takes its way again; without one
    /// only those end that have waited too long.
    fn reconsider_parked(&mut self, has_news: bool) {
        let now = self.clock.raw();
        let now_ns = self.clock_ns(now);
        let count = if has_news { self.parked.len() } else { usize::MAX };
        for _ in 0..count {
            let is_overdue = self.parked.is_overdue(now_ns);
            if !has_news && !is_overdue {
                break;
            }
            let Some(waiting) = self.parked.take_oldest() else { break };
            let counters = &self.ports[waiting.port].counters;
            counters.parked.set(counters.parked.get() - 1);
            if is_overdue {
                counters.drop_for(DropReason::NeighbourFailed);
                let _ = self.mailbox.send(Event::Unreachable(waiting.target));
            } else {
                let Waiting { packet, datagram, port, deadline_ns, .. } = waiting;
                self.take(packet, &datagram, port, now, Some(deadline_ns));
            }
        }
        self.flush_all();
    }

    /// Says what time it is to those who keep it.
    fn set_time(&mut self, raw: u64) {
        self.fast_path.set_time(self.clock_ns(raw) / 1_000_000);
    }

    fn clock_ns(&self, raw: u64) -> u64 {
        self.clock.delta_as_nanos(0, raw)
    }
}
