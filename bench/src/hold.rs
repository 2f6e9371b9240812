//! `trunkline-bench hold`: a system under test to play with.

use crate::disturbance::{Disturbance, Watch};
use crate::interrupt::Interrupt;
use crate::json;
use crate::network::{CALLEE_PORT, CALLER_PORT, GENERATOR_ADDRESS, Host, Network, SIP};
use crate::system::{self, SystemKind, Usage, Work};
use anyhow::Result;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Start one system as a comparison does, and hold it up
///
/// Makes the network of a comparison, starts the system on its cores, and waits until it answers. Then
/// anything can be tried with it: a client in the namespace tlb-gen, a debugger, perf. At the end it
/// says what the system used meanwhile, and whether something else disturbed the machine.
#[derive(clap::Args)]
#[command(after_help = "\
The network:
  tlb-gen  10.78.1.2   callers (UDP ports from 6000) and callees (from 7000)
  tlb-sut  10.78.1.1   the system under test, SIP on UDP port 5060

What is printed at the end:
  processes  CPU time of the system's processes, in percent of one core
  cores      how busy its cores were, with the kernel's receive work, in percent of one core
  memory     of its processes, in MiB, with hugepages; what they share counts once
  steal      time that the hypervisor kept from the cores, in percent
  foreign    CPU time of processes that have no part in this, in percent of one core

Examples:
  trunkline-bench hold kamailio stateless --seconds 60
  ip netns exec tlb-gen sipp -sn uas -i 10.78.1.2 -p 7000          the callee, in a second terminal
  ip netns exec tlb-gen sipp -sn uac 10.78.1.1:5060 -i 10.78.1.2 -p 6000 -m 1000 -r 500 -d 0

Exit status: 0 at the end or after Ctrl-C, 2 when the system does not start or is missing.")]
pub(crate) struct Arguments {
    /// The system
    system: SystemKind,
    /// What it is to do
    work: Work,
    /// Its cores; core 0 is the generator's unless it stands here too
    #[arg(long, value_name = "CORE,...", value_delimiter = ',', default_value = "1")]
    cores: Vec<u16>,
    /// How long; without it until Ctrl-C
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Write the result as JSON to this file; - for standard output instead of the report
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
}

/// What was used while the system was up.
#[derive(Debug, Serialize)]
struct Held {
    system: SystemKind,
    scenario: Work,
    cores: Vec<u16>,
    version: String,
    seconds: f64,
    processes_percent: f64,
    cores_percent: f64,
    memory_bytes: u64,
    disturbance: Disturbance,
}

/// Runs the command.
///
/// # Errors
/// When the system is missing or does not start.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let network = Network::up(u16::try_from(arguments.cores.len())?)?;
    let system = system::start(arguments.system, arguments.work, &network, &arguments.cores)?;
    let cores = [&arguments.cores[..], &[0]].concat();
    let (watch, begin, before) = (Watch::start(&cores)?, Instant::now(), system.usage()?);
    eprintln!(
        "{} answers on {SIP}, as {}; callers on {GENERATOR_ADDRESS}:{CALLER_PORT}.., callees on :{CALLEE_PORT}.. in {}",
        system.version(),
        arguments.work,
        Host::Generator.namespace()
    );
    interrupt.sleep(arguments.seconds.map_or(Duration::MAX, Duration::from_secs));
    let (usage, seconds) = (system.usage()?, begin.elapsed().as_secs_f64());
    let mut ours = system.pids()?;
    ours.extend(network.pids(Host::Generator)?);
    let held = Held {
        system: arguments.system,
        scenario: arguments.work,
        cores: arguments.cores.clone(),
        version: system.version().to_owned(),
        seconds,
        processes_percent: percent(before, usage, |usage| usage.cpu_seconds, seconds),
        cores_percent: percent(before, usage, |usage| usage.core_busy_seconds, seconds),
        memory_bytes: usage.memory_bytes,
        disturbance: watch.finish(&ours)?,
    };
    if let Some(path) = arguments.json.as_deref() {
        return json::write(&held, path);
    }
    print(&held);
    Ok(())
}

fn percent(before: Usage, after: Usage, of: impl Fn(Usage) -> f64, seconds: f64) -> f64 {
    (of(after) - of(before)) / seconds * 100.0
}

fn print(held: &Held) {
    println!("{} on core(s) {:?}, {:.1} s", held.version, held.cores, held.seconds);
    println!("  processes {:7.1} %", held.processes_percent);
    println!("  cores     {:7.1} %", held.cores_percent);
    println!("  memory    {:7} MiB", held.memory_bytes >> 20);
    println!("  steal     {:7.1} %", held.disturbance.steal_percent);
    println!("  foreign   {:7.1} %", held.disturbance.foreign_cpu_percent);
    if let Some(reason) = &held.disturbance.reason {
        println!("  disturbed: {reason}");
    }
}
