//! Which counts of a nonce have been used (RFC 7616 section 3.4, `nc`), for a fixed number of nonces.
//!
//! A nonce comes in with its first count, once a right digest has come with it. Where it must make room for
//! others, its stamp raises the horizon of its set: what is older than that and not here is taken for used.
//! So a lack of room costs a client another challenge, but never lets a request in twice.

use alloc::boxed::Box;
use alloc::vec;

use super::nonce::Nonce;

/// Nonces of a set. With the horizon they fill two cache lines.
const WAYS: usize = 3;

/// How far behind the highest count one may come in.
const WINDOW: u32 = 64;

/// The counts that were used.
#[derive(Debug)]
pub(super) struct Replays {
    sets: Box<[Set]>,
}

#[derive(Clone, Debug, Default)]
#[repr(align(128))]
struct Set {
    /// Highest stamp of a nonce that had to go.
    horizon: u64,
    ways: [Used; WAYS],
}

/// A nonce that was used.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    /// Its stamp; 0 for none.
    stamp: u64,
    /// A bit for each count, that for the highest lowest.
    window: u64,
    highest: u32,
    /// Whose it is: part of the hash of the user.
    user: u32,
    /// The messages of the last even and the last odd count.
    prints: [u64; 2],
}

/// What is known of a nonce and a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// The nonce has not been used.
    New,
    /// It has, by this user, but not this count.
    Next,
    /// As `Next`, by another user.
    NextOfAnother,
    /// This count has been used by this very message: a retransmission.
    Again,
    /// This count has been used.
    Used,
    /// The nonce is not known any more, or its count does not begin with 1.
    Unknown,
}

/// A nonce that comes in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) nonce: Nonce,
    pub(super) count: u32,
    /// The hash of the user.
    pub(super) user: u64,
    /// The fingerprint of the message; 0 for none.
    pub(super) print: u64,
}

impl Replays {
    /// Room for about so many nonces; the only allocation.
    pub(super) fn new(nonces: u32) -> Self {
        Self { sets: vec![Set::default(); sets(nonces)].into() }
    }

    /// Bytes of memory for so many nonces.
    pub(super) fn memory(nonces: u32) -> usize {
        sets(nonces) * size_of::<Set>()
    }

    /// Asks for the memory that a nonce stands in, and waits for nothing.
    #[inline]
    pub(super) fn touch(&self, nonce: Nonce) {
        core::hint::black_box(self.sets[self.index(nonce)].horizon);
    }

    /// What is known, before anything is changed.
    #[inline]
    pub(super) fn look(&self, used: &Use) -> Sight {
        let set = &self.sets[self.index(used.nonce)];
        let stamp = used.nonce.stamp;
        match set.ways.iter().find(|known| known.stamp == stamp) {
            Some(known) => known.look(used),
            None if used.count == 1 && stamp > set.horizon => Sight::New,
            None => Sight::Unknown,
        }
    }

    /// Takes note of a use that [`Self::look`] found to be new or the next.
    #[inline]
    pub(super) fn note(&mut self, used: &Use) {
        let index = self.index(used.nonce);
        let set = &mut self.sets[index];
        let stamp = used.nonce.stamp;
        if let Some(known) = set.ways.iter_mut().find(|known| known.stamp == stamp) {
            return known.note(used);
        }
        let Some(oldest) = set.ways.iter_mut().min_by_key(|known| known.stamp) else { return };
        set.horizon = set.horizon.max(oldest.stamp);
        *oldest = Used { stamp, user: user_mark(used.user), ..Used::default() };
        oldest.note(used);
    }

    #[expect(clippy::cast_possible_truncation, reason = "its low bits are meant")]
    fn index(&self, nonce: Nonce) -> usize {
        nonce.check as usize & (self.sets.len() - 1)
    }
}

/// A power of two.
fn sets(nonces: u32) -> usize {
    (nonces as usize).div_ceil(WAYS).next_power_of_two()
}

#[expect(clippy::cast_possible_truncation, reason = "a part of the hash")]
fn user_mark(user: u64) -> u32 {
    user as u32
}

impl Used {
    fn look(&self, used: &Use) -> Sight {
        let behind = self.highest.saturating_sub(used.count);
        let is_used =
            behind >= WINDOW || used.count <= self.highest && self.window >> behind & 1 != 0;
        if !is_used {
            let is_same = self.user == user_mark(used.user);
            return if is_same { Sight::Next } else { Sight::NextOfAnother };
        }
        let is_same = used.print != 0 && self.prints[used.count as usize % 2] == used.print;
        // Of two odd counts only the last one's message is known.
        if is_same && behind < 2 { Sight::Again } else { Sight::Used }
    }

    fn note(&mut self, used: &Use) {
        if used.count > self.highest {
            let ahead = used.count - self.highest;
            self.window = self.window.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = used.count;
        } else {
            self.window |= 1 << ((self.highest - used.count) % WINDOW);
        }
        if self.highest - used.count < 2 {
            self.prints[used.count as usize % 2] = used.print;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::prelude::v1::*;

    use proptest::prelude::*;

    use super::*;

    fn used(stamp: u64, count: u32) -> Use {
        let nonce = Nonce { stamp, check: stamp.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
        Use { nonce, count, user: 7, print: u64::from(count) << 8 | 1 }
    }

    /// Looks, and takes note when it is good.
    fn accept(replays: &mut Replays, used: Use) -> Sight {
        let sight = replays.look(&used);
        if matches!(sight, Sight::New | Sight::Next) {
            replays.note(&used);
        }
        sight
    }

    #[test]
    fn counts_are_good_once_in_a_window() {
        let mut replays = Replays::new(16);
        assert_eq!(accept(&mut replays, used(5, 2)), Sight::Unknown);
        assert_eq!(accept(&mut replays, used(5, 0)), Sight::Unknown);
        assert_eq!(accept(&mut replays, used(5, 1)), Sight::New);
        assert_eq!(accept(&mut replays, used(5, 4)), Sight::Next);
        assert_eq!(accept(&mut replays, used(5, 3)), Sight::Next);
        assert_eq!(accept(&mut replays, used(5, 0)), Sight::Next, "zero is a count like others");
        assert_eq!(accept(&mut replays, Use { print: 9, ..used(5, 4) }), Sight::Used);
        assert_eq!(accept(&mut replays, used(5, 100)), Sight::Next);
        assert_eq!(accept(&mut replays, used(5, 37)), Sight::Next);
        assert_eq!(accept(&mut replays, used(5, 36)), Sight::Used, "behind the window");
        assert_eq!(accept(&mut replays, used(5, u32::MAX)), Sight::Next);
        assert_eq!(accept(&mut replays, used(5, 101)), Sight::Used);
    }

    #[test]
    fn the_same_message_is_a_retransmission() {
        let mut replays = Replays::new(16);
        accept(&mut replays, used(5, 1));
        assert_eq!(replays.look(&used(5, 1)), Sight::Again);
        assert_eq!(replays.look(&Use { print: 8, ..used(5, 1) }), Sight::Used);
        assert_eq!(replays.look(&Use { print: 0, ..used(5, 1) }), Sight::Used);
        accept(&mut replays, used(5, 2));
        assert_eq!(replays.look(&used(5, 1)), Sight::Again);
        accept(&mut replays, used(5, 3));
        assert_eq!(replays.look(&used(5, 1)), Sight::Used);
        assert_eq!(replays.look(&Use { user: 8, ..used(5, 4) }), Sight::NextOfAnother);
    }

    #[test]
    fn a_nonce_that_had_to_go_is_not_new_again() {
        let mut replays = Replays::new(1);
        assert_eq!(replays.sets.len(), 1);
        for stamp in [3, 1, 4, 5] {
            assert_eq!(accept(&mut replays, used(stamp, 1)), Sight::New);
        }
        assert_eq!(accept(&mut replays, used(1, 1)), Sight::Unknown);
        assert_eq!(accept(&mut replays, used(3, 2)), Sight::Next);
    }

    proptest! {
        /// Whatever comes in, no count of a nonce is taken twice.
        #[test]
        fn nothing_is_taken_twice(uses in prop::collection::vec((1_u64..40, 0_u32..90), 1..400)) {
            let mut replays = Replays::new(8);
            let mut taken = HashSet::new();
            for (stamp, count) in uses {
                if matches!(accept(&mut replays, used(stamp, count)), Sight::New | Sight::Next) {
                    prop_assert!(taken.insert((stamp, count)));
                }
            }
        }
    }
}
