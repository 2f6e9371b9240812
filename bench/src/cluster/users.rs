//! `trunkline-bench cluster-users`: 150,000 users of a cluster register and are called.

use super::mass::{Mass, OutcomeReport, Pace, Tally, Wanted};
use super::nodes::{Readings, Work, wait_until_agreed};
use super::{Lab, write};
use crate::interrupt::Interrupt;
use crate::machine;
use anyhow::{Result, ensure};
use control::lab::topology::{self, Role, Topology};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Registrations and calls a second that a node of P2PSIP, users spread over a DHT, is said to do.
const P2PSIP: [f64; 2] = [1_500.0, 700.0];

/// See `--call-rate`.
const CALLS_MAX: i64 = topology::CALLS_PER_SECOND as i64;
/// Between the last registration and the first call: the other nodes that keep a user read of him in that time.
const SETTLED: Duration = Duration::from_secs(2);

/// Register many users over a cluster, and call random ones through any node
///
/// Brings the lab with several hosts up, with bindings shared through its Redis Cluster. Every user registers once
/// through a first-stage node; a 200 says that the engine has the binding. Then callers call random users through
/// random first-stage nodes; the phone that registered must answer. Requests are sent again as RFC 3261 says, never to
/// another node.
#[derive(clap::Args)]
#[command(after_help = "\
What is printed, and stands in the JSON file:
  registrations, calls      done, failed, per second of all and of one second-stage node, and the time until the 200
  retransmissions           messages that phones and callers sent again
  nodes                     what each node received and the CPU time of its programs, in either part

All hosts, phones and callers share the cores of this machine: what is seen is what they carry together, not what
six servers would.

Examples:
  trunkline-bench cluster-users
  trunkline-bench cluster-users --topology s2p2 --users 2000 --seconds 3

Exit status: 0 when no registration and no call failed, and nobody was missing in the second stage; 1 otherwise; 2 when
it could not be measured.")]
pub(crate) struct Arguments {
    /// The lab's appliances
    #[arg(long, value_name = "sNpM", default_value = "s3p3")]
    topology: Topology,
    /// Users, each with an address-of-record of its own; the lab's tables have room for 150,000 beside copies
    #[arg(long, value_name = "N", default_value_t = 150_000, value_parser = clap::value_parser!(u32).range(1..=150_000))]
    users: u32,
    /// How long calls begin, in seconds
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Registrations, and calls, under way at a time
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    window: u16,
    /// Calls a second for each second-stage node, whose tables in the lab have room for the transactions of 2,000
    #[arg(long, value_name = "N", default_value_t = 1_400, value_parser = clap::value_parser!(u16).range(1..=CALLS_MAX))]
    call_rate: u16,
    /// Chooses who is called, and through which node
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the result is written
    #[arg(long, value_name = "FILE", default_value = "target/bench/cluster-users.json")]
    json: PathBuf,
}

/// One part of a run.
#[derive(Debug, Serialize)]
struct Part {
    #[serde(flatten)]
    outcome: OutcomeReport,
    /// Of one second-stage node, on average.
    per_second_per_node: f64,
    /// Of a node of P2PSIP.
    p2psip_per_second_per_node: f64,
    retransmissions: u64,
    nodes: Vec<Work>,
}

#[derive(Debug, Serialize)]
struct Report {
    command: String,
    topology: String,
    users: u32,
    registrations: Part,
    calls: Part,
    /// Users in the second stage, less those who registered: copies, when not negative.
    copies: i64,
}

/// Runs the command.
///
/// # Errors
/// When the lab does not come up or the generator fails.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(control::process::is_root(), "the lab needs root: run it as root");
    let (topology, users) = (arguments.topology, arguments.users);
    let interrupt = Interrupt::listen()?;
    topology::up(topology, &mut |line| eprintln!("lab: {line}"))?;
    let _lab = Lab;
    let mut mass = Mass::new(topology, users, arguments.seed)?;
    wait_until_agreed(topology, &interrupt)?;
    let before = Readings::take(topology)?;
    eprintln!("{users} users register");
    let mut all = (0..users).map(Wanted::Register);
    let pace = |per_second| Pace { window: arguments.window.into(), per_second };
    let registered =
        mass.drive(|_| all.next(), pace(f64::INFINITY), &interrupt, &|tally: &Tally| {
            let done = &tally.registrations;
            eprintln!("    {} registered, {} failed", done.done, done.failed);
        })?;
    let between = Readings::take(topology)?;
    ensure!(!interrupt.sleep(SETTLED), "ended by a signal");
    let length = Duration::from_secs(arguments.seconds);
    eprintln!("calls for {} s", length.as_secs());
    let end = Instant::now() + length;
    let call = |mass: &mut Mass| (Instant::now() < end).then(|| Wanted::Call(mass.anybody()));
    let rate = f64::from(arguments.call_rate) * f64::from(topology.second);
    let called = mass.drive(call, pace(rate), &interrupt, &|tally: &Tally| {
        eprintln!("    {} calls, {} failed", tally.calls.done, tally.calls.failed);
    })?;
    let after = Readings::take(topology)?;
    let part = |tally: &Tally, outcome: OutcomeReport, paper, nodes| Part {
        per_second_per_node: outcome.per_second / f64::from(topology.second),
        p2psip_per_second_per_node: paper,
        retransmissions: tally.retransmissions,
        outcome,
        nodes,
    };
    let outcomes =
        [registered.registrations.report(registered.seconds), called.calls.report(called.seconds)];
    let [registrations, calls] = outcomes;
    let calls = part(&called, calls, P2PSIP[1], between.until(&after));
    let report = Report {
        command: machine::command(),
        topology: topology.to_string(),
        users,
        registrations: part(&registered, registrations, P2PSIP[0], before.until(&between)),
        copies: users_of_second_stage(&calls.nodes) - i64::from(users),
        calls,
    };
    report.print();
    write(&report, &arguments.json)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn users_of_second_stage(nodes: &[Work]) -> i64 {
    let second = nodes.iter().filter(|work| work.role == Role::SecondStage);
    second.map(|work| i64::try_from(work.users).unwrap_or(i64::MAX)).sum()
}

impl Report {
    fn is_good(&self) -> bool {
        let is_whole = |part: &Part| part.outcome.failed == 0 && part.outcome.done > 0;
        is_whole(&self.registrations) && is_whole(&self.calls) && self.copies >= 0
    }

    fn print(&self) {
        println!("{}, {} users; bindings are shared", self.topology, self.users);
        for (name, part) in [("registrations", &self.registrations), ("calls", &self.calls)] {
            part.print(name);
        }
        println!(
            "users held by the second stage beside the {} themselves: {}",
            self.users, self.copies
        );
    }
}

impl Part {
    fn print(&self, name: &str) {
        let OutcomeReport { done, failed, seconds, per_second, p50_ms, p99_ms, .. } = &self.outcome;
        println!(
            "\n{name}: {done} in {seconds:.1} s, {failed} failed, {} messages sent again",
            self.retransmissions
        );
        for failure in &self.outcome.failures {
            println!("    {failure}");
        }
        println!(
            "  {per_second:.0} a second, {:.0} of one second-stage node (P2PSIP: {:.0}); answered after {p50_ms:.1} ms (median), {p99_ms:.1} ms (99 %)",
            self.per_second_per_node, self.p2psip_per_second_per_node
        );
        println!("  CPU time in us for each of the {done}, of the programs of each node:");
        println!("  node   messages  dropped     users  data plane   control    engine");
        #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
        let each = |seconds: f64| seconds * 1e6 / (*done).max(1) as f64;
        let sum = |part: fn(&Work) -> f64| each(self.nodes.iter().map(part).sum());
        for work in &self.nodes {
            println!(
                "  {:4} {:>10} {:>8} {:>9} {:>11.1} {:>9.1} {:>9.1}",
                work.node,
                work.messages,
                work.dropped,
                work.users,
                each(work.dataplane_cpu_seconds),
                each(work.control_cpu_seconds),
                each(work.engine_cpu_seconds)
            );
        }
        println!(
            "  all  {:>41.1} {:>9.1} {:>9.1}",
            sum(|work| work.dataplane_cpu_seconds),
            sum(|work| work.control_cpu_seconds),
            sum(|work| work.engine_cpu_seconds)
        );
    }
}
