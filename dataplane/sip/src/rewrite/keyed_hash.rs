//! SipHash-1-3 over words (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): what is hashed
//! here is a few short texts out of a message, and putting them together in a buffer first, as a
//! hash over bytes wants it, takes as long as hashing them.

use siphasher::sip::SipHasher24;

/// A key, as the state that hashing begins with.
#[derive(Clone, Debug)]
pub(crate) struct HashKey([u64; 4]);

impl HashKey {
    /// The key for one purpose, so that no hash can be used in place of another.
    pub(crate) fn derive(secret: &[u8; 16], purpose: u8) -> Self {
        let half = |index: u8| SipHasher24::new_with_key(secret).hash(&[purpose, index]);
        Self::new(half(0), half(1))
    }

    /// Sixteen bytes for one purpose.
    pub(crate) fn derive_bytes(secret: &[u8; 16], purpose: u8) -> [u8; 16] {
        let half = |index: u8| SipHasher24::new_with_key(secret).hash(&[purpose, index, 0]);
        (u128::from(half(0)) << 64 | u128::from(half(1))).to_be_bytes()
    }

    fn new(low: u64, high: u64) -> Self {
        let state = [low, high, low, high];
        let constants = *b"uespemosmodnarodarenegylsetybdet";
        let (constants, _) = constants.as_chunks::<8>();
        let mut key = Self(state);
        for (word, constant) in key.0.iter_mut().zip(constants) {
            *word ^= u64::from_le_bytes(*constant);
        }
        key
    }

    /// Begins a hash.
    #[inline(always)]
    pub(crate) fn begin(&self) -> KeyedHash {
        KeyedHash { state: self.0 }
    }
}

/// A hash in half the time, by multiplying and folding (Yi: "wyhash"), for texts that only their owner can
/// make meet: of secret words, but no proof against somebody who sees hashes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuickKey([u64; 2]);

impl QuickKey {
    /// The key for one purpose.
    pub(crate) fn derive(secret: &[u8; 16], purpose: u8) -> Self {
        let HashKey([low, high, ..]) = HashKey::derive(secret, purpose);
        Self([low, high])
    }

    /// The hash of a text.
    #[inline]
    pub(crate) fn hash(&self, text: &[u8]) -> u64 {
        let Self([low, high]) = *self;
        let fold = |hash: u64, words: &[u8; 16]| {
            let (halves, _) = words.as_chunks::<8>();
            let word = |index: usize| halves.get(index).map_or(0, |half| u64::from_le_bytes(*half));
            multiply(word(0) ^ low ^ hash, word(1) ^ high)
        };
        let (chunks, rest) = text.as_chunks::<16>();
        let hash = chunks.iter().fold(text.len() as u64, fold);
        let mut padded = [0; 16];
        let last = text.last_chunk::<16>().unwrap_or_else(|| {
            padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            &padded
        });
        let hash = fold(hash, last);
        multiply(hash ^ high, low | 1)
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn multiply(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product >> 64) as u64 ^ product as u64
}

/// A hash that is being computed.
pub(crate) struct KeyedHash {
    state: [u64; 4],
}

impl KeyedHash {
    /// Adds eight bytes.
    #[inline(always)]
    pub(crate) fn word(mut self, word: u64) -> Self {
        self.state[3] ^= word;
        self.round();
        self.state[0] ^= word;
        self
    }

    /// Adds a text: its words, and a last one of what is left, with the length in the byte that is
    /// free in it; a length that does not fit there gets a word of its own. So bytes cannot wander
    /// from one text to the next.
    #[inline(always)]
    pub(crate) fn text(mut self, text: &[u8]) -> Self {
        let (words, rest) = text.as_chunks::<8>();
        for word in words {
            self = self.word(u64::from_le_bytes(*word));
        }
        let rest = match text.last_chunk::<8>() {
            // Read in one piece: what is left, and bytes that were hashed already, shifted out.
            Some(last) => u64::from_le_bytes(*last) >> 8 >> (56 - 8 * rest.len()),
            None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        self = self.word(rest | (text.len() as u64) << 56);
        if text.len() > usize::from(u8::MAX) { self.word(text.len() as u64) } else { self }
    }

    /// The hash; another one for each `purpose`. Of a single text for purpose 0 it is what SipHash-1-3
    /// gives; since every text brings its length, nothing has to end the last one.
    #[inline(always)]
    pub(crate) fn finish(mut self, purpose: u8) -> u64 {
        self.state[2] ^= 0xff ^ u64::from(purpose) << 8;
        for _ in 0..3 {
            self.round();
        }
        let [a, b, c, d] = self.state;
        a ^ b ^ c ^ d
    }

    /// The same with 128 bits, as SipHash makes them: a second word after three rounds more.
    #[inline(always)]
    pub(crate) fn finish_wide(mut self, purpose: u8) -> u128 {
        let fold = |state: [u64; 4]| state[0] ^ state[1] ^ state[2] ^ state[3];
        self.state[1] ^= 0xee;
        self.state[2] ^= 0xee ^ u64::from(purpose) << 8;
        (0..3).for_each(|_| self.round());
        let low = fold(self.state);
        self.state[1] ^= 0xdd;
        (0..3).for_each(|_| self.round());
        u128::from(fold(self.state)) << 64 | u128::from(low)
    }

    #[inline(always)]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.state;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32).wrapping_add(d);
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        c = c.rotate_left(32);
        self.state = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use siphasher::sip::SipHasher13;

    use super::*;

    #[test]
    fn hashes_as_the_library_does() {
        let key = HashKey::new(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let library = SipHasher13::new_with_keys(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let text: Vec<u8> = (0..200).collect();
        for length in 0..text.len() {
            let text = &text[..length];
            assert_eq!(key.begin().text(text).finish(0), library.hash(text), "{length}");
            assert_ne!(key.begin().text(text).finish(1), library.hash(text), "{length}");
        }
    }

    #[test]
    fn quick_hashes_tell_texts_apart() {
        let key = QuickKey::derive(b"0123456789abcdef", 1);
        let text: Vec<u8> = (0..100).collect();
        let mut hashes: Vec<u64> = Vec::new();
        for length in 0..text.len() {
            hashes.push(key.hash(&text[..length]));
            for at in 0..length {
                let mut other = text[..length].to_vec();
                other[at] ^= 0x80;
                hashes.push(key.hash(&other));
            }
        }
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }

    #[test]
    fn bytes_do_not_wander_between_texts() {
        let key = HashKey::derive(b"0123456789abcdef", 1);
        let hash = |one: &[u8], other: &[u8]| key.begin().text(one).text(other).finish(0);
        // Lengths modulo 256 alone would leave the last two the same words.
        let (zeros, long) = ([0; 8], [b'x'; 248]);
        let one = [zeros.as_slice(), &long].concat();
        let other = [long.as_slice(), &zeros, b"abc"].concat();
        let texts: [(&[u8], &[u8]); 7] = [
            (b"ab", b"c"),
            (b"a", b"bc"),
            (b"abc", b""),
            (b"", b"abc"),
            (b"ab\0", b"c"),
            (&one, b"abc"),
            (b"", &other),
        ];
        for (index, (one, other)) in texts.iter().enumerate() {
            for (next, next_other) in &texts[..index] {
                assert_ne!(hash(one, other), hash(next, next_other));
            }
        }
    }
}
