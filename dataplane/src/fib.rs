//! The forwarding information base: what the kernel knows about routes and neighbours, as a worker
//! reads it.
//!
//! A [`Fib`] is an immutable picture. The service core builds it (see [`crate::kernel`]) and workers
//! swap it whole, so a lookup takes no lock, allocates nothing and can never see half a change.
//!
//! Lookup, by speed:
//! 1. [`AdjacencyCache`] hit, one cache line: nearly every message of a running system;
//! 2. longest prefix match and one hash lookup: the first message to a destination after a change.

mod cache;
mod topology;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hashbrown::HashMap;

pub use cache::AdjacencyCache;
use topology::Hop;
pub use topology::{InterfaceAddress, Route, Topology, Via};

/// An interface over which a port's frames leave: the port's own or one of its VLAN interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index of our port.
    pub port: u8,
    /// The kernel's interface index.
    pub ifindex: u32,
    /// VLAN ID (IEEE 802.1Q) that frames of this link carry; `None` is untagged.
    pub vlan: Option<u16>,
    /// MAC address that frames of this link are sent from.
    pub mac: [u8; 6],
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Administratively up and with carrier. Routes over a link that is not are passed over.
    pub up: bool,
}

/// Where a packet goes next, from the view of IP: the key of the neighbour tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The kernel's index of the outgoing interface.
    pub ifindex: u32,
    /// Gateway, or the destination itself when it is on link.
    pub address: IpAddr,
}

/// All that the frame and the IP header towards a destination need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjacency {
    /// Index of our port.
    pub port: u8,
    /// VLAN tag to send with.
    pub vlan: Option<u16>,
    /// Ethernet source.
    pub source_mac: [u8; 6],
    /// Ethernet destination.
    pub target_mac: [u8; 6],
    /// Source address that the kernel would take: the route's preferred source, or else an address
    /// of the link. Always of the destination's family.
    pub source: IpAddr,
    /// Largest IP packet in bytes, the smallest one of the link's, the route's and the path's.
    pub mtu: u16,
    /// Whether routers may fragment our IPv4 packets: the path takes less than [`PATH_MTU_MIN`].
    pub may_fragment: bool,
}

impl Adjacency {
    /// What a place for an adjacency holds before the first one.
    pub const NOWHERE: Self = Self {
        port: 0,
        vlan: None,
        source_mac: [0; 6],
        target_mac: [0; 6],
        source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        mtu: 0,
        may_fragment: false,
    };

    /// Whether the neighbour's MAC address is known.
    pub fn is_resolved(&self) -> bool {
        self.target_mac != Self::NOWHERE.target_mac
    }
}

/// Answer to "how do I reach this address".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Send it so.
    Ready(Adjacency),
    /// The route is known, the neighbour's MAC address is not: ask the kernel for this next hop.
    Unresolved(NextHop),
    /// The neighbour did not answer when the kernel asked. Ask again, not more often than once a
    /// second, or it stays failed until it speaks by itself.
    Failed(NextHop),
    /// No route over one of our ports, or a route that forbids it.
    NoRoute,
}

/// What the kernel's neighbour table says about a next hop. One that is not listed was never asked
/// for, or is being asked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// Usable: REACHABLE, STALE, DELAY, PROBE, PERMANENT or NOARP in the kernel's terms.
    Valid([u8; 6]),
    /// Asked for, and silent.
    Failed,
}

/// The kernel's neighbours on our links.
pub type Neighbours = HashMap<NextHop, Neighbour>;

/// Path MTUs that ICMP errors told, by destination, in bytes.
pub type PathMtus = HashMap<IpAddr, u16>;

/// Smallest path MTU that makes us send fragments: IPv6 knows no smaller one (RFC 8200 section 5),
/// and for IPv4 whoever forges a smaller one must not push ordinary messages off the fast path.
pub const PATH_MTU_MIN: u16 = 1_280;

/// Immutable picture of the kernel's routes and neighbours, as far as our ports matter.
#[derive(Debug)]
pub struct Fib {
    /// Number of this picture, counting from 1; two pictures of one process never share it.
    pub generation: u64,
    topology: Arc<Topology>,
    neighbours: Neighbours,
    path_mtus: Arc<PathMtus>,
}

impl Fib {
    /// Puts a picture together.
    ///
    /// # Panics
    /// When `generation` is 0, which marks an empty slot of [`AdjacencyCache`].
    pub fn new(generation: u64, topology: Arc<Topology>, neighbours: Neighbours) -> Self {
        assert!(generation != 0, "generation 0 marks empty cache slots");
        Self { generation, topology, neighbours, path_mtus: Arc::default() }
    }

    /// The same picture with what is known of paths behind the first link.
    #[must_use]
    pub fn with_path_mtus(mut self, path_mtus: Arc<PathMtus>) -> Self {
        self.path_mtus = path_mtus;
        self
    }

    /// A picture with static entries, for tests and benches.
    pub fn builder() -> FibBuilder {
        FibBuilder::default()
    }

    /// How to reach `destination`.
    ///
    /// Multicast, broadcast, loopback, link-local IPv6 (a SIP URI has no zone, RFC 6874 section 1)
    /// and our own addresses have no route: they never leave through a port.
    pub fn lookup(&self, destination: IpAddr) -> Lookup {
        if !is_routable(destination) {
            return Lookup::NoRoute;
        }
        let Some((hop, link)) = self.topology.hop(destination) else {
            return Lookup::NoRoute;
        };
        let next_hop =
            NextHop { ifindex: link.ifindex, address: hop.gateway.unwrap_or(destination) };
        match self.neighbours.get(&next_hop) {
            Some(Neighbour::Valid(target_mac)) => {
                Lookup::Ready(self.adjacency(hop, link, *target_mac, destination))
            }
            Some(Neighbour::Failed) => Lookup::Failed(next_hop),
            None => Lookup::Unresolved(next_hop),
        }
    }

    /// Source address and MTU towards `destination`, for the kernel as the sender: it finds the
    /// neighbour itself, so the MAC address stays empty.
    pub fn way_out(&self, destination: IpAddr) -> Option<Adjacency> {
        let (hop, link) =
            is_routable(destination).then(|| self.topology.hop(destination)).flatten()?;
        Some(self.adjacency(hop, link, [0; 6], destination))
    }

    fn adjacency(&self, hop: &Hop, link: &Link, target_mac: [u8; 6], to: IpAddr) -> Adjacency {
        let path_mtu = self.path_mtus.get(&to).copied().unwrap_or(u16::MAX);
        Adjacency {
            port: link.port,
            vlan: link.vlan,
            source_mac: link.mac,
            target_mac,
            source: hop.source,
            mtu: hop.mtu.min(path_mtu.max(PATH_MTU_MIN)),
            may_fragment: path_mtu < PATH_MTU_MIN,
        }
    }

    /// All links of our ports, in no promised order.
    pub fn links(&self) -> &[Link] {
        self.topology.links()
    }
}

fn is_routable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_multicast()
                || v4.is_loopback()
                || v4.is_unspecified()
                || v4 == Ipv4Addr::BROADCAST)
        }
        IpAddr::V6(v6) => {
            !(v6.is_multicast()
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.to_ipv4_mapped().is_some()) // never on the wire: RFC 4038 section 4.2
        }
    }
}

/// Collects the entries of a static [`Fib`].
#[derive(Debug, Default)]
pub struct FibBuilder {
    links: Vec<Link>,
    addresses: Vec<InterfaceAddress>,
    routes: Vec<Route>,
    neighbours: Neighbours,
}

impl FibBuilder {
    /// Adds a link; routes name it by its `ifindex`.
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.links.push(link);
        self
    }

    /// Adds an address of interface `ifindex`, and the route to its subnet as the kernel would.
    #[must_use]
    pub fn address(mut self, ifindex: u32, address: IpAddr, prefix_len: u8) -> Self {
        self.addresses.push(InterfaceAddress { ifindex, address, prefix_len });
        self.route(Route::on_link(address, prefix_len, ifindex))
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Adds a neighbour; without it the next hop is unresolved.
    #[must_use]
    pub fn neighbour(mut self, ifindex: u32, address: IpAddr, state: Neighbour) -> Self {
        self.neighbours.insert(NextHop { ifindex, address }, state);
        self
    }

    /// The picture, with this generation (from 1).
    pub fn build(self, generation: u64) -> Fib {
        let topology = Topology::new(self.links, &self.addresses, &self.routes);
        Fib::new(generation, Arc::new(topology), self.neighbours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn link(ifindex: u32) -> Link {
        let port = u8::try_from(ifindex).unwrap();
        Link { port, ifindex, vlan: None, mac: [2, 0, 0, 0, 1, port], mtu: 1500, up: true }
    }

    fn two_ports() -> FibBuilder {
        Fib::builder()
            .link(link(1))
            .link(link(2))
            .address(1, ip("10.77.1.1"), 24)
            .address(2, ip("10.77.2.1"), 24)
            .address(1, ip("fd77:1::1"), 64)
            .address(2, ip("fd77:2::1"), 64)
            .neighbour(1, ip("10.77.1.2"), Neighbour::Valid(PEER_MAC))
            .neighbour(2, ip("fd77:2::2"), Neighbour::Valid(PEER_MAC))
            .neighbour(2, ip("10.77.2.9"), Neighbour::Failed)
    }

    fn ready(fib: &Fib, destination: &str) -> Adjacency {
        match fib.lookup(ip(destination)) {
            Lookup::Ready(adjacency) => adjacency,
            other => panic!("{destination}: {other:?}"),
        }
    }

    #[test]
    fn on_link_destinations() {
        let fib = two_ports().build(1);
        let v4 = ready(&fib, "10.77.1.2");
        assert_eq!((v4.port, v4.target_mac, v4.source), (1, PEER_MAC, ip("10.77.1.1")));
        let v6 = ready(&fib, "fd77:2::2");
        assert_eq!((v6.port, v6.source_mac, v6.source), (2, link(2).mac, ip("fd77:2::1")));
        let silent = NextHop { ifindex: 2, address: ip("10.77.2.9") };
        assert_eq!(fib.lookup(ip("10.77.2.9")), Lookup::Failed(silent));
        let unknown = NextHop { ifindex: 2, address: ip("10.77.2.3") };
        assert_eq!(fib.lookup(ip("10.77.2.3")), Lookup::Unresolved(unknown));
        assert_eq!(fib.lookup(ip("192.0.2.1")), Lookup::NoRoute);
    }

    #[test]
    fn addresses_that_never_leave_through_a_port() {
        let fib = two_ports()
            .route(Route::via(ip("0.0.0.0"), 0, 1, ip("10.77.1.2")))
            .route(Route::via(ip("::"), 0, 2, ip("fd77:2::2")))
            .build(1);
        ready(&fib, "192.0.2.1");
        ready(&fib, "2001:db8::1");
        for destination in [
            "224.0.0.1",
            "255.255.255.255",
            "127.0.0.1",
            "0.0.0.0",
            "10.77.2.1",
            "ff02::1",
            "::1",
            "::",
            "fe80::1",
            "::ffff:192.0.2.1",
            "fd77:1::1",
        ] {
            assert_eq!(fib.lookup(ip(destination)), Lookup::NoRoute, "{destination}");
        }
    }

    #[test]
    fn longest_prefix_then_lowest_metric() {
        let refused = Route { metric: 5, ..Route::refused(ip("192.0.2.0"), 24) };
        let worse = Route { metric: 9, ..Route::via(ip("192.0.2.0"), 24, 2, ip("fd77:2::2")) };
        let host = Route::via(ip("192.0.2.7"), 32, 2, ip("fd77:2::2"));
        let fib = two_ports().route(refused).route(worse).route(host).build(1);
        assert_eq!(fib.lookup(ip("192.0.2.1")), Lookup::NoRoute);
        // An IPv6 gateway carries IPv4 (RFC 8950); the source stays of the destination's family.
        assert_eq!(ready(&fib, "192.0.2.7").source, ip("10.77.2.1"));
    }
}
