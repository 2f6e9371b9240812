//! A fast mixing of words for tables of our own. There is no secret in it: who chooses what he sends can choose the place.

/// 2^64 divided by the golden ratio (Knuth, volume 3, section 6.4).
pub(crate) const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes another word into a hash: both halves of a product, folded.
#[inline]
pub(crate) fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(FACTOR);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let halves = (product as u64, (product >> 64) as u64);
    halves.0 ^ halves.1
}
