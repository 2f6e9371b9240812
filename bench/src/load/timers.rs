//! What is to happen later.
//!
//! Nearly all delays of a run are the same few (T1, its doubles, a fixed hold time), so each of them has
//! a queue that is in order by itself; only random delays need a heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Delays with a queue of their own; further ones go to the heap.
const QUEUES_MAX: usize = 16;

/// Something that happens to a call at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    /// When, in nanoseconds of the run's clock.
    pub(crate) due: u64,
    /// The call's record.
    pub(crate) slot: u32,
    /// Its generation when this was planned; a later one makes it void.
    pub(crate) generation: u32,
    /// What.
    pub(crate) what: What,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// The message with this index is sent for the first time.
    Send(u8),
    /// The message with this index is sent again unless it was answered; the time waited for it was
    /// T1 doubled so often.
    Retransmit(u8, u8),
    /// The record is free again.
    Release,
}

/// Pending events.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queues: Vec<(u64, VecDeque<Event>)>,
    heap: BinaryHeap<Reverse<Event>>,
}

impl Timers {
    /// Plans an event `delay` after `now`, which never runs backwards.
    pub(crate) fn after(&mut self, now: u64, delay: u64, slot: u32, generation: u32, what: What) {
        let event = Event { due: now + delay, slot, generation, what };
        let found = self.queues.iter().position(|(of, _)| *of == delay);
        let index = match found {
            Some(index) => index,
            None if self.queues.len() < QUEUES_MAX => {
                self.queues.push((delay, VecDeque::new()));
                self.queues.len() - 1
            }
            None => return self.heap.push(Reverse(event)),
        };
        self.queues[index].1.push_back(event);
    }

    /// Plans an event whose delay is random.
    pub(crate) fn at_random(&mut self, event: Event) {
        self.heap.push(Reverse(event));
    }

    /// The next event that is due.
    pub(crate) fn pop(&mut self, now: u64) -> Option<Event> {
        for (_, queue) in &mut self.queues {
            if queue.front().is_some_and(|event| event.due <= now) {
                return queue.pop_front();
            }
        }
        self.heap.peek().filter(|event| event.0.due <= now)?;
        self.heap.pop().map(|event| event.0)
    }

    /// When the next event is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let queued = self.queues.iter().filter_map(|(_, queue)| Some(queue.front()?.due));
        queued.chain(self.heap.peek().map(|event| event.0.due)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Timers, What};

    #[test]
    fn events_come_when_they_are_due() {
        let mut timers = Timers::default();
        for slot in 0..40 {
            timers.after(0, u64::from(40 - slot), slot, 0, What::Release);
        }
        timers.at_random(Event { due: 5, slot: 99, generation: 0, what: What::Send(1) });
        assert_eq!(timers.next_due(), Some(1));
        let mut due: Vec<u64> = std::iter::from_fn(|| timers.pop(10)).map(|e| e.due).collect();
        due.sort_unstable();
        assert_eq!(due, [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10]);
        assert_eq!(timers.next_due(), Some(11));
    }
}
