//! All members of all destination sets: probes those that are due, and says who is in use.

use super::machine::{Health, Machine, Outcome};
use super::memory::Memory;
use super::prober::ask;
use crate::config::{AllDown, DestinationSet, Member, Probe};
use crate::limits::HEALTH_COMMANDS_MAX;
use control_api::operator::{MemberReport, MemberState};
use control_api::{UnreachableHost, UnreachableSign};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::{info, warn};

/// The members that are not simply in use; all others are up.
pub type States = Arc<Vec<Impaired>>;

/// A member that is not simply in use. A member that is down stands here only when that has effect: not
/// while its set goes on because all are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impaired {
    /// Name of the destination set.
    pub set: String,
    /// Address of the member.
    pub address: SocketAddr,
    /// Its state.
    pub state: MemberState,
}

/// What is probed: sets that ask for the same of the same address share its probes.
type Target = (SocketAddr, Probe);

/// The health of all members; [`Monitor::run`] keeps it.
#[derive(Debug)]
pub struct Monitor {
    sets: Vec<DestinationSet>,
    targets: BTreeMap<Target, Machine>,
    started: Instant,
    /// Set and address of what operators drained, and since when.
    drained: BTreeMap<(String, SocketAddr), Instant>,
    file: PathBuf,
    memory: Memory,
    states: watch::Sender<States>,
    commands: mpsc::Receiver<Command>,
}

/// How the others speak with the monitor. It ends with the last of these.
#[derive(Clone, Debug)]
pub struct MonitorHandle {
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
enum Command {
    Configure(Vec<DestinationSet>),
    Signs(Vec<UnreachableHost>),
    Drain {
        set: String,
        address: SocketAddr,
        drained: bool,
        done: oneshot::Sender<Result<(), String>>,
    },
    Report(oneshot::Sender<Vec<MemberReport>>),
}

impl Monitor {
    /// A monitor over `sets` that begins with what `file` remembers.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn new(
        sets: &[DestinationSet],
        file: PathBuf,
    ) -> anyhow::Result<(Self, MonitorHandle, watch::Receiver<States>)> {
        let memory = Memory::load(&file)?;
        let now = Instant::now();
        let (sender, commands) = mpsc::channel(HEALTH_COMMANDS_MAX);
        let (states, receiver) = watch::channel(States::default());
        let drained = memory.drained.iter().map(|member| (member.clone(), now)).collect();
        let targets = BTreeMap::new();
        let (sets_known, started) = (Vec::new(), now);
        let mut monitor =
            Self { sets: sets_known, targets, started, drained, file, memory, states, commands };
        monitor.configure(sets.to_vec(), now);
        monitor.publish();
        Ok((monitor, MonitorHandle { commands: sender }, receiver))
    }

    /// Probes for ever, or until nobody can ask any more.
    pub async fn run(mut self) {
        let mut probes = JoinSet::new();
        loop {
            let now = Instant::now();
            for target in self.take_due(now) {
                probes.spawn(async move { (target, ask(target.0, target.1.timeout).await) });
            }
            let next = self.targets.values().map(Machine::due).min();
            let next = next.unwrap_or(now + Duration::from_hours(1));
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.take_command(command),
                    None => return,
                },
                Some(Ok((target, outcome))) = probes.join_next() => {
                    self.take_outcome(target, &outcome, Instant::now());
                }
                () = sleep_until(next.into()) => {}
            }
            self.publish();
        }
    }

    /// The targets whose time has come; their probes count as sent.
    fn take_due(&mut self, now: Instant) -> Vec<Target> {
        let due = self.targets.iter_mut().filter(|(_, machine)| machine.due() <= now);
        let sent = due.map(|(target, machine)| {
            machine.sent(now);
            *target
        });
        sent.collect()
    }

    fn take_command(&mut self, command: Command) {
        let now = Instant::now();
        // Who asked may be gone; then nobody misses the answer.
        match command {
            Command::Configure(sets) => self.configure(sets, now),
            Command::Signs(hosts) => self.take_signs(&hosts, now),
            Command::Drain { set, address, drained, done } => {
                let _ = done.send(self.drain(set, address, drained, now));
            }
            Command::Report(to) => {
                let _ = to.send(self.report(now));
            }
        }
    }

    /// Takes the sets of a new configuration; members that stay keep their health.
    fn configure(&mut self, sets: Vec<DestinationSet>, now: Instant) {
        let mut targets = BTreeMap::new();
        for (set, probe) in sets.iter().filter_map(|set| Some((set, set.probe?))) {
            for member in set.members.iter().filter(|member| member.weight > 0 && !member.is_own) {
                let target = (member.address, probe);
                let was_down = self.memory.down.contains(&member.address);
                let machine = self.targets.remove(&target);
                let fresh = || Machine::new(probe, was_down, now, rand::random());
                targets.entry(target).or_insert_with(|| machine.unwrap_or_else(fresh));
            }
        }
        self.targets = targets;
        self.sets = sets;
    }

    fn take_outcome(&mut self, target: Target, outcome: &Outcome, now: Instant) {
        let Some(machine) = self.targets.get_mut(&target) else { return };
        if machine.take(outcome, now, rand::random()) {
            tell(target.0, machine);
        }
    }

    fn take_signs(&mut self, hosts: &[UnreachableHost], now: Instant) {
        for host in hosts {
            let (what, is_proof) = match host.sign {
                UnreachableSign::Port => ("messages to it met a closed port (ICMP)", false),
                UnreachableSign::Host => ("messages to it met no way (ICMP)", false),
                UnreachableSign::Neighbour => ("answers neither ARP nor neighbour discovery", true),
            };
            for (target, machine) in &mut self.targets {
                if target.0 == host.address && machine.sign(what, is_proof, now) {
                    tell(target.0, machine);
                }
            }
        }
    }

    fn drain(
        &mut self,
        name: String,
        address: SocketAddr,
        drained: bool,
        now: Instant,
    ) -> Result<(), String> {
        let known = |sets: &[DestinationSet]| {
            let names: Vec<_> = sets.iter().map(|set| set.name.as_str()).collect();
            names.join(", ")
        };
        let Some(set) = self.sets.iter().find(|set| set.name == name) else {
            return Err(format!("no destination set {name}; there are: {}", known(&self.sets)));
        };
        if !set.members.iter().any(|member| member.address == address) {
            let members: Vec<_> = set.members.iter().map(|m| m.address.to_string()).collect();
            return Err(format!("{name} has no member {address}, but {}", members.join(", ")));
        }
        info!(set = name, member = %address, drained, "an operator's drain");
        if drained {
            self.drained.entry((name, address)).or_insert(now);
        } else {
            self.drained.remove(&(name, address));
        }
        Ok(())
    }

    /// Every member as an operator sees it.
    fn report(&self, now: Instant) -> Vec<MemberReport> {
        let mut reports = Vec::new();
        for set in &self.sets {
            let goes_on = self.goes_on(set);
            for member in &set.members {
                let (state, since, reason) = self.look(set, member.address);
                let is_in_use = match state {
                    MemberState::Up => member.weight > 0,
                    MemberState::Probing | MemberState::Down => goes_on,
                    MemberState::Draining => false,
                };
                let lasted = now.duration_since(since);
                let reason =
                    if member.weight == 0 { "weight 0: out of service".into() } else { reason };
                reports.push(MemberReport {
                    set: set.name.clone(),
                    address: member.address,
                    state,
                    is_in_use,
                    for_ms: u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
                    reason,
                    load: None,
                });
            }
        }
        reports
    }

    /// State of a member, since when, and why.
    fn look(&self, set: &DestinationSet, address: SocketAddr) -> (MemberState, Instant, String) {
        let machine = set.probe.and_then(|probe| self.targets.get(&(address, probe)));
        let probed = machine.map_or("not probed", Machine::reason);
        if let Some(since) = self.drained.get(&(set.name.clone(), address)) {
            return (MemberState::Draining, *since, format!("by an operator; {probed}"));
        }
        let Some(machine) = machine else { return (MemberState::Up, self.started, probed.into()) };
        let state = match machine.health() {
            Health::Up => MemberState::Up,
            Health::Probing => MemberState::Probing,
            Health::Down => MemberState::Down,
        };
        (state, machine.since(), probed.into())
    }

    /// Whether the set uses its members though they are down, because all of them are.
    fn goes_on(&self, set: &DestinationSet) -> bool {
        let mut enabled = set.members.iter().filter(|member| member.weight > 0);
        let is_up = |member: &Member| self.look(set, member.address).0 == MemberState::Up;
        set.all_down == AllDown::Keep && !enabled.any(is_up)
    }

    /// Hands the states on when they have changed, and remembers them.
    fn publish(&mut self) {
        let mut states = Vec::new();
        for set in &self.sets {
            let goes_on = self.goes_on(set);
            for member in set.members.iter().filter(|member| member.weight > 0) {
                let state = match self.look(set, member.address).0 {
                    MemberState::Down | MemberState::Probing if goes_on => MemberState::Up,
                    state => state,
                };
                if state != MemberState::Up {
                    let set = set.name.clone();
                    states.push(Impaired { set, address: member.address, state });
                }
            }
        }
        self.states.send_if_modified(|current| {
            let changed = **current != states;
            if changed {
                *current = Arc::new(states);
            }
            changed
        });
        self.remember();
    }

    fn remember(&mut self) {
        let down = |(target, machine): (&Target, &Machine)| {
            (machine.health() != Health::Up).then_some(target.0)
        };
        let memory = Memory {
            drained: self.drained.keys().cloned().collect::<BTreeSet<_>>(),
            down: self.targets.iter().filter_map(down).collect(),
        };
        if memory != self.memory {
            if let Err(error) = memory.save(&self.file) {
                warn!("a restart of control will not know who is down or drained: {error:#}");
            }
            self.memory = memory;
        }
    }
}

/// Logs a change of health.
fn tell(member: SocketAddr, machine: &Machine) {
    let reason = machine.reason();
    match machine.health() {
        Health::Up => info!(%member, "up: {reason}"),
        Health::Probing => info!(%member, "probing: {reason}"),
        Health::Down => warn!(%member, "down: {reason}"),
    }
}

impl MonitorHandle {
    /// Tells the monitor the sets of a new configuration.
    pub async fn configure(&self, sets: &[DestinationSet]) {
        self.send(Command::Configure(sets.to_vec())).await;
    }

    /// Tells the monitor which hosts did not get messages.
    pub async fn signs(&self, hosts: Vec<UnreachableHost>) {
        self.send(Command::Signs(hosts)).await;
    }

    /// Takes a member out of use for new calls, or puts it back.
    ///
    /// # Errors
    /// What is there instead, when there is no such set or member.
    pub async fn drain(
        &self,
        set: String,
        address: SocketAddr,
        drained: bool,
    ) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        self.send(Command::Drain { set, address, drained, done }).await;
        answer.await.unwrap_or_else(|_| Err("control is stopping".into()))
    }

    /// Every member of every set.
    pub async fn report(&self) -> Vec<MemberReport> {
        let (to, answer) = oneshot::channel();
        self.send(Command::Report(to)).await;
        answer.await.unwrap_or_default()
    }

    async fn send(&self, command: Command) {
        // It ends only when the whole process does.
        let _ = self.commands.send(command).await;
    }
}

#[cfg(test)]
mod tests;
