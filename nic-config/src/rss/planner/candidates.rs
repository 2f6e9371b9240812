//! The keys that a search tries.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::{InForce, Keys};
use crate::rss::{Function, RssKey};

/// The keys to try, after the one in force.
pub(super) struct Candidates {
    rng: SmallRng,
    length: usize,
    /// The symmetric keys still to try, or none; without a list any key goes.
    words: Option<std::vec::IntoIter<u16>>,
}

impl Candidates {
    pub(super) fn new(in_force: &InForce, keys: Keys, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let has_any = match keys {
            Keys::Any => in_force.function.has_key(),
            // Any key is symmetric where the function is.
            Keys::Symmetric => in_force.function.has_key() && in_force.function.is_symmetric(),
            Keys::AsItIs => false,
        };
        let mut words: Vec<u16> = match keys {
            Keys::Symmetric if in_force.function == Function::Toeplitz => (1..=u16::MAX).collect(),
            _ => Vec::new(),
        };
        words.shuffle(&mut rng);
        let words = (!has_any).then(|| words.into_iter());
        let length = in_force.key.bytes().len();
        Self { rng, length, words }
    }
}

impl Iterator for Candidates {
    type Item = RssKey;

    fn next(&mut self) -> Option<RssKey> {
        if let Some(words) = &mut self.words {
            return RssKey::symmetric(words.next()?, self.length).ok();
        }
        let mut bytes = vec![0; self.length];
        self.rng.fill_bytes(&mut bytes);
        RssKey::new(bytes).ok()
    }
}
