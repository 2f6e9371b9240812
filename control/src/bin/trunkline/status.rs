//! `trunkline status`

use crate::Failure;
use control::dataplane_link::status_blocking;
use control::status_report::StatusReport;
use std::path::PathBuf;

/// Show what every queue received, forwarded, answered and dropped
///
/// Counters run since the data plane started. Every packet is counted once in and once out: the
/// last line proves it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline status
  trunkline status --json | jq .drops
  watch -n 1 trunkline status --socket /run/trunkline/lab/dataplane.sock

Exit status: 0, or 1 when no data plane answers.")]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Management socket of the data plane
    #[arg(long, value_name = "PATH", default_value = "/run/trunkline/dataplane.sock")]
    socket: PathBuf,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let report = StatusReport::new(&status_blocking(&arguments.socket)?);
    if arguments.json {
        crate::say(serde_json::to_string_pretty(&report)?);
    } else {
        crate::say(report);
    }
    Ok(())
}
