//! One request that is being served: its server transaction and the branches on which it went on.

use core::mem::offset_of;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::buffers::Text;
pub(super) use super::index::NONE;
use super::machines::{
    InviteClient, InviteClientState, InviteServer, InviteServerState, NonInviteClient,
    NonInviteClientState, NonInviteServer, NonInviteServerState, Reaction, Timers,
};
use super::time::Tick;
use crate::message::Method;
use crate::settings::{Fork, ListenId};

/// No destination set.
pub(super) const NO_SET: u16 = u16::MAX;
/// No place in the target set.
pub(super) const NO_TARGET: u8 = u8::MAX;
/// An address before there is one.
const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// A request that is being served. Its fields stand in the order in which they are needed: the first two
/// cache lines are all that an ordinary timer looks at.
#[derive(Clone, Debug)]
#[repr(C, align(128))]
pub(super) struct Transaction {
    /// The keyed hash by which its retransmissions, its CANCEL and its ACK are known.
    pub(super) key: u64,
    /// The next one with the same place in the index, or the next free one.
    pub(super) next: u32,
    /// The one before it.
    pub(super) previous: u32,
    /// The first of its further branches.
    pub(super) more: u32,
    pub(super) generation: u32,
    pub(super) server: Server,
    pub(super) progress: Progress,
    pub(super) method: Method,
    pub(super) fork: Fork,
    /// Branches that it had.
    pub(super) branches: u8,
    /// The listen point that it came in by.
    pub(super) arrived_at: ListenId,
    /// The response that was sent last.
    pub(super) response: Text,
    pub(super) first: Branch,
    /// Where its responses go.
    pub(super) source: SocketAddr,
    /// What it shares with copies that came another way; 0 when nobody asks.
    pub(super) merged: u64,
    /// The next one in the index of `merged`.
    pub(super) next_merged: u32,
    /// The one before it.
    pub(super) previous_merged: u32,
    /// The destination set, whose other members can be tried.
    pub(super) set: u16,
    /// The best final response that waits for the others, without our Via; of a status without text,
    /// one of our own.
    pub(super) best_status: u16,
    pub(super) best: Text,
    /// Its target set, beside the members of a destination set: see [`super::target_set`].
    pub(super) targets: Text,
    /// A bit for each of them that was asked.
    pub(super) asked: u16,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each can be true without the others")]
pub(super) struct Progress {
    pub(super) is_alive: bool,
    /// A final response has gone upstream, or none ever will.
    pub(super) is_answered: bool,
    /// The client has sent a CANCEL.
    pub(super) is_cancelled: bool,
    /// A 6xx has come: nobody else is asked.
    pub(super) is_declined: bool,
    /// It went on by the flow of a client that registered through us.
    pub(super) is_by_path: bool,
}

impl Progress {
    /// Whether somebody else may be asked.
    pub(super) fn wants_others(self) -> bool {
        !self.is_answered && !self.is_cancelled && !self.is_declined
    }
}

/// A client transaction and what the proxy knows of it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Branch {
    pub(super) client: Client,
    /// When the patience with it ends: until it says anything, with its ringing (timer C), or with
    /// what follows our CANCEL.
    pub(super) limit: Option<Tick>,
    /// Our CANCEL on its way.
    pub(super) cancel: Option<NonInviteClient>,
    /// The request as it was sent.
    pub(super) request: Text,
    /// The next branch of the request, or the next free one.
    pub(super) next: u32,
    /// Length of our header lines in the request.
    pub(super) lines: u16,
    pub(super) number: u8,
    /// Somebody else has been asked, because it was silent.
    pub(super) is_given_up: bool,
    pub(super) leave_from: ListenId,
    /// Its number in the target set, or [`NO_TARGET`].
    pub(super) entry: u8,
    pub(super) target: SocketAddr,
}

impl Branch {
    pub(super) const FREE: Self = Self {
        client: Client::Over,
        cancel: None,
        target: NOWHERE,
        leave_from: ListenId(0),
        entry: NO_TARGET,
        number: 0,
        lines: 0,
        next: NONE,
        request: Text::NONE,
        limit: None,
        is_given_up: false,
    };

    /// When something must be done about it.
    #[inline]
    pub(super) fn deadline(&self) -> Option<Tick> {
        let cancel = self.cancel.as_ref().and_then(NonInviteClient::deadline);
        sooner(sooner(self.client.deadline(), cancel), self.limit)
    }

    /// Whether its final response is still waited for.
    pub(super) fn is_pending(&self) -> bool {
        !self.is_given_up && self.client.is_pending()
    }

    /// Whether it has rung, or at least said that it tries.
    pub(super) fn is_proceeding(&self) -> bool {
        matches!(&self.client, Client::Invite(client) if client.state() == InviteClientState::Proceeding)
    }
}

impl Transaction {
    pub(super) const FREE: Self = Self {
        key: 0,
        merged: 0,
        next: NONE,
        previous: NONE,
        next_merged: NONE,
        previous_merged: NONE,
        more: NONE,
        generation: 0,
        server: Server::Idle,
        method: Method::Other,
        source: NOWHERE,
        arrived_at: ListenId(0),
        fork: Fork::No,
        set: NO_SET,
        branches: 0,
        progress: Progress {
            is_alive: false,
            is_by_path: false,
            is_answered: false,
            is_cancelled: false,
            is_declined: false,
        },
        response: Text::NONE,
        best: Text::NONE,
        best_status: 0,
        targets: Text::NONE,
        asked: 0,
        first: Branch::FREE,
    };

    /// Whether it is answered, and only waits for stragglers.
    #[inline]
    pub(super) fn rests(&self) -> bool {
        let first = &self.first;
        self.progress.is_answered
            && self.more == NONE
            && first.limit.is_none()
            && first.cancel.is_none()
            && !first.client.is_pending()
            && !self.server.awaits_ack()
    }

    pub(super) fn is_invite(&self) -> bool {
        self.method == Method::Invite
    }
}

// Four cache lines: they are what a transaction costs while it does nothing.
const _: () = assert!(size_of::<Transaction>() == 256);
// Up to the texts of the first branch, timers and events find all they need in a pair of lines.
const _: () = assert!(offset_of!(Transaction, first) + offset_of!(Branch, next) <= 128);

/// A server transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Server {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
    /// None: the slot is free.
    Idle,
}

/// The states of server transactions, as they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ServerState {
    Trying,
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    /// Over, or none.
    Over,
}

impl Server {
    pub(super) fn received(method: Method) -> Self {
        match method {
            Method::Invite => Self::Invite(InviteServer::received()),
            _ => Self::NonInvite(NonInviteServer::received()),
        }
    }

    pub(super) fn again(&self) -> Reaction {
        match self {
            Self::Invite(server) => server.again(),
            Self::NonInvite(server) => server.again(),
            Self::Idle => Reaction::default(),
        }
    }

    /// A response that was sent, by its status.
    #[inline]
    pub(super) fn respond(&mut self, status: u16, now: Tick, timers: &Timers) {
        match (self, status) {
            (Self::Invite(server), 100..=199) => server.provisional(),
            (Self::Invite(server), 200..=299) => server.success(now, timers),
            (Self::Invite(server), _) => server.failure(now, timers),
            (Self::NonInvite(server), 100..=199) => server.provisional(),
            (Self::NonInvite(server), _) => server.last(now, timers),
            (Self::Idle, _) => Reaction::default(),
        };
    }

    pub(super) fn ack(&mut self, now: Tick, timers: &Timers) -> Reaction {
        match self {
            Self::Invite(server) => server.ack(now, timers),
            _ => Reaction::default(),
        }
    }

    pub(super) fn expire(&mut self, now: Tick, timers: &Timers) -> Reaction {
        match self {
            Self::Invite(server) => server.expire(now, timers),
            Self::NonInvite(server) => server.expire(now),
            Self::Idle => Reaction::default(),
        }
    }

    #[inline]
    pub(super) fn deadline(&self) -> Option<Tick> {
        match self {
            Self::Invite(server) => server.deadline(),
            Self::NonInvite(server) => server.deadline(),
            Self::Idle => None,
        }
    }

    /// Whether it sends its response again until an ACK comes.
    #[inline]
    fn awaits_ack(&self) -> bool {
        matches!(self, Self::Invite(server) if server.state() == InviteServerState::Completed)
    }

    #[inline]
    pub(super) fn state(&self) -> ServerState {
        match self {
            Self::Invite(server) => match server.state() {
                InviteServerState::Proceeding => ServerState::Proceeding,
                InviteServerState::Completed => ServerState::Completed,
                InviteServerState::Confirmed => ServerState::Confirmed,
                InviteServerState::Accepted => ServerState::Accepted,
                InviteServerState::Terminated => ServerState::Over,
            },
            Self::NonInvite(server) => match server.state() {
                NonInviteServerState::Trying => ServerState::Trying,
                NonInviteServerState::Proceeding => ServerState::Proceeding,
                NonInviteServerState::Completed => ServerState::Completed,
                NonInviteServerState::Terminated => ServerState::Over,
            },
            Self::Idle => ServerState::Over,
        }
    }
}

/// A client transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Client {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
    /// None any more.
    Over,
}

impl Client {
    pub(super) fn sent(method: Method, now: Tick, timers: &Timers) -> Self {
        match method {
            Method::Invite => Self::Invite(InviteClient::sent(now, timers)),
            _ => Self::NonInvite(NonInviteClient::sent(now, timers)),
        }
    }

    /// A response that came, by its status.
    #[inline]
    pub(super) fn respond(&mut self, status: u16, now: Tick, timers: &Timers) -> Reaction {
        match (self, status) {
            (Self::Invite(client), 100..=199) => client.provisional(),
            (Self::Invite(client), 200..=299) => client.success(now, timers),
            (Self::Invite(client), _) => client.failure(now, timers),
            (Self::NonInvite(client), 100..=199) => client.provisional(timers),
            (Self::NonInvite(client), _) => client.last(now, timers),
            (Self::Over, _) => Reaction::default(),
        }
    }

    pub(super) fn expire(&mut self, now: Tick, timers: &Timers) -> Reaction {
        match self {
            Self::Invite(client) => client.expire(now, timers),
            Self::NonInvite(client) => client.expire(now, timers),
            Self::Over => Reaction::default(),
        }
    }

    /// The network says that nobody is there. Gives whether that ends it.
    pub(super) fn unreachable(&mut self) -> bool {
        match self {
            Self::Invite(client) => client.unreachable().ended,
            Self::NonInvite(client) => client.unreachable().ended,
            Self::Over => false,
        }
    }

    #[inline]
    pub(super) fn deadline(&self) -> Option<Tick> {
        match self {
            Self::Invite(client) => client.deadline(),
            Self::NonInvite(client) => client.deadline(),
            Self::Over => None,
        }
    }

    /// Whether its final response has yet to come.
    pub(super) fn is_pending(&self) -> bool {
        match self {
            Self::Invite(client) => {
                matches!(client.state(), InviteClientState::Calling | InviteClientState::Proceeding)
            }
            Self::NonInvite(client) => matches!(
                client.state(),
                NonInviteClientState::Trying | NonInviteClientState::Proceeding
            ),
            Self::Over => false,
        }
    }

    /// Whether nothing has come at all.
    pub(super) fn is_silent(&self) -> bool {
        match self {
            Self::Invite(client) => client.state() == InviteClientState::Calling,
            Self::NonInvite(client) => client.state() == NonInviteClientState::Trying,
            Self::Over => false,
        }
    }
}

/// The one that comes last.
#[inline]
pub(super) fn later(one: Option<Tick>, other: Option<Tick>) -> Option<Tick> {
    match (one, other) {
        (Some(one), Some(other)) if one.sooner(other) == one => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}

/// The one that comes first.
#[inline]
pub(super) fn sooner(one: Option<Tick>, other: Option<Tick>) -> Option<Tick> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.sooner(other)),
        (one, None) => one,
        (None, other) => other,
    }
}
