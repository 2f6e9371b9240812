//! `trunkline-bench compare`: the same work for this appliance and for its peers, in one run.

mod plots;
mod table;

use crate::interrupt::Interrupt;
use crate::json;
use crate::load::grouped;
use crate::machine::{self, Machine};
use crate::network::Network;
use crate::search::rate::{Plan, highest, median};
use crate::search::{for_system, system_cores};
use crate::system::{self, StartError, System, SystemKind, Work};
use crate::trial::{Criterion, Generator, Measured};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

/// Points of a curve, as shares of the rate that was found: from idle to overload.
const CURVE: [f64; 6] = [0.1, 0.3, 0.6, 0.9, 1.1, 1.3];
/// First rate of a search, in calls per second; the highest.
const START: f64 = 4_000.0;
const MAX: f64 = 2_000_000.0;
/// Ratio of failed to carried rate at which a search is narrow enough.
const PRECISION: f64 = 1.05;

/// Compare this appliance with its peers
///
/// Starts each system in the same namespace, on the same core, over the same wire, and searches the highest
/// rate at which at most 0.01 % of the calls fail (the criterion of the 2008 study), several times. Then it
/// measures latency and loss from a tenth of that rate to beyond it. Who is not there, or cannot do
/// this work yet, is named as missing.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Work:
  stateless        Proxy-200 calls to one callee, without transactions
  stateful         the same with transactions (100, retransmissions, CANCEL) and Record-Route
  register         registrations into memory
  register-digest  the same after digest authentication (MD5)
  dispatcher       Proxy-200 calls spread over four callees by a hash over the Call-ID

Systems:
  trunkline     this appliance on an AF_XDP port
  kamailio      Kamailio 5.6 from Debian, tuned: see bench/peers/kamailio
  opensips      where a binary is there
  socket-floor  a forwarder that reads and changes next to nothing, with recvmmsg and sendmmsg:
                the least that a proxy on kernel sockets has to do
  testpmd       dpdk-testpmd sends every frame back: the most that DPDK does over this wire

Columns:
  calls/s      carried; in registrations per second for the registrar
  messages/s   that the system passed on or answered meanwhile
  us/message   time of the system's core, kernel and idle polling included
  p50..p99.9   a message from the sender to the other side at that rate, in microseconds
  ours:peer    messages/s of trunkline over those of the peer

A row that other load disturbed says so; repeat it before you believe it.

Files: DIRECTORY/compare.json, and plots of rate against latency and against loss, and of the cost of
each stage, as SVG and PNG.

Examples:
  trunkline-bench compare
  trunkline-bench compare --works stateless --systems trunkline,kamailio --repeat 1 --seconds 0.5")]
pub(crate) struct Arguments {
    /// What to do
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = all::<Work>())]
    works: Vec<Work>,
    /// Who does it
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = all::<SystemKind>())]
    systems: Vec<SystemKind>,
    /// Cores for the system; the generator has core 0
    #[arg(long, default_value_t = 1)]
    cores: u16,
    /// Searches of which the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=25))]
    repeat: u8,
    /// Seconds of a trial; the one that confirms takes three times as long
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Where results are written
    #[arg(long, value_name = "DIRECTORY", default_value = "target/bench")]
    output: PathBuf,
    /// Leave out the pipeline's cost per stage
    #[arg(long)]
    no_stages: bool,
}

fn all<T: ValueEnum + Clone>() -> Vec<T> {
    T::value_variants().to_vec()
}

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Comparison {
    /// The command.
    pub(crate) command: String,
    /// CPU model and number of cores.
    pub(crate) machine: String,
    /// One for each system and work that could be measured.
    pub(crate) rows: Vec<Row>,
    /// What could not.
    pub(crate) missing: Vec<Missing>,
}

/// One system at one work.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: Work,
    pub(crate) system: SystemKind,
    /// Highest rate carried, median of the searches.
    pub(crate) calls_per_second: f64,
    pub(crate) messages_per_second: f64,
    pub(crate) cpu_us_per_message: f64,
    /// Message latency in the trial that confirmed the rate.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    /// In that trial.
    pub(crate) failed_calls: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) disturbed: bool,
    /// By whom.
    pub(crate) disturbed_by: Option<String>,
    /// Whether the generator could not do more; then the system might.
    pub(crate) generator_limited: bool,
    /// Lowest and highest of the searches.
    pub(crate) calls_per_second_spread: [f64; 2],
    pub(crate) cores: u16,
    pub(crate) version: String,
    pub(crate) curve: Vec<Point>,
}

/// One point of a curve.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) offered_calls_per_second: f64,
    pub(crate) failed_share: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) disturbed: bool,
}

/// A system that could not be measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Missing {
    pub(crate) scenario: Work,
    pub(crate) system: SystemKind,
    pub(crate) reason: String,
}

/// Runs the comparison, prints its table and writes its files.
///
/// # Errors
/// When nothing could be measured, the user ended it, or a file cannot be written.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    std::fs::create_dir_all(&arguments.output)
        .with_context(|| format!("cannot make {}", arguments.output.display()))?;
    let (begin, interrupt) = (Instant::now(), Interrupt::listen()?);
    let mut comparison = Comparison {
        command: machine::command(),
        machine: Machine::this()?.to_string(),
        ..Comparison::default()
    };
    for work in &arguments.works {
        for kind in &arguments.systems {
            match measure(arguments, *kind, *work, &interrupt) {
                Ok(row) => comparison.rows.push(row),
                Err(StartError::Missing(reason)) => {
                    eprintln!("compare: {work}: {kind} is missing: {reason}");
                    let (scenario, system) = (*work, *kind);
                    comparison.missing.push(Missing { scenario, system, reason });
                }
                Err(StartError::Failed(error)) if interrupt.is_set() => return Err(error),
                // One that fails is no reason to lose the others.
                Err(StartError::Failed(error)) => {
                    eprintln!("compare: {work}: {kind} FAILED: {error:#}");
                    let (scenario, system) = (*work, *kind);
                    let reason = format!("FAILED: {error:#}");
                    comparison.missing.push(Missing { scenario, system, reason });
                }
            }
        }
    }
    let why = comparison.missing.first().map_or("no work", |missing| missing.reason.as_str());
    ensure!(!comparison.rows.is_empty(), "nothing could be measured: {why}");
    let path = arguments.output.join("compare.json");
    json::write(&comparison, &path.to_string_lossy())?;
    plots::write(&comparison, &arguments.output)?;
    if !arguments.no_stages {
        plots::write_stages(&comparison, &arguments.output)?;
    }
    print!("{}", table::text(&comparison));
    eprintln!(
        "compare: {} s; table and plots in {}",
        begin.elapsed().as_secs(),
        arguments.output.display()
    );
    Ok(())
}

/// Starts one system, searches its rate and measures its curve.
fn measure(
    arguments: &Arguments,
    kind: SystemKind,
    work: Work,
    interrupt: &Interrupt,
) -> Result<Row, StartError> {
    let cores = system_cores(arguments.cores)?;
    let network = Network::up(arguments.cores)?;
    let system = system::start(kind, work, &network, &cores)?;
    let generator = for_system(kind, work, &network, &cores, cores.len() == 1, interrupt);
    Ok(rates(arguments, kind, work, &system, &generator)?)
}

fn rates(
    arguments: &Arguments,
    kind: SystemKind,
    work: Work,
    system: &System,
    generator: &Generator<'_>,
) -> Result<Row> {
    let (short, long) = (arguments.seconds, arguments.seconds * 3.0);
    let mut plan = Plan { start: START, max: MAX, precision: PRECISION, short, long };
    let mut found = Vec::new();
    for round in 1..=arguments.repeat {
        let result = highest(&plan, |rate, seconds| {
            generator.outcome(Some(system), Criterion::FailedCalls, rate, seconds)
        })?;
        let Some(rate) = result.rate else {
            eprintln!("compare: {work}: {kind}: search {round} found no rate that passes");
            continue;
        };
        eprintln!(
            "compare: {work}: {kind}: {} calls/s (search {round} of {}, {} trials)",
            grouped(rate),
            arguments.repeat,
            result.trials.len()
        );
        plan.start = rate / 1.5;
        found.push((rate, result));
    }
    ensure!(!found.is_empty(), "no rate passed in any search: its curve was not measured");
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rates: Vec<f64> = found.iter().map(|(rate, _)| *rate).collect();
    // Of the search in the middle, everything else; of an even number the lower one.
    let (_, middle) = &found[(found.len() - 1) / 2];
    let confirmed = &middle.confirmed.detail;
    let latency = &confirmed.report.message_latency;
    let rate = median(&rates).unwrap_or_default();
    let messages_per_call =
        confirmed.report.messages_per_second / confirmed.report.calls_per_second.max(1.0);
    Ok(Row {
        scenario: work,
        system: kind,
        calls_per_second: rate,
        messages_per_second: rate * messages_per_call,
        cpu_us_per_message: confirmed.cpu_us_per_message.unwrap_or_default(),
        p50_us: latency.p50_us,
        p99_us: latency.p99_us,
        p999_us: latency.p999_us,
        failed_calls: confirmed.report.counts.failed,
        memory_bytes: confirmed.memory_bytes.unwrap_or_default(),
        disturbed: confirmed.disturbance.disturbed,
        disturbed_by: confirmed.disturbance.reason.clone(),
        generator_limited: middle.generator_limited,
        calls_per_second_spread: [rates[0], rates[rates.len() - 1]],
        cores: arguments.cores,
        version: system.version().to_owned(),
        curve: curve(arguments, rate, system, generator)?,
    })
}

fn curve(
    arguments: &Arguments,
    rate: f64,
    system: &System,
    generator: &Generator<'_>,
) -> Result<Vec<Point>> {
    let point = |share: &f64| {
        let measured: Measured = generator.trial(Some(system), rate * share, arguments.seconds)?;
        let latency = &measured.report.message_latency;
        Ok(Point {
            offered_calls_per_second: rate * share,
            failed_share: measured.report.failed_share,
            p50_us: latency.p50_us,
            p99_us: latency.p99_us,
            disturbed: measured.disturbance.disturbed,
        })
    };
    CURVE.iter().map(point).collect()
}
