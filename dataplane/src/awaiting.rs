//! Requests that wait until control says where a host name leads.
//!
//! A request is kept as it was received. When the answer to its question comes it takes the whole way again, now with
//! addresses. One that waits too long takes it as well, and is refused at its end.

use crate::decode::Datagram;
use crate::limits::{AWAITING_MAX, AWAITING_PARCELS_MAX};
use crate::parcel::Parcel;
use std::collections::VecDeque;

/// A request as it was received.
#[derive(Debug)]
pub enum Held<P> {
    /// In a frame.
    Frame {
        /// The frame.
        packet: P,
        /// What it holds.
        datagram: Datagram,
        /// The port it came from.
        port: usize,
    },
    /// From the kernel, or a connection.
    Parcel(Parcel),
}

/// One waiting request.
#[derive(Debug)]
pub struct WaitingForName<P> {
    /// The request.
    pub held: Held<P>,
    /// The hash of its question.
    pub name: u64,
    /// Nanoseconds on the worker's clock at which it is given up.
    pub deadline_ns: u64,
}

/// The waiting requests of one worker, oldest first, at most [`AWAITING_MAX`].
#[derive(Debug)]
pub struct Awaiting<P> {
    waiting: VecDeque<WaitingForName<P>>,
    parcels: usize,
    /// Requests that had to wait.
    pub waited: u64,
    /// Requests refused because too many waited.
    pub refused_full: u64,
    /// Requests refused because no answer came in time.
    pub timed_out: u64,
}

impl<P> Default for Awaiting<P> {
    fn default() -> Self {
        let waiting = VecDeque::with_capacity(AWAITING_MAX);
        Self { waiting, parcels: 0, waited: 0, refused_full: 0, timed_out: 0 }
    }
}

impl<P> Awaiting<P> {
    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no request waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether this one may wait, too.
    pub fn has_room(&self, held: &Held<P>) -> bool {
        let has_room = self.waiting.len() < AWAITING_MAX;
        has_room && (matches!(held, Held::Frame { .. }) || self.parcels < AWAITING_PARCELS_MAX)
    }

    /// Whether the question with this hash has been asked already. Newest first: a flood towards one new name
    /// finds its answer at once.
    pub fn awaits(&self, name: u64) -> bool {
        self.waiting.iter().rev().any(|waiting| waiting.name == name)
    }

    /// Has a request wait. The caller has asked [`Self::has_room`].
    pub fn push(&mut self, waiting: WaitingForName<P>) {
        debug_assert!(self.waiting.len() < AWAITING_MAX);
        self.parcels += usize::from(matches!(waiting.held, Held::Parcel(_)));
        self.waiting.push_back(waiting);
    }

    /// Takes the oldest request.
    pub fn take_oldest(&mut self) -> Option<WaitingForName<P>> {
        let oldest = self.waiting.pop_front()?;
        self.parcels -= usize::from(matches!(oldest.held, Held::Parcel(_)));
        Some(oldest)
    }

    /// Takes the oldest request when it has waited long enough.
    pub fn take_overdue(&mut self, now_ns: u64) -> Option<WaitingForName<P>> {
        let is_overdue = self.waiting.front()?.deadline_ns <= now_ns;
        if is_overdue { self.take_oldest() } else { None }
    }
}
