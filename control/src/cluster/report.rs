//! The cluster for people and as JSON: who takes part, who has which share, and who has a user.

use super::keys::shard_of;
use super::picture::{Load, Node, Picture};
use super::share::Share;
use crate::config::Config;
use crate::health::Impaired;
use crate::location::json::AorLine;
use crate::status_report::grouped;
use control_api::operator::MemberState;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// Users that are made up to see who would have them: shares are told to within one per cent.
const SAMPLES: usize = 20_000;

/// The cluster as this node sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterReport {
    /// What this node knows from the engine; none without one.
    pub picture: Option<Picture>,
    /// The members that share users, in the order of their set.
    pub members: Vec<MemberShare>,
}

/// A member and its share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberShare {
    /// Where it is.
    pub address: SocketAddr,
    /// The name of its node, if it has said so.
    pub node: Option<String>,
    /// Whether it is this appliance.
    pub is_here: bool,
    /// How it answers.
    pub state: MemberState,
    /// Its weight in the set.
    pub weight: u16,
    /// Share of the users whose requests it gets, 0 to 1.
    pub gets: f64,
    /// Share of the users that it keeps in memory, 0 to 1.
    pub holds: f64,
}

/// Who has a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserReport {
    /// The user.
    pub aor: String,
    /// The shard of the engine with its bindings.
    pub shard: u8,
    /// Members that are up: the one that gets requests for the user, then those that would be next.
    pub holders: Vec<Holder>,
    /// The bindings that the engine has; none when there are none, or no engine answers.
    pub stored: Option<AorLine>,
}

/// A member that has a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Where it is.
    pub address: SocketAddr,
    /// The name of its node, if it has said so.
    pub node: Option<String>,
    /// Whether it is this appliance.
    pub is_here: bool,
    /// Whether it keeps the user in memory.
    pub holds: bool,
}

/// What reports are made of.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The secret of the choice of members.
    pub secret: [u8; 16],
    /// The members that are not simply in use.
    pub impaired: &'a [Impaired],
    /// What this node knows from the engine.
    pub picture: Option<&'a Picture>,
}

impl Known<'_> {
    fn share(&self) -> Option<Share> {
        let cluster = self.config.cluster.as_ref()?;
        Share::new(cluster, &self.config.to_settings(self.secret), self.impaired)
    }

    fn node_at(&self, address: SocketAddr) -> Option<String> {
        let nodes = &self.picture?.nodes;
        let node =
            nodes.iter().filter(|node| node.is_there()).find(|node| node.member == Some(address));
        node.map(|node| node.name.clone())
    }

    fn is_here(&self, address: SocketAddr) -> bool {
        self.config.cluster.as_ref().is_some_and(|cluster| cluster.member == Some(address))
    }
}

impl ClusterReport {
    /// None when the configuration has no `[cluster]`.
    pub fn new(known: &Known<'_>) -> Option<Self> {
        let (cluster, share) = (known.config.cluster.as_ref()?, known.share()?);
        let set = known.config.destination_sets.iter().find(|set| set.name == cluster.members)?;
        let (mut gets, mut holds) =
            (vec![0_u32; set.members.len()], vec![0_u32; set.members.len()]);
        for user in 0..SAMPLES {
            for (place, holder) in share.holders(&format!("{user}@")).into_iter().enumerate() {
                let Some(index) = set.members.iter().position(|one| one.address == holder) else {
                    continue;
                };
                gets[index] += u32::from(place == 0);
                holds[index] += u32::from(place < usize::from(cluster.copies));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let part = |count: u32| f64::from(count) / SAMPLES as f64;
        let state_of = |address| {
            let found =
                known.impaired.iter().find(|one| one.address == address && one.set == set.name);
            found.map_or(MemberState::Up, |one| one.state)
        };
        let members = set.members.iter().zip(gets.into_iter().zip(holds));
        let members = members.map(|(member, (gets, holds))| MemberShare {
            address: member.address,
            node: known.node_at(member.address),
            is_here: known.is_here(member.address),
            state: state_of(member.address),
            weight: member.weight,
            gets: part(gets),
            holds: part(holds),
        });
        Some(Self { picture: known.picture.cloned(), members: members.collect() })
    }
}

impl UserReport {
    /// None when the configuration has no `[cluster]`.
    pub fn new(known: &Known<'_>, aor: String, stored: Option<AorLine>) -> Option<Self> {
        let (cluster, share) = (known.config.cluster.as_ref()?, known.share()?);
        let holders = share.holders(&aor).into_iter().enumerate().map(|(place, address)| Holder {
            address,
            node: known.node_at(address),
            is_here: known.is_here(address),
            holds: place < usize::from(cluster.copies),
        });
        Some(Self { shard: shard_of(&aor), holders: holders.collect(), aor, stored })
    }
}

impl fmt::Display for ClusterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up = self.members.iter().filter(|member| member.state == MemberState::Up).count();
        let Some(picture) = &self.picture else {
            return write!(
                f,
                "members      {up} of {} up\nengine       none: bindings are this node's alone ([cluster] engine)",
                self.members.len()
            );
        };
        writeln!(f, "cluster      {}, this is node {}", picture.cluster, picture.node)?;
        writeln!(f, "members      {up} of {} up", self.members.len())?;
        let engine = if picture.is_connected { "answers" } else { "does not answer" };
        writeln!(f, "engine       {engine}")?;
        if let Some(trouble) = &picture.trouble {
            writeln!(f, "trouble      {trouble}")?;
        }
        writeln!(f, "here         {} AoRs in memory", grouped(picture.aors_held))?;
        writeln!(
            f,
            "written      {} bindings; {} were older than what the engine had; {} AoRs wait",
            grouped(picture.written),
            grouped(picture.refused),
            grouped(picture.changes_waiting)
        )?;
        write!(
            f,
            "followed     {} AoRs that other nodes changed, {} ms behind",
            grouped(picture.followed),
            grouped(picture.lag_ms)
        )?;
        let mut load = |what: &str, load: &Option<Load>| match load {
            Some(Load { aors, for_ms }) => {
                write!(f, "\n{what}{} AoRs in {} ms", grouped(*aors), grouped(*for_ms))
            }
            None => Ok(()),
        };
        load("loading      ", &picture.load)?;
        load("last load    ", &picture.last_load)
    }
}

/// The nodes that have said that they are there, as a table.
#[derive(Clone, Copy, Debug)]
pub struct NodeTable<'a>(pub &'a [Node]);

impl fmt::Display for NodeTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|node| node.name.len()).fold(4, usize::max);
        write!(
            f,
            "{:<width$}  {:<22}  {:<5}  {:>9}  {:>10}  {:>7}  version",
            "node", "member", "there", "heard", "AoRs", "waiting"
        )?;
        for node in self.0 {
            let member = node.member.map_or_else(|| "-".to_owned(), |member| member.to_string());
            let there = if node.is_there() { "yes" } else { "no" };
            write!(
                f,
                "\n{:<width$}  {member:<22}  {there:<5}  {:>6} ms  {:>10}  {:>7}  {}",
                node.name,
                grouped(node.age_ms),
                grouped(node.aors),
                grouped(node.changes_waiting),
                node.version
            )?;
        }
        Ok(())
    }
}

/// The shares of the members, as a table.
#[derive(Clone, Copy, Debug)]
pub struct ShareTable<'a>(pub &'a [MemberShare]);

impl fmt::Display for ShareTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |node: Option<&String>| node.map_or("-", String::as_str).to_owned();
        let width = self.0.iter().map(|one| name(one.node.as_ref()).len()).fold(4, usize::max);
        write!(
            f,
            "{:<22}  {:<width$}  {:<8}  {:>6}  {:>6}  {:>6}",
            "member", "node", "state", "weight", "gets", "holds"
        )?;
        for one in self.0 {
            write!(
                f,
                "\n{:<22}  {:<width$}  {:<8}  {:>6}  {:>4.0} %  {:>4.0} %{}",
                one.address.to_string(),
                name(one.node.as_ref()),
                one.state.name(),
                one.weight,
                one.gets * 100.0,
                one.holds * 100.0,
                if one.is_here { "  this node" } else { "" }
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for UserReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is in shard {} of the engine", self.aor, self.shard)?;
        for (place, holder) in self.holders.iter().enumerate() {
            let role = match (place, holder.holds) {
                (0, _) => "gets its requests",
                (_, true) => "is next, and has it in memory",
                (_, false) => "comes after those",
            };
            let node = holder.node.as_ref().map_or_else(String::new, |node| format!(" ({node})"));
            let here = if holder.is_here { ", this node" } else { "" };
            write!(f, "\n  {}{node}{here}: {role}", holder.address)?;
        }
        match &self.stored {
            None => write!(f, "\nno binding is stored"),
            Some(line) => line.bindings.iter().try_for_each(|binding| {
                write!(
                    f,
                    "\nstored: {} until {} ms after 1970",
                    binding.uri, binding.expires_unix_ms
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ClusterReport, Known, NodeTable, ShareTable, UserReport};
    use crate::cluster::picture::{Node, Picture};
    use crate::config::Config;
    use crate::health::Impaired;
    use control_api::operator::MemberState;
    use std::path::Path;

    const CONFIG: &str = r#"
[appliance]
domains = ["example.com"]
secret_file = "/etc/trunkline/cluster.secret"
[lcores]
workers = [1]
service = 0
[[ports]]
name = "wire"
interface = "eth0"
[[listen]]
address = "192.0.2.21:5060"
[[destination_sets]]
name = "users"
hash = "aor"
members = [{ address = "192.0.2.21:5060" }, { address = "192.0.2.22:5060" }, { address = "192.0.2.23:5060" }]
[cluster]
name = "east"
node = "s1"
members = "users"
member = "192.0.2.21:5060"
[[routes]]
register = true
[[routes]]
locate = true
otherwise = "users"
"#;

    fn known<'a>(
        config: &'a Config,
        impaired: &'a [Impaired],
        picture: Option<&'a Picture>,
    ) -> Known<'a> {
        Known { config, secret: [7; 16], impaired, picture }
    }

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 0.02
    }

    #[test]
    fn shares_are_those_of_the_members_that_are_up() {
        let config = Config::parse(CONFIG, Path::new("")).unwrap();
        let report = ClusterReport::new(&known(&config, &[], None)).unwrap();
        assert!(
            report
                .members
                .iter()
                .all(|one| near(one.gets, 1.0 / 3.0) && near(one.holds, 2.0 / 3.0))
        );
        let down = [Impaired {
            set: "users".into(),
            address: "192.0.2.23:5060".parse().unwrap(),
            state: MemberState::Down,
        }];
        let report = ClusterReport::new(&known(&config, &down, None)).unwrap();
        let text = ShareTable(&report.members).to_string();
        assert!(near(report.members[0].gets, 0.5) && near(report.members[1].holds, 1.0), "{text}");
        assert!(text.contains("down           1     0 %     0 %"), "{text}");
        assert!(report.to_string().contains("2 of 3 up"), "{report}");
    }

    #[test]
    fn a_user_has_its_members_in_their_order() {
        let config = Config::parse(CONFIG, Path::new("")).unwrap();
        let node = Node {
            name: "second".into(),
            member: Some("192.0.2.22:5060".parse().unwrap()),
            ..Node::default()
        };
        let picture = Picture { nodes: vec![node], is_connected: true, ..Picture::default() };
        let known = known(&config, &[], Some(&picture));
        let user = UserReport::new(&known, "alice@example.com".into(), None).unwrap();
        let holds: Vec<_> = user.holders.iter().map(|holder| holder.holds).collect();
        assert_eq!(holds, [true, true, false]);
        let text = user.to_string();
        assert!(
            text.contains("192.0.2.22:5060 (second)") && text.contains(", this node"),
            "{text}"
        );
        assert!(NodeTable(&picture.nodes).to_string().contains("second  192.0.2.22:5060"));
        assert!(ClusterReport::new(&known).unwrap().to_string().contains("engine       answers"));
    }
}
