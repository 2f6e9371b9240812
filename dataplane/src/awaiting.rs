//! Requests that wait until control says where a host name leads, or what other appliances know of a user.
//!
//! A request is kept as it was received. When the answer to its question comes it takes the whole way again, now with
//! what it lacked. One that waits too long takes it as well, and is refused at its end.

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

/// What requests wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The addresses of a host name.
    Name,
    /// The bindings of a user.
    User,
}

/// What a message on its way still has patience for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// Whatever has to be asked.
    #[default]
    All,
    /// Names; of its user everything is known that can be.
    Names,
    /// Nothing: it has waited too long.
    Nothing,
}

/// One waiting request.
#[derive(Debug)]
pub struct WaitingRequest<P> {
    /// The request.
    pub held: Held<P>,
    /// The hash of its question.
    pub question: u64,
    /// Nanoseconds on the worker's clock at which it is given up.
    pub deadline_ns: u64,
}

/// The requests of one worker that wait for one or the other, oldest first, at most [`AWAITING_MAX`].
#[derive(Debug)]
pub struct Awaiting<P> {
    waiting: VecDeque<WaitingRequest<P>>,
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
    pub fn awaits(&self, question: u64) -> bool {
        self.waiting.iter().rev().any(|waiting| waiting.question == question)
    }

    /// Has a request wait. The caller has asked [`Self::has_room`].
    pub fn push(&mut self, waiting: WaitingRequest<P>) {
        debug_assert!(self.waiting.len() < AWAITING_MAX);
        self.parcels += usize::from(matches!(waiting.held, Held::Parcel(_)));
        self.waiting.push_back(waiting);
    }

    /// Takes the oldest request.
    pub fn take_oldest(&mut self) -> Option<WaitingRequest<P>> {
        let oldest = self.waiting.pop_front()?;
        self.parcels -= usize::from(matches!(oldest.held, Held::Parcel(_)));
        Some(oldest)
    }

    /// Takes the oldest request when it has waited long enough.
    pub fn take_overdue(&mut self, now_ns: u64) -> Option<WaitingRequest<P>> {
        let is_overdue = self.waiting.front()?.deadline_ns <= now_ns;
        if is_overdue { self.take_oldest() } else { None }
    }
}
