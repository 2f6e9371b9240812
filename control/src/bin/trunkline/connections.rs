//! `trunkline connections`

use crate::Failure;
use control::connection_report::{ConnectionList, ConnectionSummary};
use control::operator::connections_blocking;
use std::path::PathBuf;

/// Show TCP, TLS and WebSocket connections
///
/// First each transport: connections open now, accepted, and opened by us; messages and bytes received and
/// sent, without those of TLS. Then what waits: bytes for peers that read slowly, and for the data plane.
/// `ended` says why connections are no more: `peer` closed it, `broken` by an error, `connect` and `handshake`
/// did not come about, `malformed` was no SIP or broke a rule of framing, `late` was a message that did not
/// become whole in time, `idle`, `slow-reader` let too much wait, `replaced` by a new one of the same address,
/// `stopped` by us. `refused` says why connections were not taken: `full`, `per-source`, `descriptors` (no file
/// descriptor left), `no-certificate`.
///
/// Below come connections one by one, those with the most waiting bytes first and then the oldest, and the
/// sources with the most connections.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline connections
  trunkline connections --most 1000 | grep wss
  trunkline connections --json | jq '.transports[] | {transport, open}'

Exit status: 0, or 1 when no control process answers.")]
pub(crate) struct Arguments {
    /// How many connections are listed
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    most: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Socket of control
    #[arg(long, value_name = "PATH", default_value = "/run/trunkline/control.sock")]
    socket: PathBuf,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let status = connections_blocking(&arguments.socket, arguments.most)?;
    if arguments.json {
        crate::say(serde_json::to_string_pretty(&status)?);
        return Ok(());
    }
    crate::say(format_args!("{}\n{}", ConnectionSummary(&status), ConnectionList(&status)));
    Ok(())
}
