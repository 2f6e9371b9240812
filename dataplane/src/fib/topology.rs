//! Links and routes, prepared so that a lookup only has to find the prefix.

use std::net::IpAddr;

use hashbrown::HashMap;
use prefix_trie::PrefixMap;

use super::Link;

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Out of interface `ifindex`, to the gateway (of either family) or straight to the
    /// destination.
    Interface {
        /// The kernel's interface index; of any interface, also of one that is not ours.
        ifindex: u32,
        /// Next router; `None` when the destination is on link.
        gateway: Option<IpAddr>,
    },
    /// Nowhere: an unreachable, blackhole or prohibit route.
    Refused,
}

/// A route of the main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Any address of the destination prefix.
    pub destination: IpAddr,
    /// Length of the prefix, 0 to 32 or 128.
    pub prefix_len: u8,
    /// The lowest of equal prefixes wins, the first of equal metrics.
    pub metric: u32,
    /// Where it leads.
    pub via: Via,
    /// Source address that the route asks for.
    pub preferred_source: Option<IpAddr>,
    /// Largest IP packet in bytes, when the route says less than the link.
    pub mtu: Option<u32>,
}

impl Route {
    /// A route to hosts on link of interface `ifindex`.
    pub fn on_link(destination: IpAddr, prefix_len: u8, ifindex: u32) -> Self {
        Self::plain(destination, prefix_len, Via::Interface { ifindex, gateway: None })
    }

    /// A route through a gateway on link of interface `ifindex`.
    pub fn via(destination: IpAddr, prefix_len: u8, ifindex: u32, gateway: IpAddr) -> Self {
        Self::plain(destination, prefix_len, Via::Interface { ifindex, gateway: Some(gateway) })
    }

    /// A route that forbids its destinations.
    pub fn refused(destination: IpAddr, prefix_len: u8) -> Self {
        Self::plain(destination, prefix_len, Via::Refused)
    }

    fn plain(destination: IpAddr, prefix_len: u8, via: Via) -> Self {
        Self { destination, prefix_len, metric: 0, via, preferred_source: None, mtu: None }
    }
}

/// An address of an interface that packets may be sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The kernel's interface index.
    pub ifindex: u32,
    /// The address.
    pub address: IpAddr,
    /// Length of its subnet's prefix.
    pub prefix_len: u8,
}

/// What a route comes down to for a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    link: u16,
    pub(super) mtu: u16,
    pub(super) gateway: Option<IpAddr>,
    pub(super) source: IpAddr,
}

/// `None` in the trie forbids a prefix: it must hide a shorter one that leads somewhere.
type Entry = (u32, Option<Hop>);

/// Interface index to the link's place in the list.
type Places = HashMap<u32, u16>;

/// Links of our ports and the routes of the main table.
///
/// Routes over interfaces that are not ours are kept as "no route", so that they hide less specific
/// ones which are ours, just as in the kernel. Our own addresses are kept so, too: the kernel would
/// deliver to itself, which no port can.
#[derive(Debug, Default)]
pub struct Topology {
    links: Vec<Link>,
    v4: PrefixMap<(u32, u8), Entry>,
    v6: PrefixMap<(u128, u8), Entry>,
}

impl Topology {
    /// Prepares links, the addresses of all interfaces and the routes of the main table for lookup.
    ///
    /// # Panics
    /// When a link is listed twice, or there are more than 65,536 of them (4,094 VLANs on each of
    /// 16 ports).
    pub fn new(links: Vec<Link>, addresses: &[InterfaceAddress], routes: &[Route]) -> Self {
        let places: Places = (0..=u16::MAX).zip(&links).map(|(at, l)| (l.ifindex, at)).collect();
        assert!(places.len() == links.len(), "each link once, at most 65,536");
        let mut topology = Self { links, ..Self::default() };
        for route in routes {
            let place = match route.via {
                Via::Interface { ifindex, .. } => places.get(&ifindex).copied(),
                Via::Refused => None,
            };
            if place.is_some_and(|at| !topology.links[usize::from(at)].up) {
                continue; // a worse route may serve
            }
            let hop = place.and_then(|at| topology.resolve(route, at, &places, addresses));
            topology.insert(route.destination, route.prefix_len, (route.metric, hop));
        }
        for own in addresses {
            let host_len = if own.address.is_ipv4() { 32 } else { 128 };
            topology.replace(own.address, host_len, (0, None));
        }
        topology
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    pub(super) fn hop(&self, destination: IpAddr) -> Option<(&Hop, &Link)> {
        let (_, hop) = match destination {
            IpAddr::V4(v4) => self.v4.get_lpm(&(v4.to_bits(), 32))?.1,
            IpAddr::V6(v6) => self.v6.get_lpm(&(v6.to_bits(), 128))?.1,
        };
        let hop = hop.as_ref()?;
        Some((hop, &self.links[usize::from(hop.link)]))
    }

    /// `None` when there is no address to send from: nobody could answer.
    fn resolve(
        &self,
        route: &Route,
        place: u16,
        places: &Places,
        addresses: &[InterfaceAddress],
    ) -> Option<Hop> {
        let Via::Interface { ifindex, gateway } = route.via else {
            return None;
        };
        let near = gateway.unwrap_or(route.destination);
        let source = route
            .preferred_source
            .or_else(|| source(places, addresses, ifindex, near, route.destination.is_ipv4()))?;
        let route_mtu = route.mtu.and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(u16::MAX);
        let mtu = self.links[usize::from(place)].mtu.min(route_mtu);
        Some(Hop { link: place, mtu, gateway, source })
    }

    /// Keeps the better one of two routes to the same prefix.
    fn insert(&mut self, prefix: IpAddr, prefix_len: u8, entry: Entry) {
        let known = match prefix {
            IpAddr::V4(v4) => self.v4.get(&(v4.to_bits(), prefix_len)),
            IpAddr::V6(v6) => self.v6.get(&(v6.to_bits(), prefix_len)),
        };
        if known.is_none_or(|known| entry.0 < known.0) {
            self.replace(prefix, prefix_len, entry);
        }
    }

    fn replace(&mut self, prefix: IpAddr, prefix_len: u8, entry: Entry) {
        match prefix {
            IpAddr::V4(v4) => drop(self.v4.insert((v4.to_bits(), prefix_len), entry)),
            IpAddr::V6(v6) => drop(self.v6.insert((v6.to_bits(), prefix_len), entry)),
        }
    }
}

/// The address of `ifindex` in the subnet of `near`, else its first one of the family, else the
/// first one of any of our links (an unnumbered link).
fn source(
    places: &Places,
    addresses: &[InterfaceAddress],
    ifindex: u32,
    near: IpAddr,
    wants_v4: bool,
) -> Option<IpAddr> {
    let family = || addresses.iter().filter(|own| own.address.is_ipv4() == wants_v4);
    let on_link = || family().filter(|own| own.ifindex == ifindex);
    on_link()
        .find(|own| same_subnet(own, near))
        .or_else(|| on_link().next())
        .or_else(|| family().find(|own| places.contains_key(&own.ifindex)))
        .map(|own| own.address)
}

fn same_subnet(own: &InterfaceAddress, other: IpAddr) -> bool {
    let differing = match (own.address, other) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing >= u32::from(own.prefix_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn link(ifindex: u32, up: bool) -> Link {
        Link { port: 0, ifindex, vlan: None, mac: [2; 6], mtu: 1500, up }
    }

    fn own(ifindex: u32, address: &str, prefix_len: u8) -> InterfaceAddress {
        InterfaceAddress { ifindex, address: ip(address), prefix_len }
    }

    fn hop_of(topology: &Topology, destination: &str) -> Option<(u32, Hop)> {
        topology.hop(ip(destination)).map(|(hop, link)| (link.ifindex, *hop))
    }

    #[test]
    fn source_is_preferred_then_near_then_any() {
        let addresses = [own(1, "10.0.1.1", 24), own(1, "10.0.2.1", 24), own(2, "10.0.3.1", 24)];
        let gateway = ip("10.0.2.254");
        let preferred = Some(ip("10.0.9.9"));
        let routes = [
            Route::via(ip("192.0.2.0"), 24, 1, gateway),
            Route::on_link(ip("198.51.100.0"), 24, 1),
            Route { preferred_source: preferred, ..Route::via(ip("203.0.113.0"), 24, 1, gateway) },
            Route::on_link(ip("10.0.4.0"), 24, 3),
            Route::via(ip("2001:db8::"), 32, 1, ip("fe80::1")),
        ];
        let links = vec![link(1, true), link(2, true), link(3, true)];
        let topology = Topology::new(links, &addresses, &routes);
        let source = |to: &str| hop_of(&topology, to).map(|(_, hop)| hop.source);
        assert_eq!(source("192.0.2.1"), Some(ip("10.0.2.1")));
        assert_eq!(source("198.51.100.1"), Some(ip("10.0.1.1")));
        assert_eq!(source("203.0.113.1"), preferred);
        assert_eq!(source("10.0.4.1"), Some(ip("10.0.1.1")));
        assert_eq!(source("2001:db8::1"), None, "no IPv6 address to send from");
    }

    #[test]
    fn a_link_that_is_down_leaves_the_way_to_a_worse_route() {
        let addresses = [own(1, "10.0.1.1", 24), own(2, "10.0.2.1", 24)];
        let routes = [
            Route { metric: 10, ..Route::via(ip("0.0.0.0"), 0, 1, ip("10.0.1.254")) },
            Route { metric: 20, ..Route::via(ip("0.0.0.0"), 0, 2, ip("10.0.2.254")) },
        ];
        for (up, expected) in [(true, 1), (false, 2)] {
            let links = vec![link(1, up), link(2, true)];
            let topology = Topology::new(links, &addresses, &routes);
            assert_eq!(hop_of(&topology, "192.0.2.1").map(|(ifindex, _)| ifindex), Some(expected));
        }
    }

    #[test]
    fn a_route_over_a_foreign_interface_hides_ours() {
        let addresses = [own(1, "10.0.1.1", 24)];
        let default = Route::via(ip("0.0.0.0"), 0, 1, ip("10.0.1.254"));
        let foreign = Route::on_link(ip("192.0.2.0"), 24, 9);
        let small = Route { mtu: Some(1400), ..Route { prefix_len: 16, ..default } };
        let topology = Topology::new(vec![link(1, true)], &addresses, &[default, foreign, small]);
        assert!(hop_of(&topology, "192.0.2.1").is_none());
        assert_eq!(hop_of(&topology, "192.0.3.1").map(|(_, hop)| hop.mtu), Some(1500));
        assert_eq!(hop_of(&topology, "0.0.3.1").map(|(_, hop)| hop.mtu), Some(1400));
    }
}
