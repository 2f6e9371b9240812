//! `trunkline cluster`

use crate::Failure;
use crate::api_socket::ApiSocket;
use clap::Subcommand;
use control::api::client::get_blocking;
use control::cluster::report::{ClusterReport, NodeTable, ShareTable, UserReport};

/// Show the cluster as this node sees it: nodes that share users and their bindings
///
/// What the nodes say of themselves comes from the engine, a Redis Cluster; which members are up, from this node's own
/// probes. Two nodes may see it differently for a moment.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline cluster status
  trunkline cluster members                      nodes, when they were heard of, and how many users they have
  trunkline cluster shares                       which part of the users each member gets, and keeps
  trunkline cluster where alice@example.com      which nodes have this user, and which bindings are stored
  trunkline cluster shares --json | jq '.[] | select(.state != \"up\")'

Exit status: 0, or 1 when control does not answer or has no [cluster].")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    socket: ApiSocket,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Engine, changes that wait, what was followed and loaded
    Status,
    /// Nodes: when they were heard of, and what they have
    Members,
    /// Which part of the users each member gets, and keeps in memory
    Shares,
    /// Which nodes have a user
    Where {
        /// user@domain, with or without sip:
        aor: String,
    },
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { command, socket, json } = arguments;
    if let Command::Where { aor } = command {
        let user: UserReport = get_blocking(&socket.path, &format!("/v1/cluster/users/{aor}"))?;
        return show(&user, &user, *json);
    }
    let report: ClusterReport = get_blocking(&socket.path, "/v1/cluster")?;
    let nodes = report.picture.as_ref().map_or(&[][..], |picture| &picture.nodes);
    match command {
        Command::Members if nodes.is_empty() && !json => {
            crate::say("no node has said that it is there: trunkline cluster status says why");
            Ok(())
        }
        Command::Members => show(&nodes, NodeTable(nodes), *json),
        Command::Shares => show(&report.members, ShareTable(&report.members), *json),
        Command::Status | Command::Where { .. } => show(&report, &report, *json),
    }
}

fn show(
    value: &impl serde::Serialize,
    text: impl std::fmt::Display,
    json: bool,
) -> Result<(), Failure> {
    if json {
        crate::say(serde_json::to_string_pretty(value)?);
    } else {
        crate::say(text);
    }
    Ok(())
}
