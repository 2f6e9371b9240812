//! Where a message leaves: its next hop, the neighbour or connection on the way there, and our own address.

use super::{Scratch, Way};
use crate::fib::Lookup;
use crate::verdict::Verdict;
use control_api::DropReason;
use core::net::SocketAddr;
use sip_core::{Arrival, ListenId, ListenPoint, RequestRoute, Transport};

impl Way<'_> {
    /// Sets target and adjacency of the egress for a request; gives the listen point that it leaves from, on
    /// `port` if there is a choice.
    #[inline]
    pub(super) fn find_way(
        &self,
        route: &RequestRoute,
        arrival: &Arrival,
        port: u16,
        scratch: &mut Scratch,
    ) -> Result<ListenId, Verdict> {
        if route.transport.is_connection() {
            return self.find_connection(route, arrival, scratch);
        }
        self.find_adjacency(route.next_hop, scratch)?;
        self.listen_point_of(route, arrival, port, scratch)
    }

    /// The same for what goes over a connection: frames and neighbours are the kernel's business.
    #[cold]
    fn find_connection(
        &self,
        route: &RequestRoute,
        arrival: &Arrival,
        scratch: &mut Scratch,
    ) -> Result<ListenId, Verdict> {
        scratch.egress.target = route.next_hop;
        let port = self.datagram.target.port();
        let known = route.leave_from().filter(|listen| self.is_known(*listen));
        let ways = self.ways(&scratch.choices);
        let (hop, transport) = (route.next_hop, route.transport);
        let way = || ways.connection_towards(hop, transport, port, arrival.listen);
        known.or_else(way).ok_or(Verdict::Drop(DropReason::NoRoute))
    }

    /// The same for a response, which goes back by the listen point that its request came in by.
    #[inline]
    pub(super) fn find_way_back(
        &self,
        target: SocketAddr,
        listen: Option<ListenId>,
        scratch: &mut Scratch,
    ) -> Result<(), Verdict> {
        if listen.is_some_and(|listen| self.tables.transport_of(listen).is_connection()) {
            scratch.egress.target = target;
            return Ok(());
        }
        self.find_adjacency(target, scratch)
    }

    /// Sets target and adjacency of the egress.
    #[inline]
    fn find_adjacency(&self, target: SocketAddr, scratch: &mut Scratch) -> Result<(), Verdict> {
        match scratch.adjacencies.lookup(self.fib, target.ip()) {
            Ok(adjacency) => {
                scratch.egress.target = target;
                scratch.egress.adjacency = *adjacency;
                Ok(())
            }
            Err(not_ready) => {
                scratch.egress.target = target;
                self.without_neighbour(not_ready, scratch)
            }
        }
    }

    /// The kernel asks for its neighbours itself; for our own frames we have to wait.
    #[cold]
    fn without_neighbour(&self, lookup: Lookup, scratch: &mut Scratch) -> Result<(), Verdict> {
        match lookup {
            Lookup::Unresolved(_) | Lookup::Failed(_) if self.by_kernel => {
                let way_out = self.fib.way_out(scratch.egress.target.ip());
                scratch.egress.adjacency = way_out.ok_or(Verdict::Drop(DropReason::NoRoute))?;
                Ok(())
            }
            Lookup::Unresolved(next_hop) => Err(Verdict::Park(next_hop)),
            Lookup::Failed(next_hop) => Err(Verdict::Unreachable(next_hop)),
            Lookup::NoRoute | Lookup::Ready(_) => Err(Verdict::Drop(DropReason::NoRoute)),
        }
    }

    /// Sets the address that the message leaves from.
    #[inline]
    pub(super) fn leave_from(&self, listen: ListenId, scratch: &mut Scratch) {
        let ListenPoint { address, transport } = *self.tables.listen_point(listen);
        (scratch.egress.source, scratch.egress.transport) = (address, transport);
        scratch.egress.is_on_flow = true;
    }

    /// Whether the epoch has such a listen point.
    fn is_known(&self, listen: ListenId) -> bool {
        usize::from(listen.0) < self.tables.listen_points()
    }

    /// The listen point that a request leaves from: the one that its client's NAT knows, or that of the way, or the
    /// one that it came to.
    #[inline]
    fn listen_point_of(
        &self,
        route: &RequestRoute,
        arrival: &Arrival,
        port: u16,
        scratch: &Scratch,
    ) -> Result<ListenId, Verdict> {
        let known = route.leave_from().filter(|listen| self.is_known(*listen));
        let source = scratch.egress.adjacency.source;
        let onward = || self.tables.listen_onward(arrival.listen, Transport::Udp, source, port);
        known.or_else(onward).ok_or(Verdict::Drop(DropReason::NoListenPoint))
    }

    /// The listen point with the source address of the route, on `port` if there is one.
    pub(super) fn listen_point_of_route(
        &self,
        port: u16,
        scratch: &Scratch,
    ) -> Result<ListenId, Verdict> {
        let source = scratch.egress.adjacency.source;
        let listen = self.tables.listen_for(Transport::Udp, source, port);
        listen.ok_or(Verdict::Drop(DropReason::NoListenPoint))
    }
}
