//! `trunkline rss`

mod live;
mod plan;
mod port;
mod show;
mod via_ports;
mod watch;

use crate::Failure;

/// Say which queue a flow reaches, plan a key and a table that make the queues even, and put them into a port
///
/// A NIC with RSS hashes addresses and ports of each packet under a secret key, and the low bits of the hash choose an
/// entry of a table (RETA, indirection table), which names the queue. `plan`, `show`, `via-ports` and `watch` compute
/// and read; only `apply` and `undo` change a NIC.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Plan(plan::Arguments),
    Show(show::Arguments),
    Apply(live::Apply),
    Undo(live::Undo),
    ViaPorts(via_ports::Arguments),
    Watch(watch::Arguments),
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Plan(arguments) => plan::main(arguments),
        Command::Show(arguments) => show::main(arguments),
        Command::Apply(arguments) => live::apply(arguments),
        Command::Undo(arguments) => live::undo(arguments),
        Command::ViaPorts(arguments) => via_ports::main(arguments),
        Command::Watch(arguments) => watch::main(arguments),
    }
}

/// What was asked for is wrong.
fn wrong(error: impl Into<anyhow::Error>) -> Failure {
    Failure::wrong(format!("trunkline: {:#}", error.into()))
}
