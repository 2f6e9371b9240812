//! Messages that wait for ARP or neighbour discovery.
//!
//! A parked message is kept as it was received. When routes or neighbours change it takes the whole
//! way again: the pipeline is stateless, so it comes to the same decision, now with a neighbour.

use crate::decode::Datagram;
use crate::fib::NextHop;
use crate::limits::PARKED_MAX;
use core::net::SocketAddr;
use std::collections::VecDeque;

/// One waiting message.
#[derive(Debug)]
pub struct Waiting<P> {
    /// Its frame, as received.
    pub packet: P,
    /// What the frame holds.
    pub datagram: Datagram,
    /// The port it came from.
    pub port: usize,
    /// Where it is to be sent.
    pub target: SocketAddr,
    /// The neighbour it waits for.
    pub next_hop: NextHop,
    /// Nanoseconds on the worker's clock at which it is given up.
    pub deadline_ns: u64,
}

/// The waiting messages of one worker, oldest first, at most [`PARKED_MAX`].
#[derive(Debug)]
pub struct Parked<P> {
    waiting: VecDeque<Waiting<P>>,
}

impl<P> Default for Parked<P> {
    fn default() -> Self {
        Self { waiting: VecDeque::with_capacity(PARKED_MAX) }
    }
}

impl<P> Parked<P> {
    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether one more message would be one too many.
    pub fn is_full(&self) -> bool {
        self.waiting.len() == PARKED_MAX
    }

    /// Whether the kernel has been asked for `next_hop` already. Newest first: a flood towards one
    /// dead host finds its answer at once.
    pub fn awaits(&self, next_hop: NextHop) -> bool {
        self.waiting.iter().rev().any(|waiting| waiting.next_hop == next_hop)
    }

    /// Parks a message. The caller has checked [`Self::is_full`].
    pub fn push(&mut self, waiting: Waiting<P>) {
        debug_assert!(!self.is_full());
        self.waiting.push_back(waiting);
    }

    /// Whether the oldest message has waited long enough.
    pub fn is_overdue(&self, now_ns: u64) -> bool {
        self.waiting.front().is_some_and(|oldest| oldest.deadline_ns <= now_ns)
    }

    /// Takes the oldest message.
    pub fn take_oldest(&mut self) -> Option<Waiting<P>> {
        self.waiting.pop_front()
    }
}
