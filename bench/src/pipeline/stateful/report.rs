//! What the stateful scenario found, for people and for programs.

use super::super::report::StageCost;
use super::lcore::{Found, Run};
use crate::disturbance::Disturbance;
use serde::Serialize;
use sip_core::TransactionSizes;
use std::io::Write;

/// Bytes of a block of the message buffers.
const BLOCK: f64 = 256.0;

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StatefulReport {
    pub(crate) scenario: &'static str,
    pub(crate) cores: usize,
    /// Of a worker, for a whole call on one core: median of the runs.
    pub(crate) ns_per_call: f64,
    /// Lowest and highest of the runs.
    pub(crate) ns_per_call_range: [f64; 2],
    /// Mean over slices instead of their median.
    pub(crate) mean_ns_per_call: f64,
    /// Of all cores.
    pub(crate) calls_per_second: f64,
    /// Of the last core alone.
    pub(crate) one_core_calls_per_second: f64,
    /// All cores against the last one alone, by turns in the same run.
    pub(crate) speedup: f64,
    pub(crate) per_core: Vec<CoreCalls>,
    pub(crate) messages_in_per_call: f64,
    pub(crate) messages_out_per_call: f64,
    pub(crate) allocations_per_call: f64,
    /// Of each worker, when the runs were over.
    pub(crate) alive: Vec<u64>,
    pub(crate) capacity: u32,
    /// The latest that a timer was, by the worker's clock.
    pub(crate) timer_lag_max_ms: u64,
    /// Of what a transaction of the table takes, and of the blocks that one that is alive uses.
    pub(crate) bytes_per_transaction: f64,
    pub(crate) memory: Memory,
    /// Nanoseconds of both workers for a response that came to the wrong one.
    pub(crate) handoff_ns: Option<f64>,
    pub(crate) handoffs_per_call: f64,
    pub(crate) hugepages: bool,
    #[serde(flatten)]
    pub(crate) disturbance: Disturbance,
    /// Nanoseconds per call.
    pub(crate) stages: Vec<CallStage>,
}

/// One core beside the others.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CoreCalls {
    pub(crate) lcore: u16,
    pub(crate) calls_per_second: f64,
}

/// Bytes for each transaction.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Memory {
    /// The record with its first branch, and its share of further branches.
    pub(crate) record: f64,
    /// Heads of both indexes.
    pub(crate) index: f64,
    pub(crate) wheel: f64,
    /// In use, of those that are alive.
    pub(crate) buffers: f64,
    /// There, of each in the table.
    pub(crate) buffers_reserved: f64,
}

/// One stage's share of a call.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CallStage {
    pub(crate) stage: &'static str,
    pub(crate) ns_per_call: f64,
}

impl StatefulReport {
    /// Adds up what the lcores found, the last of which has been alone.
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    pub(super) fn new(
        lcores: &[u16],
        sizes: TransactionSizes,
        found: &[Found],
        hugepages: bool,
        disturbance: Disturbance,
    ) -> Self {
        let last = &found[found.len() - 1];
        let [ns_per_call, lowest, highest] = spread(last.alone.iter().map(|run| run.ns_per_call));
        let one = 1e9 / ns_per_call;
        let is_single = found.len() == 1;
        let together =
            |found: &Found| if is_single { &found.alone } else { &found.together }.clone();
        let per_core: Vec<CoreCalls> = lcores
            .iter()
            .zip(found)
            .map(|(lcore, found)| {
                let ns = spread(together(found).iter().map(|run| run.ns_per_call))[0];
                CoreCalls { lcore: *lcore, calls_per_second: 1e9 / ns }
            })
            .collect();
        let (calls, sum) = (
            found.iter().map(|found| found.calls).sum::<u64>() as f64,
            |part: fn(&Found) -> u64| found.iter().map(part).sum::<u64>() as f64,
        );
        let alive = sum(|found| found.counts.alive);
        let memory = Memory::new(sizes, sum(|found| found.counts.buffers_used) / alive);
        let stages = last.stages.iter().map(|cost: &StageCost| CallStage {
            stage: cost.stage,
            ns_per_call: cost.ns_per_message,
        });
        Self {
            scenario: "stateful",
            cores: found.len(),
            ns_per_call,
            ns_per_call_range: [lowest, highest],
            mean_ns_per_call: spread(last.alone.iter().map(|run| run.mean_ns_per_call))[0],
            calls_per_second: per_core.iter().map(|core| core.calls_per_second).sum(),
            one_core_calls_per_second: one,
            speedup: speedup(found),
            per_core,
            messages_in_per_call: sum(|found| found.received) / calls,
            messages_out_per_call: sum(|found| found.transmitted) / calls,
            allocations_per_call: last.allocations_per_call,
            alive: found.iter().map(|found| found.counts.alive).collect(),
            capacity: sizes.transactions,
            timer_lag_max_ms: found.iter().map(|it| it.counts.timer_lag_max_ms).max().unwrap_or(0),
            bytes_per_transaction: memory.record + memory.index + memory.wheel + memory.buffers,
            memory,
            handoff_ns: handoff_ns(found),
            handoffs_per_call: spread(
                found.iter().flat_map(|found| &found.strayed).map(|run| run.handoffs_per_call),
            )[0],
            hugepages,
            disturbance,
            stages: stages.collect(),
        }
    }
}

impl Memory {
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    fn new(sizes: TransactionSizes, blocks: f64) -> Self {
        let [record, index, wheel, buffers] =
            sizes.parts().map(|bytes| bytes as f64 / f64::from(sizes.transactions));
        Self { record, index, wheel, buffers: blocks * BLOCK, buffers_reserved: buffers }
    }
}

/// Median over runs of all cores' calls per second over those of the last one alone.
fn speedup(found: &[Found]) -> f64 {
    let Some((last, others)) = found.split_last().filter(|(_, others)| !others.is_empty()) else {
        return 1.0;
    };
    let all = |run: usize| -> f64 {
        let runs = others.iter().chain([last]).map(|found| found.together[run]);
        runs.map(|run| 1.0 / run.ns_per_call).sum()
    };
    let runs = last.alone.iter().enumerate();
    spread(runs.map(|(run, alone)| all(run) * alone.ns_per_call))[0]
}

/// What calls cost more with strays than without, for each response that was handed over: median over all
/// runs of all cores.
fn handoff_ns(found: &[Found]) -> Option<f64> {
    let cost = |(straight, strayed): (&Run, &Run)| {
        (strayed.ns_per_call - straight.ns_per_call) / strayed.handoffs_per_call
    };
    let pairs = found.iter().flat_map(|found| found.together.iter().zip(&found.strayed));
    let costs: Vec<f64> = pairs.filter(|(_, run)| run.handoffs_per_call > 0.0).map(cost).collect();
    (!costs.is_empty()).then(|| spread(costs.into_iter())[0])
}

/// Median, lowest, highest; zeros of nothing.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    [at(values.len() / 2), at(0), at(values.len().saturating_sub(1))]
}

/// Prints the report for people.
///
/// # Errors
/// When standard output is closed.
pub(super) fn print(report: &StatefulReport) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let pages = if report.hugepages { "hugepages" } else { "no hugepages" };
    let alive: u64 = report.alive.iter().sum();
    writeln!(
        out,
        "Proxy-200 calls, stateful, cores: {}, {alive} transactions alive, mbufs in {pages}",
        report.cores
    )?;
    writeln!(
        out,
        "  one core         {:8.0} ns per call  (median; {:.0} to {:.0}; mean {:.0}): {:.0} calls/s",
        report.ns_per_call,
        report.ns_per_call_range[0],
        report.ns_per_call_range[1],
        report.mean_ns_per_call,
        report.one_core_calls_per_second,
    )?;
    if report.cores > 1 {
        let (all, speedup) = (report.calls_per_second, report.speedup);
        writeln!(out, "  all cores        {all:8.0} calls/s, speedup {speedup:.2}")?;
        for core in &report.per_core {
            writeln!(out, "    lcore {:<4}     {:8.0}", core.lcore, core.calls_per_second)?;
        }
    }
    if let Some(ns) = report.handoff_ns {
        let per_call = report.handoffs_per_call;
        writeln!(out, "  hand-off         {ns:8.0} ns each, both workers; {per_call:.2} per call")?;
    }
    writeln!(
        out,
        "  messages         {:8.2} in and {:.2} out per call, {:.4} allocations; timers at most {} ms late",
        report.messages_in_per_call,
        report.messages_out_per_call,
        report.allocations_per_call,
        report.timer_lag_max_ms,
    )?;
    let memory = &report.memory;
    writeln!(
        out,
        "  memory           {:8.0} bytes per transaction: record {:.0}, index {:.0}, wheel {:.0}, \
         messages {:.0} in use of {:.0}",
        report.bytes_per_transaction,
        memory.record,
        memory.index,
        memory.wheel,
        memory.buffers,
        memory.buffers_reserved,
    )?;
    if let Some(reason) = &report.disturbance.reason {
        writeln!(out, "  DISTURBED: {reason}")?;
    }
    writeln!(out, "  ns per call by stage (measured apart, with a clock reading after each):")?;
    for stage in &report.stages {
        writeln!(out, "    {:11} {:7.1}", stage.stage, stage.ns_per_call)?;
    }
    Ok(())
}
