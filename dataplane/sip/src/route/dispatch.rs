//! Which member of a destination set takes a call: weighted rendezvous hashing.
//!
//! Every member draws a number from (call, member); with weight w its draw is `-ln(u) / w`, and the
//! smallest draw wins. A member's chance is its share of the weight, and no draw depends on the
//! other members: when one goes, only its calls move, spread over all others by weight.

use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher13;

use crate::settings::DestinationSet;

/// The enabled members of a destination set.
#[derive(Clone, Debug)]
pub(crate) struct Dispatcher {
    members: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    address: SocketAddr,
    weight: u64,
    /// What tells its draws from those of the others; a function of its address alone.
    seed: u64,
    /// Index in the settings.
    index: u16,
}

/// The member that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice<'a> {
    pub(crate) address: &'a SocketAddr,
    pub(crate) index: u16,
}

impl Dispatcher {
    pub(crate) fn new(set: &DestinationSet) -> Self {
        let members = (0_u16..).zip(&set.members).filter(|(_, member)| member.weight > 0);
        let members = members.map(|(index, member)| Candidate {
            address: member.address,
            weight: member.weight.into(),
            seed: seed(member.address),
            index,
        });
        Self { members: members.collect() }
    }

    /// The member for the call with this hash, which is only asked for when there is a choice; `None`
    /// when no member is enabled.
    #[inline]
    pub(crate) fn choose(&self, call: impl FnOnce() -> u64) -> Option<Choice<'_>> {
        let chosen = match self.members.as_slice() {
            [only] => only,
            members => {
                let call = call();
                let draws = members.iter().map(|member| (draw(call, member.seed), member));
                // a / weight < b / weight, multiplied out: at most 37 + 16 bits
                let smaller = |(a, one), (b, other)| {
                    let (one, other): (&Candidate, &Candidate) = (one, other);
                    let is_smaller = b * one.weight < a * other.weight;
                    if is_smaller { (b, other) } else { (a, one) }
                };
                draws.reduce(smaller)?.1
            }
        };
        Some(Choice { address: &chosen.address, index: chosen.index })
    }
}

fn seed(address: SocketAddr) -> u64 {
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
fn draw(call: u64, seed: u64) -> u64 {
    neg_log2(mix(call ^ seed))
}

/// Spreads every input bit over all output bits (the finalizer of MurmurHash3).
#[inline]
fn mix(mut x: u64) -> u64 {
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
    use crate::settings::{Algorithm, Member};

    fn set(weights: &[u16]) -> Dispatcher {
        let members = weights.iter().zip(1_u8..).map(|(&weight, host)| Member {
            address: SocketAddr::from(([10, 0, 0, host], 5060)),
            weight,
        });
        Dispatcher::new(&DestinationSet {
            name: "test".into(),
            algorithm: Algorithm::CallIdHash,
            members: members.collect(),
        })
    }

    fn calls() -> impl Iterator<Item = u64> {
        (0..100_000_u64).map(|n| SipHasher13::new().hash(&n.to_le_bytes()))
    }

    #[test]
    fn logarithm_is_right() {
        for x in [1_u64, 3, 1 << 20, 0x1234_5678_9abc_def1, u64::MAX, u64::MAX / 3] {
            #[expect(clippy::cast_precision_loss)]
            let (got, want) =
                (neg_log2(x) as f64 / f64::from(1_u32 << 31), 64.0 - (x as f64).log2());
            assert!((got - want).abs() < 1e-5, "{x}: {got} {want}");
        }
    }

    #[test]
    fn shares_follow_weights() {
        let set = set(&[1, 2, 3, 4]);
        let mut counts = [0_u32; 4];
        for call in calls() {
            counts[usize::from(set.choose(|| call).unwrap().index)] += 1;
        }
        for (count, weight) in counts.into_iter().zip(1_u32..) {
            assert!(count.abs_diff(weight * 10_000) < 500, "{counts:?}");
        }
    }

    #[test]
    fn only_the_calls_of_a_lost_member_move() {
        let (all, less) = (set(&[1, 1, 1, 1, 1]), set(&[1, 1, 0, 1, 1]));
        let mut taken = [0_u32; 5];
        for call in calls() {
            let before = all.choose(|| call).unwrap().index;
            let after = less.choose(|| call).unwrap().index;
            if before == 2 {
                taken[usize::from(after)] += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        assert_eq!(taken[2], 0);
        assert!(taken.iter().filter(|&&n| n > 4_500 && n < 5_500).count() == 4, "{taken:?}");
    }

    #[test]
    fn no_enabled_member_no_choice() {
        assert!(set(&[]).choose(|| 1).is_none());
        assert!(set(&[0, 0]).choose(|| 1).is_none());
        assert_eq!(set(&[0, 7]).choose(|| 1).unwrap().index, 1);
    }
}
