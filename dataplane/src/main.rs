//! `trunkline-dataplane`: the poll-mode process.
//!
//! Exit status: 0 after SIGTERM or SIGINT and a drain, 2 for a setting or a machine that does not allow
//! the start. Anything else is a crash; a supervisor starts the process again.

use clap::Parser;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

/// The Trunkline data plane: takes SIP over UDP from the NIC, on DPDK.
///
/// Reads ports, lcores and memory from the configuration file, opens the management socket and
/// waits there for control to bring domains, routes and destinations. Usually started by `trunkline run`
/// or by systemd, not by hand.
#[derive(Parser)]
#[command(
    name = "trunkline-dataplane",
    version,
    after_help = "EXAMPLE\n  \
    trunkline check /etc/trunkline.toml && trunkline-dataplane --config /etc/trunkline.toml"
)]
struct Arguments {
    /// The configuration file; `trunkline check FILE` explains it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Let the management socket make a worker panic, for tests of the supervisor.
    #[arg(long, env = "TRUNKLINE_ALLOW_FAULTS", hide = true)]
    allow_faults: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "info,capsule=warn".into()),
        )
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    if let Err(error) = dataplane::huge_pages::ask_for_huge_pages() {
        tracing::warn!("no transparent huge pages for tables: {error}");
    }
    match dataplane::boot::run(&arguments.config, arguments.allow_faults) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            eprintln!("trunkline-dataplane: {refusal:#}");
            ExitCode::from(2)
        }
    }
}
