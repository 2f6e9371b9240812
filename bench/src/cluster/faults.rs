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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Kill,
    Cut,
    Pause,
    /// The way between the two hosts.
    Link,
}

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
    all
}

/// So many faults. Each kind comes once before any comes again, in random order; after each such round the whole
/// engine is killed for `engine_away`.
pub(super) fn plan(
    topology: Topology,
    count: usize,
    seed: u64,
    engine_away: Duration,
) -> Vec<Fault> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut plan = Vec::new();
    while plan.len() < count {
        let mut round = cases(topology);
        round.shuffle(&mut random);
        for (what, role) in round {
            let mut one_of = |role| topology.with(role).choose(&mut random).copied();
            let partner = one_of(Role::FirstStage).filter(|_| what == What::Link);
            let hosts = one_of(role).into_iter().chain(partner).collect();
            let lasts = Duration::from_millis(random.random_range(4_000..8_000));
            plan.push(Fault { what, hosts, lasts });
        }
        plan.push(Fault {
            what: What::Kill,
            hosts: topology.with(Role::Engine),
            lasts: engine_away,
        });
    }
    plan.truncate(count);
    plan
}

impl Fault {
    /// Breaks it.
    pub(super) fn strike(&self) -> Result<()> {
        match (self.what, self.hosts.as_slice()) {
            (What::Link, [one, other]) => topology::cut_link(*one, *other),
            (What::Kill, hosts) => hosts.iter().try_for_each(|host| topology::kill(*host)),
            (What::Pause, hosts) => hosts.iter().try_for_each(|host| topology::pause(*host)),
            (What::Cut | What::Link, hosts) => {
                hosts.iter().try_for_each(|host| topology::cut(*host))
            }
        }
    }

    /// Mends it.
    pub(super) fn heal(&self) -> Result<()> {
        match (self.what, self.hosts.as_slice()) {
            (What::Link, [one, other]) => topology::heal_link(*one, *other),
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
            What::Kill => "kill",
            What::Cut => "cut",
            What::Pause => "pause",
            What::Link => "link",
        };
        write!(f, "{what} {}", names.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::plan;
    use control::lab::topology::Topology;
    use std::collections::BTreeSet;
    use std::time::Duration;

    const AWAY: Duration = Duration::from_mins(1);

    #[test]
    fn a_seed_gives_the_same_faults_and_another_gives_others() {
        let faults = |seed| plan(Topology::LARGEST, 30, seed, AWAY);
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
        assert_eq!(faults(3).len(), 30);
    }

    #[test]
    fn every_kind_of_fault_comes_in_each_round() {
        let kinds = |topology: Topology, count| {
            let kind =
                |text: String| text.chars().filter(|letter| !letter.is_ascii_digit()).collect();
            let faults = plan(topology, count, 7, AWAY);
            faults.iter().map(|fault| kind(fault.to_string())).collect::<BTreeSet<String>>()
        };
        let all = kinds(Topology::LARGEST, 11);
        assert_eq!(all.len(), 11, "{all:?}");
        assert!(
            all.contains("link p f") && all.contains("kill d d d") && all.contains("pause f"),
            "{all:?}"
        );
        let small = kinds(Topology { first: 1, second: 1 }, 4);
        assert!(
            small.iter().all(|kind| !kind.contains(['f', 'p']) || kind == "pause d"),
            "{small:?}"
        );
    }
}
