//! `trunkline drain`

use crate::Failure;
use control::operator::drain_blocking;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Take a member of a destination set out of use for new calls, or put it back
///
/// Calls that run go on: what belongs to a dialog goes its own way, and a transaction ends where it
/// began. The member stays drained until --undo, also over restarts; it is probed on, so that
/// `trunkline status` shows whether it answers.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline drain core 10.20.0.21:5060          no new calls to this member
  trunkline drain core 10.20.0.21:5060 --undo   new calls again
  trunkline status                              who is up, probing, draining, down, and why

Exit status: 0, or 1 when control does not answer or there is no such set or member.")]
pub(crate) struct Arguments {
    /// Name of the destination set
    set: String,
    /// Address and port of the member, as in the configuration
    member: SocketAddr,
    /// Put it back
    #[arg(long)]
    undo: bool,
    /// Socket of control
    #[arg(long, value_name = "PATH", default_value = "/run/trunkline/control.sock")]
    socket: PathBuf,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { set, member, undo, socket } = arguments;
    drain_blocking(socket, set.clone(), *member, !undo)?;
    let what = if *undo { "takes new calls again" } else { "gets no new calls" };
    crate::say(format!("{member} of {set} {what}"));
    Ok(())
}
