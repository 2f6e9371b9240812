//! What this node knows of the cluster, for commands, metrics and logs.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The cluster as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of this node.
    pub node: String,
    /// Whether the engine answers.
    pub is_connected: bool,
    /// What is wrong, if anything.
    pub trouble: Option<String>,
    /// All nodes that were there within a day, by name; this one too.
    pub nodes: Vec<Node>,
    /// Shards of the engine, each with a log.
    pub shards: u16,
    /// AoRs that workers of this node have.
    pub aors_held: u64,
    /// AoRs with changes that the engine has not got.
    pub changes_waiting: u64,
    /// Bindings that were given to the engine, and were not older than what it had.
    pub written: u64,
    /// Bindings for which it had newer ones.
    pub refused: u64,
    /// AoRs that were given to workers because other nodes had changed them.
    pub followed: u64,
    /// For how long the logs were not read to their end, in milliseconds.
    pub lag_ms: u64,
    /// A share that is being loaded, if any.
    pub load: Option<Load>,
    /// The load before it.
    pub last_load: Option<Load>,
    /// Loads that have come to their end.
    pub loads: u64,
    /// AoRs and milliseconds of all of them.
    pub loaded: Load,
    /// How often an engine that had answered did so no more.
    pub engine_losses: u64,
}

impl Picture {
    /// The load that was under way has come to its end.
    pub(super) fn end_load(&mut self, load: Load) {
        self.loads += 1;
        self.loaded.aors += load.aors;
        self.loaded.for_ms += load.for_ms;
        (self.load, self.last_load) = (None, Some(load));
    }

    /// The engine does not answer any more, or still not.
    pub(super) fn lose_engine(&mut self) {
        self.engine_losses += u64::from(std::mem::take(&mut self.is_connected));
    }
}

/// Loading what this node is to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// AoRs so far.
    pub aors: u64,
    /// Milliseconds so far.
    pub for_ms: u64,
}

/// A node, as it has said itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Milliseconds since it has said so.
    #[serde(default)]
    pub age_ms: u64,
    /// Which member it is; none when it has no share.
    pub member: Option<SocketAddr>,
    /// What tells it from another one that has its name by mistake.
    pub instance: String,
    /// When its control was started, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// AoRs that its workers have.
    pub aors: u64,
    /// AoRs with changes that the engine has not got.
    pub changes_waiting: u64,
    /// Its version.
    pub version: String,
}

impl Node {
    /// Whether it was there within the time of a lease.
    pub fn is_there(&self) -> bool {
        u128::from(self.age_ms) < crate::limits::LEASE.as_millis()
    }
}
