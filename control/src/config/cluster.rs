//! `[cluster]`: bindings that several appliances share.

use super::{Config, Mistake, value};
use serde::Deserialize;
use sip_core::{Algorithm, HashKey, Store};
use std::net::SocketAddr;
use std::path::PathBuf;

/// `[cluster]`: who shares users with whom, and where the bindings are that they share.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// What all names in the engine begin with. Required; 1 to 64 letters, digits, `-`, `_`, `.`.
    #[serde(deserialize_with = "value::name")]
    pub name: String,
    /// The name of this node, which no other has. Default `appliance.name`.
    #[serde(default, deserialize_with = "value::some_name")]
    pub node: Option<String>,
    /// The destination set, with `hash = "aor"`, whose members share users. Required.
    pub members: String,
    /// Which of them this node is. Default none: it has no share.
    #[serde(default, deserialize_with = "value::some_address")]
    pub member: Option<SocketAddr>,
    /// How many nodes keep each AoR in memory: the one that requests reach, and those that would be next. Default
    /// 2; 1 to 16.
    #[serde(default = "two", deserialize_with = "value::copies")]
    pub copies: u8,
    /// Nodes of the Redis Cluster to begin with. Default none: bindings are not shared.
    #[serde(default, deserialize_with = "value::engine_nodes")]
    pub engine: Vec<SocketAddr>,
    /// The user there. Default none.
    #[serde(default)]
    pub username: Option<String>,
    /// The file with the password there. Default none.
    #[serde(default, deserialize_with = "value::some_absolute")]
    pub password_file: Option<PathBuf>,
}

fn two() -> u8 {
    2
}

impl Config {
    /// What `[cluster]` asks of other sections, and does not find.
    pub(super) fn cluster_mistake(&self) -> Option<Mistake> {
        let cluster = self.cluster.as_ref()?;
        let mistake = |key: &str, problem: String| {
            Some(Mistake { line: None, setting: format!("cluster.{key}"), problem })
        };
        let name = &cluster.members;
        let Some(set) = self.destination_sets.iter().find(|set| set.name == *name) else {
            return mistake("members", format!("there is no destination set \"{name}\""));
        };
        if set.hash != HashKey::Aor || set.algorithm != Algorithm::Rendezvous {
            let problem = format!(
                "the destination set \"{name}\" does not choose by the user: give it hash = \"aor\" and no other \
                 algorithm than \"rendezvous\""
            );
            return mistake("members", problem);
        }
        let members: Vec<_> = set.members.iter().map(|member| member.address).collect();
        if let Some(member) = cluster.member.filter(|member| !members.contains(member)) {
            let members: Vec<_> = members.iter().map(ToString::to_string).collect();
            let problem = format!("\"{name}\" has no member {member}, but {}", members.join(", "));
            return mistake("member", problem);
        }
        if self.appliance.secret_file.is_none() {
            let problem = "nodes that share users need one secret: name appliance.secret_file";
            return mistake("members", problem.to_owned());
        }
        if cluster.username.is_some() && cluster.password_file.is_none() {
            return mistake("username", "needs cluster.password_file beside it".to_owned());
        }
        if !cluster.engine.is_empty() && self.registrar.store == Store::None {
            let problem = "workers say nothing of bindings with registrar.store = \"none\": leave one of both out";
            return mistake("engine", problem.to_owned());
        }
        None
    }
}
