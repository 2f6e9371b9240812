//! The two netlink sockets: one for events, one for requests, so that an overrun of events cannot
//! lose the answer to a request.

use std::net::IpAddr;

use futures_util::{Stream, StreamExt, stream};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::{AddressFamily, neighbour::NeighbourHeader};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REPLACE, NLM_F_REQUEST};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::proto::sys::AsyncSocket;
use rtnetlink::{Handle, MulticastGroup};
use tokio::task::JoinSet;

use super::KernelError;
use super::limits::{EVENT_BUFFER, ROUTES_MAX};
use crate::fib::NextHop;

const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Nexthop,
    MulticastGroup::Neigh,
];

/// What the event socket brings.
#[derive(Debug)]
pub(super) enum Event {
    /// A neighbour changed, or (`true`) was deleted.
    Neighbour(NeighbourMessage, bool),
    /// A link, address, route or next-hop object changed.
    Topology,
    /// The kernel had more events than the socket could hold: some are lost.
    Overrun,
}

type Events = stream::BoxStream<'static, Event>;

/// Both sockets with the tasks that serve them, which end when this is dropped.
pub(super) struct Sockets {
    handle: Handle,
    events: Events,
    _tasks: JoinSet<()>,
}

impl Sockets {
    /// Opens both in the current network namespace. Events count from here on.
    pub(super) fn open() -> Result<Self, KernelError> {
        let (mut event_socket, _, events) = rtnetlink::new_multicast_connection(&GROUPS)?;
        event_socket.socket_mut().socket_mut().set_rx_buf_sz(EVENT_BUFFER)?;
        let (request_socket, handle, _) = rtnetlink::new_connection()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(event_socket);
        tasks.spawn(request_socket);
        let events = events.filter_map(async |(message, _)| event_of(message)).boxed();
        Ok(Self { handle, events, _tasks: tasks })
    }

    /// The next event; `None` when the socket is lost.
    pub(super) async fn next_event(&mut self) -> Option<Event> {
        self.events.next().await
    }

    pub(super) async fn links(&mut self) -> Result<Vec<LinkMessage>, KernelError> {
        collect("links", self.handle.link().get().execute()).await
    }

    pub(super) async fn addresses(&mut self) -> Result<Vec<AddressMessage>, KernelError> {
        collect("addresses", self.handle.address().get().execute()).await
    }

    /// Hands all routes of one family to `take`, without keeping the messages.
    pub(super) async fn routes(
        &mut self,
        family: AddressFamily,
        mut take: impl FnMut(&RouteMessage),
    ) -> Result<(), KernelError> {
        let mut filter = RouteMessage::default();
        filter.header.address_family = family;
        let mut answers = self.handle.route().get(filter).execute();
        let mut count = 0;
        while let Some(answer) = answers.next().await {
            take(&answer.map_err(|source| KernelError::Dump { what: "routes", source })?);
            count += 1;
            if count > ROUTES_MAX {
                return Err(KernelError::TooManyRoutes(ROUTES_MAX));
            }
        }
        Ok(())
    }

    pub(super) async fn neighbours(&mut self) -> Result<Vec<NeighbourMessage>, KernelError> {
        let mut all = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = self.handle.neighbours().get().set_address_family(family);
            all.extend(collect("neighbours", request.execute()).await?);
        }
        Ok(all)
    }

    /// Has the kernel send an ARP request or neighbour solicitation by multicast, unless it knows
    /// the neighbour or is asking already.
    pub(super) async fn ask(&mut self, next_hop: NextHop) -> Result<(), rtnetlink::Error> {
        let request = self.handle.neighbours().add(next_hop.ifindex, next_hop.address);
        request.state(NeighbourState::None).flags(NeighbourFlags::Use).replace().execute().await
    }

    /// Has the kernel probe a neighbour that it knows, by unicast, whatever the neighbour's age. An
    /// entry that is no longer valid is refused, and its MAC address is never touched.
    pub(super) async fn probe(&mut self, next_hop: NextHop) -> Result<(), rtnetlink::Error> {
        let (family, address) = match next_hop.address {
            IpAddr::V4(v4) => (AddressFamily::Inet, NeighbourAddress::Inet(v4)),
            IpAddr::V6(v6) => (AddressFamily::Inet6, NeighbourAddress::Inet6(v6)),
        };
        let mut entry = NeighbourMessage::default();
        entry.header = NeighbourHeader {
            family,
            ifindex: next_hop.ifindex,
            state: NeighbourState::Probe,
            ..NeighbourHeader::default()
        };
        entry.attributes.push(NeighbourAttribute::Destination(address));
        // Not `NeighbourAddRequest`: it would create an entry that has just been deleted.
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(entry));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_REPLACE;
        let mut answers = self.handle.request(request)?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload {
                return Err(rtnetlink::Error::NetlinkError(error));
            }
        }
        Ok(())
    }
}

async fn collect<T>(
    what: &'static str,
    answers: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, KernelError> {
    let mut answers = std::pin::pin!(answers);
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await {
        all.push(answer.map_err(|source| KernelError::Dump { what, source })?);
    }
    Ok(all)
}

fn event_of(message: NetlinkMessage<RouteNetlinkMessage>) -> Option<Event> {
    use RouteNetlinkMessage as Route;
    match message.payload {
        NetlinkPayload::InnerMessage(Route::NewNeighbour(entry)) => {
            Some(Event::Neighbour(entry, false))
        }
        NetlinkPayload::InnerMessage(Route::DelNeighbour(entry)) => {
            Some(Event::Neighbour(entry, true))
        }
        NetlinkPayload::InnerMessage(_) => Some(Event::Topology),
        NetlinkPayload::Overrun(_) => Some(Event::Overrun),
        _ => None,
    }
}
