//! `trunkline-bench`: measures the appliance, always beside something else in the same run.

mod accounting;
mod corpus;
mod disturbance;
mod forward;
mod hold;
mod hugepages;
mod interrupt;
mod network;
mod pcap;
mod pipeline;
mod report;
mod shell;
mod system;
mod testpmd;

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
    /// The whole pipeline, decode to encode, on one core over an endless capture.
    Pipeline(pipeline::Arguments),
    Hold(hold::Arguments),
    Forward(forward::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Pipeline(arguments) => pipeline::run(&arguments),
        Command::Hold(arguments) => hold::run(&arguments),
        Command::Forward(arguments) => forward::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkline-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
