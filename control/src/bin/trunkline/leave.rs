//! `trunkline leave`

use crate::Failure;
use control::leaving;
use control::operator::leave_blocking;
use std::path::PathBuf;
use std::time::Duration;

/// Have everybody send new requests elsewhere, before this appliance is stopped
///
/// From now on OPTIONS to the appliance, with which others probe it, and `/v1/health` are answered with 503; all else is
/// served as before. So appliances and proxies that probe it, and keepalived or bird by their checks, take it out of use
/// while it still works. Then it waits: for as long as others may take to notice, and for the transactions that have no
/// final response yet. What is left in dialogs comes again by retransmission while the appliance is restarted. It lasts
/// until --undo or a restart.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline leave && systemctl restart trunkline-dataplane trunkline-control
  trunkline leave --notice 10         others probe every 4 s, and want two failures
  trunkline leave --undo              it stays after all

Exit status: 0 when nothing is left, or --undo; 1 when control or the data plane does not answer, or transactions were
left after --wait seconds.")]
pub(crate) struct Arguments {
    /// Stay after all
    #[arg(long)]
    undo: bool,
    /// Seconds that others may take to notice
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(0..=600))]
    notice: u64,
    /// Longest time to wait for transactions after that, in seconds
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    wait: u64,
    /// Management socket of the data plane; control's is beside it
    #[arg(long, value_name = "PATH", default_value = "/run/trunkline/dataplane.sock")]
    socket: PathBuf,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { undo, notice, wait, socket } = arguments;
    if *undo {
        leave_blocking(&socket.with_file_name("control.sock"), false)?;
        crate::say("OPTIONS are answered with 200 again");
        return Ok(());
    }
    leaving::leave(socket, Duration::from_secs(*notice), Duration::from_secs(*wait))?;
    crate::say("OPTIONS are answered with 503, and no transaction waits for a final response");
    Ok(())
}
