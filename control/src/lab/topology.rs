//! The lab with several hosts: two stages of appliances, an engine, generators, and a switch between them.
//!
//! ```text
//!   tl-f1 10.79.0.11 ─┐                ┌─ tl-p1 10.79.0.21      second stage: users, transactions
//!   tl-f2 10.79.0.12 ─┤   tl-net: br0  ├─ tl-p2 10.79.0.22
//!   tl-f3 10.79.0.13 ─┼────────────────┼─ tl-p3 10.79.0.23
//!     first stage     │                ├─ tl-d1 .. tl-d3 10.79.0.31 ..  Redis Cluster: masters 6379, replicas 6380
//!   tl-uac ...0.101 ──┘                └─ tl-uas 10.79.0.102    generators
//! ```
//!
//! One network namespace for each host, with `eth0` in 10.79.0.0/24 and fd79::/64; the other end of each veth pair is a
//! port of the bridge that has the host's name. Appliances take SIP from `eth0` by AF_XDP, everything else of a host,
//! its way to the engine included, is the kernel's on the same interface: who cuts a host off cuts off all of it.

mod engine;
mod hosts;
mod links;
mod network;
mod plan;
mod settings;

pub use engine::move_slots;
pub use hosts::{
    HostState, Running, cut, heal, host_states, kill, kill_all, pause, pids, restart, resume, slow,
    start,
};
pub use links::{cut_link, cut_links, heal_link};
pub use plan::{Node, Role, STAGE_MAX, Topology};
pub use settings::CALLS_PER_SECOND;

use super::{DIRECTORY, down, is_up, lcores};
use crate::config::Config;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The namespace of the switch.
const SWITCH: &str = "tl-net";

/// The file that says which topology is up.
fn topology_path() -> PathBuf {
    Path::new(DIRECTORY).join("topology")
}

/// The topology that is up, whole or not.
///
/// # Errors
/// When none is.
pub fn current() -> Result<Topology> {
    let text = std::fs::read_to_string(topology_path()).unwrap_or_default();
    text.trim()
        .parse()
        .ok()
        .context("no lab with several hosts is up: `trunkline lab up --topology s3p3` starts one")
}

/// Every namespace that a topology may have.
pub(super) fn namespaces() -> Vec<String> {
    let hosts = Topology::LARGEST.hosts().into_iter().map(Node::namespace);
    hosts.chain([SWITCH.to_owned()]).collect()
}

/// Makes the network, starts the engine and all appliances, and waits until they answer. `progress` is told each step.
/// On failure everything is taken down again.
///
/// # Errors
/// What failed, with the last lines of the logs of an appliance that did.
pub fn up(topology: Topology, progress: &mut dyn FnMut(&str)) -> Result<()> {
    if is_up() {
        bail!("the lab is up already: `trunkline lab down` removes it");
    }
    let result = make(topology, progress);
    if result.is_err() {
        progress("taking the lab down again");
        down()?;
    }
    result
}

fn make(topology: Topology, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let hosts = topology.hosts();
    write_files(topology)?;
    progress(&format!("network: {} hosts and the switch tl-net", hosts.len()));
    network::make(&hosts)?;
    links::prepare()?;
    progress("engine: a Redis Cluster of three masters and three replicas in tl-d1 to tl-d3");
    engine::up(&topology.with(Role::Engine))?;
    let appliances: Vec<_> = hosts.into_iter().filter(|node| node.is_appliance()).collect();
    progress(&if topology.is_of_both() {
        format!("appliances: {}, each of both stages", topology.second)
    } else {
        format!(
            "appliances: {} of the first, {} of the second stage",
            topology.first, topology.second
        )
    });
    let supervisors: Vec<_> =
        appliances.iter().map(|node| hosts::launch(*node)).collect::<Result<_>>()?;
    for (node, supervisor) in appliances.iter().zip(supervisors) {
        hosts::wait_until_ready(*node, supervisor)?;
        progress(&format!("{}: ready", node.name()));
    }
    // Who began before another one may have taken it for dead.
    appliances.into_iter().try_for_each(hosts::wait_until_used)
}

/// Directories, the shared secret and the configurations. Whatever is wrong with them is said before any network is
/// made.
fn write_files(topology: Topology) -> Result<()> {
    std::fs::create_dir_all(DIRECTORY).context(DIRECTORY)?;
    std::fs::write(topology_path(), format!("{topology}\n"))?;
    std::fs::write(settings::secret_path(), format!("{:032x}\n", rand::random::<u128>()))?;
    let lcores = lcores()?;
    for node in topology.hosts() {
        std::fs::create_dir_all(node.logs())?;
        if node.is_appliance() {
            std::fs::write(node.config_path(), settings::config(topology, node, &lcores)?)?;
            Config::load(&node.config_path())?;
        }
    }
    Ok(())
}
