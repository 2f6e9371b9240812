//! The messages of control's own Unix `SOCK_SEQPACKET` socket, on which the operator's commands ask.
//! Both sides send `Hello` first; then the command asks and control answers, in order.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
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
