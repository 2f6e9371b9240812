//! What members of destination sets have said of their load, as one worker has heard it (RFC 7339 sections 5.4, 5.5):
//!
//! ```text
//!   oc=20;oc-validity=500;oc-seq=7.1 ──► of five requests that open something, one goes to a member that wants no
//!                                        fewer, or is answered with 503
//!        newer oc-seq ──► another part, or another 500 ms
//!        500 ms pass, oc=0, oc-validity=0 ──► all go there again
//! ```
//!
//! A table of fixed size, made once at start. A place in it is that of an address, since that is what overload has; it
//! says itself of which, as places change with the settings.

use alloc::boxed::Box;
use alloc::vec;
use core::net::SocketAddr;

use super::dispatch::{mix, seed};
use crate::limits::{ASKED_MAX, TOLD_MS_MAX, TOLD_ORDER_MS, TRANSACTION_SECONDS_MAX};
use crate::rewrite::told::Told;

/// The place of a member that is not asked.
pub(super) const NOT_ASKED: u16 = u16::MAX;

/// What one worker has heard from members.
#[derive(Debug)]
pub(super) struct Loads {
    places: Box<[Place]>,
    /// Until when requests may be on their way that did not go where their hash leads.
    strays_until_ms: u64,
    has_news: bool,
}

/// What one member has said.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// [`seed`] of its address.
    seed: u64,
    heard_ms: u64,
    sequence: u64,
    load: MemberLoad,
}

/// What one worker keeps back from a member that has asked for less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberLoad {
    /// Per cent of requests outside of dialogs that it wants fewer; 0 to 100.
    pub percent: u8,
    /// Until when, in milliseconds of the clock that [`Choices::set_time`](crate::Choices::set_time) is told.
    pub until_ms: u64,
    /// Responses that said so.
    pub heard: u64,
    /// Requests that were given to other members instead.
    pub diverted: u64,
    /// Requests that were answered with 503 instead.
    pub refused: u64,
}

impl Default for Loads {
    fn default() -> Self {
        let places = vec![Place::default(); ASKED_MAX].into();
        Self { places, strays_until_ms: 0, has_news: false }
    }
}

impl Loads {
    /// A member has said something, in a response to a request of ours.
    pub(super) fn hear(&mut self, place: u16, member: SocketAddr, told: Told, now_ms: u64) {
        let Some(known) = self.places.get_mut(usize::from(place)) else { return };
        let seed = seed(member);
        if known.seed != seed {
            *known = Place { seed, ..Place::default() };
        }
        // RFC 7339 section 4.4: what took longer on its way is older. After a restart it may count anew.
        let is_fresh = known.load.heard > 0 && now_ms < known.heard_ms + TOLD_ORDER_MS;
        if is_fresh && told.sequence.is_some_and(|sequence| sequence <= known.sequence) {
            return;
        }
        known.sequence = told.sequence.unwrap_or(known.sequence);
        known.heard_ms = now_ms;
        known.load.until_ms = now_ms + u64::from(told.validity_ms.min(TOLD_MS_MAX));
        known.load.percent = told.percent;
        known.load.heard += 1;
        if told.percent > 0 {
            self.strays_until_ms = self.strays_until_ms.max(known.load.until_ms);
        }
        self.has_news = true;
    }

    /// Whether a member wants fewer requests now.
    pub(super) fn is_reduced(&self, place: u16, seed: u64, now_ms: u64) -> bool {
        self.percent(place, seed, now_ms) > 0
    }

    /// Whether a request is among those that a member does not want: the same for each copy of it as long as the member
    /// wants the same.
    pub(super) fn holds_back(&self, place: u16, seed: u64, request: u64, now_ms: u64) -> bool {
        let percent = self.percent(place, seed, now_ms);
        // Not the hash by which the member was chosen, which would hit some members' requests and spare others'.
        percent > 0 && mix(request ^ seed.rotate_left(32)) % 100 < percent.into()
    }

    fn percent(&self, place: u16, seed: u64, now_ms: u64) -> u8 {
        match self.places.get(usize::from(place)) {
            Some(known) if known.seed == seed && now_ms < known.load.until_ms => known.load.percent,
            _ => 0,
        }
    }

    /// A request was kept back from a member, and given to another or refused.
    pub(super) fn count(&mut self, place: u16, is_diverted: bool, now_ms: u64) {
        let Some(known) = self.places.get_mut(usize::from(place)) else { return };
        let count = if is_diverted { &mut known.load.diverted } else { &mut known.load.refused };
        *count += 1;
        self.strays_until_ms = now_ms + TRANSACTION_SECONDS_MAX * 1_000;
        self.has_news = true;
    }

    /// Whether requests may be on their way that did not go where their hash leads, or will be.
    pub(super) fn has_strays(&self, now_ms: u64) -> bool {
        now_ms < self.strays_until_ms
    }

    /// Places have changed: all of it is news.
    pub(super) fn note_places(&mut self) {
        self.has_news = true;
    }

    /// Whether there is anything new to say since the last call.
    pub(super) fn take_news(&mut self) -> bool {
        core::mem::take(&mut self.has_news)
    }

    /// What is known of a member.
    pub(super) fn load(&self, place: u16, member: SocketAddr) -> MemberLoad {
        let known = self.places.get(usize::from(place)).filter(|known| known.seed == seed(member));
        known.map_or(MemberLoad::default(), |known| known.load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: &str = "192.0.2.1:5060";

    struct Setup {
        loads: Loads,
        member: SocketAddr,
    }

    impl Setup {
        fn new() -> Self {
            Self { loads: Loads::default(), member: MEMBER.parse().unwrap() }
        }

        fn hear(&mut self, percent: u8, validity_ms: u32, sequence: u64, now_ms: u64) {
            let told = Told { percent, validity_ms, sequence: Some(sequence) };
            self.loads.hear(3, self.member, told, now_ms);
        }

        /// Of so many requests, the part that is kept back in per cent.
        fn part(&self, now_ms: u64) -> u64 {
            let seed = seed(self.member);
            let is_held = |n: &u64| {
                let request = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                self.loads.holds_back(3, seed, request, now_ms)
            };
            (0..100_000_u64).filter(is_held).count() as u64 / 1_000
        }
    }

    #[test]
    fn the_part_is_what_was_asked_for_and_ends_with_its_time() {
        let mut setup = Setup::new();
        assert_eq!(setup.part(1_000), 0);
        for (percent, sequence) in [(20, 1), (50, 2), (1, 3), (100, 4)] {
            setup.hear(percent, 700, sequence, 1_000);
            let part = setup.part(1_699);
            assert!(part.abs_diff(percent.into()) <= 1, "{part} {percent}");
            assert_eq!(setup.part(1_700), 0);
        }
        setup.hear(0, 700, 5, 1_000);
        assert_eq!(setup.part(1_001), 0);
        setup.hear(30, 700, 6, 1_000);
        setup.hear(30, 0, 7, 1_000);
        assert_eq!(setup.part(1_001), 0);
        setup.hear(100, u32::MAX, 8, 1_000);
        let most = 1_000 + u64::from(TOLD_MS_MAX);
        assert_eq!([setup.part(most - 1), setup.part(most)], [100, 0]);
    }

    #[test]
    fn what_is_older_does_not_count_until_nothing_older_can_come() {
        let mut setup = Setup::new();
        setup.hear(50, 1_000, 100, 5_000);
        setup.hear(90, 1_000, 99, 5_001);
        setup.hear(90, 1_000, 100, 5_002);
        assert!((49..=51).contains(&setup.part(5_003)));
        // The end of it is not undone by a late response either.
        setup.hear(0, 0, 101, 5_003);
        setup.hear(90, 1_000, 100, 5_004);
        assert_eq!(setup.part(5_005), 0);
        // The member has been restarted.
        setup.hear(90, 1_000, 1, 5_003 + TOLD_ORDER_MS);
        assert!((89..=91).contains(&setup.part(5_004 + TOLD_ORDER_MS)));
    }

    #[test]
    fn a_place_knows_whose_it_is() {
        let mut setup = Setup::new();
        setup.hear(50, 1_000, 100, 5_000);
        let other: SocketAddr = "192.0.2.2:5060".parse().unwrap();
        assert!(setup.loads.is_reduced(3, seed(setup.member), 5_001));
        assert!(!setup.loads.is_reduced(3, seed(other), 5_001));
        assert_eq!(setup.loads.load(3, other), MemberLoad::default());
        let load = setup.loads.load(3, setup.member);
        assert_eq!((load.percent, load.until_ms, load.heard), (50, 6_000, 1));
        assert!(setup.loads.take_news() && !setup.loads.take_news());
        setup.loads.hear(3, other, Told { percent: 9, validity_ms: 9, sequence: None }, 5_001);
        assert!(!setup.loads.is_reduced(3, seed(setup.member), 5_001));
        assert!(setup.loads.is_reduced(3, seed(other), 5_001));
        setup.loads.hear(NOT_ASKED, other, Told { percent: 9, validity_ms: 9, sequence: None }, 1);
        assert!(!setup.loads.is_reduced(NOT_ASKED, seed(other), 5_001));
    }

    #[test]
    fn strays_are_looked_for_as_long_as_a_transaction_may_last() {
        let mut setup = Setup::new();
        assert!(!setup.loads.has_strays(1));
        setup.hear(5, 500, 1, 100);
        assert!(setup.loads.has_strays(599) && !setup.loads.has_strays(600));
        setup.loads.count(3, true, 1_000);
        setup.loads.count(3, false, 1_000);
        assert!(setup.loads.has_strays(1_000 + TRANSACTION_SECONDS_MAX * 1_000 - 1));
        assert!(!setup.loads.has_strays(1_000 + TRANSACTION_SECONDS_MAX * 1_000));
    }
}
