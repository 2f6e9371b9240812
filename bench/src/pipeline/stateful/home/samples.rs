//! Samples of a worker's throughput, each with what the machine took from its thread meanwhile.
//!
//! A sample is 100 ms of the worker by the clock on the wall. What of it the thread did not have (the hypervisor
//! ran another machine, the kernel another thread) is taken off in `per_cpu`: the kernel's time of a thread
//! counts neither. Interrupts and what others do to caches and memory stay in it.

use super::super::super::lcore::cpu_seconds;
use super::Home;
use super::users::Users;
use crate::accounting::{self, CoreTime};
use anyhow::{Context, Result};
use dataplane::probe::NoProbe;
use serde::Serialize;

/// A sample, in nanoseconds of the worker.
pub(super) const SAMPLE_NS: u64 = 100_000_000;
/// An interruption counts as no more than so much work of the worker.
const INTERRUPTED_NS: u64 = 10_000;

/// One sample.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Sample {
    /// REGISTERs per second of the worker, rounds apart during which another thread had the core.
    pub(super) registers_per_second: f64,
    /// REGISTERs per second of CPU time that the thread had during the worker's rounds.
    pub(super) registers_per_cpu_second: f64,
    /// Time of the worker's rounds that the thread did not have, in milliseconds.
    pub(super) taken_ms: f64,
    /// Of this core, by the hypervisor, in milliseconds; it is counted in steps of 10.
    pub(super) steal_ms: f64,
    /// For so long the thread was ready and another one ran, in milliseconds.
    pub(super) run_delay_ms: f64,
    /// So often another thread took the core from it.
    pub(super) involuntary_switches: i64,
    /// The longest round, in microseconds of CPU time.
    pub(super) longest_round_us: f64,
}

/// What of a sample counts.
pub(super) type Rate = fn(&Sample) -> f64;

/// What samples have in common.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Distribution {
    pub(super) median: f64,
    pub(super) lowest: f64,
    /// The lowest sample against the median.
    pub(super) lowest_to_median: f64,
    /// Samples below nine tenths of the median.
    pub(super) dips: usize,
}

impl Distribution {
    /// Of these samples, of which there is one at least.
    pub(super) fn of(samples: &[Sample], rate: Rate) -> Self {
        let mut sorted: Vec<f64> = samples.iter().map(rate).collect();
        sorted.sort_by(f64::total_cmp);
        let (median, lowest) = (sorted[sorted.len() / 2], sorted[0]);
        let dips = sorted.iter().filter(|&&rate| rate < 0.9 * median).count();
        Self { median, lowest, lowest_to_median: lowest / median, dips }
    }
}

/// What the machine has taken from this thread so far.
struct Taken {
    steal_ms: f64,
    run_delay_ms: f64,
    switches: i64,
}

impl Taken {
    /// From the thread that asks, which runs on `lcore`.
    fn read(lcore: u16) -> Result<Self> {
        let schedule = std::fs::read_to_string("/proc/thread-self/schedstat")?;
        // Documentation/scheduler/sched-stats.rst: time on the core, time in the queue for it, slices; in ns.
        let delay = schedule.split_whitespace().nth(1).and_then(|delay| delay.parse::<f64>().ok());
        Ok(Self {
            steal_ms: 1e3 * accounting::seconds(CoreTime::read(&[lcore])?.steal),
            run_delay_ms: delay.context("/proc/thread-self/schedstat has no run delay")? / 1e6,
            switches: super::super::site::interruptions(),
        })
    }
}

/// One sample; with `is_running` the worker's clock goes as fast as it works, else it stands.
#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
pub(super) fn sample(
    home: &mut Home<NoProbe>,
    users: &mut Users,
    lcore: u16,
    is_running: bool,
) -> Result<Sample> {
    let before = Taken::read(lcore)?;
    let (mut worked_ns, mut messages) = (0, 0);
    let (mut taken_ns, mut had_ns, mut longest_ns) = (0.0, 0.0, 0.0_f64);
    while worked_ns < SAMPLE_NS {
        home.offer(users);
        // Both clocks are read in the same order before and after, so that the windows are equally long.
        let (cpu, wall) = (cpu_seconds(), home.clock.raw());
        let round = home.work();
        let (cpu, wall) = (cpu_seconds() - cpu, home.clock.delta_as_nanos(wall, home.clock.raw()));
        home.take_answers()?;
        let spent = home.clock.delta_as_nanos(0, round.ticks);
        let worked = if round.is_whole { spent } else { spent.min(INTERRUPTED_NS) };
        let taken = wall as f64 - 1e9 * cpu;
        let had = spent as f64 - taken;
        if is_running {
            home.time.increment(worked);
        }
        worked_ns += worked;
        messages += round.messages;
        (taken_ns, had_ns, longest_ns) = (taken_ns + taken, had_ns + had, longest_ns.max(had));
    }
    let after = Taken::read(lcore)?;
    Ok(Sample {
        registers_per_second: messages as f64 / (worked_ns as f64 / 1e9),
        registers_per_cpu_second: messages as f64 / (had_ns / 1e9),
        taken_ms: taken_ns / 1e6,
        steal_ms: after.steal_ms - before.steal_ms,
        run_delay_ms: after.run_delay_ms - before.run_delay_ms,
        involuntary_switches: after.switches - before.switches,
        longest_round_us: longest_ns / 1e3,
    })
}
