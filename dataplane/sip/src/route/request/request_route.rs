//! What becomes of a request that is forwarded.

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::location::AorUri;
use crate::message::{Arrival, Span};
use crate::names::HostName;
use crate::parse::via::Via;
use crate::rewrite::branch::Branch;
use crate::route::route_set::Cuts;
use crate::settings::{ListenId, Relay, Transport};
use crate::transaction::ServerKey;

/// A request that is forwarded: where to, why, and what to change. One can be used over and over:
/// [`route_request`] writes it where it stays.
#[derive(Debug)]
pub struct RequestRoute {
    /// Where it goes; without meaning while its next hop is a name ([`Self::host_name`]).
    pub next_hop: SocketAddr,
    /// What it goes over.
    pub transport: Transport,
    /// The name of its next hop, for which [`Names::aim`](crate::Names::aim) has the addresses.
    pub(crate) name: Option<HostName>,
    /// Why it goes there.
    pub reason: RouteReason,
    /// Whether it gets a transaction, and where else it may go.
    pub(crate) relay: Relay,
    /// The listen point that it must leave from, where it goes to a client behind NAT.
    pub(crate) leave_from: Option<ListenId>,
    /// Our branch; without one, the stateless one.
    pub(crate) branch: Option<Branch>,
    pub(crate) via: Via,
    /// Max-Forwards after counting down; `None` adds the header.
    pub(crate) max_forwards: Option<u8>,
    /// What the start line gets; the Request-URI as it is, except with strict routers.
    pub(crate) uri: Span,
    /// The URI that was routed, if it is to be located: the Request-URI, but with strict routers.
    pub(crate) aor_uri: Option<AorUri>,
    pub(crate) cuts: Cuts,
    /// The URI to add as last Route value, and behind which position; `None` adds a new line.
    pub(crate) append: Option<(Span, Option<usize>)>,
    /// Hash of the call for the Record-Route marks, if the route needed it already.
    pub(crate) call: Option<u64>,
}

/// What decided the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteReason {
    /// The request belongs to a dialog that has our marked Record-Route: Route or Request-URI.
    InDialog,
    /// Its topmost Route is the Path that we gave to a client which registered through us.
    Path,
    /// The rule of this index relays to Route or Request-URI.
    RequestUri {
        /// Index in [`Settings::rules`](crate::Settings::rules).
        rule: u16,
    },
    /// The rule of this index registers: the request goes nowhere.
    Register {
        /// Index in [`Settings::rules`](crate::Settings::rules).
        rule: u16,
    },
    /// The rule of this index forwards to the bindings of [`RequestRoute::aor_uri`]; the next hop is theirs
    /// and not known yet.
    Locate {
        /// Index in [`Settings::rules`](crate::Settings::rules).
        rule: u16,
    },
    /// The rule of this index forwards to a member of a destination set.
    Member {
        /// Index in [`Settings::rules`](crate::Settings::rules).
        rule: u16,
        /// Index in [`Settings::sets`](crate::Settings::sets).
        set: u16,
        /// Index in [`DestinationSet::members`](crate::DestinationSet::members); [`u16::MAX`] for one
        /// that the settings no longer have, which keeps the transactions that it had.
        member: u16,
    },
}

impl RequestRoute {
    /// Spares [`rewrite_request`](crate::rewrite_request) to compute the stateless branch, which is
    /// what the transactions did not know.
    #[inline]
    pub fn branch_from(&mut self, key: ServerKey, arrival: &Arrival) {
        self.branch = Some(Branch::Stateless(arrival.listen, key.0));
    }

    /// The listen point that it must leave from; without one, that of the way to the next hop.
    #[inline]
    pub fn leave_from(&self) -> Option<ListenId> {
        self.leave_from
    }

    /// The name of its next hop, if that is no address.
    #[inline]
    pub fn host_name(&self) -> Option<HostName> {
        self.name
    }

    /// Whether the request registers.
    #[inline]
    pub fn registers(&self) -> bool {
        matches!(self.reason, RouteReason::Register { .. })
    }

    /// The URI whose bindings the request goes to.
    #[inline]
    pub fn located(&self) -> Option<AorUri> {
        if matches!(self.reason, RouteReason::Locate { .. }) { self.aor_uri } else { None }
    }

    /// Whether the request gets a transaction.
    #[inline]
    pub fn is_stateful(&self) -> bool {
        self.relay != Relay::Stateless
    }
}

impl Default for RequestRoute {
    /// To nowhere.
    fn default() -> Self {
        Self {
            next_hop: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
            transport: Transport::Udp,
            name: None,
            reason: RouteReason::InDialog,
            relay: Relay::Stateless,
            leave_from: None,
            branch: None,
            via: Via::default(),
            max_forwards: None,
            uri: Span::default(),
            aor_uri: None,
            cuts: Cuts::new(),
            append: None,
            call: None,
        }
    }
}
