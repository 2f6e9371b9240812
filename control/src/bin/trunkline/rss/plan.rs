//! `trunkline rss plan`

use super::{live, port, wrong};
use crate::Failure;
use crate::api_socket::ApiSocket;
use anyhow::Context;
use control::rss::capture::{self, Unit};
use control::rss::{InEthtoolForm, Report, chart, json, peers};
use nic_config::rss::planner::{Flow, InForce, Keys, Limits, plan};
use std::ffi::OsStr;
use std::io::{IsTerminal, Write, stderr};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Progress is shown so often.
const PROGRESS: Duration = Duration::from_millis(200);

/// Find a key and a table that make the queues even for known flows
///
/// Flows come from a peer list, CSV with the columns source, source_port, destination, destination_port and weight
/// (calls or packets per second, or anything else that is the same for all), from a capture, or from what the workers of an
/// appliance that runs have counted (moving averages over half a minute). They are those that arrive: source is the peer,
/// destination is this port.
///
/// max/mean is the load of the fullest queue as a multiple of the mean load of a queue: 1 is even, and the rate at which
/// the first queue overflows falls with it. `before` is the key and the table in force. `after` is the plan. `best
/// possible` is a proven bound: no assignment of whole flows to queues has less, whatever the key and the table. An
/// elephant is a flow heavier than the mean load of a queue.
///
/// Keys are drawn from a seed: the same input and seed give the same plan, unless --seconds ends the search.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline rss plan --queues 8 --peers peers.csv
  trunkline rss plan --queues 8 --peers peers.csv --json - | jq '[.before, .after, .best_possible] | map(.max_over_mean)'
  tcpdump -i eth1 -c 1000000 -w calls.pcap udp port 5060
  trunkline rss plan --queues 16 --pcap calls.pcap --to 198.51.100.1 --bytes --plot queues.svg
  trunkline rss plan --interface eth1 --peers peers.csv --keep-key
  trunkline rss plan --live --port core --keep-key --json plan.json && trunkline rss apply plan.json --port core
  trunkline rss plan --queues 8 --peers peers.csv --ethtool > plan.txt
  trunkline rss show --reta plan.txt --key ... --source 192.0.2.7:5060 --destination 198.51.100.1:5060

Exit status: 0; 1 when an interface or a file cannot be read or written; 2 when what was given is wrong.")]
pub(super) struct Arguments {
    /// Receive queues to spread the flows over [default: those of --interface, --reta or the port of --live]
    #[arg(long, value_name = "N")]
    queues: Option<u16>,
    #[command(flatten)]
    flows: From,
    #[command(flatten)]
    port: port::Arguments,
    /// The port of --live, whose key and table are in force unless something else is said [default: the only one]
    #[arg(long = "port", value_name = "NAME", requires = "live")]
    of_appliance: Option<String>,
    #[command(flatten)]
    socket: ApiSocket,
    #[command(flatten)]
    counted: Counted,
    /// Only keys that give a flow and its answers one queue: 16 bits repeated
    #[arg(long, conflicts_with = "keep_key")]
    symmetric: bool,
    /// Keep the key in force and change as few entries as need be: other flows stay on their queues
    #[arg(long)]
    keep_key: bool,
    /// Keys to try at most
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    keys: u32,
    /// Seconds to search at most
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// Where the random keys begin
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write the plan as JSON into this file, or to standard output and nothing else there: -
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Draw the queues before and after, as the ending says
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = drawing)]
    plot: Option<PathBuf>,
    /// Print nothing but key and table, in the form of `ethtool -x`
    #[arg(long)]
    ethtool: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct From {
    /// Peer list
    #[arg(long, value_name = "FILE.csv")]
    peers: Option<PathBuf>,
    /// Capture, pcap or pcapng: its UDP flows over IPv4 and IPv6, with or without VLAN tags
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// What the workers of the appliance count now
    #[arg(long)]
    live: bool,
}

/// What of a capture or of live flows counts.
#[derive(clap::Args)]
struct Counted {
    /// Of a capture or of live flows, count only packets to this address; may be given more than once
    #[arg(long, value_name = "ADDRESS", conflicts_with = "peers")]
    to: Vec<IpAddr>,
    /// The weight of a flow in a capture, or a live one, is its bytes, not its packets
    #[arg(long, conflicts_with = "peers")]
    bytes: bool,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let (in_force, queues) = arguments.in_force()?;
    let flows = if arguments.flows.live {
        live_flows(arguments)?
    } else {
        flows(arguments).map_err(wrong)?
    };
    let keys = match (arguments.symmetric, arguments.keep_key) {
        (true, _) => Keys::Symmetric,
        (_, true) => Keys::AsItIs,
        _ => Keys::Any,
    };
    let limits = Limits { keys: arguments.keys, seed: arguments.seed };
    let mut watch = Watch::new(Duration::from_secs_f64(arguments.seconds));
    let plan =
        plan(&flows, queues, &in_force, keys, limits, &mut |tried, gap| watch.go_on(tried, gap));
    watch.clear();
    let plan = plan.map_err(wrong)?;
    let report = Report { plan: &plan, in_force: &in_force, limits, flows: flows.len() };
    let to_stdout = arguments.json.as_deref() == Some(Path::new("-"));
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&json(&report))?;
        if to_stdout {
            crate::say(text);
        } else {
            std::fs::write(file, text + "\n")
                .with_context(|| format!("{} cannot be written", file.display()))?;
        }
    }
    if let Some(file) = &arguments.plot {
        let source = arguments.flows.peers.as_ref().or(arguments.flows.pcap.as_ref());
        let name = source.and_then(|path| path.file_name()).unwrap_or(OsStr::new("live flows"));
        chart::draw(file, &report, &name.to_string_lossy())?;
    }
    match (to_stdout, arguments.ethtool) {
        (true, _) => {}
        (_, true) => crate::say(InEthtoolForm::of(&plan.after)),
        _ => crate::say(report.to_string().trim_end()),
    }
    Ok(())
}

impl Arguments {
    /// What the options say is in force; of a live port, where they say nothing, what it shows.
    fn in_force(&self) -> Result<(InForce, u16), Failure> {
        if !self.flows.live || self.queues.is_some() || self.port.is_given() {
            return self.port.in_force(self.queues);
        }
        let shown = live::shown(&self.socket.path, self.of_appliance.as_deref())?;
        Ok((live::in_force(&shown)?, shown.queues))
    }
}

/// What the workers count.
fn live_flows(arguments: &Arguments) -> Result<Vec<Flow>, Failure> {
    let Counted { to, bytes } = &arguments.counted;
    let now = live::flows(&arguments.socket.path, arguments.of_appliance.as_deref())?;
    let flows = control::rss::live::flows(&now, *bytes, to);
    if flows.is_empty() {
        let port = now.port;
        return Err(Failure::wrong(format!("trunkline: port {port} receives nothing now")));
    }
    if now.other_flows > 0 {
        eprintln!(
            "{} further flows with {:.0} messages/s are left out",
            now.other_flows, now.other_messages
        );
    }
    Ok(flows)
}

fn flows(arguments: &Arguments) -> anyhow::Result<Vec<Flow>> {
    if let Some(file) = &arguments.flows.pcap {
        let unit = if arguments.counted.bytes { Unit::Bytes } else { Unit::Packets };
        let capture = capture::read(file, unit, &arguments.counted.to)?;
        let name = file.display();
        if capture.is_cut {
            eprintln!("{name} ends within a packet; what is before it counts");
        }
        if capture.other_packets > 0 {
            eprintln!("{name}: {} other packets left out", capture.other_packets);
        }
        return Ok(capture.flows);
    }
    peers::read(arguments.flows.peers.as_deref().unwrap_or(Path::new("")))
}

/// Ends the search in time, and tells how it goes.
struct Watch {
    began: Instant,
    time: Duration,
    /// When progress was shown; never where nobody looks on.
    shown: Option<Instant>,
}

impl Watch {
    fn new(time: Duration) -> Self {
        let began = Instant::now();
        Self { began, time, shown: stderr().is_terminal().then_some(began) }
    }

    fn go_on(&mut self, tried: u32, gap: f64) -> bool {
        let now = Instant::now();
        if self.shown.is_some_and(|shown| now.duration_since(shown) >= PROGRESS) {
            self.shown = Some(now);
            let _ = write!(stderr(), "\r{tried} keys, {gap:.4} of the best possible ");
        }
        now.duration_since(self.began) < self.time
    }

    fn clear(&self) {
        if self.shown.is_some_and(|shown| shown > self.began) {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "write seconds, 0 to 86400".into())
}

fn drawing(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_known = path.extension().is_some_and(|ending| ending == "svg" || ending == "png");
    if is_known { Ok(path) } else { Err("write a name that ends in .svg or .png".into()) }
}
