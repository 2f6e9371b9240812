//! Telling a retransmission from a replay: whether two messages are the same, by a hash that nobody can
//! aim at who lacks its key. NH of UMAC (Black, Halevi, Krawczyk, Krovetz, Rogaway: "UMAC: Fast and Secure
//! Message Authentication") takes a multiplication for eight bytes, and a sender never sees what it gives.

use alloc::boxed::Box;

use crate::limits::RETRANSMISSION_MAX;
use crate::rewrite::keyed_hash::HashKey;

/// The key of the fingerprints.
#[derive(Debug)]
pub(super) struct Fingerprints {
    key: Box<[[u32; 2]]>,
}

impl Fingerprints {
    /// The only allocation.
    #[expect(clippy::cast_possible_truncation, reason = "halves of a word")]
    pub(super) fn new(key: &HashKey) -> Self {
        let word = |index: u64| key.begin().word(index).finish(1);
        let pairs = (0..RETRANSMISSION_MAX as u64 / 8).map(word);
        Self { key: pairs.map(|word| [word as u32, (word >> 32) as u32]).collect() }
    }

    /// The fingerprint of a message, 0 for one that is too long to have one.
    #[inline]
    pub(super) fn of(&self, message: &[u8]) -> u64 {
        if message.len() > RETRANSMISSION_MAX {
            return 0;
        }
        let (words, rest) = message.as_chunks::<8>();
        let mut hash = message.len() as u64;
        let mut keys = self.key.iter();
        for (word, key) in words.iter().zip(&mut keys) {
            hash = hash.wrapping_add(product(u64::from_le_bytes(*word), key));
        }
        if let (false, Some(key)) = (rest.is_empty(), keys.next()) {
            let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
            hash = hash.wrapping_add(product(last, key));
        }
        hash.max(1)
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "halves of a word")]
fn product(word: u64, [low, high]: &[u32; 2]) -> u64 {
    let low = (word as u32).wrapping_add(*low);
    let high = ((word >> 32) as u32).wrapping_add(*high);
    u64::from(low) * u64::from(high)
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    #[test]
    fn every_byte_counts() {
        let prints = Fingerprints::new(&HashKey::derive(b"0123456789abcdef", 9));
        for length in [1, 7, 8, 9, 600, RETRANSMISSION_MAX] {
            let message: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let print = prints.of(&message);
            for at in 0..length {
                let mut changed = message.clone();
                changed[at] ^= 1;
                assert_ne!(prints.of(&changed), print, "{at} of {length}");
            }
            assert_ne!(prints.of(&message[..length - 1]), print);
        }
        assert_eq!(prints.of(&[0; RETRANSMISSION_MAX + 1]), 0);
        assert_ne!(prints.of(b""), prints.of(b"\0"));
    }
}
