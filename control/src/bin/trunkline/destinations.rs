//! `trunkline destinations`

use crate::Failure;
use control::member_report::MemberTable;
use control::operator::members_blocking;
use std::path::PathBuf;

/// Show every member of every destination set: whether it takes new calls, its state, since when and why
///
/// up is in use; probing was down and answers again; draining was taken out by an operator (`trunkline drain`);
/// down does not answer. Members of sets with `overload_control` also show how many per cent of new requests fewer they
/// want now, and how many were diverted to other members and refused instead.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline destinations
  trunkline destinations --json | jq '.[] | select(.state != \"up\")'

Exit status: 0, or 1 when control does not answer.")]
pub(crate) struct Arguments {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    /// Socket of control
    #[arg(long, value_name = "PATH", default_value = "/run/trunkline/control.sock")]
    socket: PathBuf,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let members = members_blocking(&arguments.socket)?;
    if arguments.json {
        crate::say(serde_json::to_string_pretty(&members)?);
    } else {
        crate::say(MemberTable(&members).to_string().trim_end());
    }
    Ok(())
}
