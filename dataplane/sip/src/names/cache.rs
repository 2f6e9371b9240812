//! The answers that one worker remembers.
//!
//! ```text
//!   keyed hash of the question ──► bucket ─► [ hash, answer, until when ] × 4
//! ```
//!
//! A table of fixed size, made at the start. The answers themselves are made and freed elsewhere: what is put in
//! place of another gives that one back.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::answer::{NameAnswer, NameHops, NameOutcome, order};
use super::question::NameQuestion;
use crate::limits::NAMES_MAX;
use crate::message::{Arrival, Request};
use crate::rewrite::branch::Branch;
use crate::route::outcome::Reply;
use crate::route::request::RequestRoute;
use crate::route::tables::Tables;
use crate::settings::Transport;

/// Answers of a bucket.
const WAYS: usize = 4;
/// How long an answer that is over is used before anybody is asked again (RFC 8767 section 4 has 30 s).
const STALE_MS: u64 = 30_000;
/// Pause between two questions for an answer that will soon be over.
const ASK_AGAIN_MS: u64 = 1_000;

/// The answers that one worker remembers.
#[derive(Debug)]
pub struct Names {
    hasher: SipHasher13,
    now_ms: u64,
    buckets: Box<[[Slot; WAYS]]>,
    /// What is to be asked.
    wanted: Option<NameQuestion>,
    counts: NameCounts,
}

/// What became of requests to names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameCounts {
    /// Answers in memory.
    pub cached: u64,
    /// Requests whose name was known.
    pub hits: u64,
    /// Of these, by an answer that was over, as nobody had a newer one.
    pub stale: u64,
    /// Requests refused as there is no such name: 404.
    pub no_such_name: u64,
    /// Requests refused as nobody could say: 503.
    pub failed: u64,
}

/// Why a request has no address to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAimed {
    /// The question of [`Names::take_wanted`] must be answered first.
    Unknown,
    /// It is to be answered so.
    Refused(Reply),
}

#[derive(Clone, Debug, Default)]
struct Slot {
    hash: u64,
    answer: Option<Arc<NameAnswer>>,
    /// Since when it is here.
    since_ms: u64,
    /// From when on it is to be asked for again.
    refresh_ms: u64,
    /// Until when it counts.
    until_ms: u64,
    /// Nobody could say anything newer.
    is_stale: bool,
}

impl Names {
    /// Room for [`NAMES_MAX`] answers. With a random `key` nobody can choose names that meet in one place.
    pub fn new(key: u64) -> Self {
        Self::with_room(NAMES_MAX, key)
    }

    /// Room for none.
    pub fn none() -> Self {
        Self::with_room(0, 0)
    }

    fn with_room(names: usize, key: u64) -> Self {
        Self {
            hasher: SipHasher13::new_with_keys(key, !key),
            now_ms: 0,
            buckets: vec![Default::default(); names / WAYS].into_boxed_slice(),
            wanted: None,
            counts: NameCounts::default(),
        }
    }

    /// Says what time it is, in milliseconds.
    #[inline]
    pub fn set_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// What was counted.
    pub fn counts(&self) -> NameCounts {
        self.counts
    }

    /// Whether something is to be asked.
    #[inline]
    pub fn wants(&self) -> bool {
        self.wanted.is_some()
    }

    /// What is to be asked, once.
    #[inline]
    pub fn take_wanted(&mut self) -> Option<NameQuestion> {
        self.wanted.take()
    }

    /// What stands for a question while it is waited for.
    #[inline]
    pub fn hash(&self, question: &NameQuestion) -> u64 {
        let mut hasher = self.hasher;
        hasher.write(question.name());
        hasher.write_u16(question.port());
        hasher.write_u8(question.transport().map_or(u8::MAX, Transport::number));
        hasher.finish()
    }

    /// Gives a request whose next hop is a name its addresses: the first to `route`, and all in their order to
    /// `hops`, which a transaction asks one after the other.
    ///
    /// # Errors
    /// When it cannot go on, or not yet.
    #[cold]
    pub fn aim(
        &mut self,
        request: &Request<'_>,
        tables: &Tables,
        arrival: &Arrival,
        route: &mut RequestRoute,
        hops: &mut NameHops,
    ) -> Result<(), NotAimed> {
        let question = route.name.and_then(|name| name.question(request.bytes));
        let Some(question) = question else {
            self.counts.no_such_name += 1;
            return Err(NotAimed::Refused(Reply::NoSuchHost));
        };
        let place = self.find(&question)?;
        let answer = self.buckets.get(place[0]).and_then(|bucket| bucket[place[1]].answer.as_ref());
        match answer.map(|answer| &answer.outcome) {
            Some(NameOutcome::Found(targets)) => {
                order(targets, key(request, tables, arrival, route), tables, hops);
            }
            Some(NameOutcome::NoSuchName) => {
                self.counts.no_such_name += 1;
                return Err(NotAimed::Refused(Reply::NoSuchHost));
            }
            Some(NameOutcome::Failed) | None => {
                self.counts.failed += 1;
                return Err(NotAimed::Refused(Reply::NextHopName));
            }
        }
        // Nobody is made to send to himself by what DNS says.
        let has_any = !hops.is_empty();
        hops.retain(|hop| !tables.is_listen_address(hop.address));
        let Some(first) = hops.first() else {
            let reply = if has_any { Reply::LoopDetected } else { Reply::Transport };
            return Err(NotAimed::Refused(reply));
        };
        (route.next_hop, route.transport) = (first.address, first.transport);
        Ok(())
    }

    /// The place of the answer to a question, while it counts.
    fn find(&mut self, question: &NameQuestion) -> Result<[usize; 2], NotAimed> {
        let (hash, now_ms) = (self.hash(question), self.now_ms);
        let at = self.bucket_of(hash);
        let found = self.buckets.get_mut(at).and_then(|bucket| {
            let way = bucket.iter().position(|slot| slot.is_about(hash, question))?;
            let slot = &mut bucket[way];
            (now_ms < slot.until_ms).then_some((way, slot))
        });
        let Some((way, slot)) = found else {
            self.wanted = Some(*question);
            return Err(NotAimed::Unknown);
        };
        self.counts.hits += 1;
        self.counts.stale += u64::from(slot.is_stale);
        if now_ms >= slot.refresh_ms {
            slot.refresh_ms = now_ms + ASK_AGAIN_MS;
            self.wanted = Some(*question);
        }
        Ok([at, way])
    }

    /// Remembers an answer. Gives what is to be freed elsewhere: another one in whose place it is, or itself when
    /// it says nothing newer.
    pub fn learn(&mut self, answer: Arc<NameAnswer>) -> Option<Arc<NameAnswer>> {
        let (hash, now_ms) = (self.hash(&answer.question), self.now_ms);
        let at = self.bucket_of(hash);
        let Some(bucket) = self.buckets.get_mut(at) else { return Some(answer) };
        let same = bucket.iter().position(|slot| slot.is_about(hash, &answer.question));
        let free = || bucket.iter().position(|slot| slot.answer.is_none());
        // The one that will be over first.
        let oldest = || (0..WAYS).min_by_key(|&way| bucket[way].until_ms).unwrap_or(0);
        let way = same.or_else(free).unwrap_or_else(oldest);
        let slot = &mut bucket[way];
        if answer.outcome == NameOutcome::Failed && same.is_some() && slot.outlives(now_ms) {
            slot.is_stale |= now_ms >= slot.until_ms;
            slot.until_ms = slot.until_ms.max(now_ms + STALE_MS);
            slot.refresh_ms = last_tenth(now_ms, STALE_MS);
            return Some(answer);
        }
        let ttl_ms = u64::from(answer.ttl_ms);
        let before = slot.answer.replace(answer);
        (slot.hash, slot.is_stale) = (hash, false);
        (slot.since_ms, slot.until_ms) = (now_ms, now_ms + ttl_ms);
        slot.refresh_ms = last_tenth(now_ms, ttl_ms);
        self.counts.cached += u64::from(before.is_none());
        before
    }

    #[inline]
    fn bucket_of(&self, hash: u64) -> usize {
        let at = (u128::from(hash) * (self.buckets.len() as u128)) >> 64;
        usize::try_from(at).unwrap_or(usize::MAX)
    }
}

impl Slot {
    fn is_about(&self, hash: u64, question: &NameQuestion) -> bool {
        self.hash == hash && self.answer.as_ref().is_some_and(|one| one.question == *question)
    }

    /// Whether it has addresses that may still be used though they are over.
    fn outlives(&self, now_ms: u64) -> bool {
        self.answer.as_ref().is_some_and(|answer| {
            let life_ms = u64::from(answer.ttl_ms) + u64::from(answer.stale_ms);
            matches!(answer.outcome, NameOutcome::Found(_)) && now_ms < self.since_ms + life_ms
        })
    }
}

/// When the last tenth of a time begins: then an answer is asked for again, so that nobody has to wait for it.
fn last_tenth(now_ms: u64, time_ms: u64) -> u64 {
    now_ms + time_ms - time_ms / 10
}

/// What makes all messages of a transaction go the same way: the check of our stateless branch.
fn key(request: &Request<'_>, tables: &Tables, arrival: &Arrival, route: &mut RequestRoute) -> u64 {
    if let Some(Branch::Stateless(_, check)) = route.branch {
        return check;
    }
    let check = tables.keys.branch(request.bytes, request.headers, &route.via, arrival.listen);
    route.branch = Some(Branch::Stateless(arrival.listen, check));
    check
}

#[cfg(test)]
mod tests;
