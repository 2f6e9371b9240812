//! The per-worker cache in front of the [`Fib`].

use std::net::{IpAddr, Ipv4Addr};

use super::{Adjacency, Fib, Lookup};

/// Slots of a cache. 64 KiB fit the L2 cache of every CPU that runs a poll-mode worker, and a SIP
/// server speaks with far fewer next destinations at a time than this; more of them only miss.
const SLOTS: usize = 1024;
const _: () = assert!(SLOTS.is_power_of_two());
const _: () = assert!(size_of::<Slot>() == 64, "one slot is one cache line");

/// Odd constant near 2^64 / golden ratio: multiplication spreads the low bits of neighbouring
/// addresses over the high bits, which index the slots.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Slot {
    generation: u64,
    destination: IpAddr,
    adjacency: Adjacency,
}

/// A direct-mapped cache of resolved destinations, owned by one worker.
///
/// A slot counts only for the generation that it was filled from, so a new [`Fib`] empties the
/// cache for free. Only [`Lookup::Ready`] is kept: what is not ready is about to change. Nothing is
/// allocated after construction; whoever floods it with destinations only causes misses.
pub struct AdjacencyCache {
    slots: Box<[Slot]>,
}

impl AdjacencyCache {
    /// An empty cache.
    pub fn new() -> Self {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let empty = Slot { generation: 0, destination: nowhere, adjacency: Adjacency::NOWHERE };
        Self { slots: vec![empty; SLOTS].into_boxed_slice() }
    }

    /// The same answer as [`Fib::lookup`], in a few nanoseconds when `destination` was ready
    /// before: then it is where the cache keeps it, and otherwise what the `Fib` says.
    ///
    /// # Errors
    /// Any [`Lookup`] but [`Lookup::Ready`].
    #[inline]
    pub fn lookup(&mut self, fib: &Fib, destination: IpAddr) -> Result<&Adjacency, Lookup> {
        let slot = &mut self.slots[slot_of(destination)];
        if slot.generation != fib.generation || slot.destination != destination {
            match fib.lookup(destination) {
                Lookup::Ready(adjacency) => {
                    *slot = Slot { generation: fib.generation, destination, adjacency };
                }
                other => return Err(other),
            }
        }
        Ok(&slot.adjacency)
    }
}

impl Default for AdjacencyCache {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(clippy::cast_possible_truncation)] // both halves of the address, and fewer bits than usize
fn slot_of(address: IpAddr) -> usize {
    let folded = match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64 ^ (v6.to_bits() as u64),
    };
    (folded.wrapping_mul(SPREAD) >> (u64::BITS - SLOTS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::super::{Link, Neighbour};
    use super::*;

    fn fib(generation: u64, peer_mac: [u8; 6]) -> Fib {
        let link = Link { port: 3, ifindex: 1, vlan: Some(7), mac: [2; 6], mtu: 1500, up: true };
        let mut builder = Fib::builder().link(link).address(1, [10, 0, 0, 1].into(), 8);
        for host in 2..200 {
            let state = Neighbour::Valid(peer_mac);
            builder = builder.neighbour(1, [10, 0, host, host].into(), state);
        }
        builder.build(generation)
    }

    fn answer(cache: &mut AdjacencyCache, fib: &Fib, destination: IpAddr) -> Lookup {
        cache.lookup(fib, destination).map_or_else(|other| other, |found| Lookup::Ready(*found))
    }

    #[test]
    fn answers_like_the_fib_and_follows_its_generation() {
        let mut cache = AdjacencyCache::new();
        for fib in [fib(1, [4; 6]), fib(2, [6; 6]), fib(3, [4; 6])] {
            for _ in 0..2 {
                for host in 0..=255 {
                    let destination = IpAddr::from([10, 0, host, host]);
                    assert_eq!(answer(&mut cache, &fib, destination), fib.lookup(destination));
                }
            }
        }
    }

    #[test]
    fn the_empty_slot_answers_nothing() {
        let mut cache = AdjacencyCache::new();
        let answer = answer(&mut cache, &fib(1, [4; 6]), Ipv4Addr::UNSPECIFIED.into());
        assert_eq!(answer, Lookup::NoRoute);
    }
}
