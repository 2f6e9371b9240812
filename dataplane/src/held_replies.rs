//! Answers to REGISTER that wait until the change they answer is on stable storage.
//!
//! A ring of bytes with the messages, oldest first, and beside it where each goes and what it waits for.
//! Positions are the tables' count of changes. They rise, but for a change to an AoR that waits for the store
//! already: its answer waits for its elders in the ring too, which is a matter of one batch.

use core::net::SocketAddr;
use sip_core::{ListenId, Outgoing};
use std::collections::VecDeque;

/// Bytes of the ring for which there is one place in the list beside it: answers are longer.
const BYTES_PER_REPLY: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Held {
    position: u64,
    target: SocketAddr,
    leave_from: ListenId,
    /// Index of the port whose counters have the request.
    port: u8,
    start: u32,
    length: u32,
}

/// The waiting answers of one worker.
#[derive(Debug, Default)]
pub struct HeldReplies {
    bytes: Box<[u8]>,
    waiting: VecDeque<Held>,
    /// Where the next message begins, if it fits there.
    end: usize,
    /// Answers up to this position may leave.
    flushed_to: u64,
    /// The store does not confirm: answers leave at once.
    is_degraded: bool,
    /// REGISTER requests that were refused, because an answer would not have fitted.
    pub refused: u64,
}

impl HeldReplies {
    /// Room for `bytes` bytes of messages, at most 4 GiB; the only allocation. All of the memory is touched.
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.min(u32::MAX as usize);
        Self {
            bytes: vec![0xff; bytes].into_boxed_slice(),
            waiting: VecDeque::with_capacity(bytes / BYTES_PER_REPLY),
            ..Self::default()
        }
    }

    /// How many answers wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no answer waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether answers leave at once, because the store does not confirm.
    #[inline]
    pub fn is_degraded(&self) -> bool {
        self.is_degraded
    }

    /// Says whether the store confirms.
    pub fn set_degraded(&mut self, is_degraded: bool) {
        self.is_degraded = is_degraded;
    }

    /// Says up to which position changes are on stable storage.
    #[inline]
    pub fn set_flushed(&mut self, position: u64) {
        self.flushed_to = position;
    }

    /// Whether an answer of this length has room. Asked before the change is made.
    #[inline]
    pub fn may_hold(&self, length: usize) -> bool {
        self.place(length).is_some()
    }

    /// Keeps the answer to the change at `position`. Gives false when there is no room, and when it need
    /// not wait: then it is to be sent. The request counts as parked at its port, which
    /// [`Self::set_port`] names.
    #[inline]
    #[must_use]
    pub fn hold(
        &mut self,
        position: u64,
        target: SocketAddr,
        leave_from: ListenId,
        message: &[u8],
    ) -> bool {
        if self.is_degraded || (position <= self.flushed_to && self.is_empty()) {
            return false;
        }
        let Some(start) = self.place(message.len()) else { return false };
        let end = start + message.len();
        self.bytes[start..end].copy_from_slice(message);
        self.end = end;
        #[expect(clippy::cast_possible_truncation, reason = "`new` keeps the ring below 4 GiB")]
        let (start, length) = (start as u32, message.len() as u32);
        self.waiting.push_back(Held { position, target, leave_from, port: 0, start, length });
        true
    }

    /// Says at which port the request of the newest answer is counted.
    #[inline]
    pub fn set_port(&mut self, port: u8) {
        if let Some(newest) = self.waiting.back_mut() {
            newest.port = port;
        }
    }

    /// Whether an answer may leave.
    #[inline]
    pub fn has_released(&self) -> bool {
        self.waiting
            .front()
            .is_some_and(|held| self.is_degraded || held.position <= self.flushed_to)
    }

    /// The oldest answer that may leave; it stays.
    pub fn first(&self) -> Option<Outgoing<'_>> {
        let held = self.waiting.front().filter(|_| self.has_released())?;
        let start = held.start as usize;
        let message = &self.bytes[start..start + held.length as usize];
        Some(Outgoing { target: held.target, leave_from: held.leave_from, message })
    }

    /// Forgets that answer. Gives the port at which its request is counted.
    pub fn forget_first(&mut self) -> Option<u8> {
        let is_released = self.has_released();
        self.waiting.pop_front_if(|_| is_released).map(|held| held.port)
    }

    /// Where a message of this length would begin. Messages lie in one piece.
    #[inline]
    fn place(&self, length: usize) -> Option<usize> {
        let Some(oldest) = self.waiting.front() else {
            return (length <= self.bytes.len() && self.waiting.capacity() > 0).then_some(0);
        };
        if self.waiting.len() == self.waiting.capacity() {
            return None;
        }
        let (oldest, end) = (oldest.start as usize, self.end);
        // An end that has reached the oldest from behind means full, so one byte stays free.
        if end > oldest {
            let at_end = (end + length <= self.bytes.len()).then_some(end);
            return at_end.or((length < oldest).then_some(0));
        }
        (end + length < oldest).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::HeldReplies;
    use proptest::prelude::*;
    use sip_core::ListenId;
    use std::collections::VecDeque;

    fn target() -> core::net::SocketAddr {
        "192.0.2.1:5060".parse().unwrap()
    }

    #[test]
    fn answers_leave_when_their_change_is_flushed_or_the_store_is_ill() {
        let mut held = HeldReplies::new(4_096);
        held.set_flushed(4);
        assert!(!held.hold(4, target(), ListenId(0), b"now"), "it need not wait");
        assert!(held.hold(5, target(), ListenId(0), b"five"));
        held.set_port(3);
        assert!(held.hold(4, target(), ListenId(1), b"behind it"));
        assert!(held.hold(6, target(), ListenId(2), b"six"));
        assert!(held.first().is_none() && held.forget_first().is_none());
        held.set_flushed(5);
        assert_eq!(held.first().unwrap().message, b"five");
        assert_eq!(held.forget_first(), Some(3));
        assert_eq!(held.first().unwrap().message, b"behind it");
        held.forget_first();
        assert!(held.first().is_none());
        held.set_degraded(true);
        assert_eq!(held.first().unwrap().leave_from, ListenId(2));
        assert!(!held.hold(9, target(), ListenId(0), b"from memory"));
        held.set_degraded(false);
        assert!(held.first().is_none());
    }

    #[test]
    fn without_room_nothing_is_held() {
        let mut none = HeldReplies::default();
        assert!(!none.may_hold(0) && !none.hold(1, target(), ListenId(0), b""));
        let mut held = HeldReplies::new(1_024);
        assert!(!held.may_hold(1_025) && held.may_hold(1_024));
        for position in 1..=4 {
            assert!(held.hold(position, target(), ListenId(0), b"x"));
        }
        assert!(!held.may_hold(1), "as many answers as a quarter of a kilobyte each makes");
    }

    proptest! {
        /// Whatever comes and goes, messages leave whole and in order, and room that is promised is there.
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec((any::<bool>(), 0_usize..400), 1..400)) {
            let mut held = HeldReplies::new(2_048);
            held.set_flushed(0);
            let capacity = held.waiting.capacity();
            let mut model = VecDeque::new();
            for (position, (comes, length)) in (1_u64..).zip(steps) {
                if comes {
                    let may_hold = held.may_hold(length);
                    let message = vec![position.to_le_bytes()[0]; length];
                    let is_held = held.hold(position, target(), ListenId(0), &message);
                    prop_assert_eq!(is_held, may_hold);
                    prop_assert!(may_hold || !model.is_empty(), "an empty ring has room");
                    if is_held {
                        model.push_back((position, message));
                    }
                } else if let Some((position, message)) = model.pop_front() {
                    held.set_flushed(position);
                    prop_assert_eq!(held.first().unwrap().message, &message[..]);
                    held.forget_first();
                }
                prop_assert_eq!((held.len(), held.waiting.capacity()), (model.len(), capacity));
            }
        }
    }
}
