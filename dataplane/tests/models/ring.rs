//! The queue of Dmitry Vyukov that `crossbeam::queue::ArrayQueue` is, step by step on loom's atomics:
//! <https://www.1024cores.net/home/lock-free-algorithms/queues/bounded-mpmc-queue>.

use dataplane::ring::Ring;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicUsize, fence};
use loom::thread::yield_now;

/// A ring of numbers. A slot's number is read and written `Relaxed`, so that loom shows stale ones unless
/// its stamp orders the two.
pub(crate) struct ModelRing {
    slots: Vec<Slot>,
    /// Position of the oldest item: laps in the high bits, the slot in the low ones.
    head: AtomicUsize,
    /// Position behind the newest item.
    tail: AtomicUsize,
    /// What one lap adds to a position.
    lap: usize,
    /// Changed before every step, see [`ModelRing::step`].
    steps: AtomicUsize,
}

struct Slot {
    /// The position that may be written, or behind the one that may be read.
    stamp: AtomicUsize,
    number: AtomicUsize,
}

impl ModelRing {
    pub(crate) fn new(capacity: usize) -> Self {
        let slot = |at| Slot { stamp: AtomicUsize::new(at), number: AtomicUsize::new(0) };
        Self {
            slots: (0..capacity).map(slot).collect(),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            lap: (capacity + 1).next_power_of_two(),
            steps: AtomicUsize::new(0),
        }
    }

    /// A point at which loom tries every thread. It looks for other orders only where two threads touch
    /// the same value one right after the other and one of them writes; a thread that has itself read a
    /// value before it writes it hides what others did before. This write, which orders nothing, does not.
    fn step(&self) {
        self.steps.fetch_add(1, Relaxed);
    }

    fn slot(&self, position: usize) -> &Slot {
        &self.slots[position & (self.lap - 1)]
    }

    fn after(&self, position: usize) -> usize {
        let index = position & (self.lap - 1);
        if index + 1 < self.slots.len() { position + 1 } else { position - index + self.lap }
    }
}

impl Ring for ModelRing {
    type Item = usize;

    fn push(&self, item: usize) -> Result<(), usize> {
        loop {
            self.step();
            let tail = self.tail.load(Relaxed);
            let slot = self.slot(tail);
            self.step();
            let stamp = slot.stamp.load(Acquire);
            if stamp == tail {
                self.step();
                let taken = self.tail.compare_exchange(tail, self.after(tail), SeqCst, Relaxed);
                if taken.is_ok() {
                    slot.number.store(item, Relaxed);
                    self.step();
                    slot.stamp.store(tail + 1, Release);
                    return Ok(());
                }
            } else if stamp + self.lap == tail + 1 {
                fence(SeqCst);
                self.step();
                if self.head.load(Relaxed) + self.lap == tail {
                    return Err(item);
                }
            }
            yield_now();
        }
    }

    fn pop(&self) -> Option<usize> {
        loop {
            self.step();
            let head = self.head.load(Relaxed);
            let slot = self.slot(head);
            self.step();
            let stamp = slot.stamp.load(Acquire);
            if stamp == head + 1 {
                self.step();
                let taken = self.head.compare_exchange(head, self.after(head), SeqCst, Relaxed);
                if taken.is_ok() {
                    let number = slot.number.load(Relaxed);
                    self.step();
                    slot.stamp.store(head + self.lap, Release);
                    return Some(number);
                }
            } else if stamp == head {
                fence(SeqCst);
                self.step();
                if self.tail.load(Relaxed) == head {
                    return None;
                }
            }
            yield_now();
        }
    }

    fn is_empty(&self) -> bool {
        self.step();
        let head = self.head.load(SeqCst);
        self.step();
        self.tail.load(SeqCst) == head
    }

    fn is_full(&self) -> bool {
        self.step();
        let tail = self.tail.load(SeqCst);
        self.step();
        self.head.load(SeqCst) + self.lap == tail
    }
}
