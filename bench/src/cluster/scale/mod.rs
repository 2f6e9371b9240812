//! `trunkline-bench cluster-scale`: what the nodes of sNpM handle, and what that makes of their number.

mod costs;
mod model;
mod report;

use super::mass::{Mass, OutcomeReport, Pace, Tally, Wanted};
use super::nodes::{Readings, Work, wait_until_agreed};
use super::{Lab, write};
use crate::interrupt::Interrupt;
use crate::machine;
use anyhow::{Context as _, Result, ensure};
use clap::builder::ValueParser;
use control::lab::topology::{self, Topology};
use costs::Costs;
use model::Model;
use report::Report;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Registrations under way while all users register; the lab's first-stage nodes lose none.
const WINDOW: usize = 128;

/// Messages and cost of each node of two stages, for one to three nodes in each
///
/// For each topology the lab with several hosts comes up, users register, and then registrations and calls of them come
/// at a fixed rate, half of each, in which every user has its turn, through any first-stage node. Counted is what each
/// node received. What a message costs is measured apart, in the real worker on one core: that of a first-stage node by
/// turns with plain forwarding of the same messages, those of the second stage as registrations and located calls.
#[derive(clap::Args)]
#[command(after_help = "\
Where all nodes share two cores, their throughput says nothing of a cluster. So the cost model does: a node with a core
of its own carries 1 / (messages that it gets for a registration and a call x cost of a message), a stage as much as its
fullest node lets it, and sNpM as much as the lesser stage. Linear is n or m times what s1p1 has in that stage.

What is printed, and stands in the JSON file:
  share               of the messages of its stage that each node received
  ns                  CPU time of a message in the worker
  capacity            registrations, and as many calls, a second
  of linear           capacity to that of linear growth, of either stage and of the whole
  first_stage_ratio   cost of a message in the first stage to that in plain stateless forwarding

Examples:
  trunkline-bench cluster-scale
  trunkline-bench cluster-scale --topologies s1p1,s3p3 --users 1000 --seconds 3
  trunkline-bench cluster-scale --plot target/bench/scale

Exit status: 0 when no registration or call failed, every stage is within 10 % of linear and a message costs the first
stage at most 1.3 times plain forwarding; 1 otherwise; 2 when it could not be measured.")]
pub(crate) struct Arguments {
    /// The lab's appliances; s1p1 must be among them
    #[arg(
        long,
        value_name = "sNpM,...",
        value_delimiter = ',',
        default_value = "s1p1,s1p2,s1p3,s2p1,s2p2,s2p3,s3p1,s3p2,s3p3"
    )]
    topologies: Vec<Topology>,
    /// Users
    #[arg(long, value_name = "N", default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(100..=150_000))]
    users: u32,
    /// Registrations and calls a second, half of each
    #[arg(long, value_name = "N", default_value_t = 2_400.0, value_parser = ValueParser::new(rate))]
    rate: f64,
    /// How long they begin, in seconds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// The lcore on which costs are measured
    #[arg(long, value_name = "N", default_value_t = 1)]
    lcore: u16,
    /// Length of each measurement of costs in seconds
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = ValueParser::new(length))]
    cost_seconds: f64,
    /// Where the result is written
    #[arg(long, value_name = "FILE", default_value = "target/bench/scale.json")]
    json: PathBuf,
    /// Draw capacity against nodes; both SVG and PNG unless the name ends in one of them
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (1.0..=10_000.0).contains(rate));
    rate.ok_or_else(|| format!("{text:?} is not a number from 1 to 10,000"))
}

fn length(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=60.0).contains(seconds));
    seconds.ok_or_else(|| format!("{text:?} is not a number from 0.1 to 60"))
}

/// What was seen of one topology.
#[derive(Clone, Debug, Serialize)]
struct Seen {
    #[serde(skip)]
    topology: Topology,
    registrations: OutcomeReport,
    calls: OutcomeReport,
    /// Messages that phones and callers sent again.
    retransmissions: u64,
    nodes: Vec<Work>,
}

/// Runs the command.
///
/// # Errors
/// When the lab does not come up, or something cannot be measured.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(control::process::is_root(), "the lab needs root: run it as root");
    let single = Topology { first: 1, second: 1 };
    ensure!(
        arguments.topologies.contains(&single),
        "--topologies: s1p1 is what others are held against"
    );
    let interrupt = Interrupt::listen()?;
    let costs = Costs::measure(arguments.lcore, arguments.cost_seconds)?;
    let look = |topology: &Topology| {
        see(*topology, arguments, &interrupt).with_context(|| topology.to_string())
    };
    let seen: Vec<Seen> = arguments.topologies.iter().map(look).collect::<Result<_>>()?;
    let base = seen.iter().find(|seen| seen.topology == single).context("s1p1 was not measured")?;
    let models = seen.iter().map(|seen| Model::new(seen, base, &costs)).collect();
    let report = Report::new(machine::command(), costs, seen, models);
    report.print();
    write(&report, &arguments.json)?;
    if let Some(file) = &arguments.plot {
        report.draw(file)?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Brings a topology up and counts what its nodes get.
fn see(topology: Topology, arguments: &Arguments, interrupt: &Interrupt) -> Result<Seen> {
    eprintln!("{topology}");
    topology::up(topology, &mut |_| {})?;
    let _lab = Lab;
    let users = arguments.users;
    wait_until_agreed(topology, interrupt)?;
    let mut mass = Mass::new(topology, users, 1)?;
    let quiet = |_: &Tally| {};
    let mut all = (0..users).map(Wanted::Register);
    let pace = Pace { window: WINDOW, per_second: f64::INFINITY };
    let registered = mass.drive(|_| all.next(), pace, interrupt, &quiet)?;
    let failed = registered.registrations.failed;
    ensure!(
        failed == 0,
        "{failed} users could not register: {:?}",
        registered.registrations.failures
    );

    let before = Readings::take(topology)?;
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    // Every user has its turn, so that what is uneven is the choice of nodes alone. Who is called has just registered.
    let mut turns =
        (0..users).cycle().flat_map(|user| [Wanted::Register(user), Wanted::Call(user)]);
    let pace = Pace { window: WINDOW, per_second: arguments.rate };
    let load = |_: &mut Mass| turns.next().filter(|_| Instant::now() < end);
    let tally = mass.drive(load, pace, interrupt, &quiet)?;
    let after = Readings::take(topology)?;
    Ok(Seen {
        topology,
        registrations: tally.registrations.report(tally.seconds),
        calls: tally.calls.report(tally.seconds),
        retransmissions: tally.retransmissions,
        nodes: before.until(&after),
    })
}
