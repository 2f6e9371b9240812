//! What transactions send on their own: it waits here until the worker has packets for it.

use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::ops::Range;

use crate::limits::{OUTBOX_BYTES, OUTBOX_MESSAGES};
use crate::rewrite::output::{Full, Output};
use crate::settings::ListenId;

/// A message of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Where it goes.
    pub target: SocketAddr,
    /// The listen point that it leaves from.
    pub leave_from: ListenId,
    /// The whole message.
    pub message: &'a [u8],
}

/// Messages in the order in which they must leave.
#[derive(Debug)]
pub struct Outbox {
    bytes: Output,
    waiting: VecDeque<(SocketAddr, ListenId, Range<usize>)>,
    /// Messages that found no room.
    pub(crate) refused: u64,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Output::with_capacity(OUTBOX_BYTES),
            waiting: VecDeque::with_capacity(OUTBOX_MESSAGES),
            refused: 0,
        }
    }

    /// The oldest message, which stays.
    pub fn first(&self) -> Option<Outgoing<'_>> {
        let (target, leave_from, range) = self.waiting.front()?;
        let message = self.bytes.bytes().get(range.clone()).unwrap_or_default();
        Some(Outgoing { target: *target, leave_from: *leave_from, message })
    }

    /// Takes the oldest message out.
    pub fn take(&mut self) -> Option<Outgoing<'_>> {
        let (target, leave_from, range) = self.waiting.pop_front()?;
        let message = self.bytes.bytes().get(range).unwrap_or_default();
        Some(Outgoing { target, leave_from, message })
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether work that makes messages had better stop until these have left.
    pub(crate) fn is_crowded(&self) -> bool {
        let is_long = self.waiting.len() > OUTBOX_MESSAGES / 2;
        // The bytes of messages that have left stay until the next one comes.
        is_long || !self.waiting.is_empty() && self.bytes.len() > OUTBOX_BYTES / 2
    }

    /// Adds what `write` writes; what does not fit is counted, and repaired by retransmission as if
    /// the network had lost it. Gives the place of the message, to be read with [`Self::message`].
    pub(crate) fn push(
        &mut self,
        target: SocketAddr,
        leave_from: ListenId,
        write: impl FnOnce(&mut Output) -> Result<(), Full>,
    ) -> Option<Range<usize>> {
        if self.waiting.is_empty() {
            self.bytes.clear();
        }
        let start = self.bytes.len();
        if self.waiting.len() == OUTBOX_MESSAGES || write(&mut self.bytes).is_err() {
            self.bytes.truncate(start);
            self.refused += 1;
            return None;
        }
        let range = start..self.bytes.len();
        self.waiting.push_back((target, leave_from, range.clone()));
        Some(range)
    }

    /// The message that was pushed last.
    pub(crate) fn message(&self, range: Range<usize>) -> &[u8] {
        self.bytes.bytes().get(range).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_leave_in_order_and_what_does_not_fit_is_counted() {
        let target = SocketAddr::from(([10, 0, 0, 1], 5060));
        let mut outbox = Outbox::new();
        for round in 0..3 {
            let half = vec![b'x'; OUTBOX_BYTES / 2 + 1];
            assert!(outbox.push(target, ListenId(1), |out| out.push(&half)).is_some());
            assert!(outbox.push(target, ListenId(1), |out| out.push(&half)).is_none());
            assert!(outbox.push(target, ListenId(2), |out| out.push(b"second")).is_some());
            assert_eq!(outbox.refused, round + 1);
            assert_eq!(outbox.take().map(|one| one.message.len()), Some(half.len()));
            assert_eq!(outbox.take().map(|one| one.message), Some(&b"second"[..]));
            assert!(outbox.take().is_none() && outbox.is_empty());
        }
    }
    #[test]
    fn an_outbox_that_was_emptied_is_not_crowded() {
        let target = SocketAddr::from(([10, 0, 0, 1], 5060));
        let mut outbox = Outbox::new();
        let many = vec![b'x'; OUTBOX_BYTES / 2 + 1];
        assert!(outbox.push(target, ListenId(1), |out| out.push(&many)).is_some());
        assert!(outbox.is_crowded());
        assert!(outbox.take().is_some());
        assert!(!outbox.is_crowded());
    }
}
