//! The four machines of RFC 3261 section 17 with the corrections of RFC 6026, without I/O: each
//! event gives a [`Reaction`], which says what whoever drives the machine has to do.

/// Base values of the timers, in milliseconds (RFC 3261 table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timers {
    /// An estimate of the round-trip time.
    pub(crate) t1: u32,
    /// Longest interval between retransmissions of non-INVITE requests and INVITE responses.
    pub(crate) t2: u32,
    /// How long a message stays in the network.
    pub(crate) t4: u32,
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
    /// The message goes on to the transaction user.
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
