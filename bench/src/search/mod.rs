//! `trunkline-bench search`: the highest rate that a system carries.

pub(crate) mod rate;

use crate::interrupt::Interrupt;
use crate::load::{Scenario, grouped};
use crate::network::{Host, Network, SIP};
use crate::system::{self, System, SystemKind, Work};
use crate::trial::{Criterion, Generator, Measured, PATIENCE};
use crate::{hugepages, json};
use anyhow::{Result, bail, ensure};
use core::net::SocketAddr;
use rate::{Found, Plan, highest, median};
use serde::Serialize;

/// Find the highest rate that a system carries
///
/// Doubles the rate until a trial fails, halves the interval until it is narrow, confirms with a longer
/// trial, and does all of it several times: the median counts, lowest and highest show the spread. In a
/// trial no message may take longer than 450 ms, less than SIP's first retransmission, so that
/// retransmissions cannot hide a loss.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  \
    trunkline-bench search trunkline stateless --cores 1,2      one core, then two, and the speedup\n  \
    trunkline-bench search kamailio register-digest\n  \
    trunkline-bench search --self-test                          what the generator itself can do\n  \
    trunkline-bench search --self-test --wire ring\n  \
    trunkline-bench search --target 192.0.2.1:5060 --scenario options\n\n\
    Systems run as in `trunkline-bench hold`: in a namespace of their own, on core 1; with two cores on \
    1 and 0, where the generator is too: then the speedup is that of a system that shares its second core. The result is flagged when other load disturbed the machine, \
    and when it was the generator that could not keep up.\n\n\
    COLUMNS\n  \
    criterion   no-loss: every message arrived. failed-calls: at most 0.01 % of calls failed\n  \
    rate        calls per second (users in the scenario `users`): median, lowest to highest\n\n\
    EXIT STATUS\n  0, or 2 when nothing could be measured.")]
pub(crate) struct Arguments {
    /// The system, started for this search
    #[arg(requires = "work", required_unless_present_any = ["target", "self_test"])]
    system: Option<SystemKind>,
    /// What it does
    work: Option<Work>,
    /// Something that runs already, instead
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with_all = ["system", "self_test"])]
    target: Option<SocketAddr>,
    /// Nothing: callers send straight to callees
    #[arg(long, conflicts_with = "system")]
    self_test: bool,
    /// What callers and callees do [default: what the system's work asks for, else proxy200]
    #[arg(long)]
    scenario: Option<Scenario>,
    /// The generator's wire without a system of ours, see `load --help`
    #[arg(long, default_value = "sockets")]
    wire: String,
    /// Numbers of cores for the system
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "COUNT,...")]
    cores: Vec<u16>,
    /// When a rate counts as carried
    #[arg(long, value_delimiter = ',', default_value = "no-loss,failed-calls")]
    criterion: Vec<Criterion>,
    /// Searches of which the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=25))]
    repeat: u8,
    /// Calls (or users) per second to begin with
    #[arg(long, default_value_t = 2_000.0)]
    start: f64,
    /// Highest rate to try
    #[arg(long, default_value_t = 5_000_000.0)]
    max: f64,
    /// Ratio of failed to carried rate at which a search is narrow enough
    #[arg(long, default_value_t = 1.05)]
    precision: f64,
    /// Seconds of a trial; the one that confirms takes three times as long
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Write the result as JSON to this file; - for standard output instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Further options for the generator, after --, see `load --help`
    #[arg(last = true)]
    generator: Vec<String>,
}

/// The searches with one number of cores under one criterion.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    system: String,
    scenario: String,
    cores: u16,
    criterion: Criterion,
    /// Median of the repeated searches, per second; none when nothing passed.
    rate: Option<f64>,
    /// Lowest and highest of them.
    spread: Option<[f64; 2]>,
    /// Median against that of the first number of cores.
    speedup: Option<f64>,
    /// Whether other load disturbed a trial that confirmed.
    disturbed: Option<String>,
    /// Whether the generator was the limit.
    generator_limited: bool,
    /// Trials made.
    trials: usize,
    /// The last trial that confirmed.
    confirmed: Option<Measured>,
}

/// Runs the searches and prints them.
///
/// # Errors
/// One line that says what is missing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.precision > 1.001, "--precision is a ratio above 1.001, e.g. 1.05");
    let interrupt = Interrupt::listen()?;
    let mut rows: Vec<Row> = Vec::new();
    for cores in &arguments.cores {
        for mut row in search(arguments, *cores, &interrupt)? {
            let first = rows.iter().find(|other| other.criterion == row.criterion);
            let base = first.map_or(row.rate, |first| first.rate);
            row.speedup = row.rate.zip(base).map(|(rate, base)| rate / base);
            rows.push(row);
        }
    }
    match arguments.json.as_deref() {
        Some(path) => json::write(&rows, path)?,
        None => print(&rows),
    }
    Ok(())
}

/// The search that says what the generator itself can do.
///
/// # Errors
/// When a trial cannot be made.
pub(crate) fn self_test(scenario: Scenario, wire: &str, json: Option<String>) -> Result<()> {
    run(&Arguments {
        system: None,
        work: None,
        target: None,
        self_test: true,
        scenario: Some(scenario),
        wire: wire.to_owned(),
        cores: vec![1],
        criterion: vec![Criterion::FailedCalls],
        repeat: 3,
        start: 20_000.0,
        max: 5_000_000.0,
        precision: 1.05,
        seconds: 1.0,
        json,
        generator: Vec::new(),
    })
}

/// All criteria with one number of cores.
fn search(arguments: &Arguments, count: u16, interrupt: &Interrupt) -> Result<Vec<Row>> {
    let Some((kind, work)) = arguments.system.zip(arguments.work) else {
        return searches(arguments, &alone(arguments, interrupt), None, "none", count);
    };
    let cores = system_cores(count)?;
    // One and the same for all numbers of cores.
    let own_port = arguments.cores.iter().all(|count| *count == 1);
    let network = Network::up(count)?;
    let system = match system::start(kind, work, &network, &cores) {
        Err(error) => bail!("{kind} {work}: {error}"),
        Ok(system) => system,
    };
    let mut generator = for_system(kind, work, &network, &cores, own_port, interrupt);
    generator.scenario = arguments.scenario.unwrap_or(generator.scenario);
    generator.options.extend(arguments.generator.clone());
    searches(arguments, &generator, Some(&system), &kind.to_string(), count)
}

/// A generator without a system of ours.
fn alone(arguments: &Arguments, interrupt: &Interrupt) -> Generator<'static> {
    let mut options = vec!["--wire".to_owned(), arguments.wire.clone()];
    match arguments.target {
        Some(target) => options.extend(["--target".to_owned(), target.to_string()]),
        None => options.push("--direct".to_owned()),
    }
    options.extend(arguments.generator.clone());
    Generator {
        network: None,
        core: 0,
        scenario: arguments.scenario.unwrap_or(Scenario::Proxy200),
        patience: PATIENCE,
        options,
        interrupt: interrupt.clone(),
        watched: vec![0],
    }
}

/// The system's cores: 1, then 0, which the generator has too, then the others.
///
/// # Errors
/// When there are not so many.
pub(crate) fn system_cores(count: u16) -> Result<Vec<u16>> {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let available = u16::try_from(available).unwrap_or(u16::MAX);
    ensure!((1..=available).contains(&count), "{count} cores: this machine has {available}");
    // Off core 0 while there is another.
    let order = (1..available).chain([0]);
    let mut cores: Vec<u16> = order.take(count.into()).collect();
    cores.sort_unstable();
    Ok(cores)
}

/// The generator that goes with a system and its work, on a DPDK port of its own or on sockets.
pub(crate) fn for_system<'a>(
    kind: SystemKind,
    work: Work,
    network: &'a Network,
    cores: &[u16],
    own_port: bool,
    interrupt: &Interrupt,
) -> Generator<'a> {
    let scenario = match (kind, work) {
        (SystemKind::Testpmd, _) => Scenario::Echo,
        (_, Work::Stateless | Work::Stateful | Work::Dispatcher) => Scenario::Proxy200,
        (_, Work::Register | Work::RegisterTcp | Work::RegisterTcpEach) => Scenario::Register,
        (_, Work::RegisterDigest) => Scenario::RegisterDigest,
    };
    let adds_via = !matches!(kind, SystemKind::Testpmd | SystemKind::SocketFloor);
    let callees = if work == Work::Dispatcher { 4 } else { 1 };
    // Flows enough for every queue to get some, and connections as of a few busy neighbours.
    let flows = if cores.len() > 1 || work.is_over_tcp() { 32 } else { 1 };
    // A port of its own fills the wire before the generator is full, but has one queue pair: what
    // a second worker sends would not reach it.
    let wire = match work {
        Work::RegisterTcp => "tcp".to_owned(),
        Work::RegisterTcpEach => "tcp-each".to_owned(),
        _ if own_port => format!("af_xdp:{}", Host::Generator.interface()),
        _ => "sockets".to_owned(),
    };
    let hops = u8::from(adds_via);
    let words =
        format!("--target {SIP} --hops {hops} --callees {callees} --flows {flows} --wire {wire}");
    Generator {
        network: Some(network),
        core: 0,
        scenario,
        patience: PATIENCE,
        options: words.split(' ').map(str::to_owned).collect(),
        interrupt: interrupt.clone(),
        watched: [&[0], cores].concat(),
    }
}

fn searches(
    arguments: &Arguments,
    generator: &Generator<'_>,
    system: Option<&System>,
    name: &str,
    cores: u16,
) -> Result<Vec<Row>> {
    // For a generator on a port of its own; a system reserves its own.
    let _reserved = (arguments.wire != "sockets").then(hugepages::reserve);
    let mut rows = Vec::new();
    for criterion in &arguments.criterion {
        let mut found = Vec::new();
        let mut plan = Plan {
            start: arguments.start,
            max: arguments.max,
            precision: arguments.precision,
            short: arguments.seconds,
            long: arguments.seconds * 3.0,
        };
        for round in 1..=arguments.repeat {
            let result = highest(&plan, |rate, seconds| {
                generator.outcome(system, *criterion, rate, seconds)
            })?;
            let shown = result.rate.map_or("nothing".to_owned(), grouped);
            eprintln!(
                "search: {name}, {cores} core(s), {criterion:?}: round {round} of {}: {shown}/s in {} trials",
                arguments.repeat,
                result.trials.len()
            );
            // The next round begins near the end.
            plan.start = result.rate.map_or(arguments.start, |rate| rate / 1.5);
            found.push(result);
        }
        rows.push(row(generator, name, cores, *criterion, found));
    }
    Ok(rows)
}

fn row(
    generator: &Generator<'_>,
    name: &str,
    cores: u16,
    criterion: Criterion,
    found: Vec<Found<Measured>>,
) -> Row {
    let rates: Vec<f64> = found.iter().filter_map(|found| found.rate).collect();
    let lowest = rates.iter().copied().reduce(f64::min);
    let highest = rates.iter().copied().reduce(f64::max);
    let disturbed =
        found.iter().find_map(|found| found.confirmed.detail.disturbance.reason.clone());
    Row {
        system: name.to_owned(),
        scenario: generator.scenario.to_string(),
        cores,
        criterion,
        rate: median(&rates),
        spread: lowest.zip(highest).map(|(low, high)| [low, high]),
        speedup: None,
        disturbed,
        generator_limited: found.iter().any(|found| found.generator_limited),
        trials: found.iter().map(|found| found.trials.len()).sum(),
        confirmed: found
            .into_iter()
            .rev()
            .find(|found| found.rate.is_some())
            .map(|found| found.confirmed.detail),
    }
}

fn print(rows: &[Row]) {
    println!(
        "{:<14} {:<16} {:>5}  {:<13} {:>10}  {:<23} {:>7}  remarks",
        "system", "scenario", "cores", "criterion", "rate", "spread", "speedup"
    );
    for row in rows {
        let number = |number: Option<f64>| number.map_or("none".to_owned(), grouped);
        let spread = row
            .spread
            .map_or(String::new(), |[low, high]| format!("{} to {}", grouped(low), grouped(high)));
        let speedup = row.speedup.map_or(String::new(), |speedup| format!("{speedup:.2}"));
        let mut remarks = Vec::new();
        if row.generator_limited {
            remarks.push("the generator was the limit".to_owned());
        }
        if let Some(reason) = &row.disturbed {
            remarks.push(format!("DISTURBED: {reason}"));
        }
        let criterion = match row.criterion {
            Criterion::NoLoss => "no-loss",
            Criterion::FailedCalls => "failed-calls",
        };
        println!(
            "{:<14} {:<16} {:>5}  {criterion:<13} {:>10}  {spread:<23} {speedup:>7}  {}",
            row.system,
            row.scenario,
            row.cores,
            number(row.rate),
            remarks.join("; ")
        );
    }
}
