//! Stateless work of a worker whose queue does not run empty, taken by siblings that have time.
//!
//! RSS gives all packets of one pair of address and port on both sides to one queue. When these are more than its
//! worker can do, the worker goes on receiving, and gives some of the messages to siblings:
//!
//! ```text
//!  queue ─► owner ── Call-ID ─► bucket ─┬─ here: the whole way
//!                                       └─ batch ── ring ──► sibling: the whole way, its own transmit queue
//!             ◄───────────────── done: so many of yours have left ─┘
//!             ◄───────────────── is spare: my own queues run empty ─┘
//! ```
//!
//! **Order.** A bucket is a part of all Call-IDs, and remembers which worker had its last message, and the number of that
//! message. While that one has not left, all messages of the bucket follow it; then the next may go anywhere. So the
//! messages of a Call-ID leave in the order in which they came, whoever takes them, and a sibling can be left at any time.
//! (The kernel's receive flow steering moves flows by the same rule: Documentation/networking/scaling.rst.)
//!
//! **Balance.** The owner fills each spare sibling up to a depth, and keeps the rest. A sibling that is done earlier has
//! more room at the next burst.
//!
//! The words are written by one worker each, with plain stores, and a ring carries a batch at a time: one fence for a
//! burst, not for a message.

use crate::limits::{
    BURST_MAX, SPILL_BUCKETS, SPILL_DEPTH, SPILL_PENDING_MAX, SPILL_RING, SPILL_SIBLINGS_MAX,
};
use crate::mixing::{FACTOR, mix};
use core::sync::atomic::{AtomicU64, Ordering};
use crossbeam::queue::ArrayQueue;
use smallvec::SmallVec;
use std::sync::Arc;

/// Messages of one burst for one sibling.
#[derive(Debug)]
pub struct Batch<P> {
    /// The port they came from.
    pub port: u8,
    /// Their frames, as received; source and rate were looked at, checksums were not.
    pub packets: SmallVec<[P; BURST_MAX]>,
}

/// One worker's end: the siblings that it can give work to, and those that give to it.
#[derive(Debug)]
pub struct Spill<P> {
    lanes: Vec<Lane<P>>,
    sources: Vec<Source<P>>,
    /// The source whose turn it is.
    turn: usize,
    spare: Spare,
    /// By a part of the hash of the Call-ID.
    buckets: Box<[Bucket]>,
    /// The number of the burst in hand.
    burst: u64,
    /// Some sibling had not done all when it was last looked at.
    is_draining: bool,
}

/// The way to one sibling.
#[derive(Debug)]
struct Lane<P> {
    sibling: u8,
    ring: Arc<ArrayQueue<Batch<P>>>,
    done: Arc<Word>,
    is_spare: Arc<Word>,
    /// Messages given so far: the number of the last one.
    given: u64,
    /// As far as the sibling had done them when this burst began.
    done_until: u64,
    /// Messages that it may still be given freely in this burst.
    room: u64,
    /// Messages that it can still be given at all.
    space: u64,
    /// Those of the burst in hand.
    pending: SmallVec<[P; BURST_MAX]>,
}

/// The way from one sibling.
#[derive(Debug)]
struct Source<P> {
    owner: u8,
    ring: Arc<ArrayQueue<Batch<P>>>,
    done: Arc<Word>,
    taken: u64,
}

/// A number that one worker writes and another reads, on cache lines of its own: adjacent ones are prefetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Word(AtomicU64);

impl Word {
    /// All that the writer has done before is seen by who reads this.
    fn publish(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Who had the last message of a bucket: the lane counted from 1, or 0 for the owner, in the high byte; beneath it
/// the number of that message on the lane, or of the owner's burst.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket(u64);

const NUMBER_BITS: u32 = 56;
const HERE: usize = 0;

impl Bucket {
    fn new(place: usize, number: u64) -> Self {
        Self((place as u64) << NUMBER_BITS | number)
    }

    fn place(self) -> usize {
        (self.0 >> NUMBER_BITS) as usize
    }

    fn number(self) -> u64 {
        self.0 & ((1 << NUMBER_BITS) - 1)
    }
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It stays.
    Here,
    /// To a sibling.
    Sibling(Seat),
    /// To a sibling that cannot take it, and to nobody else, as that would overtake another.
    Nowhere,
}

/// A place of a message with a sibling, if it is [given](Spill::give).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    lane: usize,
    bucket: usize,
}

impl<P> Default for Spill<P> {
    /// The end of a worker that neither gives nor takes.
    fn default() -> Self {
        Self {
            lanes: vec![],
            sources: vec![],
            turn: 0,
            spare: Spare::default(),
            buckets: Box::default(),
            burst: 0,
            is_draining: false,
        }
    }
}

impl<P> Spill<P> {
    /// The ends of this many workers, in their order: each can give to the next [`SPILL_SIBLINGS_MAX`] of them, the first
    /// behind the last.
    ///
    /// # Panics
    /// With more than 256 workers.
    pub fn for_workers(workers: usize) -> Vec<Self> {
        let number = |worker: usize| u8::try_from(worker).expect("a worker's number is a u8");
        let end =
            || Self { buckets: vec![Bucket::default(); SPILL_BUCKETS].into(), ..Self::default() };
        let mut ends: Vec<Self> = (0..workers).map(|_| end()).collect();
        for owner in 0..workers {
            for step in 1..=SPILL_SIBLINGS_MAX.min(workers - 1) {
                let sibling = (owner + step) % workers;
                let ring = Arc::new(ArrayQueue::new(SPILL_RING));
                let done: Arc<Word> = Arc::default();
                let is_spare = Arc::clone(&ends[sibling].spare.word);
                ends[owner].lanes.push(Lane {
                    sibling: number(sibling),
                    ring: Arc::clone(&ring),
                    done: Arc::clone(&done),
                    is_spare,
                    given: 0,
                    done_until: 0,
                    room: 0,
                    space: 0,
                    pending: SmallVec::new(),
                });
                let owner = number(owner);
                ends[sibling].sources.push(Source { owner, ring, done, taken: 0 });
            }
        }
        ends
    }

    /// Whether there is any sibling.
    #[inline]
    pub fn has_siblings(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// A burst was received, behind which more waits if `is_backlogged`. Gives whether its messages must be [placed];
    /// if not, all of them stay.
    ///
    /// [placed]: Self::place
    #[inline]
    pub fn begin(&mut self, is_backlogged: bool) -> bool {
        (is_backlogged || self.is_draining) && self.look(is_backlogged)
    }

    fn look(&mut self, is_backlogged: bool) -> bool {
        self.burst += 1;
        self.is_draining = false;
        let mut has_room = false;
        for lane in &mut self.lanes {
            lane.done_until = lane.done.read();
            let under_way = lane.given - lane.done_until;
            self.is_draining |= under_way > 0;
            // Only we push, so the room that we see stays.
            let is_full = lane.ring.is_full();
            let up_to = |most: u64| if is_full { 0 } else { most.saturating_sub(under_way) };
            lane.space = up_to(SPILL_PENDING_MAX as u64);
            let takes = is_backlogged && lane.is_spare.read() != 0;
            lane.room = if takes { up_to(SPILL_DEPTH as u64) } else { 0 };
            has_room |= lane.room > 0;
        }
        self.is_draining || has_room
    }

    /// Who takes a message of the burst in hand with this Call-ID. A sibling does so when it is [given](Self::give).
    #[inline]
    pub fn place(&mut self, call_id: &[u8]) -> Place {
        let bucket = bucket_of(call_id);
        let last = self.buckets[bucket];
        let is_free = match last.place() {
            HERE => last.number() != self.burst,
            place => last.number() <= self.lanes[place - 1].done_until,
        };
        let place = if is_free { self.freely() } else { last.place() };
        let Some(lane) = place.checked_sub(1) else {
            self.buckets[bucket] = Bucket::new(HERE, self.burst);
            return Place::Here;
        };
        if self.lanes[lane].space == 0 {
            Place::Nowhere
        } else {
            Place::Sibling(Seat { lane, bucket })
        }
    }

    /// The lane with the most room, counted from 1; or here.
    #[inline]
    fn freely(&self) -> usize {
        let (mut place, mut room) = (HERE, 0);
        for (index, lane) in self.lanes.iter().enumerate() {
            if lane.room > room {
                (place, room) = (index + 1, lane.room);
            }
        }
        place
    }

    /// Puts a message aside for the sibling with which it was just placed.
    #[inline]
    pub fn give(&mut self, seat: Seat, packet: P) {
        let lane = &mut self.lanes[seat.lane];
        (lane.space, lane.room) = (lane.space - 1, lane.room.saturating_sub(1));
        lane.given += 1;
        lane.pending.push(packet);
        self.buckets[seat.bucket] = Bucket::new(seat.lane + 1, lane.given);
    }

    /// The burst, which came in by `port`, has ended: siblings get what was put aside.
    #[inline]
    pub fn send(&mut self, port: u8) {
        for lane in &mut self.lanes {
            if !lane.pending.is_empty() {
                self.is_draining = true;
                let packets = core::mem::take(&mut lane.pending);
                let sent = lane.ring.push(Batch { port, packets });
                debug_assert!(sent.is_ok(), "only this worker pushes, and there was room");
            }
        }
    }

    /// The next messages that a sibling gives, the siblings by turns, with the index of the source; when they have left,
    /// [`Self::finish`].
    #[inline]
    pub fn take(&mut self) -> Option<(usize, Batch<P>)> {
        for _ in 0..self.sources.len() {
            let index = self.turn;
            self.turn = if index + 1 == self.sources.len() { 0 } else { index + 1 };
            let ring = &self.sources[index].ring;
            // Nearly always it is empty, and `is_empty` says so without a fence.
            if !ring.is_empty()
                && let Some(batch) = ring.pop()
            {
                return Some((index, batch));
            }
        }
        None
    }

    /// The worker that gives by this source.
    pub fn owner(&self, source: usize) -> u8 {
        self.sources[source].owner
    }

    /// So many messages of this source have been taken the whole way, and handed to the driver.
    #[inline]
    pub fn finish(&mut self, source: usize, messages: usize) {
        let source = &mut self.sources[source];
        source.taken += messages as u64;
        source.done.publish(source.taken);
    }

    /// A round over the worker's own queues brought so many frames.
    #[inline]
    pub fn note_own(&mut self, frames: usize) {
        self.spare.note(frames);
    }

    /// Messages given to each sibling since the start.
    pub fn given(&self) -> impl Iterator<Item = (u8, u64)> {
        self.lanes.iter().map(|lane| (lane.sibling, lane.given))
    }

    /// Messages taken from siblings since the start.
    pub fn taken(&self) -> u64 {
        self.sources.iter().map(|source| source.taken).sum()
    }
}

/// Whether a worker has time for others, told by its own queues: what it takes for others only makes its rounds longer,
/// and the bursts of its own queues larger, until they come close to the most that a burst can hold.
#[derive(Debug, Default)]
struct Spare {
    word: Arc<Word>,
    /// Moving mean of frames in a round, times [`Self::ROUNDS`].
    frames: usize,
    /// What the word says.
    says_so: bool,
}

impl Spare {
    /// Rounds that the mean goes back over: about 100 us of a busy worker, and 1 us of an idle one.
    const ROUNDS: usize = 64;
    /// Below this mean it begins to have time, and above [`Self::BUSY`] it has none.
    const QUIET: usize = BURST_MAX / 4;
    const BUSY: usize = BURST_MAX / 2;

    #[inline]
    fn note(&mut self, frames: usize) {
        self.frames = self.frames - self.frames / Self::ROUNDS + frames;
        let limit = if self.says_so { Self::BUSY } else { Self::QUIET };
        let is_spare = self.frames < limit * Self::ROUNDS;
        if is_spare != self.says_so {
            self.says_so = is_spare;
            self.word.publish(is_spare.into());
        }
    }
}

/// Spreads Call-IDs over buckets. Who aims all of his at one bucket has them taken one after the other, as if nothing were
/// spilled: there is no secret to keep.
#[inline]
fn bucket_of(call_id: &[u8]) -> usize {
    let (words, rest) = call_id.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let step = |hash: u64, word: &[u8; 8]| mix(hash, u64::from_le_bytes(*word));
    let hash = words.iter().chain([&last]).fold(call_id.len() as u64 ^ FACTOR, step);
    #[expect(clippy::cast_possible_truncation, reason = "below SPILL_BUCKETS")]
    let bucket = (hash.wrapping_mul(FACTOR) >> (u64::BITS - SPILL_BUCKETS.ilog2())) as usize;
    bucket
}

#[cfg(test)]
mod tests;
