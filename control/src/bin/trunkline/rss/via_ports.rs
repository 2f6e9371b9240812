//! `trunkline rss via-ports`

use super::{live, port, wrong};
use crate::Failure;
use control::rss::peers;
use nic_config::rss::via_ports::{ViaPorts, via_ports};
use serde_json::json;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Find a port for each worker's Via, so that responses come back to the worker that waits for them
///
/// A transaction belongs to the worker that received its request. The response goes to the address and port of our Via,
/// and the hash of the NIC brings it to any queue; from there it is handed to its worker. With a port of its own each
/// worker can have one whose responses its own queue gets. The ports go into `transactions.via_ports`.
///
/// The list has the responses as they arrive: source and source_port of a server, destination our address towards it,
/// destination_port the port in our Vias today. For few servers of a table in mixed order nothing is left to be handed
/// over; with queues in turn, a power of two of them, no port suits two servers whose hashes differ.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline rss via-ports --port core --peers servers.csv
  trunkline rss via-ports --queues 4 --key 6d:5a:... --reta table.txt --peers servers.csv --json

Exit status: 0; 1 when the port or a file cannot be read; 2 when what was given is wrong.")]
pub(super) struct Arguments {
    /// Responses as they arrive, CSV as for `trunkline rss plan`
    #[arg(long, value_name = "FILE.csv")]
    peers: PathBuf,
    /// Workers, of which each polls one queue [default: the queues of --port, --interface or --reta]
    #[arg(long, value_name = "N")]
    queues: Option<u16>,
    #[command(flatten)]
    port: port::Arguments,
    /// Take key and table from this port of the appliance that runs, as its driver shows them
    #[arg(long = "port", value_name = "NAME", conflicts_with = "port")]
    of_appliance: Option<String>,
    #[command(flatten)]
    socket: crate::api_socket::ApiSocket,
    /// Ports to choose from, on which nothing listens yet
    #[arg(long, value_name = "FIRST-LAST", default_value = "5070-5169", value_parser = range)]
    among: RangeInclusive<u16>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let (in_force, queues) = match &arguments.of_appliance {
        Some(port) => {
            let shown = live::shown(&arguments.socket.path, Some(port))?;
            (live::in_force(&shown)?, arguments.queues.unwrap_or(shown.queues))
        }
        None => arguments.port.in_force(arguments.queues)?,
    };
    let responses = peers::read(&arguments.peers).map_err(wrong)?;
    let found = via_ports(&responses, queues, &in_force, arguments.among.clone()).map_err(wrong)?;
    if arguments.json {
        let ViaPorts { ports, returns, handed_off_before } = &found;
        let answer = json!({
            "via_ports": ports, "returns": returns,
            "handed_off_before": handed_off_before, "handed_off": found.handed_off(),
        });
        crate::say(serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    crate::say("worker  port  of its responses come back to it");
    for (worker, (port, part)) in found.ports.iter().zip(&found.returns).enumerate() {
        crate::say(format_args!("{worker:6} {port:5} {:8.1} %", part * 100.0));
    }
    let [before, after] = [found.handed_off_before, found.handed_off()].map(|part| part * 100.0);
    crate::say(format_args!(
        "\nhanded over: {before:.1} % of the responses with one port, {after:.1} % with these, when all workers send\n\
         equally much.\n\n[transactions]\nvia_ports = {:?}",
        found.ports
    ));
    Ok(())
}

fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = text.split_once('-').ok_or("write FIRST-LAST, such as 5070-5169")?;
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err("write two ports, 1 to 65535, the lower one first".into()),
    }
}
