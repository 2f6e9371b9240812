//! What breaks, when, and for how long: all of it follows from the seed.

use anyhow::Result;
use control::lab::topology::{self, Node, Role, Topology};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use std::fmt;
use std::time::Duration;

/// Something that breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    what: What,
    hosts: Vec<Node>,
    /// How long it stays so.
    pub(super) lasts: Duration,
}

/// What happens to a host or between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum What {
    /// SIGKILL to all processes of a host
    Kill,
    /// A host's cable is pulled
    Cut,
    /// SIGSTOP to all processes of a host
    Pause,
    /// The way between a second-stage and a first-stage node is cut
    Link,
    /// SIGKILL to all processes of two second-stage nodes, which together had some users alone
    Pair,
    /// Slots of the engine move to another master
    Slots,
    /// SIGKILL to the whole engine
    Engine,
    /// An appliance is started again as an operator does it
    #[value(skip)]
    Restart,
}

/// Slots of the engine that move.
const SLOTS: u16 = 500;

/// What can break in a topology without making it useless by itself: no stage loses its only node.
fn cases(topology: Topology) -> Vec<(What, Role)> {
    let roles = [
        (Role::FirstStage, topology.first > 1),
        (Role::SecondStage, topology.second > 1),
        (Role::Engine, true),
    ];
    let roles = roles.into_iter().filter(|(_, is_possible)| *is_possible).map(|(role, _)| role);
    let whats = [What::Kill, What::Cut, What::Pause];
    let mut all: Vec<_> = roles.flat_map(|role| whats.map(|what| (what, role))).collect();
    // With one way out of two cut, the two first-stage nodes differ in what they can reach.
    if topology.first > 1 && topology.second > 1 {
        all.push((What::Link, Role::SecondStage));
    }
    if topology.second > 2 {
        all.push((What::Pair, Role::SecondStage));
    }
    all.push((What::Slots, Role::Engine));
    all
}

/// So many faults. Each kind comes once before any comes again, in random order; after each such round the whole
/// engine is killed for `engine_away`.
pub(super) fn plan(
    topology: Topology,
    count: usize,
    seed: u64,
    engine_away: Duration,
    only: Option<What>,
) -> Vec<Fault> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut plan = Vec::new();
    while plan.len() < count {
        let begun = plan.len();
        let mut round = cases(topology);
        round.retain(|(what, _)| only.is_none_or(|only| *what == only));
        round.shuffle(&mut random);
        for (what, role) in round {
            let hosts = match what {
                What::Link => {
                    let mut one_of = |role| topology.with(role).choose(&mut random).copied();
                    one_of(role).into_iter().chain(one_of(Role::FirstStage)).collect()
                }
                What::Pair | What::Slots => {
                    topology.with(role).sample(&mut random, 2).copied().collect()
                }
                _ => topology.with(role).choose(&mut random).copied().into_iter().collect(),
            };
            let lasts = Duration::from_millis(random.random_range(4_000..8_000));
            plan.push(Fault { what, hosts, lasts });
        }
        if only.is_none_or(|only| only == What::Engine) {
            let hosts = topology.with(Role::Engine);
            plan.push(Fault { what: What::Engine, hosts, lasts: engine_away });
        }
        if plan.len() == begun {
            break; // This topology has no such fault.
        }
    }
    plan.truncate(count);
    plan
}

/// Each appliance is restarted, the second stage first.
pub(super) fn rolling(topology: Topology) -> Vec<Fault> {
    let stages = [Role::SecondStage, Role::FirstStage].into_iter();
    let restart =
        |node| Fault { what: What::Restart, hosts: vec![node], lasts: Duration::from_secs(1) };
    stages.flat_map(|role| topology.with(role)).map(restart).collect()
}

impl Fault {
    /// Breaks it.
    pub(super) fn strike(&self) -> Result<()> {
        match (self.what, self.hosts.as_slice()) {
            (What::Link, [one, other]) => topology::cut_link(*one, *other),
            (What::Slots, [from, to]) => topology::move_slots(*from, *to, SLOTS),
            (What::Restart, hosts) => hosts.iter().try_for_each(|host| topology::restart(*host)),
            (What::Kill | What::Pair | What::Engine, hosts) => {
                hosts.iter().try_for_each(|host| topology::kill(*host))
            }
            (What::Pause, hosts) => hosts.iter().try_for_each(|host| topology::pause(*host)),
            (What::Cut | What::Link | What::Slots, hosts) => {
                hosts.iter().try_for_each(|host| topology::cut(*host))
            }
        }
    }

    /// Mends it.
    pub(super) fn heal(&self) -> Result<()> {
        match (self.what, self.hosts.as_slice()) {
            (What::Link, [one, other]) => topology::heal_link(*one, *other),
            (What::Slots, [from, to]) => topology::move_slots(*to, *from, SLOTS),
            (What::Restart, _) => Ok(()),
            (_, hosts) => topology::heal(hosts),
        }
    }

    /// The first-stage nodes that phones take for gone.
    pub(super) fn lost_edges(&self) -> impl Iterator<Item = String> {
        let is_edge = |host: &&Node| host.role == Role::FirstStage && self.what != What::Link;
        self.hosts.iter().filter(is_edge).map(|host| host.name())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.hosts.iter().map(|host| host.name()).collect();
        let what = match self.what {
            What::Kill | What::Engine => "kill",
            What::Cut => "cut",
            What::Pause => "pause",
            What::Link => "link",
            What::Pair => "pair",
            What::Slots => "slots",
            What::Restart => "restart",
        };
        write!(f, "{what} {}", names.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, plan, rolling};
    use control::lab::topology::Topology;
    use std::collections::BTreeSet;
    use std::time::Duration;

    const AWAY: Duration = Duration::from_mins(1);

    #[test]
    fn a_seed_gives_the_same_faults_and_another_gives_others() {
        let faults = |seed| plan(Topology::LARGEST, 30, seed, AWAY, None);
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
        assert_eq!(faults(3).len(), 30);
    }

    #[test]
    fn every_kind_of_fault_comes_in_each_round() {
        let kinds = |topology: Topology, count| {
            let kind =
                |text: String| text.chars().filter(|letter| !letter.is_ascii_digit()).collect();
            let faults = plan(topology, count, 7, AWAY, None);
            faults.iter().map(|fault| kind(fault.to_string())).collect::<BTreeSet<String>>()
        };
        let all = kinds(Topology::LARGEST, 13);
        assert_eq!(all.len(), 13, "{all:?}");
        assert!(
            all.contains("link p f")
                && all.contains("kill d d d")
                && all.contains("pause f")
                && all.contains("pair p p")
                && all.contains("slots d d"),
            "{all:?}"
        );
        let small = kinds(Topology { first: 1, second: 1 }, 5);
        assert_eq!(small.len(), 5, "{small:?}");
        assert!(small.iter().all(|kind| kind.ends_with(" d") || kind == "kill d d d"), "{small:?}");
    }

    #[test]
    fn a_rolling_restart_takes_every_appliance_once() {
        let names: Vec<_> = rolling(Topology::LARGEST).iter().map(Fault::to_string).collect();
        let all = ["p1", "p2", "p3", "f1", "f2", "f3"].map(|name| format!("restart {name}"));
        assert_eq!(names, all);
    }
}
