//! What each lcore does: it brings its transactions to life, then calls go through it alone, beside the others,
//! and with responses that come to the wrong worker; in the end once more with a clock after each stage.

use super::super::lcore::cost_of_a_mark;
use super::super::report::StageCost;
use super::site::{Calls, KEPT_MS, Plan, Round, Site, Stray};
use anyhow::{Result, ensure};
use control_api::status::TransactionStatus;
use crossbeam::queue::ArrayQueue;
use dataplane::handoff::Handoff;
use dataplane::mbuf::{DpdkQueues, Frame};
use dataplane::probe::{NoProbe, Probe, Stage, StageClock};
use sip_core::TransactionSizes;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

/// Runs of each kind, of which the median counts.
pub(super) const RUNS: usize = 5;
/// Rounds of a slice: more than pass between two slots of the timer wheel.
const SLICE_ROUNDS: u32 = 1_024;
/// Slices during which allocations are counted.
const COUNTED_ROUNDS: u32 = 8 * SLICE_ROUNDS;

/// What all lcores are told.
pub(super) struct Task {
    pub(super) length: Duration,
    /// Transactions alive of each worker.
    pub(super) alive: u32,
    pub(super) sizes: TransactionSizes,
    /// Calls under way at a time.
    pub(super) calls: usize,
    /// Share of the responses that come to the wrong worker in the last runs.
    pub(super) stray: f64,
    pub(super) for_whom: Calls,
    pub(super) meeting: Barrier,
    /// Where strays wait, by the worker that they come to.
    strays: Vec<Arc<ArrayQueue<Frame>>>,
    handoffs: Vec<Mutex<Option<Handoff<Frame>>>>,
}

/// One run of one lcore: medians and sums over its slices.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "all of them are so")]
pub(super) struct Run {
    /// Nanoseconds of the worker for a call, median over slices.
    pub(super) ns_per_call: f64,
    /// The mean over slices.
    pub(super) mean_ns_per_call: f64,
    /// Hand-offs for each call, to others.
    pub(super) handoffs_per_call: f64,
}

/// What an lcore found.
#[derive(Default)]
pub(super) struct Found {
    /// While the others slept; empty but on the last lcore.
    pub(super) alone: Vec<Run>,
    /// While the others worked, too.
    pub(super) together: Vec<Run>,
    /// The same with strays.
    pub(super) strayed: Vec<Run>,
    pub(super) counts: TransactionStatus,
    pub(super) received: u64,
    pub(super) transmitted: u64,
    pub(super) absorbed: u64,
    pub(super) dropped: u64,
    pub(super) calls: u64,
    pub(super) allocations_per_call: f64,
    /// Of a call, on the last lcore.
    pub(super) stages: Vec<StageCost>,
}

impl Task {
    /// A task for so many workers.
    pub(super) fn new(
        workers: usize,
        length: Duration,
        [alive, calls]: [u32; 2],
        sizes: TransactionSizes,
        stray: f64,
    ) -> Self {
        let calls = calls as usize;
        let ring = || Arc::new(ArrayQueue::new(4 * calls));
        let handoffs = Handoff::for_workers(workers).into_iter();
        Self {
            length,
            alive,
            sizes,
            calls,
            stray,
            for_whom: Calls::ToOnePlace,
            meeting: Barrier::new(workers),
            strays: (0..workers).map(|_| ring()).collect(),
            handoffs: handoffs.map(|end| Mutex::new(Some(end))).collect(),
        }
    }

    fn workers(&self) -> usize {
        self.strays.len()
    }

    /// Time passes so fast that as many transactions are alive as are wanted.
    fn plan(&self, index: usize) -> Plan {
        let ns_per_call = KEPT_MS * 1_000_000 / u64::from(self.alive.max(1));
        Plan { index, calls: self.calls, for_whom: self.for_whom, sizes: self.sizes, ns_per_call }
    }
}

/// Runs the measurements on the calling lcore.
///
/// # Errors
/// When a call failed: then there is nothing to measure.
pub(super) fn work(index: usize, queues: DpdkQueues, task: &Task) -> Result<Found> {
    let is_last = index + 1 == task.workers();
    let mut found = Found::default();
    let mut site = site(index, queues, task);
    measure(&mut site, task, is_last, &mut found);
    let mut site = site?;
    if is_last {
        found.allocations_per_call = allocations(&mut site)?;
    }
    found.take_counts(&mut site);
    let queues = site.into_queues();
    if is_last {
        found.stages = stages(queues, &task.plan(0), task)?;
    }
    Ok(found)
}

fn site(index: usize, queues: DpdkQueues, task: &Task) -> Result<Site<NoProbe>> {
    let handoff = task.handoffs[index].lock().ok().and_then(|mut end| end.take());
    let mut site = Site::new(queues, &task.plan(index), handoff.unwrap_or_default(), NoProbe)?;
    if task.workers() > 1 {
        let [here, there] = [index, (index + 1) % task.workers()].map(|at| &task.strays[at]);
        site.stray = Some(Stray::new(Arc::clone(here), Arc::clone(there)));
    }
    fill(&mut site, task.alive)?;
    Ok(site)
}

/// All runs. A site that has failed goes on to meet the others, which wait for it.
fn measure(site: &mut Result<Site<NoProbe>>, task: &Task, is_last: bool, found: &mut Found) {
    let has_others = task.workers() > 1;
    for _ in 0..RUNS {
        task.meeting.wait();
        if is_last {
            run(site, 0.0, task, &mut found.alone);
        }
        task.meeting.wait();
        if has_others {
            run(site, 0.0, task, &mut found.together);
        }
        task.meeting.wait();
        if has_others && task.stray > 0.0 {
            run(site, task.stray, task, &mut found.strayed);
            task.meeting.wait();
            bring_home(site);
        }
    }
    task.meeting.wait();
}

fn run(site: &mut Result<Site<NoProbe>>, share: f64, task: &Task, runs: &mut Vec<Run>) {
    let Ok(it) = site else { return };
    if let Some(stray) = &mut it.stray {
        stray.share = share;
    }
    match measured(it, task.length) {
        Ok(run) => runs.push(run),
        Err(error) => *site = Err(error),
    }
}

/// Goes on until what strayed has come back, so that the calls do not wait for one who sleeps.
fn bring_home(site: &mut Result<Site<NoProbe>>) {
    let Ok(it) = site else { return };
    if let Some(stray) = &mut it.stray {
        stray.share = 0.0;
    }
    let result = (0..4 * SLICE_ROUNDS).try_for_each(|_| it.round().map(|_| ()));
    if let Err(error) = result {
        *site = Err(error);
    }
}

impl Found {
    fn take_counts(&mut self, site: &mut Site<NoProbe>) {
        let status = site.counters.status("bench", 0, 0);
        (self.received, self.transmitted) = (status.received, status.transmitted);
        (self.absorbed, self.dropped) = (status.absorbed, status.dropped_total());
        (self.calls, self.counts) = (site.ends.ended, site.transactions());
    }
}

/// Lets calls pass until as many transactions end as begin.
fn fill<Pr: Probe>(site: &mut Site<Pr>, alive: u32) -> Result<()> {
    let wanted = u64::from(alive) * 6 / 10; // Two of each call, and a fifth more.
    while site.ends.ended < wanted {
        site.round()?;
    }
    let counts = site.transactions();
    ensure!(counts.refused_full == 0, "the table was full: {counts:?}");
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn measured(site: &mut Site<NoProbe>, length: Duration) -> Result<Run> {
    let end = Instant::now() + length;
    let (began, messages) = (site.ends.ended, site.counters.received.get());
    let handed = site.counters.handed_off.get();
    let mut slices = Vec::with_capacity(4_096);
    while Instant::now() < end {
        let mut slice = Round::default();
        for _ in 0..SLICE_ROUNDS {
            let round = site.round()?;
            // One during which others had the core says nothing.
            if round.is_busy && round.is_whole {
                slice.ticks += round.ticks;
                slice.messages += round.messages;
            }
        }
        if slice.messages > 0 {
            let ns = site.clock.delta_as_nanos(0, slice.ticks);
            slices.push(ns as f64 / slice.messages as f64);
        }
    }
    let calls = (site.ends.ended - began) as f64;
    ensure!(!slices.is_empty() && calls > 0.0, "no call came to its end");
    slices.sort_by(f64::total_cmp);
    let messages_per_call = (site.counters.received.get() - messages) as f64 / calls;
    Ok(Run {
        ns_per_call: slices[slices.len() / 2] * messages_per_call,
        mean_ns_per_call: slices.iter().sum::<f64>() / slices.len() as f64 * messages_per_call,
        handoffs_per_call: (site.counters.handed_off.get() - handed) as f64 / calls,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn allocations(site: &mut Site<NoProbe>) -> Result<f64> {
    let (mut count, began) = (0, site.ends.ended);
    for _ in 0..COUNTED_ROUNDS {
        count += allocation_counter::measure(|| {
            site.work();
        })
        .count_total;
        site.answer()?;
    }
    Ok(count as f64 / (site.ends.ended - began).max(1) as f64)
}

/// Medians over slices of the rounds that were whole.
#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn stages(queues: DpdkQueues, plan: &Plan, task: &Task) -> Result<Vec<StageCost>> {
    let clock = quanta::Clock::new();
    let mark_ns = cost_of_a_mark(&clock);
    let probe = || StageClock::new(clock.clone());
    let mut site = Site::new(queues, plan, Handoff::default(), probe())?;
    fill(&mut site, task.alive)?;
    let mut slices = Stage::ALL.map(|_| vec![]);
    let end = Instant::now() + task.length;
    while Instant::now() < end {
        let (mut stages, mut messages) = (Stage::ALL.map(|_| 0.0), 0);
        for _ in 0..SLICE_ROUNDS {
            site.worker.probe = probe();
            let round = site.round()?;
            if round.is_busy && round.is_whole {
                messages += round.messages;
                for (sum, stage) in stages.iter_mut().zip(Stage::ALL) {
                    *sum += site.worker.probe.ns(stage, mark_ns);
                }
            }
        }
        for (slice, sum) in slices.iter_mut().zip(stages) {
            slice.push(sum / messages.max(1) as f64);
        }
    }
    let calls = site.counters.received.get() as f64 / site.ends.ended as f64;
    let cost = |(stage, mut slice): (Stage, Vec<f64>)| {
        slice.sort_by(f64::total_cmp);
        StageCost { stage: stage.name(), ns_per_message: slice[slice.len() / 2] * calls }
    };
    Ok(Stage::ALL.into_iter().zip(slices).map(cost).collect())
}
