//! The four machines of RFC 3261 section 17 with the corrections of RFC 6026, without I/O: each
//! event gives a [`Reaction`], which says what whoever drives the machine has to do. An event that
//! does not fit the state gives an empty one and changes nothing.

mod invite_client;
mod invite_server;
mod non_invite_client;
mod non_invite_server;
mod retransmission;
#[cfg(test)]
mod tests;

pub(crate) use invite_client::{InviteClient, InviteClientState};
pub(crate) use invite_server::{InviteServer, InviteServerState};
pub(crate) use non_invite_client::{NonInviteClient, NonInviteClientState};
pub(crate) use non_invite_server::{NonInviteServer, NonInviteServerState};

use super::time::Tick;

/// Base values of the timers, in milliseconds (RFC 3261 table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timers {
    /// An estimate of the round-trip time.
    pub(crate) t1: u32,
    /// Longest interval between retransmissions of non-INVITE requests and INVITE responses.
    pub(crate) t2: u32,
    /// How long a message stays in the network.
    pub(crate) t4: u32,
    /// What the transaction runs over.
    pub(crate) transport: Transport,
}

impl Timers {
    /// Timers B, F, H, J, L and M: how long a transaction waits for the other side.
    pub(crate) const fn t1_times_64(&self) -> u32 {
        self.t1.saturating_mul(64)
    }
}

/// Whether the transport itself repeats what is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Transport {
    /// UDP.
    #[default]
    Unreliable,
    /// TCP, TLS, WebSocket.
    Reliable,
}

/// What an event asks for.
#[expect(clippy::struct_excessive_bools, reason = "each is an order of its own")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reaction {
    /// The message goes on: a client's response to the transaction user, a server's to the network.
    pub(crate) pass: bool,
    /// A client sends its request again, a server its last response.
    pub(crate) resend: bool,
    /// An INVITE client sends an ACK for a final response other than 2xx (17.1.1.3).
    pub(crate) ack: bool,
    /// Nothing came: no final response to a client, no ACK to a server.
    pub(crate) timed_out: bool,
    /// The transaction is over.
    pub(crate) ended: bool,
}

impl Reaction {
    /// The message goes no further, if there is one.
    pub(crate) const NOTHING: Self =
        Self { pass: false, resend: false, ack: false, timed_out: false, ended: false };
    const PASS: Self = Self { pass: true, ..Self::NOTHING };
    const RESEND: Self = Self { resend: true, ..Self::NOTHING };
    const ENDED: Self = Self { ended: true, ..Self::NOTHING };
    const TIMED_OUT: Self = Self { timed_out: true, ..Self::ENDED };
}
