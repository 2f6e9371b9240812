//! `trunkline-bench`: measures the appliance, always beside something else in the same run.

mod accounting;
mod baseline;
mod cluster;
mod compare;
mod connections;
mod corpus;
mod disturbance;
mod forward;
mod hold;
mod hugepages;
mod interrupt;
mod json;
mod load;
mod machine;
mod micro;
mod model;
mod network;
mod overload_tcp;
mod pcap;
mod pipeline;
mod reliability;
mod search;
mod shell;
mod system;
mod testpmd;
mod trial;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures Trunkline.
///
/// Every figure is published with the command that measures it, and as a ratio against something
/// measured in the same run: machines differ, and shared ones differ from minute to minute.
#[derive(Parser)]
#[command(name = "trunkline-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The whole pipeline, decode to encode, on one or more cores over an endless capture.
    Pipeline(pipeline::Arguments),
    /// Single steps: time, instructions and allocations of parse, route, rewrite, and of published parsers.
    Micro(micro::Arguments),
    /// Compares what was measured with the recorded figures of this kind of machine, or records it.
    Baseline(baseline::Arguments),
    Load(Box<load::Arguments>),
    Search(search::Arguments),
    Compare(compare::Arguments),
    /// Measured costs, and what they make of 1 to 64 cores and 10, 25 and 100 GbE.
    Model(model::Arguments),
    Hold(hold::Arguments),
    Connections(connections::Arguments),
    Cluster(cluster::Arguments),
    ClusterScale(cluster::scale::Arguments),
    ClusterUsers(cluster::users::Arguments),
    Overload(pipeline::overload::Arguments),
    OverloadTcp(overload_tcp::Arguments),
    Forward(forward::Arguments),
    Reliability(reliability::Arguments),
    /// One case of `micro` and nothing else, for callgrind and perf.
    #[command(hide = true)]
    MicroCase(micro::CaseArguments),
    /// One round of `micro`'s timing, in a process of its own.
    #[command(hide = true)]
    MicroTiming(micro::TimingArguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Pipeline(arguments) => done(pipeline::run(&arguments)),
        Command::Micro(arguments) => done(micro::run(&arguments)),
        Command::Baseline(arguments) => baseline::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Search(arguments) => done(search::run(&arguments)),
        Command::Compare(arguments) => done(compare::run(&arguments)),
        Command::Model(arguments) => done(model::run(&arguments)),
        Command::Connections(arguments) => connections::run(&arguments),
        Command::Cluster(arguments) => cluster::run(&arguments),
        Command::ClusterScale(arguments) => cluster::scale::run(&arguments),
        Command::ClusterUsers(arguments) => cluster::users::run(&arguments),
        Command::Hold(arguments) => done(hold::run(&arguments)),
        Command::Overload(arguments) => done(pipeline::overload::run(&arguments)),
        Command::OverloadTcp(arguments) => done(overload_tcp::run(&arguments)),
        Command::Forward(arguments) => done(forward::run(&arguments)),
        Command::Reliability(arguments) => done(reliability::run(&arguments)),
        Command::MicroCase(arguments) => done(micro::run_case(&arguments)),
        Command::MicroTiming(arguments) => {
            micro::run_timing(&arguments);
            Ok(ExitCode::SUCCESS)
        }
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("trunkline-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn done(result: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}
