//! The cluster as this node sees it.

use super::tables::{Metric, Value};
use super::{Families, Labels};
use crate::cluster::report::{ClusterReport, MemberShare};
use crate::cluster::{Load, Node, Picture};
use std::fmt;

impl Families<'_> {
    pub(super) fn cluster(&mut self, report: &ClusterReport) -> fmt::Result {
        let member = |one: &MemberShare| vec![("member", one.address.to_string())];
        let members: Vec<_> = report.members.iter().map(|one| (member(one), one)).collect();
        self.all(MEMBER, &members)?;
        let Some(picture) = &report.picture else { return Ok(()) };
        self.all(PICTURE, &[(Labels::new(), picture)])?;
        let node = |one: &Node| vec![("node", one.name.clone())];
        let nodes: Vec<_> = picture.nodes.iter().map(|one| (node(one), one)).collect();
        self.all(NODE, &nodes)
    }
}

/// What this node knows from the engine.
#[rustfmt::skip]
const PICTURE: &[Metric<Picture>] = &[
    Metric { name: "cluster_engine_connected", help: "Whether the engine answers.", value: |s| Value::flag(s.is_connected) },
    Metric { name: "cluster_engine_losses", help: "How often an engine that had answered did so no more.", value: |s| Value::Count(s.engine_losses) },
    Metric { name: "cluster_trouble", help: "Whether something is wrong: trunkline cluster status says what.", value: |s| Value::flag(s.trouble.is_some()) },
    Metric { name: "cluster_nodes_there", help: "Nodes that were heard of within the time of a lease, this one too.", value: |s| Value::Level(s.nodes.iter().filter(|node| node.is_there()).count() as u64) },
    Metric { name: "cluster_aors", help: "AoRs that workers of this node have.", value: |s| Value::Level(s.aors_held) },
    Metric { name: "cluster_changes_waiting", help: "AoRs with changes that the engine has not got.", value: |s| Value::Level(s.changes_waiting) },
    Metric { name: "cluster_written", help: "Bindings that were given to the engine, and were not older than what it had.", value: |s| Value::Count(s.written) },
    Metric { name: "cluster_refused", help: "Bindings for which the engine had newer ones.", value: |s| Value::Count(s.refused) },
    Metric { name: "cluster_followed", help: "AoRs that workers were given because other nodes had changed them.", value: |s| Value::Count(s.followed) },
    Metric { name: "cluster_lag_seconds", help: "For how long the logs of the engine were not read to their end.", value: |s| Value::millis(s.lag_ms) },
    Metric { name: "cluster_loading", help: "Whether a share is being loaded.", value: |s| Value::flag(s.load.is_some()) },
    Metric { name: "cluster_loads", help: "Shares that were loaded, because members had come or gone or the workers had begun anew.", value: |s| Value::Count(s.loads) },
    Metric { name: "cluster_loaded_aors", help: "AoRs of these shares.", value: |s| Value::Count(s.loaded.aors) },
    Metric { name: "cluster_load_seconds", help: "Time that loading these shares took.", value: |s| seconds(&s.loaded) },
    Metric { name: "cluster_last_load_aors", help: "AoRs of the share that was loaded last.", value: |s| Value::Level(last(s).aors) },
    Metric { name: "cluster_last_load_seconds", help: "How long loading the last share took.", value: |s| Value::millis(last(s).for_ms) },
];

/// Each node that was heard of within a day.
#[rustfmt::skip]
const NODE: &[Metric<Node>] = &[
    Metric { name: "cluster_node_there", help: "Whether a node was heard of within the time of a lease.", value: |s| Value::flag(s.is_there()) },
    Metric { name: "cluster_node_heard_seconds", help: "When a node was heard of, in seconds before this node asked the last time.", value: |s| Value::millis(s.age_ms) },
    Metric { name: "cluster_node_aors", help: "AoRs that workers of a node have, as it says itself.", value: |s| Value::Level(s.aors) },
    Metric { name: "cluster_node_changes_waiting", help: "AoRs with changes that the engine has not got from a node, as it says itself.", value: |s| Value::Level(s.changes_waiting) },
];

/// Each member that shares users.
#[rustfmt::skip]
const MEMBER: &[Metric<MemberShare>] = &[
    Metric { name: "cluster_member_gets_ratio", help: "Share of the users whose requests a member gets.", value: |s| Value::LevelSeconds(s.gets) },
    Metric { name: "cluster_member_holds_ratio", help: "Share of the users that a member keeps in memory.", value: |s| Value::LevelSeconds(s.holds) },
];

fn last(picture: &Picture) -> Load {
    picture.last_load.clone().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "exact for ages")]
fn seconds(load: &Load) -> Value {
    Value::CountSeconds(load.for_ms as f64 / 1e3)
}
