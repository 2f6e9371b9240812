//! `trunkline rss apply` and `undo`, and what is really in a port.

use crate::api_socket::ApiSocket;
use crate::{Failure, WRONG};
use anyhow::Context;
use control::api::client::{ask_blocking, problem};
use control::rss::port::Shown;
use control_api::PortFlows;
use hyper::{Method, StatusCode};
use nic_config::rss::planner::InForce;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Write the key and the table of a plan into a port that runs
///
/// What was written is read back and compared. When the driver refuses anything, or shows something else, the port is
/// put back as it was. Flows that move reach another worker, and what belongs to a transaction is handed
/// to the worker that has it. For a start with this plan, write its key and table into the configuration: `rss_key`
/// and `rss_reta` of the port.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline rss plan --queues 4 --peers peers.csv --json plan.json
  trunkline rss apply plan.json --port core
  trunkline rss undo --port core

Exit status: 0; 1 when control or the data plane does not answer; 2 when the plan does not fit the port or its driver
refuses it.")]
pub(super) struct Apply {
    /// What `trunkline rss plan --json` wrote, or - for standard input
    plan: PathBuf,
    #[command(flatten)]
    to: Target,
}

/// Put back the key and the table that a port had before the last apply
#[derive(clap::Args)]
pub(super) struct Undo {
    #[command(flatten)]
    to: Target,
}

#[derive(clap::Args)]
struct Target {
    /// Name of the port [default: the only one]
    #[arg(long, value_name = "NAME")]
    port: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: ApiSocket,
}

pub(super) fn apply(arguments: &Apply) -> Result<(), Failure> {
    let plan = read(&arguments.plan)?;
    let shown: Shown = ask(&arguments.to.socket.path, "apply", arguments.to.port.as_deref(), plan)?;
    print_change(&shown, arguments.to.json)
}

pub(super) fn undo(arguments: &Undo) -> Result<(), Failure> {
    let port = arguments.to.port.as_deref();
    let shown: Shown = ask(&arguments.to.socket.path, "undo", port, Vec::new())?;
    print_change(&shown, arguments.to.json)
}

/// What is in force in a port.
pub(super) fn shown(socket: &Path, port: Option<&str>) -> Result<Shown, Failure> {
    ask(socket, "", port, Vec::new())
}

/// All flows that a port receives.
pub(super) fn flows(socket: &Path, port: Option<&str>) -> Result<PortFlows, Failure> {
    ask(socket, FLOWS, port, Vec::new())
}

/// What the software needs to compute as the port does.
pub(super) fn in_force(shown: &Shown) -> Result<InForce, Failure> {
    shown.in_force().map_err(|error| Failure::wrong(format!("trunkline: {error}")))
}

fn print_change(shown: &Shown, as_json: bool) -> Result<(), Failure> {
    if as_json {
        crate::say(serde_json::to_string_pretty(shown)?);
    } else {
        crate::say(shown.change());
    }
    Ok(())
}

/// The plan, of which only JSON is asked here: whether it fits the port is said by control.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |error: std::io::Error| {
        Failure::wrong(format!("trunkline: {} cannot be read: {error}", path.display()))
    };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).map_err(wrong)?;
    } else {
        bytes = std::fs::read(path).map_err(wrong)?;
    }
    Ok(bytes)
}

/// All of them.
const FLOWS: &str = "flows?most=4294967295";

fn ask<T: DeserializeOwned>(
    socket: &Path,
    what: &str,
    port: Option<&str>,
    body: Vec<u8>,
) -> Result<T, Failure> {
    let is_question = matches!(what, "" | FLOWS);
    let method = if is_question { Method::GET } else { Method::POST };
    let path = if what.is_empty() { "/v1/rss".to_owned() } else { format!("/v1/rss/{what}") };
    let path = match port {
        // Names have letters, digits and a few signs that stand for themselves in a query.
        Some(port)
            if port.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) =>
        {
            let sign = if path.contains('?') { '&' } else { '?' };
            format!("{path}{sign}port={port}")
        }
        Some(port) => return Err(Failure::wrong(format!("trunkline: there is no port {port:?}"))),
        None => path,
    };
    let (status, body) = ask_blocking(socket, method, &path, body)?;
    match status {
        StatusCode::OK => Ok(serde_json::from_slice(&body).context("control's answer")?),
        status => {
            let is_wrong = status.is_client_error();
            let text = format!("trunkline: {}", problem(status, &body));
            Err(Failure { status: if is_wrong { WRONG } else { crate::FAILED }, message: text })
        }
    }
}
