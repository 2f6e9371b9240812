//! The messages of the management socket (Unix `SOCK_SEQPACKET`).
//!
//! The data plane listens, control (or an operator's command) connects. Each side sends its
//! `Hello` first. Then control asks and the data plane answers, in order. The routing settings are a type
//! parameter, because they belong to `sip-core`, on which this crate does not depend.

use crate::credentials::CredentialsPiece;
use crate::location::{FromLocation, ToLocation};
use crate::names::{FromNames, ToNames};
use crate::operator::MemberState;
use crate::rss::{PortFlows, PortRss, RssRequest};
use crate::status::Status;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

/// From control, or an operator's command, to the data plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToDataplane<S> {
    /// First message on a connection.
    Hello {
        /// [`crate::API_VERSION`] of the sender.
        api_version: u16,
    },
    /// A whole configuration epoch, already validated. Answered by `Applied` or `Refused`.
    Apply {
        /// Number of the epoch.
        epoch: u64,
        /// The routing settings that every worker builds its tables from.
        settings: S,
    },
    /// New states of members of the destination sets, by their places in the settings in force; all
    /// others keep theirs. A new epoch of the same settings. Answered by `Applied` or `Refused`.
    MemberStates {
        /// Number of the new epoch.
        epoch: u64,
        /// The members whose states change.
        members: Vec<MemberStatus>,
    },
    /// A piece of the users and what they prove to know. Answered by `CredentialsTaken` or `Refused`.
    Credentials(CredentialsPiece),
    /// Asks for `Status`.
    Status,
    /// Asks for the signs of unreachable hosts since the last time anybody asked. Answered by
    /// `Unreachable`.
    Unreachable,
    /// Makes a worker panic, to see that the process ends and is started again. Answered by
    /// `Refused` unless the data plane was started with `--allow-faults`.
    PanicWorker {
        /// Index of the worker, in the order of `lcores.workers`.
        worker: u16,
    },
    /// Asks who is banned. Answered by `Sources`.
    Sources {
        /// Whose ban ends first; of IPv6 that of its /64.
        unban: Option<IpAddr>,
    },
    /// Shows or changes the RSS of a port. Answered by `Rss` or `Refused`.
    Rss(RssRequest),
    /// Asks which flows a port receives. Answered by `Flows` or `Refused`.
    Flows {
        /// Name of the port; without it the only one.
        port: Option<String>,
        /// How many are listed one by one.
        most: u32,
    },
    /// Bindings and the store; on a connection of its own.
    Location(ToLocation),
    /// Where host names lead; on a connection of its own.
    Names(ToNames),
}

/// From the data plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromDataplane {
    /// First message on a connection.
    Hello {
        /// [`crate::API_VERSION`] of the sender.
        api_version: u16,
        /// The epoch in force; 0 asks control for one.
        epoch: u64,
    },
    /// Every worker runs on this epoch.
    Applied {
        /// Number of the epoch.
        epoch: u64,
    },
    /// What was asked was refused whole; the old epoch stays in force.
    Refused {
        /// Number of the refused epoch; for another request, of the epoch in force.
        epoch: u64,
        /// The setting and what is wrong with it.
        reason: String,
    },
    /// The answer to `ToDataplane::Credentials`.
    CredentialsTaken {
        /// Users that have come so far; with the last piece, those that every worker was given.
        users: u64,
    },
    /// The answer to `ToDataplane::Status`.
    Status(Box<Status>),
    /// The answer to `ToDataplane::Unreachable`; empty when there was no sign.
    Unreachable(Vec<UnreachableHost>),
    /// Who is banned, those whose ban lasts longest first.
    Sources(Vec<BannedSource>),
    /// What a port spreads packets with.
    Rss(PortRss),
    /// What a port receives.
    Flows(PortFlows),
    /// Bindings; on a connection of its own.
    Location(FromLocation),
    /// Host names; on a connection of its own.
    Names(FromNames),
}

/// A source that is dropped altogether for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BannedSource {
    /// An IPv4 address, or the first one of an IPv6 /64.
    pub address: IpAddr,
    /// Seconds that are left, rounded up.
    pub seconds_left: u64,
    /// Workers that have banned it: each does so on its own.
    pub workers: u16,
}

/// New state of a member of a destination set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Index of the destination set in the settings.
    pub set: u16,
    /// Index of the member in its set.
    pub member: u16,
    /// Its state from now on.
    pub state: MemberState,
}

/// A host that messages did not reach, as the network said.
///
/// An ICMP error proves little: whoever can send us one with a forged source can name any
/// destination in it (RFC 5927 section 4). It is a reason to look (to probe now), not to give a
/// destination up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreachableHost {
    /// Where the messages were sent.
    pub address: SocketAddr,
    /// What said that they did not arrive.
    pub sign: UnreachableSign,
    /// How many times, from 1.
    pub reports: u32,
}

/// What says that a message did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnreachableSign {
    /// ICMP: nobody listens on the port.
    Port,
    /// ICMP: no way to the host or its network, or a filter forbids it.
    Host,
    /// The next hop answers neither ARP nor neighbour discovery: our own kernel said so.
    Neighbour,
}
