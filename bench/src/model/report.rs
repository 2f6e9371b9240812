//! What the model says, for people and for programs; measured, assumed and modelled apart.

use super::handoff::{HandoffCost, MODEL_BURST};
use super::memory::MemoryCosts;
use super::predict::{CORES, Cell, Costs, LINE_RATES, Limit, WIRE_OVERHEAD_BYTES, Work};
use super::stateful::StatefulCosts;
use crate::disturbance::Disturbance;
use crate::machine::{self, Machine};
use crate::pipeline::StageCost;
use serde::Serialize;
use std::io::{Result, Write};

/// What was measured; messages per second that the kernel gave to the worker.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) one_core_messages_per_second: f64,
    pub(crate) cores: usize,
    pub(crate) all_cores_messages_per_second: f64,
    pub(crate) speedup: f64,
    pub(crate) mean_frame_bytes: f64,
    pub(crate) mean_sent_frame_bytes: f64,
    pub(crate) stages: Vec<StageCost>,
    pub(crate) handoffs: Vec<HandoffCost>,
    pub(crate) memory: MemoryCosts,
    pub(crate) stateful: StatefulCosts,
    #[serde(flatten)]
    pub(crate) disturbance: Disturbance,
}

impl Found {
    /// Nanoseconds of both sides, in bursts of [`MODEL_BURST`].
    pub(crate) fn handoff_ns(&self) -> f64 {
        let of_burst = self.handoffs.iter().find(|cost| cost.burst == MODEL_BURST);
        of_burst.map_or(0.0, |cost| cost.push_ns + cost.pop_ns)
    }

    /// The dependent touch of the largest table in huge pages.
    pub(crate) fn touch_ns(&self) -> f64 {
        self.memory.touches.last().map_or(0.0, |cost| cost.huge_pages.dependent_ns)
    }

    /// Nanoseconds of all stages, each measured by itself.
    fn stages_ns(&self) -> f64 {
        self.stages.iter().map(|stage| stage.ns_per_message).sum()
    }
}

/// A measurement held against the model.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) cores: usize,
    /// What the modelled figure was made of.
    pub(crate) modelled_from: &'static str,
    pub(crate) modelled_messages_per_second: f64,
    pub(crate) measured_messages_per_second: f64,
    pub(crate) measured_to_modelled: f64,
}

/// Cores that fill a port.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ToFill {
    pub(crate) gigabits: u32,
    pub(crate) line_messages_per_second: f64,
    /// By the higher and by the lower extrapolation; null if no number of cores does.
    pub(crate) stateless_cores: [Option<u32>; 2],
    pub(crate) stateful_cores: [Option<u32>; 2],
}

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ModelReport {
    pub(crate) command: String,
    pub(crate) machine: String,
    pub(crate) quick: bool,
    pub(crate) measured: Found,
    /// What goes into the table.
    pub(crate) costs: Costs,
    /// What goes into the stateful table.
    pub(crate) stateful_costs: Costs,
    /// What a stateful message is assumed to cost beyond.
    pub(crate) stateful_work: Work,
    pub(crate) check: [Check; 2],
    pub(crate) stateless: Vec<Cell>,
    pub(crate) stateful: Vec<Cell>,
    pub(crate) line_rates: [ToFill; 3],
}

impl ModelReport {
    /// Computes the tables and the check.
    pub(crate) fn new(
        machine: &Machine,
        quick: bool,
        measured: Found,
        [costs, stateful_costs]: [Costs; 2],
        stateful_work: Work,
    ) -> Self {
        let stateless = Work::default();
        let line_rates = LINE_RATES.map(|gigabits| ToFill {
            gigabits,
            line_messages_per_second: costs.line(gigabits),
            stateless_cores: costs.cores_to_fill(stateless, gigabits),
            stateful_cores: stateful_costs.cores_to_fill(stateful_work, gigabits),
        });
        Self {
            command: machine::command(),
            machine: machine.to_string(),
            quick,
            check: check(&measured),
            stateless: costs.table(stateless),
            stateful: stateful_costs.table(stateful_work),
            line_rates,
            measured,
            costs,
            stateful_costs,
            stateful_work,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a small number of cores")]
fn check(found: &Found) -> [Check; 2] {
    let check = |cores, modelled_from, modelled: f64, measured: f64| Check {
        cores,
        modelled_from,
        modelled_messages_per_second: modelled,
        measured_messages_per_second: measured,
        measured_to_modelled: measured / modelled,
    };
    let one = found.one_core_messages_per_second;
    let all = found.all_cores_messages_per_second;
    [
        check(1, "the sum of its stages", 1e9 / found.stages_ns(), one),
        check(found.cores, "one core, times their number", one * found.cores as f64, all),
    ]
}

/// Prints the report for people.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn print(report: &ModelReport) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n{}\n\nMEASURED", report.command, report.machine)?;
    print_measured(&mut out, &report.measured)?;
    if let Some(reason) = &report.measured.disturbance.reason {
        writeln!(out, "  DISTURBED: {reason}")?;
    }
    let (costs, work) = (&report.stateful_costs, report.stateful_work);
    writeln!(out, "\nASSUMED")?;
    writeln!(
        out,
        "  of a stateful message, beyond the {:.0} ns measured: {} of them come to any core, {:.0} ns for each that \
         is handed off; {} touches of the largest table ({:.0} ns each); {:.0} ns on 8 cores, {:.0} on 64",
        costs.message_ns,
        work.handoffs,
        costs.handoff_ns,
        work.touches,
        costs.touch_ns,
        costs.work_ns(work, 8),
        costs.work_ns(work, 64),
    )?;
    writeln!(out, "  memory bandwidth: {:.0} GB/s", costs.memory_bandwidth / 1e9)?;
    writeln!(
        out,
        "  on the wire: {:.0} bytes a frame, {WIRE_OVERHEAD_BYTES} of them preamble, check sequence and gap",
        costs.frame_bytes + WIRE_OVERHEAD_BYTES
    )?;
    writeln!(out, "\nCHECK, million messages/s")?;
    for check in &report.check {
        writeln!(
            out,
            "  {} core(s): modelled {:.2} from {}, measured {:.2}, ratio {:.3}",
            check.cores,
            check.modelled_messages_per_second / 1e6,
            check.modelled_from,
            check.measured_messages_per_second / 1e6,
            check.measured_to_modelled,
        )?;
    }
    print_table(&mut out, "stateless", &report.stateless)?;
    print_table(&mut out, "stateful", &report.stateful)?;
    print_line_rates(&mut out, &report.line_rates)
}

fn print_measured(out: &mut impl Write, found: &Found) -> Result<()> {
    writeln!(
        out,
        "  pipeline: {:.2} million messages/s on one core, {:.2} on {}, speedup {:.2}; mean frame {:.0} bytes in, {:.0} out",
        found.one_core_messages_per_second / 1e6,
        found.all_cores_messages_per_second / 1e6,
        found.cores,
        found.speedup,
        found.mean_frame_bytes,
        found.mean_sent_frame_bytes,
    )?;
    write!(out, "  ns by stage:")?;
    for stage in &found.stages {
        write!(out, " {} {:.0}", stage.stage, stage.ns_per_message)?;
    }
    let stateful = &found.stateful;
    writeln!(
        out,
        "\n  whole calls with {} transactions alive on each core: {:.0} ns for {:.0} messages, speedup {:.2}, hand-off \
         {:.0} ns; {:.0} bytes per transaction, {:.2} GiB for a million with the buffers that are kept for them",
        stateful.alive,
        stateful.ns_per_call,
        stateful.messages_in_per_call,
        stateful.speedup,
        stateful.handoff_ns,
        stateful.bytes_per_transaction,
        stateful.gibibytes_per_million,
    )?;
    writeln!(out, "  the ring alone, ns per item    push      pop   under way: p50      p99")?;
    for cost in &found.handoffs {
        writeln!(
            out,
            "    bursts of {:2}         {:8.1} {:8.1}       {:8.0} {:8.0}",
            cost.burst, cost.push_ns, cost.pop_ns, cost.latency_p50_ns, cost.latency_p99_ns
        )?;
    }
    writeln!(out, "  memory touch, ns        4 KiB pages             2 MiB pages")?;
    writeln!(out, "                   dependent independent   dependent independent")?;
    for cost in &found.memory.touches {
        let [small, huge] = [cost.small_pages, cost.huge_pages]
            .map(|touch| format!("{:11.1} {:11.1}", touch.dependent_ns, touch.independent_ns));
        writeln!(out, "    {:>12} {small} {huge}", size(cost.table_bytes))?;
    }
    for cost in &found.memory.copies {
        let (pool, ns) = (size(cost.pool_bytes), cost.ns_per_byte);
        writeln!(out, "  copy of frames out of {pool}: {ns:.4} ns per byte")?;
    }
    Ok(())
}

/// Bytes with a binary factor.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

fn print_table(out: &mut impl Write, name: &str, cells: &[Cell]) -> Result<()> {
    write!(out, "\nMODELLED, {name}, million messages/s\n  cores")?;
    for gigabits in LINE_RATES {
        write!(out, "  {:>24}", format!("{gigabits} GbE"))?;
    }
    writeln!(out)?;
    for cores in CORES {
        write!(out, "  {cores:5}")?;
        for cell in cells.iter().filter(|cell| cell.cores == cores) {
            write!(out, "  {:>24}", text(cell))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// "2.44 line", or "19.10-24.41 cores-line" where the extrapolations differ.
fn text(cell: &Cell) -> String {
    let [low, high] = [cell.low, cell.high].map(|rate| format!("{:.2}", rate / 1e6));
    let [low_limit, high_limit] = [cell.low_limit, cell.high_limit].map(Limit::name);
    let rate = if low == high { low } else { format!("{low}-{high}") };
    let limit = if low_limit == high_limit {
        low_limit.to_owned()
    } else {
        format!("{low_limit}-{high_limit}")
    };
    format!("{rate} {limit}")
}

impl Limit {
    fn name(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::Line => "line",
            Self::Memory => "memory",
        }
    }
}

fn print_line_rates(out: &mut impl Write, line_rates: &[ToFill]) -> Result<()> {
    let text = |cores: [Option<u32>; 2]| match cores {
        [None, _] => "no number of cores".to_owned(),
        [Some(few), None] => format!("{few} or more, if at all"),
        [Some(few), Some(many)] if few == many => few.to_string(),
        [Some(few), Some(many)] => format!("{few} to {many}"),
    };
    writeln!(out, "\nCORES THAT FILL A PORT IN ONE DIRECTION")?;
    for line in line_rates {
        writeln!(
            out,
            "  {:3} GbE, {:5.2} million messages/s: stateless {}, stateful {}",
            line.gigabits,
            line.line_messages_per_second / 1e6,
            text(line.stateless_cores),
            text(line.stateful_cores),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_reads_well() {
        let cell = |low, high, low_limit, high_limit| {
            text(&Cell { cores: 4, gigabits: 10, low, high, low_limit, high_limit })
        };
        assert_eq!(cell(2.44e6, 2.44e6, Limit::Line, Limit::Line), "2.44 line");
        assert_eq!(cell(1e6, 2e6, Limit::Cores, Limit::Line), "1.00-2.00 cores-line");
        assert_eq!(size(64 << 10), "64 KiB");
        assert_eq!(size(4 << 30), "4 GiB");
    }
}
