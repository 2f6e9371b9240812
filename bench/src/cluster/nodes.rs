//! What each node of a cluster has done: messages from its counters, CPU time from the kernel.

use crate::accounting::{Processes, seconds};
use crate::interrupt::Interrupt;
use anyhow::{Context as _, Result, ensure};
use control::config::Config;
use control::lab::topology::{self, Node, Role, Topology};
use control::{dataplane_link, operator};
use control_api::operator::{MemberReport, MemberState};
use serde::Serialize;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Programs of a host by the beginnings of their names, of which the kernel keeps 15 characters.
const PROGRAMS: [&str; 3] = ["trunkline-datap", "trunkline-contr", "redis-server"];

/// A node at one moment; all numbers but `users` only grow.
#[derive(Clone, Debug)]
struct Reading {
    node: Node,
    received: u64,
    dropped: u64,
    busy_ns: u64,
    users: u64,
    /// Of [`PROGRAMS`], in clock ticks.
    ticks: [u64; PROGRAMS.len()],
}

/// All nodes at one moment.
pub(super) struct Readings(Vec<Reading>);

/// What a node did between two moments.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Work {
    pub(super) node: String,
    #[serde(skip)]
    pub(super) role: Role,
    /// SIP messages that its workers received.
    pub(super) messages: u64,
    /// Of these, dropped for any reason.
    pub(super) dropped: u64,
    /// Time of the workers between the arrival of a burst and its end, for each message. What else ran on that core
    /// in between is in it.
    pub(super) busy_us_per_message: f64,
    /// Users in the tables of its workers at the end, its own and those that it keeps for others.
    pub(super) users: u64,
    /// CPU time of the data plane, its looks at empty queues included.
    pub(super) dataplane_cpu_seconds: f64,
    pub(super) control_cpu_seconds: f64,
    /// Of the Redis servers on this host.
    pub(super) engine_cpu_seconds: f64,
}

/// How long it may take until all nodes take each other for up, after the last one has started.
const AGREED: Duration = Duration::from_secs(30);

/// What control says of a member that answered the last probe, and of itself.
const ANSWERED: &str = "answered OPTIONS with 200";
const ITSELF: &str = "not probed";
/// How long the state of a member has lasted, in milliseconds, when a set chooses by it alone: after a change it goes on
/// as before for a while; the workers hear of it a moment later than control.
const SETTLED_MS: u64 = sip_core::limits::SETTLE_MS + 500;

/// Waits until every appliance has taken all members of the second stage for up for long enough: before, users reach other
/// nodes than later.
///
/// # Errors
/// When that takes too long, or an appliance does not answer.
pub(super) fn wait_until_agreed(topology: Topology, interrupt: &Interrupt) -> Result<()> {
    let appliances = topology.hosts().into_iter().filter(|node| node.is_appliance());
    let begin = Instant::now();
    for node in appliances {
        let socket = Config::load(&node.config_path())?.appliance.control_socket();
        while !operator::members_blocking(&socket)?.iter().all(is_well) {
            ensure!(begin.elapsed() < AGREED, "{} takes a member for down", node.name());
            ensure!(!interrupt.sleep(Duration::from_millis(100)), "ended by a signal");
        }
    }
    Ok(())
}

/// Whether a member is in use, and not only because its first probes, which came before it was ready, do not count yet.
fn is_well(member: &MemberReport) -> bool {
    let has_answered = [ANSWERED, ITSELF].iter().any(|reason| member.reason == *reason);
    has_answered && member.state == MemberState::Up && member.for_ms >= SETTLED_MS
}

impl Readings {
    /// Reads all appliances and hosts of the engine.
    ///
    /// # Errors
    /// When one of them does not answer.
    pub(super) fn take(topology: Topology) -> Result<Self> {
        let processes = Processes::read()?;
        let hosts = topology.hosts().into_iter();
        let hosts = hosts.filter(|node| node.is_appliance() || node.role == Role::Engine);
        hosts.map(|node| Reading::take(node, &processes)).collect::<Result<_>>().map(Self)
    }

    /// What was done from then on until now.
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    pub(super) fn until(&self, now: &Self) -> Vec<Work> {
        let work = |(then, now): (&Reading, &Reading)| {
            let messages = now.received - then.received;
            let busy_us = (now.busy_ns - then.busy_ns) as f64 / 1e3;
            let cpu = |program| seconds(now.ticks[program] - then.ticks[program]);
            Work {
                node: now.node.name(),
                role: now.node.role,
                messages,
                dropped: now.dropped - then.dropped,
                busy_us_per_message: busy_us / messages.max(1) as f64,
                users: now.users,
                dataplane_cpu_seconds: cpu(0),
                control_cpu_seconds: cpu(1),
                engine_cpu_seconds: cpu(2),
            }
        };
        self.0.iter().zip(&now.0).map(work).collect()
    }
}

impl Reading {
    fn take(node: Node, processes: &Processes) -> Result<Self> {
        let pids: HashSet<u32> = topology::pids(node)?.into_iter().collect();
        let of = |program: &str| {
            let is_one = |pid: &u32| {
                let process = processes.iter().find(|(one, _)| one == pid);
                process.is_some_and(|(_, process)| process.name.starts_with(program))
            };
            processes.ticks(&pids.iter().copied().filter(is_one).collect())
        };
        let ticks = PROGRAMS.map(of);
        let mut reading = Self { node, received: 0, dropped: 0, busy_ns: 0, users: 0, ticks };
        if node.is_appliance() {
            let socket = Config::load(&node.config_path())?.appliance.socket();
            let status = dataplane_link::status_blocking(&socket)
                .with_context(|| format!("the data plane of {}", node.name()))?;
            for queue in &status.queues {
                reading.received += queue.received;
                reading.dropped += queue.dropped_total();
                reading.busy_ns += queue.busy_ns;
            }
            reading.users = status.workers.iter().map(|worker| worker.location.aors).sum();
        }
        Ok(reading)
    }
}
