//! Where the time goes: marks between the stages of the pipeline.
//!
//! The appliance runs with [`SampleClock`], which measures one burst in many; the bench runs the same worker
//! with [`StageClock`], or with [`NoProbe`], which compiles to nothing.

use crate::stats::{Counter, WorkerCounters};
use control_api::status::StageStatus;
use std::sync::Arc;

/// The stages of the pipeline, in the order in which a packet meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Receive burst.
    Receive,
    /// Ethernet, IP and UDP headers.
    Decode,
    /// SIP parser.
    Parse,
    /// Rule table, Route, Via: where to.
    Route,
    /// Credentials checked or asked for.
    Digest,
    /// Bindings changed or found.
    Location,
    /// Adjacency of the next hop.
    Adjacency,
    /// The transaction: found or opened, its machines, what it keeps.
    Transaction,
    /// Edits recorded and the new beginning of the message written.
    Rewrite,
    /// New headers, checksums.
    Encode,
    /// Transmit burst.
    Transmit,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 11] = [
        Self::Receive,
        Self::Decode,
        Self::Parse,
        Self::Route,
        Self::Digest,
        Self::Location,
        Self::Adjacency,
        Self::Transaction,
        Self::Rewrite,
        Self::Encode,
        Self::Transmit,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Decode => "decode",
            Self::Parse => "parse",
            Self::Route => "route",
            Self::Adjacency => "adjacency",
            Self::Digest => "digest",
            Self::Location => "location",
            Self::Transaction => "transaction",
            Self::Rewrite => "rewrite",
            Self::Encode => "encode",
            Self::Transmit => "transmit",
        }
    }
}

/// Told by the worker at the end of each stage.
pub trait Probe {
    /// Work begins that belongs to no stage before it.
    fn start(&mut self) {}
    /// `stage` ends here.
    fn end(&mut self, stage: Stage);
}

/// Measures nothing and costs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    #[inline(always)]
    fn end(&mut self, _stage: Stage) {}
}

/// Adds up time-stamp counter ticks per stage.
#[derive(Clone, Debug)]
pub struct StageClock {
    clock: quanta::Clock,
    last: u64,
    /// Ticks spent in each stage, in the order of [`Stage::ALL`].
    pub ticks: [u64; Stage::ALL.len()],
    /// How often each stage ended: each end adds the cost of one clock reading to its ticks.
    pub marks: [u64; Stage::ALL.len()],
}

impl StageClock {
    /// A clock with all stages at zero.
    pub fn new(clock: quanta::Clock) -> Self {
        let last = clock.raw();
        Self { clock, last, ticks: [0; Stage::ALL.len()], marks: [0; Stage::ALL.len()] }
    }

    /// Nanoseconds spent in `stage`, less what the marks themselves cost (`mark_ns` each).
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    pub fn ns(&self, stage: Stage, mark_ns: f64) -> f64 {
        let spent = self.clock.delta_as_nanos(0, self.ticks[stage as usize]) as f64;
        (spent - self.marks[stage as usize] as f64 * mark_ns).max(0.0)
    }
}

impl Probe for StageClock {
    fn start(&mut self) {
        self.last = self.clock.raw();
    }

    fn end(&mut self, stage: Stage) {
        let now = self.clock.raw();
        self.ticks[stage as usize] += now - self.last;
        self.marks[stage as usize] += 1;
        self.last = now;
    }
}

/// Polls between two that are measured. A power of two. What that costs has not been measured.
const SAMPLE_EVERY: u32 = 64;

/// Measures a poll now and then, and says in the worker's counters what it found.
#[derive(Debug)]
pub struct SampleClock {
    clock: quanta::Clock,
    counters: Arc<WorkerCounters>,
    polls: u32,
    is_measuring: bool,
    last: u64,
}

impl SampleClock {
    /// A clock that counts into `counters`.
    pub fn new(clock: quanta::Clock, counters: Arc<WorkerCounters>) -> Self {
        Self { clock, counters, polls: 0, is_measuring: false, last: 0 }
    }

    #[cold]
    fn measure(&mut self, stage: Stage) {
        let now = self.clock.raw();
        let stages = &self.counters.stages;
        stages.ns[stage as usize].add(self.clock.delta_as_nanos(self.last, now));
        if stage == Stage::Parse {
            stages.messages.add(1);
        }
        self.last = now;
    }
}

impl Probe for SampleClock {
    #[inline]
    fn start(&mut self) {
        self.polls = self.polls.wrapping_add(1);
        self.is_measuring = self.polls.is_multiple_of(SAMPLE_EVERY);
        if self.is_measuring {
            self.last = self.clock.raw();
        }
    }

    #[inline]
    fn end(&mut self, stage: Stage) {
        if self.is_measuring {
            self.measure(stage);
        }
    }
}

/// What [`SampleClock`] found.
#[derive(Debug, Default)]
pub struct StageCounters {
    messages: Counter,
    ns: [Counter; Stage::ALL.len()],
}

impl StageCounters {
    /// A reading.
    pub fn status(&self) -> StageStatus {
        // Messages first: what is read in between makes a stage dearer, never free.
        let messages = self.messages.get();
        StageStatus { messages, ns: self.ns.each_ref().map(Counter::get) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Probe, SAMPLE_EVERY, SampleClock, Stage};
    use crate::stats::WorkerCounters;
    use control_api::status::STAGES;
    use std::sync::Arc;

    #[test]
    fn names_are_those_of_the_status() {
        assert_eq!(Stage::ALL.map(Stage::name), STAGES);
        assert!(Stage::ALL.iter().enumerate().all(|(index, stage)| *stage as usize == index));
    }

    #[test]
    fn one_poll_in_many_is_measured() {
        let counters: Arc<WorkerCounters> = Arc::default();
        let mut probe = SampleClock::new(quanta::Clock::new(), Arc::clone(&counters));
        for _ in 0..10 * SAMPLE_EVERY {
            probe.start();
            probe.end(Stage::Receive);
            probe.end(Stage::Parse);
        }
        assert_eq!(counters.stages.status().messages, 10);
    }
}
