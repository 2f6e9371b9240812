//! From rtnetlink's messages to links, addresses and routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashSet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, VlanProtocol,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteType,
    RouteVia,
};

use super::PortInterface;
use super::limits::LINKS_MAX;
use crate::fib::{InterfaceAddress, Link, Route, Via};

/// Metric of an IPv6 route that names none (`IP6_RT_PRIO_USER`); an IPv4 route then has 0.
const IPV6_DEFAULT_METRIC: u32 = 1024;

/// The ports' own interfaces, then the VLAN interfaces upon them.
pub(super) fn links(ports: &[PortInterface], messages: &[LinkMessage]) -> Vec<Link> {
    let named = |name: &str| messages.iter().find(|message| name_of(message) == Some(name));
    let own = ports.iter().filter_map(|port| link(port.port, None, named(&port.name)?));
    let mut links: Vec<Link> = own.collect();
    let vlans = messages.iter().filter_map(|message| {
        let (parent, vlan) = vlan_of(message)?;
        let port = links.iter().find(|link| link.ifindex == parent)?;
        link(port.port, Some(vlan), message)
    });
    links.extend(vlans.collect::<Vec<_>>());
    // A dump during which links come and go may name one twice.
    let mut seen = HashSet::new();
    links.retain(|link| seen.len() < LINKS_MAX && seen.insert(link.ifindex));
    links
}

fn link(port: u8, vlan: Option<u16>, message: &LinkMessage) -> Option<Link> {
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
        _ => None,
    })?;
    let mtu = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(u16::try_from(*mtu).unwrap_or(u16::MAX)),
        _ => None,
    })?;
    // "Running" is the carrier, and for a VLAN interface its parent's too.
    let up = message.header.flags.contains(LinkFlags::Up | LinkFlags::Running);
    Some(Link { port, ifindex: message.header.index, vlan, mac, mtu, up })
}

fn name_of(message: &LinkMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

/// Index of the interface below and the VLAN ID.
fn vlan_of(message: &LinkMessage) -> Option<(u32, u16)> {
    let mut parent = None;
    let mut vlan = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(index) => parent = Some(*index),
            // The parent lives in another namespace: its index means nothing here.
            LinkAttribute::LinkNetNsId(_) => return None,
            LinkAttribute::LinkInfo(info) => vlan = info.iter().find_map(vlan_id),
            _ => {}
        }
    }
    Some((parent?, vlan?))
}

/// The ID of an IEEE 802.1Q interface; service tags (802.1ad) are not ours to send.
fn vlan_id(info: &LinkInfo) -> Option<u16> {
    let LinkInfo::Data(InfoData::Vlan(fields)) = info else { return None };
    let is_service_tag = |field: &InfoVlan| match field {
        InfoVlan::Protocol(protocol) => *protocol != VlanProtocol::Ieee8021Q,
        _ => false,
    };
    if fields.iter().any(is_service_tag) {
        return None;
    }
    fields.iter().find_map(|field| match field {
        InfoVlan::Id(id) => Some(*id),
        _ => None,
    })
}

/// The addresses that packets may be sent from, the better ones of an interface first.
pub(super) fn addresses(messages: &[AddressMessage]) -> Vec<InterfaceAddress> {
    let mut ranked: Vec<_> = messages.iter().filter_map(address).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, address)| address).collect()
}

/// A usable address and its rank: deprecated (RFC 4862 section 5.5.4) and secondary ones last.
fn address(message: &AddressMessage) -> Option<(u8, InterfaceAddress)> {
    if !matches!(message.header.scope, AddressScope::Universe | AddressScope::Site) {
        return None;
    }
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    let mut own = None;
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point interface `Address` is the peer's and `Local` is ours.
            AddressAttribute::Local(local) => own = Some(*local),
            AddressAttribute::Address(address) => own = own.or(Some(*address)),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let tentative = flags.contains(AddressFlags::Tentative) // RFC 4862 section 5.4: not ours yet
        && !flags.contains(AddressFlags::Optimistic);
    if tentative || flags.contains(AddressFlags::Dadfailed) {
        return None;
    }
    let rank = 2 * u8::from(flags.contains(AddressFlags::Deprecated))
        + u8::from(flags.contains(AddressFlags::Secondary));
    let prefix_len = message.header.prefix_len;
    Some((rank, InterfaceAddress { ifindex: message.header.index, address: own?, prefix_len }))
}

/// A route of the main table for any source and any type of service.
pub(super) fn route(message: &RouteMessage, links: &[Link]) -> Option<Route> {
    let header = &message.header;
    let (unspecified, default_metric) = match header.address_family {
        AddressFamily::Inet => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        AddressFamily::Inet6 => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IPV6_DEFAULT_METRIC),
        _ => return None,
    };
    if table_of(message) != u32::from(RouteHeader::RT_TABLE_MAIN)
        || header.source_prefix_length != 0
        || header.tos != 0
        || header.flags.contains(RouteFlags::Cloned)
    {
        return None;
    }
    let mut route = Route::refused(unspecified, header.destination_prefix_length);
    route.metric = default_metric;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => route.destination = ip_of(to)?,
            RouteAttribute::PrefSource(source) => route.preferred_source = ip_of(source),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Metrics(metrics) => route.mtu = metrics.iter().find_map(mtu_of),
            _ => {}
        }
    }
    if header.kind == RouteType::Unicast {
        route.via = via(&message.attributes, links);
    }
    Some(route)
}

/// Main is 254; larger numbers do not fit the header.
fn table_of(message: &RouteMessage) -> u32 {
    let long = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    long.unwrap_or(u32::from(message.header.table))
}

/// The only next hop, or of several the first one over a link of ours that is up.
fn via(attributes: &[RouteAttribute], links: &[Link]) -> Via {
    let mut ifindex = None;
    let mut gateway = None;
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(index) => ifindex = Some(*index),
            RouteAttribute::Gateway(address) => gateway = ip_of(address),
            RouteAttribute::Via(RouteVia::Inet(v4)) => gateway = Some(IpAddr::V4(*v4)),
            RouteAttribute::Via(RouteVia::Inet6(v6)) => gateway = Some(IpAddr::V6(*v6)),
            // MPLS and segment routing: we do not encapsulate.
            RouteAttribute::EncapType(_) => return Via::Refused,
            RouteAttribute::MultiPath(hops) => {
                let works = |index| links.iter().any(|link| link.up && link.ifindex == index);
                let chosen = hops.iter().find(|hop| works(hop.interface_index)).or(hops.first());
                let Some(chosen) = chosen else { return Via::Refused };
                return match via(&chosen.attributes, links) {
                    Via::Refused => Via::Refused,
                    Via::Interface { gateway, .. } => {
                        Via::Interface { ifindex: chosen.interface_index, gateway }
                    }
                };
            }
            _ => {}
        }
    }
    // A next hop of a multipath route carries its interface in its header, not as an attribute.
    Via::Interface { ifindex: ifindex.unwrap_or(0), gateway }
}

fn mtu_of(metric: &RouteMetric) -> Option<u32> {
    match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    }
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::InfoKind;
    use netlink_packet_route::route::{RouteLwEnCapType, RouteNextHop};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn interface(index: u32, name: &str) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up | LinkFlags::Running;
        message.attributes = vec![
            LinkAttribute::IfName(name.into()),
            LinkAttribute::Mtu(1500),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
        ];
        message
    }

    fn vlan(index: u32, parent: u32, id: u16, protocol: VlanProtocol) -> LinkMessage {
        let mut message = interface(index, "vlan");
        let fields = vec![InfoVlan::Protocol(protocol), InfoVlan::Id(id)];
        message.attributes.push(LinkAttribute::Link(parent));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vlan),
            LinkInfo::Data(InfoData::Vlan(fields)),
        ]));
        message
    }

    fn ports() -> Vec<PortInterface> {
        vec![PortInterface { port: 4, name: "eth1".into() }]
    }

    #[test]
    fn vlan_interfaces_belong_to_the_port_below() {
        let mut elsewhere = vlan(13, 2, 30, VlanProtocol::Ieee8021Q);
        elsewhere.attributes.push(LinkAttribute::LinkNetNsId(0));
        let messages = [
            vlan(11, 2, 10, VlanProtocol::Ieee8021Q),
            interface(1, "eth0"),
            interface(2, "eth1"),
            interface(2, "eth1"),
            vlan(12, 1, 20, VlanProtocol::Ieee8021Q),
            elsewhere,
            vlan(14, 2, 40, VlanProtocol::Ieee8021Ad),
        ];
        let found = links(&ports(), &messages);
        let brief: Vec<_> = found.iter().map(|l| (l.port, l.ifindex, l.vlan, l.up)).collect();
        assert_eq!(brief, [(4, 2, None, true), (4, 11, Some(10), true)]);
    }

    #[test]
    fn usable_addresses_the_better_ones_first() {
        let message = |text: &str, scope, flags| {
            let mut message = AddressMessage::default();
            message.header.index = 2;
            message.header.prefix_len = 64;
            message.header.scope = scope;
            message.attributes =
                vec![AddressAttribute::Address(ip(text)), AddressAttribute::Flags(flags)];
            message
        };
        let global = AddressScope::Universe;
        let mut peer = message("2001:db8::99", global, AddressFlags::Permanent);
        peer.attributes.push(AddressAttribute::Local(ip("2001:db8::4")));
        let found = addresses(&[
            message("fe80::1", AddressScope::Link, AddressFlags::Permanent),
            message("2001:db8::1", global, AddressFlags::Deprecated),
            message("2001:db8::2", global, AddressFlags::Tentative),
            message("2001:db8::3", global, AddressFlags::Secondary),
            peer,
            message("2001:db8::5", global, AddressFlags::Dadfailed),
        ]);
        let found: Vec<_> = found.iter().map(|own| own.address).collect();
        assert_eq!(found, [ip("2001:db8::4"), ip("2001:db8::3"), ip("2001:db8::1")]);
    }

    fn route_message(kind: RouteType, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.kind = kind;
        message.attributes = attributes;
        message
    }

    #[test]
    fn multipath_takes_the_first_hop_over_a_link_that_is_up() {
        let next_hop = |index, gateway: [u8; 4]| {
            let mut hop = RouteNextHop::default();
            hop.interface_index = index;
            hop.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(gateway.into()))];
            hop
        };
        let hops = vec![next_hop(9, [10, 0, 9, 1]), next_hop(2, [10, 0, 2, 1])];
        let message = route_message(RouteType::Unicast, vec![RouteAttribute::MultiPath(hops)]);
        let links = links(&ports(), &[interface(2, "eth1")]);
        let found = route(&message, &links).unwrap();
        assert_eq!(found.via, Via::Interface { ifindex: 2, gateway: Some(ip("10.0.2.1")) });
        let none_ours = route(&message, &[]).unwrap();
        assert_eq!(none_ours.via, Via::Interface { ifindex: 9, gateway: Some(ip("10.0.9.1")) });
    }

    #[test]
    fn what_is_not_a_plain_unicast_route_is_refused_or_passed_over() {
        let oif = || vec![RouteAttribute::Oif(2)];
        let refused = route(&route_message(RouteType::BlackHole, oif()), &[]).unwrap();
        assert_eq!(refused.via, Via::Refused);
        let mut mpls = oif();
        mpls.push(RouteAttribute::EncapType(RouteLwEnCapType::Mpls));
        let refused = route(&route_message(RouteType::Unicast, mpls), &[]).unwrap();
        assert_eq!(refused.via, Via::Refused);
        let mut local_table = route_message(RouteType::Unicast, oif());
        local_table.attributes.push(RouteAttribute::Table(255));
        assert_eq!(route(&local_table, &[]), None);
        let mut by_source = route_message(RouteType::Unicast, oif());
        by_source.header.source_prefix_length = 24;
        assert_eq!(route(&by_source, &[]), None);
    }
}
