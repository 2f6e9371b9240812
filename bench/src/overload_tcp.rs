//! `trunkline-bench overload-tcp`: what is left of the appliance when more calls come over TCP than it can carry.

use crate::disturbance::Disturbance;
use crate::interrupt::Interrupt;
use crate::load::{DOMAIN, Scenario, grouped};
use crate::network::{CALLEE_PORT, GENERATOR_ADDRESS, Host, Network, SIP};
use crate::search::rate::{Plan, highest};
use crate::system::{self, System};
use crate::trial::{Criterion, Generator, PATIENCE};
use crate::{json, machine};
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

/// The core of the whole appliance: worker, service core and connections. The generator has core 0.
const CORE: u16 = 1;

/// Offer more calls over TCP than the appliance can carry
///
/// The whole appliance runs on core 1: worker, service core, and control with the connections. Callers on core 0 have
/// TCP connections that stay; callees are on UDP. It finds how many calls per second are carried, and offers multiples
/// of that, with shedding and without. TCP repeats nothing and loses nothing, so too much work waits: in the buffers of
/// the sockets, of which a caller's takes 64 KiB, and at the callers, who begin no call on a connection for which 64 KiB
/// more wait.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
What is printed:
  offered    calls to be begun per second, and as a multiple of the capacity
  calls/s    calls that were carried to their end while others began, per second after --settle, and their share of
             the capacity
  blocked    calls that did not begin, since their connection took no more
  refused    calls answered with 503, or another refusal
  silent     calls without an answer within --patience
  broken     calls that had been answered with 200 and did not end with a BYE and its answer
  p99        of requests to their final response

Examples:
  trunkline-bench overload-tcp
  trunkline-bench overload-tcp --factors 2 --connections 256 --json target/bench/overload-tcp.json

Exit status: 0, or 2 when nothing could be measured.")]
pub(crate) struct Arguments {
    /// Multiples of the capacity that are offered
    #[arg(long, value_delimiter = ',', default_value = "1,2,10")]
    factors: Vec<f64>,
    /// Calls per second that are carried, instead of a search for it
    #[arg(long, value_name = "RATE")]
    capacity: Option<f64>,
    /// Connections of callers
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// How long calls are counted at each rate
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How long calls are begun before that, until as many end as begin: each INVITE and each BYE waits in the sockets
    #[arg(long, default_value_t = 5.0)]
    settle: f64,
    /// Seconds after which a call without an answer has failed
    #[arg(long, default_value_t = 4.0)]
    patience: f64,
    /// `overload.target_ms` where new work is shed
    #[arg(long, default_value_t = 5)]
    target_ms: u32,
    /// Only with shedding, or only without
    #[arg(long, value_name = "true|false")]
    shedding: Option<bool>,
    /// Further settings of the appliance, TOML
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Write the result as JSON to this file too; - for standard output instead of the report
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Overloaded {
    command: String,
    version: String,
    connections: u16,
    /// Calls per second.
    capacity: f64,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    shedding: bool,
    factor: f64,
    offered_per_second: f64,
    carried_per_second: f64,
    /// Of the capacity, 0 to 1.
    goodput: f64,
    blocked: u64,
    refused: u64,
    silent: u64,
    broken: u64,
    p99_ms: f64,
    generator_busy: f64,
    disturbance: Disturbance,
}

/// Runs the command.
///
/// # Errors
/// One line that says what is missing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let network = Network::up(1)?;
    let settings = match &arguments.settings {
        Some(file) => std::fs::read_to_string(file).with_context(|| file.display().to_string())?,
        None => String::new(),
    };
    let mut generator = Generator {
        network: Some(&network),
        core: 0,
        scenario: Scenario::Proxy200,
        patience: PATIENCE,
        options: format!("--target {SIP} --flows {} --wire tcp", arguments.connections)
            .split(' ')
            .map(str::to_owned)
            .collect(),
        interrupt,
        watched: vec![0, CORE],
    };
    let (mut capacity, mut rows, mut version) = (arguments.capacity, Vec::new(), String::new());
    for sheds in [false, true] {
        if arguments.shedding.is_some_and(|wanted| wanted != sheds) {
            continue;
        }
        let target_ms = if sheds { arguments.target_ms } else { 0 };
        let system = system::start_appliance(&network, &[CORE], |directory| {
            Ok(config(directory, target_ms) + &settings)
        })
        .map_err(|error| anyhow::anyhow!("{error}"))?;
        system.version().clone_into(&mut version);
        generator.patience = PATIENCE;
        let rate = match capacity {
            Some(rate) => rate,
            None => *capacity.insert(carried(&generator, &system)?),
        };
        generator.patience = arguments.patience;
        for &factor in &arguments.factors {
            let row = row(&generator, &system, (rate, factor), arguments)?;
            rows.push(Row { shedding: sheds, ..row });
        }
    }
    let found = Overloaded {
        command: machine::command(),
        version,
        connections: arguments.connections,
        capacity: capacity.unwrap_or_default(),
        rows,
    };
    if let Some(path) = arguments.json.as_deref() {
        json::write(&found, path)?;
    }
    if arguments.json.as_deref() != Some("-") {
        print!("{found}");
    }
    Ok(())
}

/// The highest rate at which at most one call of 10,000 fails.
fn carried(generator: &Generator<'_>, system: &System) -> Result<f64> {
    let plan = Plan { start: 2_000.0, max: 1e6, precision: 1.05, short: 1.0, long: 3.0 };
    let found = highest(&plan, |rate, seconds| {
        eprintln!("overload-tcp: {} calls/s", grouped(rate));
        generator.outcome(Some(system), Criterion::FailedCalls, rate, seconds)
    })?;
    found.rate.context("no rate is carried")
}

fn row(
    generator: &Generator<'_>,
    system: &System,
    (capacity, factor): (f64, f64),
    arguments: &Arguments,
) -> Result<Row> {
    let offered = capacity * factor;
    let Arguments { settle, seconds, .. } = arguments;
    eprintln!("overload-tcp: {} calls/s for {settle} + {seconds} s", grouped(offered));
    let mut generator = generator.clone();
    generator.options.extend(["--settle".into(), settle.to_string()]);
    let report = generator.trial(Some(system), offered, settle + seconds)?.report;
    let (counts, carried) = (report.counts, report.carried_per_second);
    let refused = counts.refused.values().sum();
    Ok(Row {
        shedding: false,
        factor,
        offered_per_second: offered,
        carried_per_second: carried,
        goodput: carried / capacity,
        blocked: counts.blocked,
        refused,
        silent: counts.timed_out.saturating_sub(counts.blocked + counts.failed_up),
        broken: counts.failed_up,
        p99_ms: report.transaction_latency.p99_us / 1e3,
        generator_busy: report.generator_busy,
        disturbance: report.disturbance,
    })
}

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} connections, one core", self.version, self.connections)?;
        writeln!(f, "capacity {} calls/s", grouped(self.capacity))?;
        writeln!(
            f,
            "\nshedding   offered             calls/s         blocked   refused    silent  broken        p99"
        )?;
        for row in &self.rows {
            let mut line = format!("{:<8}", if row.shedding { "on" } else { "off" });
            write!(line, " {:>9} {:>4}x", grouped(row.offered_per_second), row.factor)?;
            write!(line, " {:>9} {:>6.1} %", grouped(row.carried_per_second), row.goodput * 100.0)?;
            write!(
                line,
                " {:>13} {:>9} {:>9} {:>7}",
                row.blocked, row.refused, row.silent, row.broken
            )?;
            write!(line, " {:>7.0} ms", row.p99_ms)?;
            if let Some(reason) = &row.disturbance.reason {
                write!(line, "  disturbed: {reason}")?;
            }
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

fn config(directory: &Path, target_ms: u32) -> String {
    let (directory, interface) = (directory.display(), Host::Sut.interface());
    let overload = if target_ms > 0 {
        format!("[overload]\ntarget_ms = {target_ms}\n")
    } else {
        String::new()
    };
    format!(
        r#"[appliance]
name = "bench"
domains = ["{DOMAIN}"]
record_route = true
run_directory = "{directory}/run"
state_directory = "{directory}/state"

[lcores]
workers = [{CORE}]
service = {CORE}
idle = "sleep"

[[ports]]
name = "wire"
interface = "{interface}"
queues = 1
verify_checksums = false # a veth peer leaves them to a NIC

[[listen]]
address = "{SIP}"

[[listen]]
address = "{SIP}"
transport = "tcp"

[connections]
cores = [{CORE}]

[memory]
transactions = 1048576
message_buffers = 3145728

[[destination_sets]]
name = "callees"
members = [{{ address = "{GENERATOR_ADDRESS}:{CALLEE_PORT}" }}]
probe = false

[[routes]]
forward = "callees"
stateful = true

{overload}"#
    )
}
