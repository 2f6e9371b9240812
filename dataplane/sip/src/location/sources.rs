//! How many AoRs each source address has brought, about: a sketch of fixed size (Cormode,
//! Muthukrishnan: "An improved data stream summary: the count-min sketch"), which may say a few
//! too many, but never too few.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::binding::octets;
use crate::rewrite::keyed_hash::HashKey;

/// Counts by the hash of an address.
#[derive(Debug)]
pub(super) struct Sources {
    counts: Vec<u32>,
    mask: u64,
}

/// Two counts for each address: the smaller one is nearer to the truth.
const ROWS: usize = 2;

impl Sources {
    pub(super) fn new(aors: u32) -> Self {
        let size = Self::size(aors);
        Self { counts: vec![0; size], mask: size as u64 - 1 }
    }

    pub(super) fn memory(aors: u32) -> usize {
        Self::size(aors) * size_of::<u32>()
    }

    fn size(aors: u32) -> usize {
        (aors as usize).next_power_of_two().max(64)
    }

    /// The keyed hash of an address.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
    pub(super) fn hash(key: &HashKey, address: IpAddr) -> u64 {
        let octets = u128::from_be_bytes(octets(address));
        key.begin().word((octets >> 64) as u64).word(octets as u64).finish(2)
    }

    #[expect(clippy::cast_possible_truncation, reason = "below the size")]
    fn places(&self, source: u64) -> [usize; ROWS] {
        [source & self.mask, (source >> 32) & self.mask].map(|place| place as usize)
    }

    /// AoRs of a source.
    pub(super) fn count(&self, source: u64) -> u32 {
        let counts = self.places(source).map(|place| self.counts.get(place).copied().unwrap_or(0));
        counts.into_iter().min().unwrap_or(0)
    }

    pub(super) fn add(&mut self, source: u64) {
        for place in self.places(source) {
            if let Some(count) = self.counts.get_mut(place) {
                *count = count.saturating_add(1);
            }
        }
    }

    pub(super) fn remove(&mut self, source: u64) {
        for place in self.places(source) {
            if let Some(count) = self.counts.get_mut(place) {
                *count = count.saturating_sub(1);
            }
        }
    }
}
