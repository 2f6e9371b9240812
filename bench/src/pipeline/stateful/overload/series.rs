//! All runs, one after the other on one lcore: the capacity first, then what is left of it.

use super::calls::Counts;
use super::offer::{Flood, Offer};
use super::report::{FloodPoint, Overloaded, Point};
use super::site::{Moment, Site};
use super::{Arguments, MESSAGES_PER_CALL, Work};
use anyhow::{Context, Result};
use core::time::Duration;
use dataplane::mbuf::DpdkQueues;
use dataplane::testing::appliance::{lab_settings, lab_settings_stateful};
use sip_core::{Settings, SourceLimits, TransactionSizes};

/// T1 of the worker, so that a transaction lasts 1.28 s: as many end as begin after that, and a table of some hundred
/// thousand is enough.
const T1_MS: u32 = 20;
/// Room for them.
const SIZES: TransactionSizes = TransactionSizes { transactions: 800_000, buffers: 2_400_000 };
/// The first rate of the search for the capacity, calls per second.
const FIRST_RATE: f64 = 50_000.0;
/// Part of the capacity that is offered before it is more.
const USUAL: f64 = 0.8;
/// A worker carries more than it does in the time that it is idle at a low rate, since its bursts become larger; at
/// most by so much.
const MORE: f64 = 1.3;
/// The search ends when it knows the capacity as well as that.
const FINEST: f64 = 1.02;
/// Of the calls that begin, so many must be set up: what is lost in between is sent again.
const CARRIED: f64 = 0.995;
/// For so many calls one message may be lost in the ring: now and then something that is not the worker's has the core.
const LOST_PART: u64 = 100;
/// Calls that stand at the end have so long to end: longer than anybody waits.
const DRAIN: Duration = Duration::from_secs(45);

/// One run.
#[derive(Clone, Copy, Debug)]
struct Run {
    sheds: bool,
    limits: bool,
    /// Before it begins to be too much.
    usual: f64,
    calls_per_second: f64,
    flood: Option<(Flood, f64)>,
    seconds: f64,
}

/// What it gave.
struct Outcome {
    before: Moment,
    after: Moment,
    end: Moment,
}

/// Runs them all.
///
/// # Errors
/// When there is no capacity to be found, or the worker sends what makes no sense.
pub(super) fn series(queues: DpdkQueues, arguments: &Arguments) -> Result<Overloaded> {
    let mut series = Series { queues: Some(queues), arguments };
    let capacity = match arguments.capacity {
        Some(capacity) => capacity,
        None => series.capacity()?,
    };
    let mut result = Overloaded::new(arguments, capacity);
    for &sheds in if arguments.only_shedding { &[true][..] } else { &[true, false] } {
        for factor in &arguments.factors {
            let usual = capacity * USUAL;
            let run = Run { usual, ..series.calls(sheds, capacity * factor) };
            let outcome = series.run(&run)?;
            let point = Point::new(sheds, *factor, capacity, &outcome.figures());
            eprintln!("{point}");
            result.points.push(point);
        }
    }
    let floods = [Flood::Garbage, Flood::Invites];
    for &kind in floods.iter().filter(|_| !arguments.only_shedding) {
        for limits in [true, false] {
            let per_second = capacity
                * arguments.flood
                * match kind {
                    Flood::Garbage => MESSAGES_PER_CALL,
                    Flood::Invites => 1.0,
                };
            let run = Run {
                limits,
                flood: Some((kind, per_second)),
                ..series.calls(true, capacity / 2.0)
            };
            let outcome = series.run(&run)?;
            let point =
                FloodPoint::new(kind, limits, per_second, capacity / 2.0, &outcome.figures());
            eprintln!("{point}");
            result.floods.push(point);
        }
    }
    Ok(result)
}

struct Series<'a> {
    queues: Option<DpdkQueues>,
    arguments: &'a Arguments,
}

impl Series<'_> {
    fn calls(&self, sheds: bool, calls_per_second: f64) -> Run {
        let seconds = self.arguments.seconds;
        let usual = calls_per_second;
        Run { sheds, limits: false, usual, calls_per_second, flood: None, seconds }
    }

    fn run(&mut self, run: &Run) -> Result<Outcome> {
        let settings = settings(self.arguments, run);
        let queues = self.queues.take().context("a run before failed")?;
        let usual = run.usual.min(run.calls_per_second);
        let hold = Duration::from_secs_f64(self.arguments.hold_seconds);
        let sizes = match self.arguments.work {
            Work::Stateful => SIZES,
            Work::Stateless => TransactionSizes { transactions: 0, buffers: 0 },
        };
        let mut site = Site::new(queues, &settings, sizes, Offer::new(usual), hold)?;
        let warm_up = Duration::from_secs_f64(self.arguments.warm_up);
        site.run(warm_up)?;
        site.offer.change(site.now_ns, run.calls_per_second, run.flood);
        site.run(warm_up)?;
        let before = site.moment();
        site.run(Duration::from_secs_f64(run.seconds))?;
        let after = site.moment();
        site.drain(DRAIN)?;
        let end = site.moment();
        self.queues = Some(site.into_queues());
        Ok(Outcome { before, after, end })
    }

    /// Calls per second of which nearly all are set up with nothing shed.
    #[expect(clippy::cast_precision_loss, reason = "a figure")]
    fn capacity(&mut self) -> Result<f64> {
        let short = self.arguments.seconds / 2.0;
        let mut carries = |rate: f64| -> Result<Option<Figures>> {
            let run = Run { seconds: short, ..self.calls(false, rate) };
            let figures = self.run(&run)?.figures();
            let (set_up, offered) = (figures.counts.set_up as f64, figures.counts.offered);
            let is_carried =
                set_up >= CARRIED * offered as f64 && figures.lost_in_ring() < offered / LOST_PART;
            eprintln!(
                "{rate:.0} calls/s: {}, busy {:.1} %, {:.2} % set up, {} messages lost in the ring",
                if is_carried { "carried" } else { "too much" },
                figures.busy * 100.0,
                set_up / offered.max(1) as f64 * 100.0,
                figures.lost_in_ring(),
            );
            Ok(is_carried.then_some(figures))
        };
        let first = carries(FIRST_RATE)?;
        let first = first.with_context(|| format!("not even {FIRST_RATE} calls/s are carried"))?;
        let busy = FIRST_RATE / first.busy;
        let (mut low, mut high) = (FIRST_RATE, busy * MORE);
        while high / low > FINEST {
            let middle = (low.max(busy / 2.0) * high).sqrt();
            if carries(middle)?.is_some() { low = middle } else { high = middle }
        }
        Ok(low)
    }
}

/// What happened while it was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) seconds: f64,
    /// Share of the time that the worker was busy.
    pub(super) busy: f64,
    pub(super) counts: Counts,
    pub(super) lost_invites: u64,
    pub(super) lost_begun: u64,
    pub(super) lost_flood: u64,
    /// INVITEs that were dropped without an answer, by shedding.
    pub(super) unanswered: u64,
    /// Frames in the ring, mean over rounds.
    pub(super) waiting: f64,
    /// Share of the rounds for which a typical time counted.
    pub(super) guessed: f64,
    /// Of the whole run.
    pub(super) broken: u64,
}

impl Figures {
    pub(super) fn lost_in_ring(&self) -> u64 {
        self.lost_invites + self.lost_begun
    }
}

impl Outcome {
    #[expect(clippy::cast_precision_loss, reason = "figures")]
    fn figures(&self) -> Figures {
        let Self { before, after, end } = self;
        let ns = (after.now_ns - before.now_ns) as f64;
        let rounds = (after.rounds - before.rounds) as f64;
        let (old, new) = (&before.counts, &after.counts);
        Figures {
            seconds: ns / 1e9,
            busy: (after.busy_ns - before.busy_ns) as f64 / ns,
            counts: new.since(old),
            lost_invites: after.lost.invites - before.lost.invites,
            lost_begun: after.lost.begun - before.lost.begun,
            lost_flood: after.lost.flood - before.lost.flood,
            unanswered: after.overload.unanswered - before.overload.unanswered,
            waiting: (after.waiting - before.waiting) as f64 / rounds,
            guessed: (after.guessed - before.guessed) as f64 / rounds,
            broken: end.counts.broken + end.standing,
        }
    }
}

fn settings(arguments: &Arguments, run: &Run) -> Settings {
    let mut settings = match arguments.work {
        Work::Stateful => lab_settings_stateful(),
        Work::Stateless => lab_settings(),
    };
    settings.transactions.t1_ms = T1_MS;
    settings.transactions.failover_ms = 64 * T1_MS;
    settings.overload.target_ms = if run.sheds { arguments.target_ms } else { 0 };
    settings.overload.interval_ms = arguments.interval_ms;
    if run.limits {
        let trusted = vec!["10.77.1.2/32".parse().expect("the honest callers' address")];
        let sources =
            SourceLimits { rate: 1_000, burst: 1_000, ban_after_s: 1, ban_s: 60, trusted };
        settings.overload.sources = sources;
    }
    settings
}
