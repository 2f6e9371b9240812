//! The timers scenario: all timers of a full table expire within one second, while messages flow.
//!
//! The transactions come to life within a second of the worker's clock, which then jumps to where the first of
//! them ends. From there on it goes as fast as the worker works, so that a second of timers has a second of
//! the worker's time. A message that arrives waits for the timers when the worker is with them: at most as
//! long as lies between its last look at a message and the next look at its queue.

use super::super::Arguments;
use super::site::{Calls, Plan, Site};
use super::{plan, sizes_for};
use crate::disturbance::{Disturbance, Watch};
use crate::hugepages;
use anyhow::{Context, Result};
use dataplane::handoff::Handoff;
use dataplane::huge_pages::ask_for_huge_pages;
use dataplane::mbuf::DpdkQueues;
use dataplane::probe::NoProbe;
use dataplane::testing::lcore::run_on_lcores;
use serde::Serialize;
use sip_core::TransactionSizes;
use std::io::Write;
use std::path::Path;

/// Milliseconds from the end of a call to that of its transactions, 64 T1.
const KEPT_MS: u64 = 32_000;
/// Milliseconds in which they come to life, and end.
const SPAN_MS: u64 = 1_000;
/// Milliseconds before and after that are measured, too.
const MARGIN_MS: u64 = 200;
/// Messages of a burst: the worker is not busy with them, and looks at its queue often.
const BURST: usize = 4;
/// Messages that flow, in calls under way.
const CALLS: usize = 128;

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TimersReport {
    scenario: &'static str,
    /// Transactions whose timers expired.
    timers: u64,
    /// Seconds of the worker from the first to the last of them.
    seconds: f64,
    /// Meanwhile, in and out.
    messages_per_second: f64,
    /// The longest that the worker was with its timers between two looks at its queue, in microseconds.
    longest_wait_us: f64,
    /// 999 of 1,000 rounds.
    p999_wait_us: f64,
    /// The longest round, messages and all.
    longest_round_us: f64,
    /// The latest that timers were.
    timer_lag_max_ms: u64,
    rounds: usize,
    /// Rounds during which the kernel gave the core to another: they are left out.
    interrupted_rounds: usize,
    #[serde(flatten)]
    disturbance: Disturbance,
}

/// What the lcore found; waits and rounds in nanoseconds.
struct Found {
    timers: u64,
    worked_ns: u64,
    messages: u64,
    waits: Vec<u64>,
    longest_round: u64,
    interrupted_rounds: usize,
    timer_lag_max_ms: u64,
}

/// Runs the scenario.
///
/// # Errors
/// One line that says what is missing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ask_for_huge_pages().context("cannot start anew, as the appliance does")?;
    let lcores = &arguments.lcores[arguments.lcores.len() - 1..];
    let sizes = sizes_for(arguments.alive, 1)?;
    let _hugepages = hugepages::reserve();
    let plan = plan(lcores)?;
    let watch = Watch::start(lcores)?;
    let alive = arguments.alive;
    eprintln!("pipeline: {alive} transactions come to life, and end within a second");
    let found = run_on_lcores(&plan, Path::new(""), move |_, queues| storm(queues, alive, sizes))?;
    let found = found.into_iter().next().context("no lcore measured")??;
    let report = TimersReport::new(found, watch.finish(&[])?);
    if let Some(path) = arguments.json.as_deref() {
        crate::json::write(&report, path)?;
    }
    if arguments.json.as_deref() != Some("-") {
        print(&report)?;
    }
    Ok(())
}

fn storm(queues: DpdkQueues, alive: u32, sizes: TransactionSizes) -> Result<Found> {
    let calls = u64::from(alive) / 2;
    let ns_per_call = SPAN_MS * 1_000_000 / calls;
    let plan = Plan { index: 0, calls: CALLS, for_whom: Calls::ToOnePlace, sizes, ns_per_call };
    let mut site = Site::new(queues, &plan, Handoff::default(), NoProbe)?;
    while site.ends.started < calls {
        site.round()?;
    }
    site.end_calls()?;
    site.ns_per_call = 0;
    // Nothing ends on this way; what is due on it goes to its real place.
    for _ in 0..KEPT_MS - SPAN_MS - MARGIN_MS {
        site.time.increment(1_000_000_u64);
        for _ in 0..64 {
            site.work();
        }
    }
    site.begin_calls(CALLS)?;
    site.worker.io_mut().burst = BURST;
    let mut found = measured(&mut site)?;
    found.timer_lag_max_ms = site.transactions().timer_lag_max_ms;
    Ok(found)
}

fn measured(site: &mut Site<NoProbe>) -> Result<Found> {
    let (counts, end_ns) = (site.transactions(), (SPAN_MS + 2 * MARGIN_MS) * 1_000_000);
    let mut found = Found {
        timers: 0,
        worked_ns: 0,
        messages: 0,
        waits: Vec::with_capacity(1 << 20),
        longest_round: 0,
        interrupted_rounds: 0,
        timer_lag_max_ms: 0,
    };
    let mut after = 0;
    let received = site.counters.received.get();
    while found.worked_ns < end_ns {
        let round = site.round()?;
        let ns = |ticks| site.clock.delta_as_nanos(0, ticks);
        let spent = ns(round.ticks);
        // An interruption is no work: it must not make a second of timers longer.
        let worked = if round.is_whole { spent } else { spent.min(10_000) };
        site.time.increment(worked);
        found.worked_ns += worked;
        if round.is_whole {
            found.waits.push(after + ns(round.before));
            found.longest_round = found.longest_round.max(spent);
            after = ns(round.after);
        } else {
            found.interrupted_rounds += 1;
            after = 0;
        }
    }
    found.messages = site.counters.received.get() - received;
    let now = site.transactions();
    found.timers = counts.alive + now.opened - counts.opened - now.alive;
    Ok(found)
}

impl TimersReport {
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    fn new(mut found: Found, disturbance: Disturbance) -> Self {
        found.waits.sort_unstable();
        let last = found.waits.len().saturating_sub(1);
        let us = |ns: Option<&u64>| ns.map_or(0.0, |ns| *ns as f64 / 1e3);
        let seconds = found.worked_ns as f64 / 1e9;
        Self {
            scenario: "timers",
            timers: found.timers,
            seconds,
            messages_per_second: found.messages as f64 / seconds,
            longest_wait_us: us(found.waits.last()),
            p999_wait_us: us(found.waits.get(last / 1_000 * 999)),
            longest_round_us: us(Some(&found.longest_round)),
            timer_lag_max_ms: found.timer_lag_max_ms,
            rounds: found.waits.len(),
            interrupted_rounds: found.interrupted_rounds,
            disturbance,
        }
    }
}

fn print(report: &TimersReport) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} timers expired in {:.1} s of the worker, beside {:.0} messages/s",
        report.timers, report.seconds, report.messages_per_second
    )?;
    writeln!(
        out,
        "  a message waited for them at most {:.1} us (999 of 1,000 rounds: {:.1} us); longest round {:.1} us",
        report.longest_wait_us, report.p999_wait_us, report.longest_round_us
    )?;
    writeln!(
        out,
        "  the latest timer was {} ms late; {} rounds, and {} left out, for the kernel interrupted them",
        report.timer_lag_max_ms, report.rounds, report.interrupted_rounds
    )?;
    if let Some(reason) = &report.disturbance.reason {
        writeln!(out, "  DISTURBED: {reason}")?;
    }
    Ok(())
}
