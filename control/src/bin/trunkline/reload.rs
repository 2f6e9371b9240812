//! `trunkline reload` and `trunkline rollback`

use crate::Failure;
use crate::api_socket::ApiSocket;
use control::api::client::{ask_blocking, problem};
use control::configuration::report::{Report, Verdict};
use serde_json::json;

/// Put the configuration file into force, whole or not at all
///
/// Control reads the file again, compares it with what is in force and shows each setting that differs: `+` is new,
/// `-` is gone, `~` has another value. What needs a restart is named before anything changes, and then nothing is
/// changed; --partial changes the rest. A file with mistakes is refused with their lines. When the command
/// succeeds, every worker runs on the new epoch; calls are not interrupted. Each configuration that came into force
/// is a generation: `trunkline rollback` brings one back. Sending SIGHUP to control does the same without --partial.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline reload --dry-run          what would change, and what of it needs a restart
  trunkline reload
  trunkline reload --json | jq '.changes[] | select(.restart)'

Exit status: 0 when it is in force or nothing has changed; 2 when it was refused; 1 when control does not answer.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    how: How,
}

/// Put an earlier configuration into force again
///
/// The one before the one in force, or another with --to: `trunkline config history` lists them. It becomes a new
/// generation, so that a second rollback undoes the first. The file stays as it is: correct it, or the next reload
/// or start brings it back (`trunkline config show > FILE` writes what is in force).
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline rollback --dry-run
  trunkline rollback
  trunkline rollback --to 12

Exit status: as `trunkline reload`.")]
pub(crate) struct RollbackArguments {
    /// Generation to bring back
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args)]
struct How {
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Change what can be changed now; what needs a restart waits for one
    #[arg(long, conflicts_with = "dry_run")]
    partial: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiSocket,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    wish(&arguments.how, "reload", None)
}

pub(crate) fn rollback(arguments: &RollbackArguments) -> Result<(), Failure> {
    wish(&arguments.how, "rollback", arguments.to)
}

fn wish(how: &How, what: &str, generation: Option<u64>) -> Result<(), Failure> {
    let How { dry_run, partial, json, api } = how;
    let mut body = json!({ "dry_run": dry_run, "partial": partial });
    if let Some(generation) = generation {
        body["generation"] = generation.into();
    }
    let path = format!("/v1/configuration/{what}");
    let (status, answer) =
        ask_blocking(&api.path, hyper::Method::POST, &path, serde_json::to_vec(&body)?)?;
    let Ok(report) = serde_json::from_slice::<Report>(&answer) else {
        return Err(Failure::wrong(format!("trunkline: {}", problem(status, &answer))));
    };
    let is_file_left = what == "rollback" && report.verdict == Verdict::InForce;
    if *json {
        crate::say(serde_json::to_string_pretty(&report)?);
    } else if report.is_good() {
        crate::say(&report);
    }
    if is_file_left && !json {
        crate::say("the file is as it was: the next reload or start brings it back");
    }
    match (report.is_good(), json) {
        (true, _) => Ok(()),
        (false, true) => Err(Failure::silent(crate::WRONG)),
        (false, false) => Err(Failure::wrong(report.to_string())),
    }
}
