//! The messages of control's own Unix `SOCK_SEQPACKET` socket, on which the operator's commands ask.
//! Both sides send `Hello` first; then the command asks and control answers, in order.

use crate::names::NamesStatus;
use crate::status::MemberLoad;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

/// From an operator's command to control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToControl {
    /// First message on a connection.
    Hello {
        /// [`crate::API_VERSION`] of the sender.
        api_version: u16,
    },
    /// Asks for `Members`.
    Members,
    /// Asks for `Realms`.
    Realms,
    /// Takes a member out of use for new calls, or puts it back. Answered by `Done` or `Refused`.
    Drain {
        /// Name of the destination set.
        set: String,
        /// Address of the member.
        address: SocketAddr,
        /// Out of use, or back.
        drained: bool,
    },
    /// Has OPTIONS to the appliance itself answered with 503, as it is about to go, or with 200 again. Answered by
    /// `Done`.
    Leave {
        /// About to go, or not any more.
        is_leaving: bool,
    },
    /// Asks for the stored bindings of an AoR. Answered by `Records`, without any when there are none, or
    /// `Refused`.
    Bindings {
        /// `user@host`, the host in lower case.
        aor: String,
    },
    /// Asks for all stored bindings. Answered by many `Records` and at last `Done`, or `Refused`.
    AllBindings,
    /// Stores bindings and gives them to the workers. Answered by `Done` when they are on stable storage.
    Restore {
        /// Whole records, one behind the other; at most [`RECORDS_MAX`](crate::location::RECORDS_MAX) bytes.
        #[serde(with = "serde_bytes")]
        records: Vec<u8>,
    },
    /// Asks for `Names`.
    Names,
    /// Asks for `Connections`.
    Connections {
        /// How many connections are listed one by one.
        most: u32,
    },
}

/// From control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromControl {
    /// First message on a connection.
    Hello {
        /// [`crate::API_VERSION`] of the sender.
        api_version: u16,
    },
    /// Every member of every destination set.
    Members(Vec<MemberReport>),
    /// Where the users of each realm are read, and how that went.
    Realms(Vec<RealmReport>),
    /// Stored bindings.
    Records {
        /// Whole records, one behind the other.
        #[serde(with = "serde_bytes")]
        records: Vec<u8>,
    },
    /// TCP, TLS and WebSocket.
    Connections(ConnectionsStatus),
    /// Host names.
    Names(NamesStatus),
    /// It was done.
    Done,
    /// It was not done.
    Refused {
        /// What to do about it.
        reason: String,
    },
}

/// What control knows about a member of a destination set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberReport {
    /// Name of the destination set.
    pub set: String,
    /// Address of the member.
    pub address: SocketAddr,
    /// Its state.
    pub state: MemberState,
    /// Whether it takes new calls: also while it is down, when its whole set is and goes on.
    pub is_in_use: bool,
    /// For how long the state has lasted, in milliseconds.
    pub for_ms: u64,
    /// The last probe, sign or command.
    pub reason: String,
    /// How many requests fewer it wants, when it is asked and the data plane is there.
    pub load: Option<MemberLoad>,
}

/// What control knows about the users of a realm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealmReport {
    /// Name of the realm.
    pub realm: String,
    /// Users in force; none when they could never be read, and nobody is let in.
    pub users: Option<u64>,
    /// Why they could not be read the last time: those in force are older.
    pub trouble: Option<String>,
}

/// State of a member of a destination set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// In use.
    Up,
    /// Was down and answers again, not yet often enough: no requests yet.
    Probing,
    /// Taken out of use by an operator: no new calls.
    Draining,
    /// Out of use: it does not answer.
    Down,
}

impl MemberState {
    /// The state in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Probing => "probing",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }
}

/// The connections of control. Counts run since control began to have connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionsStatus {
    /// Each connection thread; none while nothing is configured that needs one.
    pub threads: Vec<ConnectionThread>,
    /// Each transport.
    pub transports: Vec<TransportStatus>,
    /// Connections that were not taken, by reason.
    pub refused: Vec<Count>,
    /// Connections that ended, by reason.
    pub ended: Vec<Count>,
    /// Keep-alives that were answered (RFC 5626 section 4.4.1).
    pub pings: u64,
    /// Messages that could not be sent.
    pub failed: u64,
    /// Requests answered with 503 while the data plane was away.
    pub unavailable: u64,
    /// Other messages that came while it was away.
    pub dropped: u64,
    /// How often connections were not read because the data plane took no more.
    pub congestions: u64,
    /// Connections one by one: those with the most waiting bytes, and then the oldest.
    pub list: Vec<ConnectionLine>,
    /// The sources with the most connections; only with a list.
    pub sources: Vec<SourceLine>,
}

/// A connection thread, now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionThread {
    /// Whether it is connected to the data plane.
    pub is_linked: bool,
    /// Its connections.
    pub connections: u64,
    /// Bytes that wait for slow readers.
    pub waiting_bytes: u64,
    /// Bytes that wait for the data plane.
    pub link_waiting_bytes: u64,
}

/// The connections of one transport.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportStatus {
    /// Its name: `tcp`, `tls`, `ws` or `wss`.
    pub transport: String,
    /// Connections now.
    pub open: u64,
    /// Connections that came in.
    pub accepted: u64,
    /// Connections that we began to open.
    pub opened: u64,
    /// Messages received.
    pub received: u64,
    /// Bytes received, without those of TLS.
    pub received_bytes: u64,
    /// Messages sent.
    pub sent: u64,
    /// Bytes sent, without those of TLS.
    pub sent_bytes: u64,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// What happened, in one word.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionLine {
    /// Name of its transport.
    pub transport: String,
    /// The listen point.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// `connecting`, `open` or `ending`.
    pub stage: String,
    /// How long it has been there, in milliseconds.
    pub age_ms: u64,
    /// Bytes that wait for the other end to read.
    pub waiting_bytes: u64,
}

/// A source of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// Its address.
    pub address: IpAddr,
    /// Connections with it now.
    pub count: u64,
}
