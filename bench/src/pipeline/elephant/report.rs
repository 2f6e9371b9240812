//! What the bench of the elephant flow found, for people and for programs.

use super::super::lcore::Rate;
use super::super::measure::spread;
use super::super::report::CoreRate;
use super::lcore::{Found, RUNS};
use super::order::OrderReport;
use crate::disturbance::Disturbance;
use anyhow::{Context, Result};
use serde::Serialize;
use std::io::Write;

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ElephantReport {
    pub(crate) scenario: &'static str,
    pub(crate) cores: usize,
    /// Of the core that has the flow, without siblings.
    pub(crate) one_core_messages_per_second: f64,
    /// With siblings.
    pub(crate) messages_per_second: f64,
    /// Median of the pairs.
    pub(crate) speedup: f64,
    /// Of each pair.
    pub(crate) speedups: Vec<f64>,
    /// The same by the time that the kernel gave to each lcore.
    pub(crate) speedup_by_cpu_time: f64,
    /// By lcore, with siblings; the last has the flow.
    pub(crate) per_core: Vec<CoreRate>,
    /// Part of the messages that siblings took.
    pub(crate) spilled_part: f64,
    pub(crate) allocations_per_message: f64,
    /// In a run of its own.
    pub(crate) order: OrderReport,
    pub(crate) messages: u64,
    pub(crate) dropped: u64,
    pub(crate) mean_frame_bytes: f64,
    pub(crate) hugepages: bool,
    #[serde(flatten)]
    pub(crate) disturbance: Disturbance,
}

impl ElephantReport {
    /// The report of what all lcores found.
    ///
    /// # Errors
    /// When the last lcore found nothing.
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    pub(super) fn new(
        lcores: &[u16],
        found: &[Found],
        hugepages: bool,
        disturbance: Disturbance,
    ) -> Result<Self> {
        let owner = found.last().context("no lcore measured")?;
        let sum = |part: fn(&Found) -> u64| found.iter().map(part).sum::<u64>();
        let totals = |by: fn(&Rate) -> f64| -> Vec<f64> {
            (0..RUNS).map(|run| found.iter().map(|lcore| by(&lcore.together[run])).sum()).collect()
        };
        let speedups = |by: fn(&Rate) -> f64| -> Vec<f64> {
            totals(by).into_iter().zip(&owner.alone).map(|(all, one)| all / by(one)).collect()
        };
        let wall = |rate: &Rate| rate.per_second;
        let median = |rates: Vec<f64>| spread(rates)[0];
        let core = |(lcore, found): (&u16, &Found)| CoreRate {
            lcore: *lcore,
            messages_per_second: median(found.together.iter().map(wall).collect()),
        };
        let (messages, together) = (sum(|lcore| lcore.received), sum(|lcore| lcore.forwarded));
        Ok(Self {
            scenario: "elephant",
            cores: lcores.len(),
            one_core_messages_per_second: median(owner.alone.iter().map(wall).collect()),
            messages_per_second: median(totals(wall)),
            speedup: median(speedups(wall)),
            speedups: speedups(wall),
            speedup_by_cpu_time: median(speedups(|rate| rate.per_cpu_second)),
            per_core: lcores.iter().zip(found).map(core).collect(),
            spilled_part: spilled_part(found),
            allocations_per_message: sum(|lcore| lcore.allocations) as f64 / together as f64,
            order: owner.order.context("the order was not checked")?,
            messages,
            dropped: sum(|lcore| lcore.dropped),
            mean_frame_bytes: owner.received_bytes as f64 / messages as f64,
            hugepages,
            disturbance,
        })
    }
}

/// Of what was forwarded beside the others.
fn spilled_part(found: &[Found]) -> f64 {
    let rate = |found: &Found| found.together.iter().map(|rate| rate.per_second).sum::<f64>();
    let all: f64 = found.iter().map(rate).sum();
    found.split_last().map_or(0.0, |(_, siblings)| siblings.iter().map(rate).sum::<f64>() / all)
}

/// Prints the report for people.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn print(report: &ElephantReport) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let million = 1e6;
    writeln!(
        out,
        "One flow on one queue, Proxy-200 messages, stateless, cores: {}, {:.0}-byte frames, {}",
        report.cores,
        report.mean_frame_bytes,
        if report.hugepages { "hugepages" } else { "no hugepages" }
    )?;
    let (one, all) = (report.one_core_messages_per_second, report.messages_per_second);
    writeln!(out, "  one core alone   {:8.2} million messages/s", one / million)?;
    writeln!(out, "  with siblings    {:8.2}    speedup {:.2}", all / million, report.speedup)?;
    for core in &report.per_core {
        writeln!(
            out,
            "    lcore {:<4}     {:8.2}",
            core.lcore,
            core.messages_per_second / million
        )?;
    }
    let pairs: Vec<_> = report.speedups.iter().map(|speedup| format!("{speedup:.2}")).collect();
    writeln!(
        out,
        "  pairs {}; by CPU time {:.2}; {:.0} % of the messages spilled, {:.4} allocations per message, {} dropped",
        pairs.join(" "),
        report.speedup_by_cpu_time,
        100.0 * report.spilled_part,
        report.allocations_per_message,
        report.dropped,
    )?;
    let OrderReport { calls, messages, spilled, out_of_order } = report.order;
    writeln!(
        out,
        "  order checked apart: {messages} messages of {calls} calls, {spilled} of them spilled, {out_of_order} out of order"
    )?;
    if let Some(reason) = &report.disturbance.reason {
        writeln!(out, "  DISTURBED: {reason}")?;
    }
    Ok(())
}
