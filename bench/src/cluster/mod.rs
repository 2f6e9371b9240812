//! `trunkline-bench cluster`: hosts of a cluster die, are cut off and stand still while phones register and call.

mod calls;
pub(crate) mod capture;
mod checker;
mod edges;
mod faults;
mod generator;
mod history;
mod load;
mod mass;
mod message;
mod nodes;
mod operation;
mod report;
pub(crate) mod scale;
mod socket;
pub(crate) mod users;

use crate::interrupt::Interrupt;
use crate::{json, machine};
use anyhow::{Context as _, Result, bail, ensure};
use control::lab::{self, topology, topology::Topology};
use faults::Fault;
use generator::Generator;
use history::{Event, Purpose};
use load::Rates;
use report::Report;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How long all phones may take to register at the beginning, and again when something was healed.
const REGISTERED: Duration = Duration::from_mins(2);
/// How long the calls of a check may take: longer than a caller goes on trying to begin and to end one.
const CHECKED: Duration = Duration::from_mins(2);
/// Load on a cluster that is well, before each fault.
const WELL: Duration = Duration::from_secs(2);
/// Between a healing and the check after it: how long the cluster has until all must be reachable.
const SETTLED: Duration = Duration::from_millis(checker::PATIENCE);

/// Break hosts of a cluster while phones register and call, and check that nobody is lost
///
/// Brings the lab with several hosts up and has phones register, with one flow through each of two first-stage nodes
/// (RFC 5626). Then, under a load of registrations with ever new Contacts and of calls to random users from any
/// first-stage node: a host is killed, cut off or stands still, or a link is cut, or the whole engine is away; it is
/// healed; every user is called. Callers do as clients with DNS SRV records do: when a node is silent they try the
/// next one. A program goes through the history of all this.
///
/// With --rolling nothing breaks: each appliance is restarted as an operator does it (`trunkline leave`), one after the
/// other, and no call may be refused. Callers probe the first-stage nodes with OPTIONS each second then, as trunks do.
#[derive(clap::Args)]
#[command(after_help = "\
What is printed, and stands in the JSON file:
  faults                    how many there were, and what each did
  lost_bindings             users whose registration was answered with 200 and who were not reached at their newest
                            Contact when all was well again; each check after a fault counts
  slowest_reach_seconds     the longest that a caller had to try, from the fault or from its first INVITE
  longest_stale_seconds     how long an old Contact was still given, after the answer to the newer one and after
                            whatever broke or was healed last
  unreached_calls           calls that did not get through in 10 s
  refused_calls             calls that were refused at some time, though a later attempt may have got through
  denied_calls              of these, calls that heard 480, as if their user had not registered
  unended_calls             calls that were up and whose BYE had no 200
The history is one JSON object a line: time in ms, what, who, through which node, Contact, status, latency.

Examples:
  trunkline-bench cluster --faults 30 --seed 1
  trunkline-bench cluster --topology s2p2 --faults 3 --users 50
  trunkline-bench cluster --rolling

Exit status: 0 when no binding was lost, every user was reached within 3 s, no old answer lived longer, every call
could be ended, and with --rolling none was refused; 1 otherwise; 2 when it could not be measured.")]
pub(crate) struct Arguments {
    /// The lab's appliances
    #[arg(long, value_name = "sNpM", default_value = "s3p3")]
    topology: Topology,
    /// How many faults; 0 only registers and checks
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    faults: u32,
    /// Only faults of this kind
    #[arg(long, value_name = "KIND")]
    only: Option<faults::What>,
    /// Restart each appliance instead, one after the other
    #[arg(long, conflicts_with = "faults")]
    rolling: bool,
    /// Chooses the faults, and who registers and calls
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Users
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    users: u32,
    /// Registrations a second
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    register_rate: f64,
    /// Calls a second
    #[arg(long, value_name = "N", default_value_t = 50.0)]
    call_rate: f64,
    /// How long a call is up, in seconds
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    hold: f64,
    /// How long the whole engine is away, in seconds
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    engine_away: u64,
    /// Where the result is written [default: target/bench/cluster.json, or cluster-rolling.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the history is written
    #[arg(long, value_name = "FILE", default_value = "target/bench/cluster-history.jsonl")]
    history: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// What could not be started, broken or healed.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    ensure!((0.0..=60.0).contains(&arguments.hold), "hold: 0 to 60 s");
    let hold = u64::try_from(Duration::from_secs_f64(arguments.hold).as_millis())?;
    let rates = Rates {
        registers: arguments.register_rate,
        calls: arguments.call_rate,
        hold,
        probes: arguments.rolling,
    };
    let is_possible = |rate: f64| rate.is_finite() && (0.0..=1_000.0).contains(&rate);
    ensure!(is_possible(rates.registers) && is_possible(rates.calls), "rates: 0 to 1,000 a second");
    ensure!(
        !arguments.topology.is_of_both(),
        "callers need a first stage: name a topology such as s3p3"
    );
    ensure!(control::process::is_root(), "the lab needs root: run it as root");
    let interrupt = Interrupt::listen()?;
    topology::up(arguments.topology, &mut |line| eprintln!("lab: {line}"))?;
    let _lab = Lab;
    nodes::wait_until_agreed(arguments.topology, &interrupt)?;
    let mut generator = Generator::new(arguments.topology, arguments.users, rates, arguments.seed)?;
    let away = Duration::from_secs(arguments.engine_away);
    let plan = if arguments.rolling {
        faults::rolling(arguments.topology)
    } else {
        let (count, seed) = (arguments.faults as usize, arguments.seed);
        faults::plan(arguments.topology, count, seed, away, arguments.only)
    };
    let json = arguments.json.clone().unwrap_or_else(|| {
        let name = if arguments.rolling { "cluster-rolling" } else { "cluster" };
        format!("target/bench/{name}.json").into()
    });
    let outcome = campaign(&mut generator, &plan, &interrupt);
    // What was seen is of use also when the campaign could not go on.
    make_folder(&arguments.history)?;
    history::write(&generator.events, &arguments.history)?;
    outcome?;
    let verdict = checker::check(&generator.events);
    let report = Report {
        command: machine::command(),
        topology: arguments.topology.to_string(),
        seed: arguments.seed,
        users: arguments.users,
        faults: plan.len(),
        is_rolling: arguments.rolling,
        what: plan.iter().map(Fault::to_string).collect(),
        verdict,
    };
    report.print();
    write(&report, &json)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Writes a result.
fn write(report: &impl Serialize, file: &Path) -> Result<()> {
    make_folder(file)?;
    json::write(report, &file.display().to_string())
}

/// Makes the folder of this file.
fn make_folder(file: &Path) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

/// The lab, taken down when this value goes.
struct Lab;

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = lab::down() {
            eprintln!("lab: {error:#}");
        }
    }
}

fn campaign(generator: &mut Generator, plan: &[Fault], interrupt: &Interrupt) -> Result<()> {
    generator.register_all();
    let is_registered = |generator: &Generator| {
        let (registered, all) = generator.registered();
        registered == all
    };
    if !generator.run_until(REGISTERED, is_registered)? {
        let (registered, all) = generator.registered();
        bail!("{registered} of {all} flows could register while all was well");
    }
    check(generator)?;
    for (number, fault) in (1..).zip(plan) {
        ensure!(!interrupt.is_set(), "ended by a signal");
        eprintln!("{number} of {}: {fault} for {:.1} s", plan.len(), fault.lasts.as_secs_f64());
        generator.load(true);
        generator.run_until(WELL, |_| false)?;
        let now = generator.now();
        generator.events.push(Event::Fault(now, fault.to_string()));
        beside(generator, || fault.strike())?;
        generator.run_until(fault.lasts, |_| false)?;
        beside(generator, || fault.heal())?;
        let now = generator.now();
        generator.events.push(Event::Healed(now));
        generator.run_until(SETTLED, |_| false)?;
        generator.load(false);
        fault.lost_edges().for_each(|node| generator.refresh_flows_of(&node));
        generator.run_until(REGISTERED, |generator| generator.under_way(Purpose::Register) == 0)?;
        check(generator)?;
        let verdict = checker::check(&generator.events);
        eprintln!(
            "    lost {}, slowest reach {:.2} s, old answers for {:.2} s, {} calls, {} registrations",
            verdict.lost_bindings,
            verdict.slowest_reach_seconds,
            verdict.longest_stale_seconds,
            verdict.calls,
            verdict.registrations
        );
    }
    Ok(())
}

/// Calls everybody, and waits until all have been reached or given up.
fn check(generator: &mut Generator) -> Result<()> {
    generator.check_all();
    let is_over = |generator: &Generator| {
        [Purpose::Check, Purpose::Call].iter().all(|purpose| generator.under_way(*purpose) == 0)
            && generator.calls_up() == 0
    };
    ensure!(generator.run_until(CHECKED, is_over)?, "the calls of a check do not end");
    Ok(())
}

/// Does this while phones and callers go on.
fn beside(generator: &mut Generator, work: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(work);
        while !thread.is_finished() {
            generator.run_until(Duration::from_millis(20), |_| false)?;
        }
        thread.join().unwrap_or_else(|_| bail!("a thread panicked"))
    })
}
