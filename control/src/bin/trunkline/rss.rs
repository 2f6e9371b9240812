//! `trunkline rss`

mod plan;
mod port;
mod show;

use crate::Failure;

/// Say which queue a flow reaches, and plan a key and a table that make the queues even
///
/// A NIC with RSS hashes addresses and ports of each packet under a secret key, and the low bits of the hash choose an
/// entry of a table (RETA, indirection table), which names the queue. Everything is computed here; no NIC is changed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Plan(plan::Arguments),
    Show(show::Arguments),
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Plan(arguments) => plan::main(arguments),
        Command::Show(arguments) => show::main(arguments),
    }
}

/// What was asked for is wrong.
fn wrong(error: impl Into<anyhow::Error>) -> Failure {
    Failure::wrong(format!("trunkline: {:#}", error.into()))
}
