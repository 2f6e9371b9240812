//! `trunkline sources`

use crate::Failure;
use control::dataplane_link::sources_blocking;
use serde_json::json;
use std::net::IpAddr;
use std::path::PathBuf;

/// Show which sources are banned, or end a ban
///
/// A source is an IPv4 address or an IPv6 /64. One that sends more than `[overload.sources]` allows for as long as
/// `ban_after_seconds`, without a pause of a second, is dropped altogether for `ban_seconds`. `left` says for how many
/// seconds more; `workers` how many workers have banned it, since each counts on its own. What was dropped stands in
/// `trunkline status` as `source_rate` and `source_banned`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline sources
  trunkline sources --unban 203.0.113.7
  trunkline sources --json | jq -r '.[].address'

A source that goes on is banned again: put its network into `trusted` in [overload.sources], or raise `rate`, and
reload.

Exit status: 0, or 1 when no data plane answers.")]
pub(crate) struct Arguments {
    /// End the ban of this address first; of an IPv6 address that of its /64
    #[arg(long, value_name = "ADDRESS")]
    unban: Option<IpAddr>,
    /// Print one JSON list
    #[arg(long)]
    json: bool,
    /// Management socket of the data plane
    #[arg(long, value_name = "PATH", default_value = "/run/trunkline/dataplane.sock")]
    socket: PathBuf,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let sources = sources_blocking(&arguments.socket, arguments.unban)?;
    if arguments.json {
        let object = |s: &control_api::BannedSource| json!({ "address": s.address, "seconds_left": s.seconds_left, "workers": s.workers });
        let list: Vec<_> = sources.iter().map(object).collect();
        crate::say(serde_json::to_string_pretty(&list)?);
        return Ok(());
    }
    if sources.is_empty() {
        crate::say("nobody is banned");
        return Ok(());
    }
    crate::say(format_args!("{:<40} {:>8} {:>8}", "banned", "left", "workers"));
    for source in &sources {
        let network = match source.address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("{address}/64"),
        };
        let left = format!("{} s", source.seconds_left);
        crate::say(format_args!("{network:<40} {left:>8} {:>8}", source.workers));
    }
    Ok(())
}
