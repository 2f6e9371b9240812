//! `trunkline status`

use crate::Failure;
use control::api::Configuration;
use control::api::client::get_blocking;
use control::connection_report::ConnectionSummary;
use control::dataplane_link::status_blocking;
use control::member_report::MemberTable;
use control::names_report::NamesSummary;
use control::operator::{connections_blocking, members_blocking, names_blocking, realms_blocking};
use control::realm_report::RealmTable;
use control::status_report::StatusReport;
use std::path::PathBuf;

/// Show what every queue received, forwarded, answered and dropped, and who is well
///
/// Counters run since the data plane started. Every packet is counted once in and once out: the
/// line `conserved` proves it. `absorbed` was taken by a transaction and went no further (retransmissions,
/// ACK, CANCEL, 100); `originated` was sent by a transaction on its own (100, retransmissions, forks).
///
/// Each worker has its transactions by state, the message buffers in use, and by how much its timers run
/// late, now and at most; then what happened to them since the start: opened, refused as the table was
/// full (503), merged (482), messages absorbed and sent again, branches that timed out, requests that
/// went to another destination, branches cancelled, and messages handed to the worker that owns their
/// transaction. Then come the bindings of each worker: AoRs waiting for the store, answers held until it
/// has confirmed, and how the store is. Where TCP, TLS or WebSocket is configured, connections follow as
/// `trunkline connections` shows them. Where requests went to host names, `names` says which name servers are asked,
/// what came of the questions of the workers, and for each worker: names in memory, requests whose name was known
/// (stale: by an answer that was over), that waited, that wait now, and that were refused as the name leads
/// nowhere (404), as nobody could say, as too many waited, or as no answer came in time (503). Below stand the members of the destination sets: up, probing (was
/// down, answers again), draining (by an operator) or down, since when, and the last probe or sign; and the
/// realms: how many users are in force, and why no newer ones. Last comes the
/// configuration in force.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline status
  trunkline status --json | jq .drops
  trunkline status --json | jq '.members[] | select(.state != \"up\")'
  watch -n 1 trunkline status --socket /run/trunkline/lab/dataplane.sock

Exit status: 0, or 1 when no data plane answers.")]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Management socket of the data plane; control's is beside it
    #[arg(long, value_name = "PATH", default_value = "/run/trunkline/dataplane.sock")]
    socket: PathBuf,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let report = StatusReport::new(&status_blocking(&arguments.socket)?);
    // Control may be away: what the data plane says stands for itself.
    let control = arguments.socket.with_file_name("control.sock");
    let (members, realms) = (members_blocking(&control), realms_blocking(&control));
    let (connections, names) = (connections_blocking(&control, 0), names_blocking(&control));
    let configuration: Option<Configuration> =
        get_blocking(&arguments.socket.with_file_name("api.sock"), "/v1/configuration").ok();
    if arguments.json {
        let mut report = serde_json::to_value(&report)?;
        report["members"] = serde_json::to_value(members.ok())?;
        report["realms"] = serde_json::to_value(realms.ok())?;
        report["connections"] = serde_json::to_value(connections.ok())?;
        report["names"] = serde_json::to_value(names.ok())?;
        report["configuration"] = serde_json::to_value(configuration)?;
        crate::say(serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    crate::say(&report);
    if let Ok(control) = &names {
        let summary = NamesSummary { control, workers: &report.workers };
        if summary.is_of_interest() {
            crate::say(format_args!("\n{}", summary.to_string().trim_end()));
        }
    }
    if let Ok(connections) = &connections
        && !connections.threads.is_empty()
    {
        crate::say(format_args!("\n{}", ConnectionSummary(connections).to_string().trim_end()));
    }
    match members {
        Ok(members) => {
            crate::say(format_args!("\n{}", MemberTable(&members).to_string().trim_end()));
        }
        Err(error) => crate::say(format_args!("\nwho is well is not known: {error:#}")),
    }
    match realms {
        Ok(realms) if !realms.is_empty() => {
            crate::say(format_args!("\n{}", RealmTable(&realms).to_string().trim_end()));
        }
        _ => {}
    }
    if let Some(configuration) = configuration {
        crate::say(format_args!("\n{configuration}"));
    }
    Ok(())
}
