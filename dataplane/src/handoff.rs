//! Messages on their way to the worker that owns their transaction.
//!
//! A response says in our Via branch which worker sent the request. RSS may bring it to another one, which
//! hands the packet over as it was received, with what its headers said.
//!
//! ```text
//!            worker 0          worker 1          worker 2
//! worker 0      ·     ─ ring ─►              ─ ring ─►         one ring for each ordered pair:
//! worker 1   ◄─ ring ─             ·         ─ ring ─►         one producer, one consumer, so that
//! worker 2   ◄─ ring ─         ◄─ ring ─          ·            order is kept within a pair
//! ```
//!
//! A full ring gives the message back, and it is dropped with `handoff_full`: whoever sent it, sends it again.

use crate::decode::Datagram;
use crate::limits::{HANDOFFS_PER_PAIR_MIN, HANDOFFS_PER_WORKER};
use crate::ring::Ring;
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;

/// A message that is handed over.
#[derive(Debug)]
pub struct Handed<P> {
    /// Its frame, as received.
    pub packet: P,
    /// What the frame holds.
    pub datagram: Datagram,
    /// The port it came from.
    pub port: usize,
}

/// The end of a worker that handles packets of type `P`.
pub type Handoff<P> = HandoffEnd<ArrayQueue<Handed<P>>>;

/// One worker's end of the rings to and from its siblings.
#[derive(Debug)]
pub struct HandoffEnd<R> {
    /// By index of the sibling; none to itself.
    to: Vec<Option<Arc<R>>>,
    from: Vec<Arc<R>>,
    /// The ring in `from` whose turn it is.
    turn: usize,
}

/// What becomes of a message that is handed over.
#[derive(Debug, PartialEq, Eq)]
pub enum HandoffError {
    /// The ring is full.
    Full,
    /// There is no such worker, or it is the one that asks.
    NoSuchWorker,
}

impl<R> Default for HandoffEnd<R> {
    /// The end of a worker without siblings.
    fn default() -> Self {
        Self { to: vec![], from: vec![], turn: 0 }
    }
}

impl<P> Handoff<P> {
    /// The ends of this many workers, in their order.
    pub fn for_workers(workers: usize) -> Vec<Self> {
        let siblings = workers.saturating_sub(1).max(1);
        let capacity = (HANDOFFS_PER_WORKER / siblings).max(HANDOFFS_PER_PAIR_MIN);
        Self::over(workers, || ArrayQueue::new(capacity))
    }
}

impl<R: Ring> HandoffEnd<R> {
    /// The ends of this many workers over rings that `ring` makes.
    pub fn over(workers: usize, ring: impl Fn() -> R) -> Vec<Self> {
        let mut ends: Vec<Self> = (0..workers).map(|_| Self::default()).collect();
        for from in 0..workers {
            for to in 0..workers {
                let ring = (from != to).then(|| Arc::new(ring()));
                ends[to].from.extend(ring.clone());
                ends[from].to.push(ring);
            }
        }
        ends
    }

    /// Hands a message over.
    ///
    /// # Errors
    /// The message, and why it was not taken.
    pub fn send(&self, worker: u8, message: R::Item) -> Result<(), (R::Item, HandoffError)> {
        match self.to.get(usize::from(worker)) {
            Some(Some(ring)) => ring.push(message).map_err(|back| (back, HandoffError::Full)),
            _ => Err((message, HandoffError::NoSuchWorker)),
        }
    }

    /// The next message from a sibling, the siblings by turns.
    #[inline]
    pub fn take(&mut self) -> Option<R::Item> {
        for _ in 0..self.from.len() {
            let ring = &self.from[self.turn];
            self.turn = if self.turn + 1 == self.from.len() { 0 } else { self.turn + 1 };
            // Nearly always it is empty, and `is_empty` says so without a fence.
            if !ring.is_empty()
                && let Some(message) = ring.pop()
            {
                return Some(message);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{HandoffEnd, HandoffError};
    use crossbeam::queue::ArrayQueue;

    fn ends(workers: usize, capacity: usize) -> Vec<HandoffEnd<ArrayQueue<u32>>> {
        HandoffEnd::over(workers, || ArrayQueue::new(capacity))
    }

    #[test]
    fn siblings_have_their_turns_and_keep_their_order() {
        let mut ends = ends(3, 4);
        for n in 0..3 {
            ends[0].send(2, n).unwrap();
            ends[1].send(2, 10 + n).unwrap();
        }
        let got: Vec<u32> = std::iter::from_fn(|| ends[2].take()).collect();
        assert_eq!(got, [0, 10, 1, 11, 2, 12]);
        assert!(ends[0].take().is_none() && ends[1].take().is_none());
    }

    #[test]
    fn what_is_not_taken_comes_back() {
        let mut ends = ends(2, 1);
        assert_eq!(ends[0].send(1, 7), Ok(()));
        assert_eq!(ends[0].send(1, 8), Err((8, HandoffError::Full)));
        assert_eq!(ends[0].send(0, 9), Err((9, HandoffError::NoSuchWorker)));
        assert_eq!(ends[0].send(2, 9), Err((9, HandoffError::NoSuchWorker)));
        assert_eq!(ends[1].take(), Some(7));
        assert_eq!(ends[0].send(1, 8), Ok(()));
        let mut alone = HandoffEnd::<ArrayQueue<u32>>::default();
        assert_eq!(alone.send(0, 1), Err((1, HandoffError::NoSuchWorker)));
        assert_eq!(alone.take(), None);
    }
}
