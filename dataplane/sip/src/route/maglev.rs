//! Tables of members in which a choice is one look-up: Maglev hashing, and the order of turns.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// Places of a Maglev table. A prime, so that every step visits every place; with 256 members each
/// has 256 places, which makes shares right within a percent.
pub(super) const PLACES: usize = 65_537;

/// Longest order of turns; weights are scaled down to fit.
const TURNS_MAX: u64 = 4096;

/// Fills the places by turns, as D. Eisenbud et al. do it ("Maglev", NSDI 2016, section 3.4): each
/// member has an order of its own in which it wants the places, and takes the next free one when it
/// is its turn. The turns come in proportion to the weights.
///
/// `members` are (seed, weight); the table holds their indices. Empty without members.
pub(super) fn maglev(members: &[(u64, u64)]) -> Arc<[u16]> {
    let heaviest = members.iter().map(|&(_, weight)| weight).max().unwrap_or(0);
    if heaviest == 0 {
        return Arc::default();
    }
    let places = PLACES as u64;
    let mut wishes: Vec<_> = (0_u16..)
        .zip(members)
        .map(|(index, &(seed, weight))| {
            let at = (seed >> 32) % places;
            let step = (seed & 0xffff_ffff) % (places - 1) + 1;
            Wish { index, seed, weight, at, step, credit: 0 }
        })
        .collect();
    // The order in which members are configured must not matter.
    wishes.sort_by_key(|wish| wish.seed);
    let mut table = vec![u16::MAX; PLACES];
    let mut left = PLACES;
    while left > 0 {
        for wish in &mut wishes {
            wish.credit += wish.weight;
            if wish.credit >= heaviest && left > 0 {
                wish.credit -= heaviest;
                wish.take(&mut table);
                left -= 1;
            }
        }
    }
    table.into()
}

/// Which places a member wants, and how far it is with that.
struct Wish {
    index: u16,
    seed: u64,
    weight: u64,
    at: u64,
    step: u64,
    credit: u64,
}

impl Wish {
    #[expect(clippy::cast_possible_truncation, reason = "below PLACES")]
    fn take(&mut self, table: &mut [u16]) {
        loop {
            let place = &mut table[self.at as usize];
            self.at = (self.at + self.step) % PLACES as u64;
            if *place == u16::MAX {
                *place = self.index;
                return;
            }
        }
    }
}

/// An order of turns in which each member stands as often as its weight says, as evenly spread as
/// can be: at each turn all gain their weight, and the richest pays for all and is chosen.
pub(super) fn turns(weights: &[u64]) -> Arc<[u16]> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let total: u64 = weights.iter().map(|weight| weight / divisor).sum();
    let scale = |weight: u64| match weight / divisor {
        0 => 0,
        weight if total <= TURNS_MAX => weight,
        weight => (weight * TURNS_MAX / total).max(1),
    };
    let weights: Vec<_> = weights.iter().map(|&weight| scale(weight).cast_signed()).collect();
    let total: i64 = weights.iter().sum();
    let mut credits = vec![0_i64; weights.len()];
    let turn = |_| {
        for (credit, weight) in credits.iter_mut().zip(&weights) {
            *credit += weight;
        }
        // Of equals the first, as one expects of 1, 2, 3, 1, 2, 3.
        let richer =
            |(a, one): (u16, _), (b, other)| if other > one { (b, other) } else { (a, one) };
        let richest = (0_u16..).zip(credits.iter_mut()).reduce(richer);
        richest.map_or(0, |(index, credit)| {
            *credit -= total;
            index
        })
    };
    (0..total).map(turn).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    #[test]
    fn equals_take_turns_in_order() {
        assert_eq!(*turns(&[5, 5, 5]), [0, 1, 2]);
        assert_eq!(*turns(&[0, 2, 1]), [1, 2, 1]);
        assert!(turns(&[]).is_empty() && turns(&[0, 0]).is_empty());
    }

    #[test]
    fn heavy_weights_are_scaled_down() {
        let order = turns(&[65_535, 32_768, 1]);
        let count = |member| order.iter().filter(|&&index| index == member).count();
        assert!(order.len() <= 4097, "{}", order.len());
        assert!(count(0).abs_diff(2 * count(1)) <= 2 && count(2) == 1);
    }

    #[test]
    fn places_follow_weights() {
        let members: Vec<_> =
            (1..=4).map(|n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n)).collect();
        let table = maglev(&members);
        for (index, (_, weight)) in (0_u16..).zip(members) {
            let count = table.iter().filter(|&&member| member == index).count() as u64;
            assert!(count.abs_diff(weight * PLACES as u64 / 10) <= 2, "{count}");
        }
    }
}
