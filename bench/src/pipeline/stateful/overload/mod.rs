//! `trunkline-bench overload`: what is left of a worker when more comes than it can do.
//!
//! As in the stateful scenario callers and callees run on the worker's lcore, between its rounds, and only the
//! worker's own time counts. But here that is the time: what a round took goes by for everybody, and what was sent
//! meanwhile stands in the receive ring, or is lost when that is full. So the offered load knows nothing of how fast
//! the worker is, and a generator need not be faster than it.

mod calls;
mod delays;
mod mix;
mod offer;
mod report;
mod series;
mod site;
mod text;

use super::plan;
use crate::disturbance::Watch;
use crate::hugepages;
use anyhow::{Context, Result};
use dataplane::huge_pages::ask_for_huge_pages;
use dataplane::mbuf::DpdkQueues;
use dataplane::testing::lcore::run_on_lcores;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Messages of a call that come to the appliance.
const MESSAGES_PER_CALL: f64 = 6.0;

/// Offer more than the appliance can do
///
/// Finds how many calls per second one worker carries, then offers twice and ten times as many, with shedding and
/// without. Then it lets one address flood it with garbage and with INVITEs, beside honest calls at half of its
/// capacity, with limits for sources and without.
///
/// The worker is the appliance's own, alone on one core, without a NIC. The time that it takes for a round is the time
/// that goes by for everybody; callers and callees work in between, and their time does not count. What comes meanwhile
/// waits in a receive ring of 2,048 frames, or is lost when that is full. Callers know nothing of one another (a Poisson
/// process); they send again what has no answer (RFC 3261 section 17), give up when they are refused, and hang up after
/// a while.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
What is printed:
  offered    calls begun per second, as a multiple of the capacity
  calls/s    calls whose callee had the ACK within 2 s, per second, and their share of the capacity
  late       calls for which that took longer
  refused    calls answered with 503, or another refusal
  silent     INVITEs dropped without an answer, with those that were sent again
  broken     calls that had been answered with 200 and did not end with a BYE and its answer
  INVITE     INVITEs for which the ring had no room
  others     other messages for which it had none
  ring       frames that waited in the ring, on average
  honest     share of the honest calls that were set up in time

Examples:
  trunkline-bench overload
  trunkline-bench overload --work stateless --factors 1,2,5,10
  trunkline-bench overload --json target/bench/overload.json --plot target/bench/overload

Exit status: 0, or 2 when nothing could be measured.")]
pub(crate) struct Arguments {
    /// The lcore that measures
    #[arg(long, default_value_t = 1)]
    lcore: u16,
    /// What the appliance does with calls
    #[arg(long, value_enum, default_value_t = Work::Stateful)]
    work: Work,
    /// Length of each run in seconds of the worker
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
    /// What comes before that, uncounted, in seconds of the worker: so long calls that can be carried, and as long what
    /// is offered then
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warm_up: f64,
    /// For how long a call lasts, in seconds, on average
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    hold_seconds: f64,
    /// Multiples of the capacity that are offered
    #[arg(long, value_delimiter = ',', default_value = "1,2,10")]
    factors: Vec<f64>,
    /// Calls per second that are carried, instead of a search for it
    #[arg(long, value_name = "RATE")]
    capacity: Option<f64>,
    /// Without the runs that shed nothing, and without floods
    #[arg(long)]
    only_shedding: bool,
    /// The flood, as a multiple of the capacity: of its messages, or of its INVITEs
    #[arg(long, default_value_t = 10.0)]
    flood: f64,
    /// `overload.target_ms` where new work is shed
    #[arg(long, default_value_t = 1)]
    target_ms: u32,
    /// `overload.interval_ms`
    #[arg(long, default_value_t = 100)]
    interval_ms: u32,
    /// Write the result as JSON to this file too; - for standard output instead of the report
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Draw goodput against what was offered, as this file with .svg and .png
    #[arg(long, value_name = "STEM")]
    plot: Option<PathBuf>,
}

/// What the appliance does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// Messages are forwarded without state.
    Stateless,
    /// Each request has a transaction.
    Stateful,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stateless => "stateless",
            Self::Stateful => "stateful",
        })
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=100.0).contains(seconds));
    seconds.ok_or_else(|| format!("{text:?} is not a number from 0.1 to 100"))
}

/// Runs the command.
///
/// # Errors
/// One line that says what is missing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ask_for_huge_pages().context("cannot start anew, as the appliance does")?;
    let _hugepages = hugepages::reserve();
    let lcores = [arguments.lcore];
    let plan = plan(&lcores)?;
    let watch = Watch::start(&lcores)?;
    let on_lcore = Arc::new(arguments.clone());
    let work = move |_: usize, queues: DpdkQueues| series::series(queues, &on_lcore);
    let found = run_on_lcores(&plan, Path::new(""), work)?;
    let mut result = found.into_iter().next().context("no lcore measured")??;
    result.disturbance = Some(watch.finish(&[])?);
    if let Some(stem) = &arguments.plot {
        report::plot(&result, stem)?;
    }
    if let Some(path) = arguments.json.as_deref() {
        crate::json::write(&result, path)?;
    }
    if arguments.json.as_deref() != Some("-") {
        print!("{result}");
    }
    Ok(())
}
