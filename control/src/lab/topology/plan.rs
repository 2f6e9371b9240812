//! Which hosts there are, and their addresses.

use crate::lab::DIRECTORY;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Most appliances of one stage.
pub const STAGE_MAX: u8 = 3;
/// Hosts of the engine, each with a master and a replica of another one's: a Redis Cluster has three masters at least.
const ENGINES: u8 = 3;
/// Where every appliance takes SIP.
const SIP_PORT: u16 = 5_060;

/// Addresses at which each appliance that clients speak to listens, and that no host has: who tries out how an address is
/// taken over gives them one. The first and the last are in the network of the lab, for VRRP; the second is not, for BGP.
const SHARED: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(10, 79, 0, 10)),
    IpAddr::V4(Ipv4Addr::new(10, 79, 1, 10)),
    IpAddr::V6(Ipv6Addr::new(0xfd79, 0, 0, 0, 0, 0, 0, 0x10)),
];

/// How many appliances there are: `sNpM`, in the words of Singh and Schulzrinne, *Failover and load sharing in SIP
/// telephony*; or `bN`, where each is both stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// First-stage nodes, 1 to [`STAGE_MAX`]; 0 where those of the second stage are both.
    pub first: u8,
    /// Second-stage nodes, 1 to [`STAGE_MAX`].
    pub second: u8,
}

impl Topology {
    /// As many hosts as there can be.
    pub const LARGEST: Self = Self { first: STAGE_MAX, second: STAGE_MAX };

    /// All hosts, in the order in which they start and are shown.
    pub fn hosts(self) -> Vec<Node> {
        let all = |role, count| (1..=count).map(move |number| Node { role, number });
        all(Role::Engine, ENGINES)
            .chain(all(Role::SecondStage, self.second))
            .chain(all(Role::FirstStage, self.first))
            .chain([Role::Callers, Role::Servers].map(|role| Node { role, number: 1 }))
            .collect()
    }

    /// Whether its second-stage nodes are first stage, too.
    pub fn is_of_both(self) -> bool {
        self.first == 0
    }

    /// Where an appliance takes SIP: first at the addresses that others have, too, where clients speak to it.
    pub(super) fn listens(self, node: Node) -> Vec<SocketAddr> {
        let is_spoken_to = self.is_of_both() || node.role == Role::FirstStage;
        let shared = SHARED.into_iter().filter(|_| is_spoken_to);
        shared.map(|ip| (ip, SIP_PORT).into()).chain(node.sip()).collect()
    }

    /// The hosts with this role.
    pub fn with(self, role: Role) -> Vec<Node> {
        self.hosts().into_iter().filter(|node| node.role == role).collect()
    }

    /// The host of this name.
    ///
    /// # Errors
    /// When there is none, with the names that there are.
    pub fn host(self, name: &str) -> Result<Node, String> {
        let hosts = self.hosts();
        let found = hosts.iter().find(|node| node.name() == name || node.namespace() == name);
        found.copied().ok_or_else(|| {
            let names: Vec<_> = hosts.iter().map(|node| node.name()).collect();
            format!("no host `{name}` in the lab: {}", names.join(", "))
        })
    }
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = |text: &str| text.parse().ok().filter(|count| (1..=STAGE_MAX).contains(count));
        let stages = text.strip_prefix('s').and_then(|rest| rest.split_once('p'));
        let counts = stages.and_then(|(first, second)| Some((count(first)?, count(second)?)));
        let both = text.strip_prefix('b').and_then(count).map(|both| (0, both));
        let (first, second) = counts.or(both).ok_or_else(|| {
            format!(
                "`{text}` is no topology: s1p1 to s{STAGE_MAX}p{STAGE_MAX}, as in s3p2 for three first-stage and two \
                 second-stage appliances, or b1 to b{STAGE_MAX} for appliances that are both"
            )
        })?;
        Ok(Self { first, second })
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            0 => write!(f, "b{}", self.second),
            first => write!(f, "s{first}p{}", self.second),
        }
    }
}

/// What a host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An appliance that remembers nothing and gives each request to the second-stage node of its user.
    FirstStage,
    /// An appliance that registers and locates its share of the users.
    SecondStage,
    /// Two servers of the Redis Cluster.
    Engine,
    /// Where callers live.
    Callers,
    /// Where servers live.
    Servers,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::FirstStage => "first stage",
            Self::SecondStage => "second stage",
            Self::Engine => "engine",
            Self::Callers => "callers",
            Self::Servers => "servers",
        })
    }
}

/// A host of a topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is for.
    pub role: Role,
    /// Which of those with this role, from 1.
    pub number: u8,
}

impl Node {
    /// The name in commands, and of its port at the switch: `f1`, `p1`, `d1`, `uac`, `uas`.
    pub fn name(self) -> String {
        match self.role {
            Role::FirstStage => format!("f{}", self.number),
            Role::SecondStage => format!("p{}", self.number),
            Role::Engine => format!("d{}", self.number),
            Role::Callers => "uac".into(),
            Role::Servers => "uas".into(),
        }
    }

    /// The network namespace.
    pub fn namespace(self) -> String {
        format!("tl-{}", self.name())
    }

    /// Its number in the networks of the lab, 10.79.0.0/24 and fd79::/64.
    fn address(self) -> u8 {
        match self.role {
            Role::FirstStage => 10 + self.number,
            Role::SecondStage => 20 + self.number,
            Role::Engine => 30 + self.number,
            Role::Callers => 101,
            Role::Servers => 102,
        }
    }

    /// Its IPv4 address.
    pub fn v4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 79, 0, self.address())
    }

    /// Its IPv6 address; the last group looks like the last byte of the IPv4 address.
    pub fn v6(self) -> Ipv6Addr {
        let digits = u16::from(self.address());
        let group = ((digits / 100) << 8) | ((digits / 10 % 10) << 4) | (digits % 10);
        Ipv6Addr::new(0xfd79, 0, 0, 0, 0, 0, 0, group)
    }

    /// Where an appliance takes SIP, over IPv4 and IPv6.
    pub fn sip(self) -> [SocketAddr; 2] {
        [(self.v4(), SIP_PORT).into(), (self.v6(), SIP_PORT).into()]
    }

    /// Whether this is an address of its own.
    pub(super) fn has(self, ip: IpAddr) -> bool {
        self.sip().iter().any(|own| own.ip() == ip)
    }

    /// Whether an appliance runs there.
    pub fn is_appliance(self) -> bool {
        matches!(self.role, Role::FirstStage | Role::SecondStage)
    }

    /// Where everything about it lies.
    pub fn directory(self) -> PathBuf {
        PathBuf::from(DIRECTORY).join(self.name())
    }

    /// The configuration of an appliance.
    pub fn config_path(self) -> PathBuf {
        self.directory().join("trunkline.toml")
    }

    /// Where its programs write what they have to say.
    pub fn logs(self) -> PathBuf {
        self.directory().join("logs")
    }
}

#[cfg(test)]
mod tests {
    use super::{Role, Topology};
    use std::collections::BTreeSet;

    #[test]
    fn topologies_are_read_and_shown() {
        let topology: Topology = "s3p2".parse().unwrap();
        assert_eq!(topology, Topology { first: 3, second: 2 });
        assert_eq!(topology.to_string(), "s3p2");
        let both: Topology = "b3".parse().unwrap();
        assert_eq!((both, both.to_string()), (Topology { first: 0, second: 3 }, "b3".into()));
        for wrong in ["", "s3", "p2", "b0", "b4", "s0p1", "s4p1", "s1p4", "s1p1x", "S1P1", "s+1p1x"]
        {
            let error = wrong.parse::<Topology>().unwrap_err();
            assert!(error.contains("s1p1 to s3p3"), "{error}");
        }
    }

    #[test]
    fn every_host_has_a_name_and_addresses_of_its_own() {
        let hosts = Topology::LARGEST.hosts();
        assert_eq!(hosts.len(), 3 + 3 + 3 + 2);
        let names: BTreeSet<_> = hosts.iter().map(|node| node.name()).collect();
        let addresses: BTreeSet<_> = hosts.iter().map(|node| node.v4()).collect();
        assert_eq!((names.len(), addresses.len()), (hosts.len(), hosts.len()));
        let p2 = Topology::LARGEST.host("p2").unwrap();
        assert_eq!(p2, Topology::LARGEST.host("tl-p2").unwrap());
        assert_eq!(p2.sip().map(|at| at.to_string()), ["10.79.0.22:5060", "[fd79::22]:5060"]);
        let uac = Topology::LARGEST.host("uac").unwrap();
        assert_eq!(
            (uac.v4().to_string(), uac.v6().to_string()),
            ("10.79.0.101".into(), "fd79::101".into())
        );
    }

    #[test]
    fn who_is_spoken_to_by_clients_listens_at_addresses_that_others_have_too() {
        let listens = |topology: &str, host: &str| {
            let topology: Topology = topology.parse().unwrap();
            topology.listens(topology.host(host).unwrap()).len()
        };
        let of = [("s2p1", "f2"), ("s2p1", "p1"), ("b2", "p2")].map(|(all, one)| listens(all, one));
        assert_eq!(of, [5, 2, 5]);
    }

    #[test]
    fn a_host_that_is_not_there_is_refused_with_those_that_are() {
        let small = Topology { first: 1, second: 1 };
        let error = small.host("p2").unwrap_err();
        assert_eq!(error, "no host `p2` in the lab: d1, d2, d3, p1, f1, uac, uas");
        assert_eq!(small.with(Role::FirstStage).len(), 1);
    }
}
