//! Registrations: a worker with many users, who refresh their bindings in random order.
//!
//! As in the stateful scenario only the worker's own time counts, less that of the queues. There is no store
//! here: what that costs is the business of another measurement.

mod digest;
mod expiry;
mod load;
mod register;
mod samples;
mod users;

pub(super) use super::site::{Round, timed_round};
use super::wire::Wire;
use anyhow::{Context, Result, ensure};
use dataplane::decode::DecodeRules;
use dataplane::limits::BURST_MAX;
use dataplane::mailbox::{Command, ServiceEnd, mailbox};
use dataplane::mbuf::{DpdkQueues, Frame};
use dataplane::packet_io::PacketIo as _;
use dataplane::probe::Probe;
use dataplane::stats::QueueCounters;
use dataplane::testing::appliance::{lab_epoch, lab_fib, lab_settings};
use dataplane::worker::{Worker, WorkerPort};
pub(in crate::pipeline) use expiry::run as run_expiry;
pub(in crate::pipeline) use load::run as run_load;
pub(in crate::pipeline) use register::{run as run_register, run_with_digest};
use sip_core::{Action, Digest, DigestSizes, Durability, LocationSizes, Rule, Settings, Store};
use std::sync::Arc;
pub(super) use users::Users;

/// Stands for the random number of a process.
pub(super) const KEY: [u8; 16] = [7; 16];
/// Stands for the time at which the worker begins, in milliseconds since 1970.
pub(super) const EPOCH_MS: u64 = 1_800_000_000_000;

/// A worker and its users.
struct Home<Pr: Probe> {
    worker: Worker<Wire, Pr>,
    service: ServiceEnd,
    counters: Arc<QueueCounters>,
    /// Time as the worker sees it.
    time: Arc<quanta::Mock>,
    /// Time as it is.
    clock: quanta::Clock,
    /// Buffers that are on neither side of the worker.
    spare: Vec<Frame>,
    /// What the worker has allocated in its rounds.
    allocations: u64,
}

/// Room for so many users with one binding each.
pub(super) fn sizes_for(users: u32) -> LocationSizes {
    LocationSizes { aors: users, bindings: users, text_blocks: users * 2 + 1_000 }
}

/// The lab's settings, with a registrar for example.com that answers from memory.
fn settings() -> Settings {
    let mut settings = lab_settings();
    settings.domains = vec!["example.com".to_owned()];
    settings.rules = vec![Rule::always(Action::Register)];
    settings.registrar.durability = Durability::Memory;
    settings.registrar.store = Store::None;
    settings
}

impl<Pr: Probe> Home<Pr> {
    /// A worker without bindings.
    fn new(queues: DpdkQueues, sizes: LocationSizes, probe: Pr) -> Result<Self> {
        Self::with(queues, sizes, &settings(), probe)
    }

    /// The same with these settings.
    fn with(
        queues: DpdkQueues,
        sizes: LocationSizes,
        settings: &Settings,
        probe: Pr,
    ) -> Result<Self> {
        let (clock, (mocked, time)) = (quanta::Clock::new(), quanta::Clock::mock());
        let counters: Arc<QueueCounters> = Arc::default();
        let (mailbox, service) = mailbox();
        let mut wire = Wire::new(queues, 4 * BURST_MAX, clock.clone());
        let spare = (0..BURST_MAX).map_while(|_| wire.new_packet()).collect::<Vec<_>>();
        ensure!(spare.len() == BURST_MAX, "the mempool has no mbufs for a burst");
        let rules = DecodeRules { verify_checksums: true };
        let ports = vec![WorkerPort { rules, counters: Arc::clone(&counters) }];
        let worker = Worker::new(wire, ports, mailbox, mocked, probe);
        let worker = worker.with_location(sizes, [0, 1], KEY, EPOCH_MS);
        let mut worker = worker.with_digest(Digest::new(DigestSizes::default(), 0, &KEY));
        let commands = [
            Command::Fib(Arc::new(lab_fib(1, [0, 0], true))),
            Command::Epoch(Arc::new(lab_epoch(settings))),
            Command::LocationReady,
        ];
        for command in commands {
            ensure!(service.send(command).is_ok(), "the mailbox is full");
        }
        worker.attend();
        Ok(Self { worker, service, counters, time, clock, spare, allocations: 0 })
    }

    /// A burst of REGISTERs, of as many users as `users` gives, and their answers.
    fn round(&mut self, users: &mut Users) -> Result<Round> {
        self.offer(users);
        let round = self.work();
        self.take_answers()?;
        Ok(round)
    }

    /// The worker's part of a round.
    fn work(&mut self) -> Round {
        let mut round = Round::default();
        let work = || round = timed_round(&mut self.worker, &self.counters, &self.clock);
        self.allocations += allocation_counter::measure(work).count_total;
        round
    }

    /// A burst of REGISTERs arrives.
    fn offer(&mut self, users: &mut Users) {
        let wire = self.worker.io_mut();
        while let Some(mut frame) = self.spare.pop() {
            if !users.write_next(&mut frame) {
                self.spare.push(frame);
                break;
            }
            wire.arrived.push_back(frame);
        }
    }

    /// The answers have left.
    fn take_answers(&mut self) -> Result<()> {
        let wire = self.worker.io_mut();
        for frame in &wire.sent {
            Users::check(frame)?;
        }
        self.spare.append(&mut wire.sent);
        Ok(())
    }

    /// Registers all users once.
    fn fill(&mut self, users: &mut Users) -> Result<()> {
        users.begin_pass();
        while users.is_under_way() || self.spare.len() < BURST_MAX {
            self.round(users)?;
        }
        Ok(())
    }

    /// AoRs and bindings of the worker.
    fn bindings(&mut self) -> [u64; 2] {
        self.worker.attend();
        let status = self.service.counters.location.status();
        [status.aors, status.bindings]
    }

    fn into_queues(self) -> DpdkQueues {
        self.worker.into_io().into_queues()
    }
}

/// Whether so much memory is free.
fn check_memory(sizes: LocationSizes) -> Result<()> {
    let free = super::free_memory().context("cannot tell how much memory is free")?;
    let needed = sizes.memory();
    ensure!(
        needed < free / 10 * 9,
        "{} AoRs need {} MiB, and {} MiB are free: give a smaller --alive",
        sizes.aors,
        needed >> 20,
        free >> 20
    );
    Ok(())
}
