//! `trunkline`: the operator's command.

mod api_socket;
mod check;
mod cluster;
mod config;
mod connections;
mod destinations;
mod drain;
mod fault;
mod health;
mod lab;
mod leave;
mod location;
mod nic;
mod reload;
mod rss;
mod run;
mod sources;
mod status;
mod top;
mod r#where;

use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

/// Exit status when something failed on the way.
const FAILED: u8 = 1;
/// Exit status when what was asked for is wrong: arguments, configuration, privileges.
const WRONG: u8 = 2;

/// Trunkline: SIP at the speed of the network card.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Begin here:
  trunkline lab demo                  a small network, the appliance, ten seconds of real calls
  trunkline check trunkline.toml      is this file right, and what would run
  trunkline run --config trunkline.toml
  trunkline status                    what every queue did, why packets were dropped, who is well
  trunkline top                       the same, live
  trunkline health                    does it serve calls: for scripts
  trunkline reload --dry-run          what a changed file would change; without --dry-run it does
  trunkline where --from ADDR:PORT invite.sip    what would become of a message, and why
  trunkline connections               TCP, TLS and WebSocket connections
  trunkline sources                   who is banned because it sends too much
  trunkline drain SET ADDR:PORT       no new calls to a member of a destination set
  trunkline location show USER@DOMAIN where a registered user is
  trunkline cluster shares            which node of several has which part of the users
  trunkline nic doctor                what this server lacks, and the commands that mend it
  trunkline rss plan --queues N --peers FILE.csv     a key and a table that make the queues even

Exit status: 0 success, 1 failure, 2 wrong arguments, configuration or privileges."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Arguments),
    Run(run::Arguments),
    Reload(reload::Arguments),
    Rollback(reload::RollbackArguments),
    Config(config::Arguments),
    Audit(config::AuditArguments),
    Status(status::Arguments),
    Top(top::Arguments),
    Health(health::Arguments),
    Destinations(destinations::Arguments),
    Connections(connections::Arguments),
    Sources(sources::Arguments),
    Drain(drain::Arguments),
    Leave(leave::Arguments),
    Where(r#where::Arguments),
    Location(location::Arguments),
    Cluster(cluster::Arguments),
    Nic(nic::Arguments),
    Rss(rss::Arguments),
    Lab(lab::Arguments),
    #[command(hide = true)]
    Fault(fault::Arguments),
}

/// Why a command ends: the exit status and what to say.
struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    /// What was asked for is wrong.
    fn wrong(message: impl Into<String>) -> Self {
        Self { status: WRONG, message: message.into() }
    }

    /// Nothing more to say than the exit status.
    fn silent(status: u8) -> Self {
        Self { status, message: String::new() }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { status: FAILED, message: format!("trunkline: {:#}", error.into()) }
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Check(arguments) => check::main(&arguments),
        Command::Run(arguments) => run::main(&arguments),
        Command::Reload(arguments) => reload::main(&arguments),
        Command::Rollback(arguments) => reload::rollback(&arguments),
        Command::Config(arguments) => config::main(&arguments),
        Command::Audit(arguments) => config::audit(&arguments),
        Command::Top(arguments) => top::main(&arguments),
        Command::Status(arguments) => status::main(&arguments),
        Command::Connections(arguments) => connections::main(&arguments),
        Command::Sources(arguments) => sources::main(&arguments),
        Command::Health(arguments) => health::main(&arguments),
        Command::Destinations(arguments) => destinations::main(&arguments),
        Command::Drain(arguments) => drain::main(&arguments),
        Command::Leave(arguments) => leave::main(&arguments),
        Command::Where(arguments) => r#where::main(&arguments),
        Command::Location(arguments) => location::main(arguments),
        Command::Cluster(arguments) => cluster::main(&arguments),
        Command::Nic(arguments) => nic::main(&arguments),
        Command::Rss(arguments) => rss::main(&arguments),
        Command::Lab(arguments) => lab::main(arguments),
        Command::Fault(arguments) => fault::main(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("{}", failure.message.trim_end());
            }
            ExitCode::from(failure.status)
        }
    }
}

/// Prints to standard output; a reader that has gone, such as `head`, is no error.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Refuses everyone but root, in one line.
fn require_root(what: &str) -> Result<(), Failure> {
    if control::process::is_root() {
        return Ok(());
    }
    Err(Failure::wrong(format!("trunkline: {what} needs root: run it with sudo")))
}
