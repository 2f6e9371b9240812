//! `trunkline rss show`

use super::{live, port, wrong};
use crate::Failure;
use control::config::Config;
use control::rss::InEthtoolForm;
use control::rss::port::Shown;
use nic_config::rss::planner::InForce;
use nic_config::rss::{Function, Reta, RssError, Spread, Tuple};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Show which queue a flow reaches, or the key and table of an interface
///
/// The flow is that of a packet that arrives: the source is the peer. A VLAN tag changes nothing. Fragments are hashed
/// by their addresses alone, so those of a flow can reach another queue than its whole packets. What the port does not
/// hash reaches queue 0.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline rss show --queues 8 --source 192.0.2.7:5060 --destination 198.51.100.1:5060
  trunkline rss show --interface eth1
  trunkline rss show --port core
  trunkline rss show --interface eth1 --source 192.0.2.7:5060 --destination 198.51.100.1:5060 --config trunkline.toml

Exit status: 0; 1 when an interface or a file cannot be read; 2 when what was given is wrong.")]
pub(super) struct Arguments {
    /// Who sends
    #[arg(long, value_name = "ADDR:PORT", requires = "destination")]
    source: Option<SocketAddr>,
    /// To whom
    #[arg(long, value_name = "ADDR:PORT", requires = "source")]
    destination: Option<SocketAddr>,
    /// A fragment of such a packet
    #[arg(long, requires = "source")]
    fragment: bool,
    /// Receive queues [default: those of --interface or --reta]
    #[arg(long, value_name = "N")]
    queues: Option<u16>,
    #[command(flatten)]
    port: port::Arguments,
    /// Take key and table from this port of the appliance that runs, as its driver shows them
    #[arg(long = "port", value_name = "NAME", conflicts_with = "port")]
    of_appliance: Option<String>,
    #[command(flatten)]
    socket: crate::api_socket::ApiSocket,
    /// Configuration file, whose `lcores.workers` say which core polls the queue
    #[arg(long, value_name = "FILE", requires = "source")]
    config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let in_force = match &arguments.of_appliance {
        Some(port) => {
            let shown = live::shown(&arguments.socket.path, port)?;
            if arguments.source.is_none() {
                return print(&shown, arguments.json);
            }
            in_force(&shown)?
        }
        None => arguments.port.in_force(arguments.queues)?.0,
    };
    let (Some(source), Some(destination)) = (arguments.source, arguments.destination) else {
        if arguments.json {
            let queues = in_force.reta.queues();
            let (key, reta) = (in_force.key.to_string(), in_force.reta.entries());
            let fields = in_force.fields.to_string();
            let answer = json!({ "queues": queues, "fields": fields, "key": key, "reta": reta });
            crate::say(serde_json::to_string_pretty(&answer)?);
        } else {
            crate::say(InEthtoolForm { key: &in_force.key, reta: &in_force.reta });
        }
        return Ok(());
    };
    let tuple = Tuple::new(source, destination).map_err(wrong)?;
    let tuple = if arguments.fragment { tuple.fragment() } else { tuple };
    let lcores = match &arguments.config {
        Some(file) => {
            let config = Config::load(file).map_err(|error| Failure::wrong(error.to_string()))?;
            config.nic.lcores.workers
        }
        None => Vec::new(),
    };
    let (function, fields) = (in_force.function, in_force.fields);
    let spread = Spread::new(function, fields, &in_force.key, in_force.reta);
    let place = spread.queue(&tuple);
    let lcore = lcores.get(usize::from(place.queue));
    if arguments.json {
        let (hash, index) = place.hashed.unzip();
        let answer = json!({
            "source": source, "destination": destination, "fragment": arguments.fragment,
            "hash": hash, "reta_index": index, "queue": place.queue, "lcore": lcore,
        });
        crate::say(serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    crate::say(tuple);
    match place.hashed {
        Some((hash, index)) => {
            crate::say(format_args!("hash   {hash:#010x}, {} over {fields}", function.name()));
            crate::say(format_args!("entry  {index}"));
        }
        None => crate::say(format_args!("hash   none: the port hashes only {fields}")),
    }
    crate::say(format_args!("queue  {}", place.queue));
    match lcore {
        Some(lcore) => crate::say(format_args!("lcore  {lcore}")),
        None if arguments.config.is_some() => {
            crate::say(format_args!("lcore  none polls it: lcores.workers has {}", lcores.len()));
        }
        None => {}
    }
    Ok(())
}

fn print(shown: &Shown, as_json: bool) -> Result<(), Failure> {
    if as_json {
        crate::say(serde_json::to_string_pretty(shown)?);
    } else {
        crate::say(shown.to_string().trim_end());
    }
    Ok(())
}

/// What the software needs to compute as the port does.
pub(super) fn in_force(shown: &Shown) -> Result<InForce, Failure> {
    let hidden = || {
        let port = &shown.port;
        Failure::wrong(format!("trunkline: port {port}: its driver keeps the key to itself"))
    };
    let key =
        shown.key.as_deref().ok_or_else(hidden)?.parse().map_err(|error: RssError| wrong(error))?;
    let fields = shown
        .fields
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|error: RssError| wrong(error))?;
    let reta = Reta::new(shown.reta.clone()).map_err(wrong)?;
    Ok(InForce { function: Function::Toeplitz, fields: fields.unwrap_or_default(), key, reta })
}
