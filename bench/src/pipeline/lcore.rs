//! What each lcore does: throughput alone and beside the others by turns, then the same once more with
//! a clock after each stage.

use super::report::StageCost;
use dataplane::decode::DecodeRules;
use dataplane::mailbox::{Command, ServiceEnd, mailbox};
use dataplane::mbuf::DpdkQueues;
use dataplane::packet_io::PacketIo;
use dataplane::probe::{NoProbe, Probe, Stage, StageClock};
use dataplane::stats::QueueCounters;
use dataplane::testing::appliance::{lab_epoch, lab_fib, lab_settings};
use dataplane::worker::{Worker, WorkerPort};
use sip_core::Settings;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// Throughput runs, of which the median counts.
pub(super) const RUNS: usize = 5;
/// Rounds between two looks at the clock.
const ROUNDS: u32 = 256;
/// Rounds of a slice of the stage measurement, about half a millisecond.
const SLICE_ROUNDS: u32 = 48;

/// What an lcore is told.
pub(super) struct Task<'a> {
    /// Length of each measurement.
    pub(super) length: Duration,
    /// Whether this lcore is the one that is measured alone, too.
    pub(super) is_first: bool,
    /// Where the lcores meet between two measurements; an lcore that waits sleeps.
    pub(super) meeting: &'a Barrier,
}

/// Messages in a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Per second of the clock on the wall.
    pub(crate) per_second: f64,
    /// Per second that the kernel gave to the lcore's thread: what other processes took does not count.
    pub(crate) per_cpu_second: f64,
}

/// What an lcore found.
pub(super) struct Found {
    /// While the others slept; empty but on the first lcore.
    pub(super) alone: Vec<Rate>,
    /// While the others worked, too.
    pub(super) together: Vec<Rate>,
    pub(super) messages: u64,
    pub(super) forwarded: u64,
    pub(super) dropped: u64,
    pub(super) received_bytes: u64,
    pub(super) transmitted_bytes: u64,
    /// Of the first lcore.
    pub(super) costs: Option<Costs>,
}

/// What a message costs.
pub(super) struct Costs {
    pub(super) allocations_per_message: f64,
    pub(super) stages: Vec<StageCost>,
}

/// Runs the measurements on the calling lcore.
pub(super) fn work(queues: DpdkQueues, task: &Task) -> Found {
    let clock = quanta::Clock::new();
    let counters: Arc<QueueCounters> = Arc::default();
    let mut worker = worker(queues, &counters, &clock, NoProbe);
    poll(&mut worker, task.length); // Warm-up.
    let (mut alone, mut together) = (vec![], vec![]);
    for _ in 0..RUNS {
        task.meeting.wait();
        if task.is_first {
            alone.push(rate(&mut worker, &counters, task.length));
        }
        task.meeting.wait();
        together.push(rate(&mut worker, &counters, task.length));
    }
    task.meeting.wait();
    let costs = task.is_first.then(|| costs(worker, &counters, &clock, task.length));
    let status = counters.status("bench", 0, 0);
    Found {
        alone,
        together,
        messages: status.received,
        forwarded: status.forwarded,
        dropped: status.dropped_total(),
        received_bytes: status.received_bytes,
        transmitted_bytes: status.transmitted_bytes,
        costs,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn costs(
    mut plain: Worker<DpdkQueues, NoProbe>,
    counters: &Arc<QueueCounters>,
    clock: &quanta::Clock,
    length: Duration,
) -> Costs {
    let start = counters.received.get();
    let allocated = allocation_counter::measure(|| poll(&mut plain, length));
    let counted = counters.received.get() - start;
    let mut probed = worker(plain.into_io(), counters, clock, StageClock::new(clock.clone()));
    Costs {
        allocations_per_message: allocated.count_total as f64 / counted as f64,
        stages: stage_costs(&mut probed, counters, clock, length),
    }
}

/// A stateless worker with the lab's routes and one port.
pub(super) fn worker<Io: PacketIo, Pr: Probe>(
    queues: Io,
    counters: &Arc<QueueCounters>,
    clock: &quanta::Clock,
    probe: Pr,
) -> Worker<Io, Pr> {
    let (mut worker, service) = worker_without_routes(queues, counters, clock, probe);
    give_settings(&mut worker, &service, &lab_settings());
    worker
}

/// A worker with one port that knows its neighbours, and its mailbox.
pub(super) fn worker_without_routes<Io: PacketIo, Pr: Probe>(
    queues: Io,
    counters: &Arc<QueueCounters>,
    clock: &quanta::Clock,
    probe: Pr,
) -> (Worker<Io, Pr>, ServiceEnd) {
    let (mailbox, service) = mailbox();
    let rules = DecodeRules { verify_checksums: true };
    let ports = vec![WorkerPort { rules, counters: Arc::clone(counters) }];
    let worker = Worker::new(queues, ports, mailbox, clock.clone(), probe);
    let worker = worker.counting_flows(1); // As in the appliance.
    let fib = lab_fib(1, [0, 0], true); // Both sides of the call on the one pcap port.
    assert!(service.send(Command::Fib(Arc::new(fib))).is_ok());
    (worker, service)
}

/// Has the worker work with these settings from now on.
pub(super) fn give_settings<Io: PacketIo, Pr: Probe>(
    worker: &mut Worker<Io, Pr>,
    service: &ServiceEnd,
    settings: &Settings,
) {
    assert!(service.send(Command::Epoch(Arc::new(lab_epoch(settings)))).is_ok());
    worker.attend();
    while service.next().is_some() {} // The settings before are freed here.
}

/// Lets the worker work.
pub(super) fn poll<Io: PacketIo, Pr: Probe>(worker: &mut Worker<Io, Pr>, length: Duration) {
    let end = Instant::now() + length;
    while Instant::now() < end {
        for _ in 0..ROUNDS {
            worker.run_once();
        }
    }
}

/// Messages that the worker receives in a second, for `length`.
#[expect(clippy::cast_precision_loss, reason = "a rate, not an account")]
pub(super) fn rate(
    worker: &mut Worker<DpdkQueues, NoProbe>,
    counters: &QueueCounters,
    length: Duration,
) -> Rate {
    let (start, began, cpu) = (counters.received.get(), Instant::now(), cpu_seconds());
    poll(worker, length);
    let messages = (counters.received.get() - start) as f64;
    Rate {
        per_second: messages / began.elapsed().as_secs_f64(),
        per_cpu_second: messages / (cpu_seconds() - cpu),
    }
}

/// Seconds that the kernel has given to this thread.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds are kept for a hundred days")]
pub(crate) fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Medians over slices so short that most of them are spared when the core is taken away for a while.
#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn stage_costs(
    worker: &mut Worker<DpdkQueues, StageClock>,
    counters: &QueueCounters,
    clock: &quanta::Clock,
    length: Duration,
) -> Vec<StageCost> {
    let mark_ns = cost_of_a_mark(clock);
    let mut slices = Stage::ALL.map(|_| vec![]);
    let end = Instant::now() + length;
    while Instant::now() < end {
        worker.probe = StageClock::new(clock.clone());
        let start = counters.received.get();
        for _ in 0..SLICE_ROUNDS {
            worker.run_once();
        }
        let messages = (counters.received.get() - start) as f64;
        for (slice, stage) in slices.iter_mut().zip(Stage::ALL) {
            slice.push(worker.probe.ns(stage, mark_ns) / messages);
        }
    }
    let cost = |(stage, mut slice): (Stage, Vec<f64>)| {
        slice.sort_by(f64::total_cmp);
        StageCost { stage: stage.name(), ns_per_message: slice[slice.len() / 2] }
    };
    Stage::ALL.into_iter().zip(slices).map(cost).collect()
}

/// Nanoseconds that one reading of the clock takes: the best of many groups, for the core may be taken
/// away during some.
#[expect(clippy::cast_precision_loss, reason = "a small number of nanoseconds")]
pub(crate) fn cost_of_a_mark(clock: &quanta::Clock) -> f64 {
    const READINGS: u32 = 2_000;
    let group = || {
        let start = clock.raw();
        for _ in 0..READINGS {
            std::hint::black_box(clock.raw());
        }
        clock.delta_as_nanos(start, clock.raw()) as f64 / f64::from(READINGS)
    };
    (0..50).map(|_| group()).fold(f64::INFINITY, f64::min)
}
