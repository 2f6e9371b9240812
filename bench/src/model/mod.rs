//! The cost model: what a stage, a hand-off and a memory touch cost here, and what follows for other
//! numbers of cores and other line rates.

mod handoff;
mod memory;
mod plots;
mod predict;
mod report;
mod stateful;

use crate::disturbance::{Disturbance, Watch};
use crate::machine::Machine;
use crate::pipeline::{Measured, Rate, Setup};
use anyhow::{Context, Result, ensure};
use predict::{Costs, Work};
use report::{Found, ModelReport};
use stateful::StatefulCosts;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `trunkline-bench model`.
#[derive(clap::Args)]
#[command(after_help = "WHAT THE TABLE SAYS\n  \
    Each cell has messages per second and what ends them: \"cores\", \"line\" (the port is full) or \"memory\" \
    (the assumed bandwidth is used up). Where two figures stand, the lower one lets each further core cost \
    the others as much as the second cost the first here (Amdahl's law), the higher one lets every core \
    keep the efficiency that was measured; the truth of a machine lies between. \"check\" holds the model \
    against what was measured here.\n\n  \
    Messages per second are those of cores of which no other process takes a part: here they count \
    per second that the kernel gave to the worker.\n\n\
    EXAMPLES\n  \
    trunkline-bench model\n  \
    trunkline-bench model --quick --json -             half a minute, for a first look and for tests\n  \
    trunkline-bench model --plots target/bench         SVG and PNG beside the table\n  \
    trunkline-bench model --handoffs 1 --touches 8     another idea of stateful work\n\n\
    The stateful table is made of the cost of a message in whole calls with transactions, of the cost of a \
    hand-off and of the speedup, all as `pipeline --scenario stateful` measures them.")]
pub(crate) struct Arguments {
    /// The lcores that measure, at least two, in ascending order.
    #[arg(long, value_delimiter = ',', default_value = "0,1", value_name = "LIST")]
    lcores: Vec<u16>,
    /// Shorter measurements and smaller tables.
    #[arg(long)]
    quick: bool,
    /// Share of the stateful messages that RSS may bring to any core, while one must have them, 0 to 1 and
    /// more: three of the six of a call are responses.
    #[arg(long, default_value_t = 0.5, value_name = "COUNT", value_parser = share)]
    handoffs: f64,
    /// Cache lines that a stateful message waits for in large tables beyond those of its transaction, 0 to 100.
    #[arg(long, default_value_t = 0.0, value_name = "COUNT", value_parser = share)]
    touches: f64,
    /// Assumed memory bandwidth of the machine in 10^9 bytes per second: two cores cannot measure what
    /// 64 could use up.
    #[arg(long, default_value_t = 100, value_name = "GB/S", value_parser = clap::value_parser!(u32).range(1..))]
    memory_bandwidth: u32,
    /// Write the result as JSON to this file; - for standard output instead of the report.
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Write plots (model-*.svg and .png) into this folder.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    let refused = || format!("{text:?} is not a number from 0 to 100");
    let number: f64 = text.parse().map_err(|_| refused())?;
    if (0.0..=100.0).contains(&number) { Ok(number) } else { Err(refused()) }
}

/// Runs the measurements and the model.
///
/// # Errors
/// One line that says what is missing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.lcores.len() >= 2,
        "a hand-off needs two cores: give --lcores two, as in 0,1"
    );
    if let Some(folder) = &arguments.plots {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let found = measure(arguments)?;
    let report = model(arguments, found)?;
    match arguments.json.as_deref() {
        Some(path) => crate::json::write(&report, path)?,
        None => report::print(&report)?,
    }
    if let Some(folder) = &arguments.plots {
        plots::draw(folder, &report)?;
    }
    Ok(())
}

fn measure(arguments: &Arguments) -> Result<Found> {
    let progress = |text: &str| eprintln!("model: {text}");
    let (length, lcores) =
        (|full, quick| if arguments.quick { quick } else { full }, &arguments.lcores);
    let setup = Setup::new(lcores)?; // First, for it refuses lcores that are not there.
    let watch = Watch::start(lcores)?;
    progress("whole calls with transactions"); // Before EAL pins this thread, and with it its children.
    let stateful = StatefulCosts::measure(lcores, arguments.quick)?;
    progress("hand-off between two cores");
    let pair = [lcores[0], lcores[1]].map(usize::from);
    let handoffs = handoff::measure(pair, Duration::from_millis(length(1_500, 250)))?;
    progress("memory touch and copy");
    let largest = memory::largest(arguments.quick)?;
    let memory = memory::measure(pair[1], largest, Duration::from_millis(length(600, 60)))?;
    progress("the pipeline");
    let pipeline = setup.measure(Duration::from_millis(length(2_000, 300)))?;
    Ok(Found::new(&pipeline, handoffs, memory, stateful, watch.finish(&[])?))
}

fn model(arguments: &Arguments, found: Found) -> Result<ModelReport> {
    let costs = Costs {
        message_ns: 1e9 / found.one_core_messages_per_second,
        measured_cores: found.cores,
        speedup: found.speedup,
        handoff_ns: found.handoff_ns(),
        touch_ns: found.touch_ns(),
        frame_bytes: found.mean_frame_bytes.max(found.mean_sent_frame_bytes),
        memory_bandwidth: f64::from(arguments.memory_bandwidth) * 1e9,
    };
    let stateful_costs = found.stateful.costs(&costs);
    let stateful = Work { handoffs: arguments.handoffs, touches: arguments.touches };
    let costs = [costs, stateful_costs];
    Ok(ModelReport::new(&Machine::this()?, arguments.quick, found, costs, stateful))
}

impl Found {
    fn new(
        pipeline: &Measured,
        handoffs: Vec<handoff::HandoffCost>,
        memory: memory::MemoryCosts,
        stateful: StatefulCosts,
        disturbance: Disturbance,
    ) -> Self {
        let by = |rate: &Rate| rate.per_cpu_second;
        Self {
            one_core_messages_per_second: pipeline.one_core(by)[0],
            cores: pipeline.together.len(),
            all_cores_messages_per_second: pipeline.all_cores(by)[0],
            speedup: pipeline.speedup(by),
            mean_frame_bytes: pipeline.mean_frame_bytes,
            mean_sent_frame_bytes: pipeline.mean_sent_frame_bytes,
            stages: pipeline.stages.clone(),
            handoffs,
            memory,
            stateful,
            disturbance,
        }
    }
}
