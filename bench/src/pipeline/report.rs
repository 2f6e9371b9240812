//! What the pipeline bench found, for people and for programs.

use serde::Serialize;
use std::io::Write;

/// One stage's share of a message.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StageCost {
    /// Name of the stage.
    pub(crate) stage: &'static str,
    /// Nanoseconds per message, the cost of the clock readings taken off.
    pub(crate) ns_per_message: f64,
}

/// One core's share of the rate.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CoreRate {
    pub(crate) lcore: u16,
    pub(crate) messages_per_second: f64,
}

/// The result of one run of the pipeline bench.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PipelineReport {
    pub(crate) scenario: &'static str,
    pub(crate) cores: usize,
    /// Of all cores.
    pub(crate) messages_per_second: f64,
    /// Nanoseconds of a core.
    pub(crate) ns_per_message: f64,
    pub(crate) per_core: Vec<CoreRate>,
    /// Of the last core alone.
    pub(crate) one_core_messages_per_second: f64,
    /// All cores against the last one alone, by turns in the same run.
    pub(crate) speedup: f64,
    /// On the worker's thread while it ran, driver and all: DPDK allocates from its own pools.
    pub(crate) allocations_per_message: f64,
    /// Of one core.
    pub(crate) ratio_to_testpmd_macswap: f64,
    pub(crate) testpmd_macswap_packets_per_second: f64,
    /// Lowest and highest of the runs whose median stands above.
    pub(crate) messages_per_second_range: [f64; 2],
    pub(crate) messages: u64,
    pub(crate) forwarded: u64,
    pub(crate) dropped: u64,
    pub(crate) mean_frame_bytes: f64,
    pub(crate) hugepages: bool,
    pub(crate) stages: Vec<StageCost>,
}

/// Prints the report for people.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn print(report: &PipelineReport) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let million = 1e6;
    writeln!(
        out,
        "Proxy-200 calls, stateless, cores: {}, {:.0}-byte frames, {}",
        report.cores,
        report.mean_frame_bytes,
        if report.hugepages { "hugepages" } else { "no hugepages" }
    )?;
    writeln!(
        out,
        "  pipeline         {:8.2} million messages/s  (median; {:.2} to {:.2})",
        report.messages_per_second / million,
        report.messages_per_second_range[0] / million,
        report.messages_per_second_range[1] / million,
    )?;
    if report.cores > 1 {
        for core in &report.per_core {
            let rate = core.messages_per_second / million;
            writeln!(out, "    lcore {:<4}     {rate:8.2}", core.lcore)?;
        }
        let one = report.one_core_messages_per_second / million;
        writeln!(
            out,
            "  one core alone   {one:8.2}                     speedup {:.2}",
            report.speedup
        )?;
    }
    writeln!(
        out,
        "  testpmd macswap  {:8.2} million packets/s   ratio of one core {:.3}",
        report.testpmd_macswap_packets_per_second / million,
        report.ratio_to_testpmd_macswap
    )?;
    writeln!(
        out,
        "  {:.1} ns and {:.4} allocations per message; {} of {} messages forwarded, {} dropped",
        report.ns_per_message,
        report.allocations_per_message,
        report.forwarded,
        report.messages,
        report.dropped
    )?;
    writeln!(out, "  ns per message by stage (measured apart, with a clock reading after each):")?;
    for stage in &report.stages {
        writeln!(out, "    {:10} {:7.1}", stage.stage, stage.ns_per_message)?;
    }
    Ok(())
}
