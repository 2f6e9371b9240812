//! `trunkline-bench`: measures the appliance, always beside something else in the same run.

mod corpus;
mod hugepages;
mod pcap;
mod pipeline;
#[cfg_attr(not(test), expect(dead_code, reason = "for the commands that draw"))]
mod plot;
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
    /// The whole pipeline, decode to encode, on one or more cores over an endless capture.
    Pipeline(pipeline::Arguments),
}

fn main() -> ExitCode {
    let Command::Pipeline(arguments) = Arguments::parse().command;
    match pipeline::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkline-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
