//! The listen point that a message leaves from.

use core::net::IpAddr;

use super::tables::{ListenEntry, Tables};
use crate::settings::{ListenId, ListenPoint, Transport};

impl Tables {
    /// A listen point to send from when the route to the next hop leaves with `source`: one of that
    /// address and transport, on `prefer_port` if there is one.
    #[inline]
    pub fn listen_for(
        &self,
        transport: Transport,
        source: IpAddr,
        prefer_port: u16,
    ) -> Option<ListenId> {
        if transport != Transport::Udp {
            return self.connection_for(transport, source, prefer_port);
        }
        let points = self.fixed.by_ip.get(&source)?;
        let same_port = points.iter().find(|(port, _)| *port == prefer_port);
        same_port.or_else(|| points.first()).map(|&(_, id)| id)
    }

    /// The one that a request leaves from which came in by `arrived_at`, where the route to the next hop leaves with
    /// `source`. What came to an address that other appliances have, too, leaves from there: its responses, and the
    /// requests of its dialog, then find whoever has the address when they come.
    #[inline]
    pub fn listen_onward(
        &self,
        arrived_at: ListenId,
        transport: Transport,
        source: IpAddr,
        prefer_port: u16,
    ) -> Option<ListenId> {
        let of = |source| self.listen_for(transport, source, prefer_port);
        let (entry, by_route) = (self.entry(arrived_at), of(source));
        // Where the route leaves with a shared address itself, it says which of several.
        if !entry.is_shared || by_route.is_some_and(|id| self.entry(id).is_shared) {
            return by_route;
        }
        let ip = entry.point.address.ip();
        let shared = if ip.is_ipv4() == source.is_ipv4() { Some(ip) } else { entry.twin };
        shared.and_then(of).or(by_route)
    }

    #[cold]
    fn connection_for(
        &self,
        transport: Transport,
        source: IpAddr,
        prefer_port: u16,
    ) -> Option<ListenId> {
        let all = || {
            let fits =
                |point: &ListenPoint| point.transport == transport && point.address.ip() == source;
            self.fixed.connections.iter().filter(move |(point, _)| fits(point))
        };
        let same_port = all().find(|(point, _)| point.address.port() == prefer_port);
        same_port.or_else(|| all().next()).map(|&(_, id)| id)
    }

    /// The first listen point of this transport and address family, be it UDP or another.
    pub(crate) fn listen_like(&self, transport: Transport, is_ipv4: bool) -> Option<ListenId> {
        let fits = |entry: &ListenEntry| {
            entry.point.transport == transport && entry.point.address.is_ipv4() == is_ipv4
        };
        let place = self.fixed.listen.iter().position(fits)?;
        u8::try_from(place).ok().map(ListenId)
    }

    /// A listen point of this transport and address family.
    pub fn any_connection(&self, transport: Transport, is_ipv4: bool) -> Option<ListenId> {
        let fits = |point: &ListenPoint| {
            point.transport == transport && point.address.is_ipv4() == is_ipv4
        };
        self.fixed.connections.iter().find(|(point, _)| fits(point)).map(|&(_, id)| id)
    }
}
