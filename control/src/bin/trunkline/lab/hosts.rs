//! `trunkline lab up --topology`, `lab host` and `lab link`

use super::{progress, require_up, say_processes};
use crate::Failure;
use clap::Subcommand;
use control::config::Config;
use control::dataplane_link::status_blocking;
use control::lab::topology::{self, HostState, Node, Running, Topology};
use control::status_report::grouped;
use serde_json::json;
use std::fmt::Write;

/// Show the hosts of a topology, and have them die, stand still, be cut off, become slow, get well
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline lab host list
  trunkline lab host kill p2         SIGKILL to all its processes
  trunkline lab host start p2
  trunkline lab host pause d1        SIGSTOP to all its processes; its kernel still answers ping
  trunkline lab host cut f3          its cable is pulled at the switch
  trunkline lab host heal f3         whatever was done to it is undone")]
pub(crate) struct HostArguments {
    #[command(subcommand)]
    command: HostCommand,
}

#[derive(Subcommand)]
enum HostCommand {
    /// Show each host: role, addresses, and how it is
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End all processes of a host with SIGKILL; they stay dead until `start` or `heal`
    Kill(Name),
    /// Start the processes of a host that are dead, and wait until they answer
    Start(Name),
    /// Restart an appliance as an operator does: `trunkline leave`, SIGTERM, start; ends when all others use it again
    Restart(Name),
    /// Have all processes of a host stand still (SIGSTOP)
    Pause(Name),
    /// Have them go on (SIGCONT)
    Resume(Name),
    /// Cut a host off: its port at the switch goes down
    Cut(Name),
    /// Let only 256 kbit/s of what others send reach a host; what waits for longer than 400 ms is lost
    Slow(Name),
    /// Undo whatever was done to a host, and start what is dead
    Heal(Name),
}

#[derive(clap::Args)]
struct Name {
    /// A name of `trunkline lab host list`
    host: String,
}

/// Cut and heal the way between two hosts of a topology
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline lab link cut f1 p3       both still reach all others
  trunkline lab link heal f1 p3")]
pub(crate) struct LinkArguments {
    #[command(subcommand)]
    command: LinkCommand,
}

#[derive(Subcommand)]
enum LinkCommand {
    /// Let nothing pass between two hosts, in both directions
    Cut(Ends),
    /// Let everything pass again
    Heal(Ends),
}

#[derive(clap::Args)]
struct Ends {
    /// A host
    one: String,
    /// Another host
    other: String,
}

/// Brings a topology up, and says what to do with it.
pub(super) fn up(topology: Topology) -> Result<(), Failure> {
    topology::up(topology, &mut progress)?;
    let mut text = String::from("\n");
    for node in topology.hosts() {
        let _ = writeln!(
            text,
            "  {:<7}  {:<12}  {:<9}  {}",
            node.namespace(),
            node.v4(),
            node.v6(),
            node.role
        );
    }
    let directory = control::lab::DIRECTORY;
    let _ = write!(
        text,
        "
  configurations {directory}/HOST/trunkline.toml
  sockets        {directory}/HOST/run
  logs           {directory}/HOST/logs

Try next:
  trunkline status --socket {directory}/p1/run/dataplane.sock
  trunkline lab host list                             how each host is
  trunkline lab host kill p1                          and pause, cut, slow, heal
  trunkline lab link cut p1 d1                        one way between two hosts
  trunkline lab exec d1 -- redis-cli -h 10.79.0.31 cluster nodes
  trunkline lab down                                  remove all of it

Phones register as users of {domain}, from tl-uac or tl-uas, with any first-stage node as their outbound proxy,
or, where there is none, with any appliance.",
        domain = control::lab::DOMAIN
    );
    crate::say(text);
    Ok(())
}

/// What runs where, and what each appliance has done.
pub(super) fn status(topology: Topology) -> Result<(), Failure> {
    let hosts = topology.hosts();
    hosts.iter().try_for_each(|node| say_processes(&node.namespace()))?;
    crate::say(format!(
        "\n{:<10} {:>12} {:>12} {:>12} {:>12}",
        "appliance", "received", "forwarded", "replied", "dropped"
    ));
    for node in hosts.into_iter().filter(|node| node.is_appliance()) {
        let socket = Config::load(&node.config_path())?.appliance.socket();
        let Ok(status) = status_blocking(&socket) else {
            crate::say(format!("{:<10} does not answer", node.name()));
            continue;
        };
        let sum = |count: fn(&control_api::status::QueueStatus) -> u64| {
            grouped(status.queues.iter().map(count).sum())
        };
        crate::say(format!(
            "{:<10} {:>12} {:>12} {:>12} {:>12}",
            node.name(),
            sum(|queue| queue.received),
            sum(|queue| queue.forwarded),
            sum(|queue| queue.replied),
            sum(|queue| queue.dropped.iter().sum()),
        ));
    }
    Ok(())
}

pub(super) fn host(arguments: &HostArguments) -> Result<(), Failure> {
    require_up()?;
    let (what, name): (fn(Node) -> anyhow::Result<()>, _) = match &arguments.command {
        HostCommand::List { json } => return list(*json),
        HostCommand::Kill(name) => (topology::kill, name),
        HostCommand::Start(name) => (topology::start, name),
        HostCommand::Restart(name) => (topology::restart, name),
        HostCommand::Pause(name) => (topology::pause, name),
        HostCommand::Resume(name) => (topology::resume, name),
        HostCommand::Cut(name) => (topology::cut, name),
        HostCommand::Slow(name) => (topology::slow, name),
        HostCommand::Heal(name) => (|node| topology::heal(&[node]), name),
    };
    what(named(&name.host)?)?;
    Ok(())
}

pub(super) fn link(arguments: &LinkArguments) -> Result<(), Failure> {
    require_up()?;
    let (what, ends): (fn(Node, Node) -> anyhow::Result<()>, _) = match &arguments.command {
        LinkCommand::Cut(ends) => (topology::cut_link, ends),
        LinkCommand::Heal(ends) => (topology::heal_link, ends),
    };
    let (one, other) = (named(&ends.one)?, named(&ends.other)?);
    if one == other {
        return Err(Failure::wrong("trunkline lab link: name two hosts"));
    }
    what(one, other)?;
    Ok(())
}

/// The host of this name in the topology that is up.
fn named(name: &str) -> Result<Node, Failure> {
    let topology =
        topology::current().map_err(|error| Failure::wrong(format!("trunkline: {error}")))?;
    topology.host(name).map_err(|error| Failure::wrong(format!("trunkline: {error}")))
}

fn list(as_json: bool) -> Result<(), Failure> {
    let (hosts, links) = (topology::host_states()?, topology::cut_links()?);
    if as_json {
        let hosts: Vec<_> = hosts.iter().map(as_value).collect();
        crate::say(serde_json::to_string_pretty(&json!({ "hosts": hosts, "cut_links": links }))?);
        return Ok(());
    }
    crate::say(format!("{:<5} {:<13} {:<13} {:<10} state", "host", "role", "IPv4", "IPv6"));
    for host in &hosts {
        let node = host.node;
        let name = node.name();
        crate::say(format!(
            "{name:<5} {:<13} {:<13} {:<10} {}",
            node.role,
            node.v4(),
            node.v6(),
            words(host)
        ));
    }
    for (one, other) in links {
        crate::say(format!("cut: {one} - {other}"));
    }
    Ok(())
}

fn words(host: &HostState) -> String {
    let cut = if host.is_cut { ", cut off" } else { "" };
    let slow = if host.is_slow { ", slow" } else { "" };
    format!("{}{cut}{slow}", running(host.running))
}

fn running(running: Running) -> &'static str {
    match running {
        Running::Idle => "idle",
        Running::Running => "running",
        Running::Paused => "paused",
        Running::Dead => "dead",
    }
}

fn as_value(host: &HostState) -> serde_json::Value {
    let node = host.node;
    json!({
        "host": node.name(), "role": node.role.to_string(), "ipv4": node.v4(), "ipv6": node.v6(),
        "state": running(host.running), "is_cut": host.is_cut, "is_slow": host.is_slow,
    })
}
