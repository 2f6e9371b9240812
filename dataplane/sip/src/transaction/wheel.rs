//! The timer wheel of a worker: one timer for each entry 0..capacity, in steps of a millisecond.
//!
//! A hierarchical wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987). The 32
//! bits of a [`Tick`] are four digits of eight bits, and each level of the wheel has a slot for
//! each value of its digit. An entry lies in the lowest level in which its due is less than one turn of
//! the slots away from the time of the wheel, in the slot of that digit of its due:
//!
//! ```text
//!   time of the wheel   00 00 12 f3
//!   due in 7 ms         00 00 12 fa   ──► level 0, slot fa:     1 ms a slot
//!   due in 500 ms       00 00 14 e7   ──► level 1, slot 14:   256 ms a slot
//!   due in 200 s        00 03 20 33   ──► level 2, slot 03:  65.5 s a slot
//!                                         level 3:           4.66 h a slot
//! ```
//!
//! When the time of the wheel reaches a slot of level 1 to 3, its entries move down, one for each unit
//! of budget. The timers of RFC 3261, but for timer C, lie within a turn of level 1: those of 256 ms at a
//! time move down, and never all that there are. What lies in level 0 is due when its slot is reached.
//! A slot is a ring of entries, linked by index through a node of the slot's own, so that an entry is
//! taken out of the middle at no search:
//!
//! ```text
//!   ┌─► slot ◄──► entry 7 ◄──► entry 1 ◄──► entry 9 ◄─┐
//!   └─────────────────────────────────────────────────┘
//! ```
//!
//! A bit for each slot says whether it has entries: a long pause costs as many steps as there are
//! slots with entries in it, and a wheel on which nothing is due costs one comparison.

mod slots;

use alloc::vec::Vec;

use super::time::Tick;
use slots::{LEVELS, Occupied, Place, SLOTS};

/// A slot of the second level, in milliseconds.
const COARSE_MS: u32 = 256;

/// Wakes an empty wheel; any time that is far enough and can still be compared.
const FAR_MS: u32 = 1 << 30;

/// One timer for each entry.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// First the nodes of the slots, then those of the entries.
    nodes: Vec<Node>,
    occupied: Occupied,
    /// The time of the wheel: what was due before has been fired.
    time: Tick,
    /// Nothing is to be done before; it never lies before `time`.
    wake: Tick,
    /// Nothing lies above level 0 any more in the slots that `time` lies in.
    is_level: bool,
}

/// A link of a ring; 16 bytes, so that none lies in two cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct Node {
    /// Index of a node; that of an entry which is not armed is [`Node::IDLE`].
    next: u32,
    /// Index of a node.
    previous: u32,
    due: Tick,
}

impl Node {
    const IDLE: u32 = u32::MAX;

    fn is_armed(&self) -> bool {
        self.next != Self::IDLE
    }
}

impl Wheel {
    /// Most entries; more are not armed.
    const CAPACITY_MAX: u32 = u32::MAX - SLOTS - 1;

    /// A wheel for entries `0..capacity`, none of them armed; the only allocation in its life, and
    /// all of its memory is written to here.
    pub(crate) fn new(capacity: u32, now: Tick) -> Self {
        let capacity = capacity.min(Self::CAPACITY_MAX);
        let slot = |index| Node { next: index, previous: index, due: now };
        let idle = Node { next: Node::IDLE, previous: Node::IDLE, due: now };
        let mut nodes = Vec::with_capacity((SLOTS + capacity) as usize);
        nodes.extend((0..SLOTS).map(slot));
        nodes.resize((SLOTS + capacity) as usize, idle);
        Self {
            nodes,
            occupied: Occupied::default(),
            time: now,
            wake: now.plus(FAR_MS),
            is_level: true,
        }
    }

    /// Begins anew at `now`; nothing may be armed. More time may have gone by than ticks can compare.
    pub(crate) fn begin(&mut self, now: Tick) {
        (self.time, self.wake) = (now, now.plus(FAR_MS));
    }

    /// Bytes that a wheel for so many entries takes.
    pub(crate) const fn memory(capacity: u32) -> usize {
        (SLOTS as usize + capacity as usize) * size_of::<Node>()
    }

    /// Arms the timer of `entry`. One that is armed is only moved when the new due is sooner:
    /// otherwise it fires at the old one, and the owner arms it again. That spares the moves of
    /// timers that are put off with each message.
    ///
    /// A due in the past fires with the next call of [`Wheel::next`].
    #[inline]
    pub(crate) fn arm(&mut self, entry: u32, due: Tick) {
        let index = entry.saturating_add(SLOTS);
        let Some(node) = self.nodes.get(index as usize) else { return };
        if node.is_armed() {
            if due.since(node.due) >= 0 {
                return;
            }
            self.unlink(index);
        }
        self.link_from_now(index, due);
    }

    /// Arms the timer of `entry`, and moves it also when the new due is later: for one that is not put
    /// off again. It fires up to [`COARSE_MS`] late, which spares moving it from level to level.
    #[inline]
    pub(crate) fn settle(&mut self, entry: u32, due: Tick) {
        let index = entry.saturating_add(SLOTS);
        let Some(node) = self.nodes.get(index as usize) else { return };
        let is_far = due.since(self.time) >= COARSE_MS.cast_signed();
        let due = if is_far { due.rounded_up(COARSE_MS) } else { due };
        if node.is_armed() {
            if due == node.due {
                return;
            }
            self.unlink(index);
        }
        self.link_from_now(index, due);
    }

    /// Puts a node that is not armed where it belongs, at the earliest into the slot of now.
    fn link_from_now(&mut self, index: u32, due: Tick) {
        let due = if due.since(self.time) < 0 { self.time } else { due };
        self.link(index, due);
        self.wake = self.wake.sooner(due);
    }

    /// Stops the timer of `entry`, if it is armed.
    #[inline]
    pub(crate) fn disarm(&mut self, entry: u32) {
        if self.is_armed(entry) {
            self.unlink(entry + SLOTS);
        }
    }

    /// Whether the timer of `entry` is armed.
    #[inline]
    pub(crate) fn is_armed(&self, entry: u32) -> bool {
        let index = entry.saturating_add(SLOTS);
        self.nodes.get(index as usize).is_some_and(Node::is_armed)
    }

    /// An entry that is due at `now`, which is not armed any more; the earliest due first.
    ///
    /// None when nothing is due, or when `budget` has come to 0: each entry that is fired, each
    /// one that is moved down a level, and each step to another slot takes 1 of it.
    #[inline]
    pub(crate) fn next(&mut self, now: Tick, budget: &mut u32) -> Option<u32> {
        let fired = if self.wake.has_come(now) { self.fire(now, budget) } else { None };
        if !self.wake.has_come(now) && self.time.has_come(now) {
            self.go_to(now); // No entry is due before.
        }
        fired
    }

    /// Milliseconds that the oldest due entry has waited at `now`.
    ///
    /// An estimate, never too low for an entry that was armed in time: it is the lag of the wheel's
    /// own time, and where a slot of a higher level was reached, the beginning of the slot counts.
    pub(crate) fn lag(&self, now: Tick) -> u32 {
        u32::try_from(now.since(self.wake)).unwrap_or(0)
    }

    fn fire(&mut self, now: Tick, budget: &mut u32) -> Option<u32> {
        while self.wake.has_come(now) && *budget > 0 {
            *budget -= 1;
            self.go_to(self.wake);
            if !self.is_level {
                if let Some(above) = self.above() {
                    let index = self.first(above);
                    if self.nodes.get(index as usize).is_some_and(|one| one.due == self.time) {
                        self.unlink(index);
                        return index.checked_sub(SLOTS);
                    }
                    self.move_down(index);
                    continue;
                }
                self.is_level = true;
            }
            let place = Place::new(0, self.time);
            if self.occupied.has(place) {
                let index = self.first(place);
                self.unlink(index);
                return index.checked_sub(SLOTS);
            }
            let far = self.time.plus(FAR_MS);
            self.wake = self.occupied.after(self.time).map_or(far, |next| next.sooner(far));
        }
        None
    }

    fn go_to(&mut self, time: Tick) {
        if self.time != time {
            self.time = time;
            self.is_level = false;
        }
    }

    /// The highest slot above level 0 that the time lies in and that has entries.
    fn above(&self) -> Option<Place> {
        let mut places = (1..LEVELS).rev().map(|level| Place::new(level, self.time));
        places.find(|place| self.occupied.has(*place))
    }

    /// Index of the first entry's node in a slot that has entries.
    fn first(&self, place: Place) -> u32 {
        self.nodes.get(place.index() as usize).map_or(place.index(), |slot| slot.next)
    }

    fn move_down(&mut self, index: u32) {
        if let Some(node) = self.nodes.get(index as usize) {
            let due = node.due;
            self.unlink(index);
            self.link(index, due);
        }
    }

    /// Puts the node last in the slot of `due`, which is not before the time of the wheel.
    fn link(&mut self, index: u32, due: Tick) {
        let place = Place::of(due, self.time);
        let slot = place.index();
        let Some(ring) = self.nodes.get_mut(slot as usize) else { return };
        let last = core::mem::replace(&mut ring.previous, index);
        if let Some(last) = self.nodes.get_mut(last as usize) {
            last.next = index;
        }
        if let Some(node) = self.nodes.get_mut(index as usize) {
            *node = Node { next: slot, previous: last, due };
        }
        self.occupied.set(place);
    }

    /// Takes an armed node out of its slot.
    fn unlink(&mut self, index: u32) {
        let Some(node) = self.nodes.get_mut(index as usize) else { return };
        let (next, previous) = (core::mem::replace(&mut node.next, Node::IDLE), node.previous);
        if let Some(node) = self.nodes.get_mut(next as usize) {
            node.previous = previous;
        }
        if let Some(node) = self.nodes.get_mut(previous as usize) {
            node.next = next;
        }
        if next == previous
            && let Some(slot) = Place::at(next)
        {
            self.occupied.clear(slot);
        }
    }
}

#[cfg(test)]
mod tests;
