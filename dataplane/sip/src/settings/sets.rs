//! Destination sets: who can take a request, and how one of them is chosen.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use super::Transport;

/// A named group of next hops that can stand in for each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DestinationSet {
    /// The name that rules use.
    pub name: String,
    /// How a request finds its member.
    pub algorithm: Algorithm,
    /// What of a request is hashed: requests that are the same in it reach the same member.
    pub hash: HashKey,
    /// Whether requests with a transaction ask the members to say how much less they want (RFC 7339), and are kept
    /// back or given to others accordingly.
    pub overload_control: bool,
    /// The members; their order matters to round robin alone.
    pub members: Vec<Member>,
}

/// How a request finds its member of a destination set. Shares follow the weights with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Algorithm {
    /// Weighted rendezvous hashing: when a member goes, only what it had moves, evenly over the
    /// others. Costs a few nanoseconds for each member.
    #[default]
    Rendezvous,
    /// Maglev hashing: one table look-up however many members there are; when a member goes, a few
    /// others move too.
    Maglev,
    /// By turns, each worker on its own; what was chosen has to be remembered.
    RoundRobin,
}

/// What of a request is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum HashKey {
    /// Call-ID: all requests of a call reach one member.
    #[default]
    CallId,
    /// User part of the From URI. Where there is none, Call-ID; so with the next two.
    FromUser,
    /// User part of the To URI.
    ToUser,
    /// User part of the Request-URI.
    RequestUser,
    /// The user whom a request is about: the user part of the To URI of REGISTER, of the Request-URI of others. What
    /// is said of a user's bindings and what is sent to them reach one member.
    Aor,
    /// Source IP address of the request, without its port.
    Source,
}

/// One next hop of a destination set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Member {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it is spoken to over: `udp`, `tcp` or `tls`.
    pub transport: Transport,
    /// A member spoken to over UDP gets requests over TCP that would be within 200 bytes of the MTU (RFC 3261
    /// section 18.1.1).
    pub large_over_tcp: bool,
    /// Its share, relative to the other members; 0 takes it out of service as draining does.
    pub weight: u16,
    /// Its tier: members of a tier are used while no tier of a lower number has one that can be.
    pub priority: u8,
    /// Used only while no member without this mark can be.
    pub backup: bool,
    /// Requests per second that it takes of those that open dialogs, all workers together; 0 sets
    /// no limit. What is beyond goes to the next choice.
    pub capacity: u32,
    /// Whether it is in use at present.
    pub state: MemberState,
}

impl Member {
    /// A member of weight 1 in the first tier, without a limit, that is up.
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            transport: Transport::Udp,
            large_over_tcp: false,
            weight: 1,
            priority: 0,
            backup: false,
            capacity: 0,
            state: MemberState::Up,
        }
    }
}

/// Whether a member is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum MemberState {
    /// In use.
    #[default]
    Up,
    /// Was down and is being tried again by probes: no requests yet.
    Probing,
    /// No new requests; it keeps the transactions that run.
    Draining,
    /// Out of use: its transactions move too.
    Down,
}

impl MemberState {
    /// Whether a member in this state answers: one that does not loses its transactions as well.
    pub const fn is_alive(self) -> bool {
        matches!(self, Self::Up | Self::Draining)
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Probing => "probing",
            Self::Draining => "draining",
            Self::Down => "down",
        })
    }
}

/// A new state of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MemberChange {
    /// Index in [`Settings::sets`](crate::Settings::sets).
    pub set: u16,
    /// Index in [`DestinationSet::members`].
    pub member: u16,
    /// Its state from now on.
    pub state: MemberState,
}
