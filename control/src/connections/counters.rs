//! What one connection thread, or the acceptor, has seen. Whoever counts is alone to write; others read.

use control_api::operator::{ConnectionsStatus, Count, TransportStatus};
use sip_core::Transport;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Peer,
    Broken,
    Connect,
    Handshake,
    Malformed,
    Late,
    Idle,
    SlowReader,
    Replaced,
    Stopped,
}

impl End {
    const ALL: [(Self, &str); 10] = [
        (Self::Peer, "peer"),
        (Self::Broken, "broken"),
        (Self::Connect, "connect"),
        (Self::Handshake, "handshake"),
        (Self::Malformed, "malformed"),
        (Self::Late, "late"),
        (Self::Idle, "idle"),
        (Self::SlowReader, "slow-reader"),
        (Self::Replaced, "replaced"),
        (Self::Stopped, "stopped"),
    ];
}

/// Why no connection was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Source,
    Descriptors,
    Certificate,
}

impl Refusal {
    const ALL: [(Self, &str); 4] = [
        (Self::Full, "full"),
        (Self::Source, "per-source"),
        (Self::Descriptors, "descriptors"),
        (Self::Certificate, "no-certificate"),
    ];
}

/// What is counted by transport.
#[derive(Debug, Default)]
pub(super) struct PerTransport {
    pub(super) open: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
}

/// All counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    transports: [PerTransport; Transport::ALL.len()],
    ended: [AtomicU64; End::ALL.len()],
    refused: [AtomicU64; Refusal::ALL.len()],
    /// Keep-alives that were answered.
    pub(super) pings: AtomicU64,
    /// Messages that could not be sent.
    pub(super) failed: AtomicU64,
    /// Requests answered with 503 while the data plane was away.
    pub(super) unavailable: AtomicU64,
    /// Other messages that came or waited while it was away.
    pub(super) dropped: AtomicU64,
    /// How often sockets were not read because the data plane took no more.
    pub(super) congestions: AtomicU64,
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Adds a number.
pub(super) fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Relaxed);
}

impl Counters {
    pub(super) fn of(&self, transport: Transport) -> &PerTransport {
        &self.transports[usize::from(transport.number())]
    }

    pub(super) fn ended(&self, transport: Transport, end: End) {
        self.of(transport).open.fetch_sub(1, Relaxed);
        count(&self.ended[end as usize]);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        count(&self.refused[refusal as usize]);
    }

    /// Adds all of them to a report.
    pub(super) fn report(&self, status: &mut ConnectionsStatus) {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let transports = Transport::ALL.into_iter().filter(|one| one.is_connection());
        if status.transports.is_empty() {
            let named = |one: Transport| TransportStatus {
                transport: one.name().into(),
                ..Default::default()
            };
            status.transports = transports.clone().map(named).collect();
            let zero = |reason: &str| Count { reason: reason.into(), count: 0 };
            status.ended = End::ALL.iter().map(|(_, name)| zero(name)).collect();
            status.refused = Refusal::ALL.iter().map(|(_, name)| zero(name)).collect();
        }
        for (sum, transport) in status.transports.iter_mut().zip(transports) {
            let own = self.of(transport);
            sum.open += get(&own.open);
            sum.accepted += get(&own.accepted);
            sum.opened += get(&own.opened);
            sum.received += get(&own.received);
            sum.received_bytes += get(&own.received_bytes);
            sum.sent += get(&own.sent);
            sum.sent_bytes += get(&own.sent_bytes);
        }
        let sum = |sums: &mut [Count], own: &[AtomicU64]| {
            sums.iter_mut().zip(own).for_each(|(sum, own)| sum.count += get(own));
        };
        sum(&mut status.ended, &self.ended);
        sum(&mut status.refused, &self.refused);
        status.pings += get(&self.pings);
        status.failed += get(&self.failed);
        status.unavailable += get(&self.unavailable);
        status.dropped += get(&self.dropped);
        status.congestions += get(&self.congestions);
    }
}
