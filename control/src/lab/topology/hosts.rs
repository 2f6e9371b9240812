//! What can happen to a host: it dies, stands still, is cut off, becomes slow, and gets well again.

use super::network::ip;
use super::plan::{Node, Role};
use super::{SWITCH, current, engine};
use crate::config::Config;
use crate::lab::shell::run;
use crate::lab::{self, network, start_supervisor};
use crate::leaving;
use crate::operator::members_blocking;
use crate::process;
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How long an appliance may take until data plane and control answer, while all others start beside it.
const START_MAX: Duration = Duration::from_mins(1);
/// How long others have to notice that an appliance is about to go: two probes, a second apart.
const NOTICE: Duration = Duration::from_secs(3);
/// How long transactions may take that have no final response then.
const LEAVE_MAX: Duration = Duration::from_secs(32);
/// How long an appliance may take to end.
const STOP_MAX: Duration = Duration::from_secs(5);
/// What reaches a slow host: some 40 SIP messages a second. More waits for [`SLOW_QUEUE`], and then is lost.
const SLOW_RATE: &str = "256kbit";
/// At least a frame.
const SLOW_BURST: &str = "3000";
/// How long a frame may wait for a slow host.
const SLOW_QUEUE: &str = "400ms";

/// How a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// The host.
    pub node: Node,
    /// Its programs.
    pub running: Running,
    /// Whether it is cut off from the switch.
    pub is_cut: bool,
    /// Whether what it receives is slow.
    pub is_slow: bool,
}

/// How the programs of a host are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// It has none: a generator.
    Idle,
    /// They run.
    Running,
    /// They stand still.
    Paused,
    /// They were killed.
    Dead,
}

/// How all hosts are, as the kernel says.
///
/// # Errors
/// When no topology is up.
pub fn host_states() -> Result<Vec<HostState>> {
    let hosts = current()?.hosts();
    let ports = run("ip", &["-n", SWITCH, "-o", "link", "show"])?;
    let queues = run("tc", &["-n", SWITCH, "qdisc", "show"])?;
    let state = |node: Node| {
        let running = running(node)?;
        Ok(HostState {
            node,
            running,
            is_cut: is_down(&ports, &node.name()),
            is_slow: is_shaped(&queues, &node.name()),
        })
    };
    hosts.into_iter().map(state).collect()
}

fn running(node: Node) -> Result<Running> {
    let pids = network::pids(&node.namespace())?;
    Ok(if matches!(node.role, Role::Callers | Role::Servers) {
        Running::Idle
    } else if pids.is_empty() {
        Running::Dead
    } else if pids.into_iter().any(process::is_paused) {
        Running::Paused
    } else {
        Running::Running
    })
}

/// The processes of a host.
///
/// # Errors
/// When no topology is up.
pub fn pids(node: Node) -> Result<Vec<u32>> {
    network::pids(&node.namespace())
}

/// Whether this port is down in what `ip -o link` prints: `7: f1@if2: <BROADCAST,MULTICAST,UP> ...`.
fn is_down(links: &str, port: &str) -> bool {
    let of_port = |line: &&str| {
        line.split_whitespace().nth(1).and_then(|name| name.split('@').next()) == Some(port)
    };
    let flags = links.lines().find(of_port).and_then(|line| line.split(['<', '>']).nth(1));
    flags.is_some_and(|flags| flags.split(',').all(|flag| flag != "UP"))
}

/// Whether this port has the queue of a slow host in what `tc qdisc show` prints: `qdisc tbf 8001: dev f1 root ...`.
fn is_shaped(queues: &str, port: &str) -> bool {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    queues.lines().map(words).any(|words| {
        words.get(1).is_some_and(|kind| kind == "tbf")
            && words.windows(2).any(|two| two == ["dev", port])
    })
}

/// Ends all programs of a host with SIGKILL, as a crash does; they stay dead until [`start`].
///
/// # Errors
/// A host without programs.
pub fn kill(node: Node) -> Result<()> {
    programs(node)?;
    kill_all(node)
}

/// Ends whatever runs on a host with SIGKILL.
///
/// # Errors
/// When something outlives it.
pub fn kill_all(node: Node) -> Result<()> {
    let begun = Instant::now();
    let mut killed = Vec::new();
    while network::exists(&node.namespace()) {
        let mut pids = network::pids(&node.namespace())?;
        killed.extend(pids.iter().copied());
        // The kernel no longer counts to the namespace who is about to end.
        killed.retain(|pid| process::has_threads(*pid));
        pids.extend(killed.iter().copied());
        if pids.is_empty() {
            break;
        }
        if begun.elapsed() > Duration::from_secs(10) {
            bail!("processes {pids:?} in {} outlive SIGKILL", node.namespace());
        }
        // A supervisor among them may have started another one meanwhile: look again.
        pids.into_iter().for_each(process::kill);
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Starts the programs of a host that are dead, and waits until they answer.
///
/// # Errors
/// When they run already, or do not answer.
pub fn start(node: Node) -> Result<()> {
    programs(node)?;
    if running(node)? != Running::Dead {
        bail!("{} runs already: `trunkline lab host kill {0}` ends it", node.name());
    }
    if node.role == Role::Engine {
        engine::launch(node)?;
        return engine::wait_until_ready(node);
    }
    let supervisor = launch(node)?;
    wait_until_ready(node, supervisor)
}

/// Starts an appliance again as an operator does: others notice first that it goes, then it ends, and when this returns
/// all others use it again.
///
/// # Errors
/// A host that is no appliance, or does not run; when something does not answer in time.
pub fn restart(node: Node) -> Result<()> {
    if !node.is_appliance() {
        bail!(
            "{} is no appliance: `trunkline lab host kill {0}` and `start` do for it",
            node.name()
        );
    }
    let socket = Config::load(&node.config_path())?.appliance.socket();
    leaving::leave(&socket, NOTICE, LEAVE_MAX)?;
    // The supervisor ends the others; it would start again what ends by itself.
    let pids = network::pids(&node.namespace())?;
    let is_first = |pid: &u32| process::parent(*pid).is_none_or(|parent| !pids.contains(&parent));
    let first: Vec<u32> = pids.iter().copied().filter(is_first).collect();
    process::end(&first, STOP_MAX);
    kill_all(node)?;
    start(node)?;
    wait_until_used(node)
}

/// Waits until all appliances that are alive give new requests to this one, where it is a member of their sets.
pub(super) fn wait_until_used(node: Node) -> Result<()> {
    let others = current()?.hosts().into_iter().filter(|other| other.is_appliance());
    others.filter(|other| *other != node).try_for_each(|other| wait_until_used_by(other, node))
}

fn wait_until_used_by(by: Node, member: Node) -> Result<()> {
    let socket = Config::load(&by.config_path())?.appliance.control_socket();
    let begun = Instant::now();
    // Another one that is dead knows nothing of it.
    while let Ok(members) = members_blocking(&socket) {
        let mut same = members.iter().filter(|one| member.sip().contains(&one.address));
        if same.all(|one| one.is_in_use) {
            break;
        }
        if begun.elapsed() > START_MAX {
            bail!("{} does not use {} again", by.name(), member.name());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Starts an appliance. Gives its supervisor.
pub(super) fn launch(node: Node) -> Result<u32> {
    start_supervisor(&node.namespace(), &node.config_path(), &node.logs())
}

/// Waits until data plane and control of an appliance both answer.
pub(super) fn wait_until_ready(node: Node, supervisor: u32) -> Result<()> {
    let appliance = Config::load(&node.config_path())?.appliance;
    lab::wait_until_ready(&appliance, supervisor, &node.logs(), START_MAX).map(drop)
}

/// Has all programs of a host stand still (SIGSTOP): its kernel goes on and answers ARP and ping.
///
/// # Errors
/// A host without programs.
pub fn pause(node: Node) -> Result<()> {
    programs(node)?;
    network::pids(&node.namespace())?.into_iter().for_each(process::pause);
    Ok(())
}

/// Has them go on (SIGCONT).
///
/// # Errors
/// A host without programs.
pub fn resume(node: Node) -> Result<()> {
    programs(node)?;
    network::pids(&node.namespace())?.into_iter().for_each(process::resume);
    Ok(())
}

/// Pulls the host's cable at the switch.
///
/// # Errors
/// When no topology is up.
pub fn cut(node: Node) -> Result<()> {
    ip(SWITCH, &format!("link set {} down\n", node.name()))
}

/// Lets little of what others send reach the host: a token bucket at its port of the switch.
///
/// # Errors
/// When no topology is up.
pub fn slow(node: Node) -> Result<()> {
    let name = node.name();
    let port = ["-n", SWITCH, "qdisc", "replace", "dev", &name, "root"];
    let bucket = ["tbf", "rate", SLOW_RATE, "burst", SLOW_BURST, "latency", SLOW_QUEUE];
    run("tc", &[&port[..], &bucket[..]].concat()).map(drop)
}

/// Undoes whatever happened to these hosts, and starts what is dead. The first server of a host of the engine becomes a
/// master again, so that the masters stay on three hosts. Links are healed by [`heal_link`](super::heal_link).
///
/// # Errors
/// When programs do not answer.
pub fn heal(hosts: &[Node]) -> Result<()> {
    let states = host_states()?;
    states.iter().filter(|state| hosts.contains(&state.node)).try_for_each(undo)?;
    let engines: Vec<_> = hosts.iter().copied().filter(|node| node.role == Role::Engine).collect();
    engine::settle(&engines)
}

fn undo(state: &HostState) -> Result<()> {
    let node = state.node;
    if state.is_cut {
        ip(SWITCH, &format!("link set {} up\n", node.name()))?;
    }
    if state.is_slow {
        run("tc", &["-n", SWITCH, "qdisc", "delete", "dev", &node.name(), "root"])?;
    }
    match state.running {
        Running::Paused => resume(node),
        Running::Dead => start(node),
        Running::Idle | Running::Running => Ok(()),
    }
}

/// Refuses hosts on which the lab runs nothing.
fn programs(node: Node) -> Result<()> {
    if matches!(node.role, Role::Callers | Role::Servers) {
        bail!(
            "the lab runs nothing on {}: choose an appliance or a host of the engine",
            node.name()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{is_down, is_shaped};

    #[test]
    fn ports_that_are_down_are_known() {
        let links = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n\
                     7: f1@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master br0\n\
                     8: f2@if2: <BROADCAST,MULTICAST> mtu 1500 master br0\n";
        assert!(!is_down(links, "f1") && is_down(links, "f2") && !is_down(links, "f"));
    }

    #[test]
    fn slow_ports_are_known() {
        let queues = "qdisc noqueue 0: dev lo root refcnt 2\n\
                      qdisc tbf 8001: dev p1 root refcnt 2 rate 256Kbit burst 2999b lat 400ms\n";
        assert!(is_shaped(queues, "p1") && !is_shaped(queues, "p") && !is_shaped(queues, "lo"));
    }
}
