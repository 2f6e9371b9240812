//! What it costs to hand a message to another core over the bounded ring that workers use, and how long
//! it is under way.
//!
//! Costs are taken while both sides do other work between their bursts, as workers at full load
//! do, so that a burst is found whole; the time under way while the consumer does nothing but look.

use crate::pipeline::cost_of_a_mark;
use anyhow::{Result, anyhow, ensure};
use core_affinity::CoreId;
use crossbeam::queue::ArrayQueue;
use serde::Serialize;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread::scope;
use std::time::Duration;

/// Items of a burst; 32 is what a worker receives at once.
const BURSTS: [usize; 3] = [1, 8, 32];
/// The burst whose cost stands in the model: what is left of 32 when several cores get a share.
pub(super) const MODEL_BURST: usize = 8;
/// Places in the ring.
const RING: usize = 1024;
/// Other work for each message, about what the pipeline does.
const OTHER_WORK_NS: u64 = 300;
/// At most so many bursts are kept.
const SAMPLES_MAX: usize = 1 << 20;

/// The cost of one hand-off in bursts of one size; medians over bursts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HandoffCost {
    pub(crate) burst: usize,
    /// Nanoseconds of the producer per item.
    pub(crate) push_ns: f64,
    /// Nanoseconds of the consumer per item.
    pub(crate) pop_ns: f64,
    /// From before the burst is pushed until an item of it is in the consumer's hand, which looks all the time.
    pub(crate) latency_p50_ns: f64,
    /// The same, 99 of 100 items.
    pub(crate) latency_p99_ns: f64,
    /// Items refused because the ring was full: the consumer was held up.
    pub(crate) refused: u64,
}

struct Item {
    pushed: u64,
    /// Stands for the mbuf.
    handle: usize,
}

/// Both sides of one measurement.
struct Pair<'a> {
    cores: [usize; 2],
    burst: usize,
    /// Whether the consumer does other work, too.
    is_busy: bool,
    length: Duration,
    clock: &'a quanta::Clock,
    ring: ArrayQueue<Item>,
    start: Barrier,
}

/// What one measurement gave, in ticks of the clock.
struct Ticks {
    push: Vec<f64>,
    pop: Vec<f64>,
    latency: Vec<f64>,
    refused: u64,
}

/// Measures hand-offs from the first to the second of `cores`, each burst size twice for `length`.
///
/// # Errors
/// When a thread cannot be pinned to its core.
pub(crate) fn measure(cores: [usize; 2], length: Duration) -> Result<Vec<HandoffCost>> {
    let clock = quanta::Clock::new();
    let mark_ns = cost_of_a_mark(&clock);
    #[expect(clippy::cast_precision_loss, reason = "a factor")]
    let tick_ns = clock.delta_as_nanos(0, 1 << 30) as f64 / f64::from(1 << 30);
    let cost = |burst| {
        let [busy, waiting] = [true, false].map(|is_busy| {
            let (ring, start) = (ArrayQueue::new(RING), Barrier::new(2));
            Pair { cores, burst, is_busy, length, clock: &clock, ring, start }.run()
        });
        let (mut busy, mut waiting) = (busy?, waiting?);
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let net = |ticks: &mut Vec<f64>| {
            (percentile(ticks, 0.5) * tick_ns - mark_ns / burst as f64).max(0.0)
        };
        Ok(HandoffCost {
            burst,
            push_ns: net(&mut busy.push),
            pop_ns: net(&mut busy.pop),
            latency_p50_ns: percentile(&mut waiting.latency, 0.5) * tick_ns,
            latency_p99_ns: percentile(&mut waiting.latency, 0.99) * tick_ns,
            refused: busy.refused + waiting.refused,
        })
    };
    BURSTS.into_iter().map(cost).collect()
}

/// The value below which `share` of the values lie.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index below the length"
)]
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

impl Pair<'_> {
    fn run(&self) -> Result<Ticks> {
        scope(|threads| {
            let producer = threads.spawn(|| self.produce());
            let consumer = threads.spawn(|| self.consume());
            let ended = |_| anyhow!("a hand-off thread ended");
            let (produced, consumed) = (producer.join(), consumer.join());
            let (push, refused) = produced.map_err(ended)??;
            let (pop, latency) = consumed.map_err(ended)??;
            Ok(Ticks { push, pop, latency, refused })
        })
    }

    fn pin(&self, side: usize) -> Result<u64> {
        let id = self.cores[side];
        let pinned = core_affinity::set_for_current(CoreId { id });
        self.start.wait(); // On both ways, lest the other side waits for ever.
        ensure!(pinned, "cannot pin a thread to lcore {id}");
        Ok(self.clock.raw() + self.ticks(self.length))
    }

    /// Ticks in a time.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a length of seconds"
    )]
    fn ticks(&self, length: Duration) -> u64 {
        let per_ns = f64::from(1 << 30) / self.clock.delta_as_nanos(0, 1 << 30) as f64;
        (length.as_nanos() as f64 * per_ns) as u64
    }

    /// Ticks of other work between two bursts.
    fn other_work(&self) -> u64 {
        self.ticks(Duration::from_nanos(OTHER_WORK_NS * self.burst as u64))
    }

    fn wait_until(&self, time: u64) {
        while self.clock.raw() < time {}
    }

    /// Gives ticks per item of each burst, and how many items were refused.
    #[expect(clippy::cast_precision_loss, reason = "a small number of ticks")]
    fn produce(&self) -> Result<(Vec<f64>, u64)> {
        let end = self.pin(0)?;
        let pause = self.other_work();
        let (mut costs, mut refused) = (Vec::with_capacity(SAMPLES_MAX), 0);
        while self.clock.raw() < end && costs.len() < SAMPLES_MAX {
            let pushed = self.clock.raw();
            let before = refused;
            for handle in 0..self.burst {
                refused += u64::from(self.ring.push(Item { pushed, handle }).is_err());
            }
            let now = self.clock.raw();
            if refused == before {
                costs.push((now - pushed) as f64 / self.burst as f64);
            }
            self.wait_until(now + pause);
        }
        Ok((costs, refused))
    }

    /// Gives ticks per item of each whole burst, and ticks under way of each item.
    #[expect(clippy::cast_precision_loss, reason = "a small number of ticks")]
    fn consume(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let end = self.pin(1)?;
        let pause = if self.is_busy { self.other_work() } else { 0 };
        let mut costs = Vec::with_capacity(SAMPLES_MAX);
        let mut latencies = Vec::with_capacity(SAMPLES_MAX);
        let mut burst = Vec::with_capacity(self.burst);
        while self.clock.raw() < end && latencies.len() < SAMPLES_MAX - self.burst {
            let before = self.clock.raw();
            while burst.len() < self.burst
                && let Some(item) = self.ring.pop()
            {
                burst.push(item);
            }
            let now = self.clock.raw();
            if burst.len() == self.burst {
                costs.push((now - before) as f64 / self.burst as f64);
            }
            for item in burst.drain(..) {
                black_box(item.handle);
                latencies.push(now.saturating_sub(item.pushed) as f64);
            }
            self.wait_until(now + pause);
        }
        Ok((costs, latencies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_values() {
        for (values, share, wanted) in [
            (&mut [3.0, 1.0, 2.0][..], 0.5, 2.0),
            (&mut [3.0, 1.0, 2.0], 0.99, 3.0),
            (&mut [], 0.5, 0.0),
        ] {
            assert!((percentile(values, share) - wanted).abs() < 1e-9, "{values:?}");
        }
    }
}
