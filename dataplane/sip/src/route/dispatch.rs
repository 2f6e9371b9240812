//! Which member of a destination set takes a call: weighted rendezvous hashing, and tables.
//!
//! Every member draws a number from (call, member); with weight w its draw is `-ln(u) / w`, and the
//! smallest draw wins. A member's chance is its share of the weight, and no draw depends on the
//! other members: when one goes, only its calls move, spread over all others by weight.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher13;

use super::choices::Capacity;
use super::maglev;
use crate::settings::{Algorithm, Member, MemberState, Transport};

/// The members of a destination set that can be used, and how one of them is chosen.
#[derive(Clone, Debug)]
pub(super) struct Dispatcher {
    /// Tier by tier, the one in use first.
    members: Arc<[Candidate]>,
    /// How many make the tier in use.
    in_use: usize,
    pick: Pick,
}

#[derive(Clone, Debug)]
enum Pick {
    Rendezvous,
    /// Index in the tier in use by hash.
    Maglev(Arc<[u16]>),
    /// Index in the tier in use, turn by turn.
    Turns(Arc<[u16]>),
}

/// A member, prepared for being chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
    large_over_tcp: bool,
    weight: u64,
    /// What tells its draws from those of the others; a function of its address alone.
    seed: u64,
    pub(super) capacity: Capacity,
    /// What it says of its load is remembered here, if it is asked.
    pub(super) load: u16,
    /// Index in the settings, or [`GONE`].
    pub(super) index: u16,
    /// It is ourselves.
    pub(super) is_own: bool,
    /// Tiers of lower numbers go first.
    tier: u16,
}

/// Requests longer than this in bytes are large: with our own lines, some 200 bytes, they are over the 1,300 that RFC
/// 3261 section 18.1.1 has for an MTU of 1,500.
const LARGE_REQUEST: usize = 1_100;

/// Index of a member that the settings no longer have.
pub(super) const GONE: u16 = u16::MAX;

impl Candidate {
    /// What a request of this length goes over.
    #[inline]
    pub(super) fn transport_for(&self, length: usize) -> Transport {
        if self.large_over_tcp && length > LARGE_REQUEST { Transport::Tcp } else { self.transport }
    }

    /// The member with this index. Use of its capacity is counted in `slot`, what it says of its load is remembered in
    /// `load`.
    pub(super) fn new(index: u16, member: &Member, slot: u16, load: u16, is_own: bool) -> Self {
        Self {
            address: member.address,
            transport: member.transport,
            large_over_tcp: member.large_over_tcp,
            weight: member.weight.into(),
            seed: seed(member.address),
            capacity: Capacity { per_second: member.capacity, slot },
            load,
            index,
            is_own,
            tier: u16::from(member.backup) << 8 | u16::from(member.priority),
        }
    }

    /// Members of lower tiers go first.
    pub(super) fn tier(&self) -> u16 {
        self.tier
    }

    /// A function of its address alone.
    #[inline]
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// What stands for the member in the memory of choices. Two of a set are the same with a chance
    /// of 2^-32.
    pub(super) fn id(&self) -> u32 {
        (self.seed >> 32) as u32
    }
}

impl Dispatcher {
    /// Over those of `members` that are up in `settings`.
    pub(super) fn new(algorithm: Algorithm, members: &[Candidate], settings: &[Member]) -> Self {
        let is_up =
            |(_, member): &(_, &Member)| member.weight > 0 && member.state == MemberState::Up;
        let usable = members.iter().zip(settings).filter(is_up);
        let mut usable: Vec<_> = usable.map(|(candidate, _)| *candidate).collect();
        usable.sort_by_key(|candidate| candidate.tier);
        let first = usable.first().map_or(0, |candidate| candidate.tier);
        let in_use = usable.partition_point(|candidate| candidate.tier == first);
        let tier = &usable[..in_use];
        let pick = match algorithm {
            Algorithm::Rendezvous => Pick::Rendezvous,
            Algorithm::Maglev => {
                let members: Vec<_> = tier.iter().map(|one| (one.seed, one.weight)).collect();
                Pick::Maglev(maglev::maglev(&members))
            }
            Algorithm::RoundRobin => {
                let weights: Vec<_> = tier.iter().map(|one| one.weight).collect();
                Pick::Turns(maglev::turns(&weights))
            }
        };
        Self { members: usable.into(), in_use, pick }
    }

    /// The member for a call by its hash, which is only asked for when there is a choice; `None`
    /// when no member can be used. Round robin hashes here too: what else could be told again.
    #[inline]
    pub(super) fn choose(&self, call: impl FnOnce() -> u64) -> Option<&Candidate> {
        let members = self.members.get(..self.in_use)?;
        match (members, &self.pick) {
            ([only], _) => Some(only),
            (members, Pick::Maglev(table)) => {
                let place = (u128::from(call()) * (maglev::PLACES as u128)) >> 64;
                members.get(usize::from(*table.get(usize::try_from(place).ok()?)?))
            }
            (members, Pick::Rendezvous | Pick::Turns(_)) => smallest(members.iter(), call),
        }
    }

    /// The member whose turn it is; `None` when that is not how members are chosen.
    pub(super) fn turn(&self, number: impl FnOnce() -> usize) -> Option<&Candidate> {
        match &self.pick {
            Pick::Turns(order) if !order.is_empty() => {
                self.members.get(usize::from(order[number() % order.len()]))
            }
            _ => None,
        }
    }

    /// The member of the first tier that has one for which `is_free` holds.
    pub(super) fn choose_free(
        &self,
        call: u64,
        is_free: impl Fn(&Candidate) -> bool,
    ) -> Option<&Candidate> {
        let mut tiers = self.members.chunk_by(|one, other| one.tier == other.tier);
        tiers.find_map(|tier| smallest(tier.iter().filter(|one| is_free(one)), || call))
    }

    /// The heaviest of the first tier that has one which is not `tried`.
    pub(super) fn untried(&self, tried: impl Fn(SocketAddr) -> bool) -> Option<SocketAddr> {
        let mut tiers = self.members.chunk_by(|one, other| one.tier == other.tier);
        // Of equals, the first.
        let heaviest = |tier: &[Candidate]| {
            let untried = tier.iter().rev().filter(|one| !tried(one.address));
            untried.max_by_key(|one| one.weight).map(|one| one.address)
        };
        tiers.find_map(heaviest)
    }

    /// Whether choices are made by turns.
    pub(super) fn takes_turns(&self) -> bool {
        matches!(self.pick, Pick::Turns(_))
    }

    /// Whether `other` gives every call to the same member.
    pub(super) fn chooses_as(&self, other: &Self) -> bool {
        let tier = |of: &Self| {
            of.members[..of.in_use].iter().map(|one| (one.seed, one.weight)).collect::<Vec<_>>()
        };
        core::mem::discriminant(&self.pick) == core::mem::discriminant(&other.pick)
            && tier(self) == tier(other)
    }

    /// The same choices among members that have other indices now.
    pub(super) fn renumbered(mut self, members: &[Candidate]) -> Self {
        let now = |old: &Candidate| {
            let same = members.iter().find(|new| new.address == old.address);
            Candidate { index: same.map_or(GONE, |new| new.index), ..*old }
        };
        self.members = self.members.iter().map(now).collect();
        self
    }
}

/// The member with the smallest draw.
#[inline]
fn smallest<'a>(
    members: impl Iterator<Item = &'a Candidate>,
    call: impl FnOnce() -> u64,
) -> Option<&'a Candidate> {
    let call = call();
    let draws = members.map(|member| (draw(call, member.seed), member));
    // a / weight < b / weight, multiplied out: at most 37 + 16 bits
    let smaller = |(a, one), (b, other)| {
        let (one, other): (&Candidate, &Candidate) = (one, other);
        let is_smaller = b * one.weight < a * other.weight;
        if is_smaller { (b, other) } else { (a, one) }
    };
    draws.reduce(smaller).map(|(_, member)| member)
}

/// Puts members into the order in which they are chosen for a call, by its hash.
pub(super) fn in_order(members: &mut [Candidate], call: u64) {
    // Equals keep their order, as in `smallest`.
    members.sort_by(|one, other| {
        let (a, b) = (draw(call, one.seed), draw(call, other.seed));
        one.tier.cmp(&other.tier).then((a * other.weight).cmp(&(b * one.weight)))
    });
}

/// What tells the draws of an address from those of others.
pub(crate) fn seed(address: SocketAddr) -> u64 {
    let mut hash = SipHasher13::new();
    match address.ip() {
        IpAddr::V4(ip) => hash.write(&ip.octets()),
        IpAddr::V6(ip) => hash.write(&ip.octets()),
    }
    hash.write_u16(address.port());
    hash.finish()
}

/// `-log2(u)` in units of 2^-31, where u in (0, 1) is uniform in (call, seed).
#[inline]
pub(crate) fn draw(call: u64, seed: u64) -> u64 {
    neg_log2(mix(call ^ seed))
}

/// Spreads every input bit over all output bits (the finalizer of MurmurHash3).
#[inline]
pub(super) fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ x >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}

/// `64 - log2(x)` in units of 2^-31 by table and linear interpolation: the error is below 2^-18,
/// far below what shares can show.
#[inline]
fn neg_log2(x: u64) -> u64 {
    let x = x | 1;
    let zeros = x.leading_zeros();
    // The mantissa in 32 bits without its leading one: 8 bits of table index, 24 between.
    let fraction = (x << zeros << 1) >> 32;
    let index = usize::try_from(fraction >> 24).unwrap_or(0);
    let (low, high) = (LOG2[index & 255], LOG2[(index & 255) + 1]);
    let log2 = low + (((high - low) * (fraction & 0xff_ffff)) >> 24);
    (u64::from(zeros + 1) << 31) - log2
}

/// `log2(1 + i/256)` in units of 2^-31.
static LOG2: [u64; 257] = {
    let mut table = [0_u64; 257];
    let mut i = 0;
    while i <= 256 {
        table[i] = log2_fixed(256 + i as u64);
        i += 1;
    }
    table
};

/// `log2(x / 256)` for 256 <= x <= 512 in units of 2^-31: squaring the mantissa yields one bit of
/// the logarithm at a time.
const fn log2_fixed(x: u64) -> u64 {
    if x == 512 {
        return 1 << 31;
    }
    let mut mantissa = (x as u128) << 55; // 1.63 fixed point
    let mut bits = 0_u64;
    let mut i = 0;
    while i < 31 {
        mantissa = (mantissa * mantissa) >> 63;
        bits <<= 1;
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            bits |= 1;
        }
        i += 1;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_is_right() {
        for x in [1_u64, 3, 1 << 20, 0x1234_5678_9abc_def1, u64::MAX, u64::MAX / 3] {
            #[expect(clippy::cast_precision_loss)]
            let (got, want) =
                (neg_log2(x) as f64 / f64::from(1_u32 << 31), 64.0 - (x as f64).log2());
            assert!((got - want).abs() < 1e-5, "{x}: {got} {want}");
        }
    }
}
