//! The cost model: what sNpM carries where each node has a core of its own.

use super::Seen;
use super::costs::Costs;
use control::lab::topology::Role;
use serde::Serialize;

/// How far from linear a stage may be.
pub(super) const TOLERANCE: f64 = 0.1;

/// Of a topology, in registrations a second with as many calls.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Model {
    pub(super) first_stage: Stage,
    pub(super) second_stage: Stage,
    /// Of the lesser stage.
    pub(super) capacity: f64,
    /// The lesser of n and m times what the stages of s1p1 have.
    pub(super) linear: f64,
    /// The one to the other.
    pub(super) of_linear: f64,
}

/// One stage of a topology.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Stage {
    /// Part of the stage's messages that each node received, in the order of their numbers.
    pub(super) shares: Vec<f64>,
    /// That the stage receives for a registration and a call.
    pub(super) messages: f64,
    /// CPU time of a message, in nanoseconds.
    pub(super) ns: f64,
    /// What the fullest node lets through.
    pub(super) capacity: f64,
    /// As many times what s1p1 has as there are nodes.
    pub(super) linear: f64,
    pub(super) of_linear: f64,
}

impl Model {
    /// Of what was seen; `base` is s1p1.
    pub(super) fn new(seen: &Seen, base: &Seen, costs: &Costs) -> Self {
        let stage = |role| {
            let mut stage = Stage::new(seen, role, costs);
            let nodes = u32::try_from(stage.shares.len()).unwrap_or(u32::MAX);
            stage.linear = f64::from(nodes) * Stage::new(base, role, costs).capacity;
            stage.of_linear = stage.capacity / stage.linear;
            stage
        };
        let (first_stage, second_stage) = (stage(Role::FirstStage), stage(Role::SecondStage));
        let capacity = first_stage.capacity.min(second_stage.capacity);
        let linear = first_stage.linear.min(second_stage.linear);
        Self { first_stage, second_stage, capacity, linear, of_linear: capacity / linear }
    }

    /// Whether both stages and the whole are as linear as they should be.
    pub(super) fn is_linear(&self) -> bool {
        let all = [self.first_stage.of_linear, self.second_stage.of_linear, self.of_linear];
        all.iter().all(|of_linear| (of_linear - 1.0).abs() <= TOLERANCE)
    }
}

impl Stage {
    /// With nothing to be held against yet.
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    fn new(seen: &Seen, role: Role, costs: &Costs) -> Self {
        let nodes = seen.nodes.iter().filter(|work| work.role == role);
        let messages: Vec<f64> = nodes.map(|work| work.messages as f64).collect();
        let sum: f64 = messages.iter().sum();
        let registrations = seen.registrations.done as f64;
        let ns = if role == Role::FirstStage {
            costs.first_stage(seen.topology.second)
        } else {
            // Each registration is one message here, and the rest are those of calls.
            let of_calls = (sum - registrations).max(0.0);
            (registrations * costs.register_ns + of_calls * costs.call_message_ns) / sum.max(1.0)
        };
        let fullest = messages.iter().copied().fold(0.0, f64::max);
        Self {
            shares: messages.iter().map(|messages| messages / sum.max(1.0)).collect(),
            messages: sum / registrations,
            ns,
            capacity: 1e9 * registrations / (fullest * ns),
            linear: 0.0,
            of_linear: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::mass::OutcomeReport;
    use super::{Costs, Model, Seen};
    use crate::cluster::nodes::Work;
    use control::lab::topology::{Role, Topology};

    const COSTS: Costs = Costs {
        plain_ns: 100.0,
        first_stage_ns: vec![],
        first_stage_ratio: 1.1,
        register_ns: 600.0,
        call_message_ns: 400.0,
        disturbances: vec![],
    };

    /// 100 registrations and calls, and what the nodes of both stages received.
    fn seen(first: &[u64], second: &[u64]) -> Seen {
        let [n, m] = [first, second].map(|stage| u8::try_from(stage.len()).unwrap());
        let registrations = OutcomeReport {
            done: 100,
            failed: 0,
            failures: vec![],
            seconds: 1.0,
            per_second: 100.0,
            p50_ms: 1.0,
            p99_ms: 1.0,
        };
        let work = |role| {
            move |messages: &u64| Work {
                node: String::new(),
                role,
                messages: *messages,
                dropped: 0,
                busy_us_per_message: 0.0,
                users: 0,
                dataplane_cpu_seconds: 0.0,
                control_cpu_seconds: 0.0,
                engine_cpu_seconds: 0.0,
            }
        };
        let first = first.iter().map(work(Role::FirstStage));
        Seen {
            topology: Topology { first: n, second: m },
            calls: registrations.clone(),
            registrations,
            retransmissions: 0,
            nodes: first.chain(second.iter().map(work(Role::SecondStage))).collect(),
        }
    }

    fn is_near(one: f64, other: f64) -> bool {
        (one / other - 1.0).abs() < 1e-9
    }

    #[test]
    fn the_fullest_node_of_the_lesser_stage_decides() {
        let costs = Costs { first_stage_ns: vec![200.0, 200.0, 250.0], ..COSTS };
        let base = seen(&[1_300], &[600]);
        let one = Model::new(&base, &base, &costs);
        assert!(is_near(one.first_stage.capacity, 1e9 / (13.0 * 200.0)));
        // One REGISTER and five messages of a call.
        assert!(is_near(one.second_stage.capacity, 1e9 / (600.0 + 5.0 * 400.0)));
        assert!(is_near(one.capacity, one.linear) && one.is_linear());

        let even = Model::new(&seen(&[650, 650], &[300, 300]), &base, &costs);
        assert!(is_near(even.capacity, 2.0 * one.capacity) && even.is_linear(), "{even:?}");
        let uneven = Model::new(&seen(&[650, 650], &[400, 200]), &base, &costs);
        assert!(is_near(uneven.second_stage.of_linear, 0.75) && !uneven.is_linear());
        assert!(is_near(uneven.second_stage.shares[0], 2.0 / 3.0));
    }

    #[test]
    fn a_first_stage_that_gets_dearer_with_its_members_is_not_linear() {
        let costs = Costs { first_stage_ns: vec![200.0, 200.0, 250.0], ..COSTS };
        let base = seen(&[1_300], &[600]);
        let three = Model::new(&seen(&[1_300], &[200, 200, 200]), &base, &costs);
        assert!(is_near(three.first_stage.of_linear, 0.8) && !three.is_linear(), "{three:?}");
    }
}
