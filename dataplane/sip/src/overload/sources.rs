//! How much each source has sent lately, for a fixed number of sources.
//!
//! A token bucket as one number, as in the generic cell rate algorithm (ITU-T I.371): the time at which the bucket
//! will be full again. Each message puts that off by the time of one token; when it lies further ahead than a burst
//! takes, the bucket is empty. A source of which nothing is known has a full bucket, so whoever was quiet for
//! longest makes room for new sources, and who is banned makes room last.

use alloc::boxed::Box;
use alloc::vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::plan::SourcePlan;
use crate::rewrite::keyed_hash::QuickKey;

/// Entries of a set: two cache lines, which are fetched as a pair.
const WAYS: usize = 4;

/// A pause of this length between two dropped messages ends the time for which a ban is given, ns.
const PAUSE_NS: u64 = 1_000_000_000;

/// An IPv4 address or an IPv6 /64: the least that one customer gets (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceNet(u64);

impl SourceNet {
    /// Set for IPv4. As IPv6 they would be a multicast prefix, from which nothing comes.
    const IPV4: u64 = 0xffff_ffff << 32;

    /// The one that an address belongs to.
    #[inline]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self(Self::IPV4 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }

    /// Its first address.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub fn address(self) -> IpAddr {
        if self.0 & Self::IPV4 == Self::IPV4 {
            return Ipv4Addr::from_bits(self.0 as u32).into();
        }
        Ipv6Addr::from_bits(u128::from(self.0) << 64).into()
    }
}

/// A source that is dropped altogether for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub source: SourceNet,
    /// Until when, in nanoseconds of the worker's clock.
    pub until_ns: u64,
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// The bucket of its source is empty.
    Rate,
    /// Its source is banned.
    Banned,
    /// The bucket was empty for so long that its source is banned from now on.
    NewlyBanned(Ban),
}

/// The buckets of one worker.
#[derive(Debug)]
pub(super) struct Sources {
    sets: Box<[Set]>,
    key: QuickKey,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(128))]
struct Set([Entry; WAYS]);

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// 0 for nobody.
    source: u64,
    /// When the bucket will be full; of a banned source when the ban ends.
    full_ns: u64,
    /// Since when messages have been dropped without a pause; [`BANNED`] for a banned source.
    over_since_ns: u64,
    /// When the last message was dropped.
    dropped_ns: u64,
}

const BANNED: u64 = u64::MAX;

impl Sources {
    /// Room for about so many; the only allocation. Nobody who does not know `secret` can choose addresses that
    /// push each other out.
    pub(super) fn new(entries: u32, secret: &[u8; 16]) -> Self {
        let sets = (entries as usize).div_ceil(WAYS).next_power_of_two();
        Self { sets: vec![Set::default(); sets].into(), key: QuickKey::derive(secret, b's') }
    }

    /// Takes note of a message; whether it may be taken.
    #[inline]
    pub(super) fn take(
        &mut self,
        address: IpAddr,
        plan: &SourcePlan,
        now_ns: u64,
    ) -> Result<(), Excess> {
        let source = SourceNet::of(address);
        let entry = self.entry(source);
        if entry.over_since_ns == BANNED {
            if now_ns < entry.full_ns {
                return Err(Excess::Banned);
            }
            *entry = Entry { source: source.0, ..Entry::default() };
        }
        let full_ns = entry.full_ns.max(now_ns) + plan.token_ns;
        if full_ns <= now_ns + plan.burst_ns {
            entry.full_ns = full_ns;
            return Ok(());
        }
        // Looked for only now: most messages are of sources whose bucket is not empty.
        if plan.trusted.contains(address) {
            return Ok(());
        }
        Err(entry.drop_one(source, plan, now_ns))
    }

    /// Ends the ban of a source; whether it was banned.
    pub(super) fn unban(&mut self, source: SourceNet) -> bool {
        let index = self.index(source);
        let Set(ways) = &mut self.sets[index];
        let banned = |e: &&mut Entry| e.source == source.0 && e.over_since_ns == BANNED;
        let entry = ways.iter_mut().find(banned);
        entry.is_some_and(|entry| {
            *entry = Entry::default();
            true
        })
    }

    /// The entry of a source, which may have been that of the source that was quiet for longest.
    #[inline]
    fn entry(&mut self, source: SourceNet) -> &mut Entry {
        let index = self.index(source);
        let Set(ways) = &mut self.sets[index];
        let mut at = 0;
        for (place, entry) in ways.iter().enumerate() {
            if entry.source == source.0 {
                return &mut ways[place];
            }
            if entry.full_ns < ways[at].full_ns {
                at = place;
            }
        }
        ways[at] = Entry { source: source.0, ..Entry::default() };
        &mut ways[at]
    }

    #[inline]
    fn index(&self, source: SourceNet) -> usize {
        (self.key.hash(&source.0.to_ne_bytes()) >> 32) as usize & (self.sets.len() - 1)
    }
}

impl Entry {
    /// Takes note of a message that is dropped.
    #[cold]
    fn drop_one(&mut self, source: SourceNet, plan: &SourcePlan, now_ns: u64) -> Excess {
        if now_ns.saturating_sub(self.dropped_ns) > PAUSE_NS || self.over_since_ns == 0 {
            self.over_since_ns = now_ns;
        }
        self.dropped_ns = now_ns;
        if plan.ban_after_ns == 0 || now_ns - self.over_since_ns < plan.ban_after_ns {
            return Excess::Rate;
        }
        self.over_since_ns = BANNED;
        self.full_ns = now_ns + plan.ban_ns;
        Excess::NewlyBanned(Ban { source, until_ns: self.full_ns })
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;
    use crate::settings::SourceLimits;

    const SECOND: u64 = 1_000_000_000;

    fn plan() -> SourcePlan {
        let trusted = vec!["192.0.2.0/24".parse().unwrap()];
        let limits = SourceLimits { rate: 100, burst: 20, ban_after_s: 3, ban_s: 10, trusted };
        SourcePlan::new(&limits, core::iter::empty())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Takes a message every so many nanoseconds and gives how many were taken, and the last excess.
    fn send(
        sources: &mut Sources,
        from: &str,
        begin: u64,
        step: u64,
        count: u64,
    ) -> (u64, Option<Excess>) {
        let (mut taken, mut last) = (0, None);
        for number in 0..count {
            match sources.take(address(from), &plan(), begin + number * step) {
                Ok(()) => taken += 1,
                Err(excess) => last = Some(excess),
            }
        }
        (taken, last)
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut sources = Sources::new(64, &[1; 16]);
        let (taken, excess) = send(&mut sources, "203.0.113.1", SECOND, SECOND / 1_000, 1_000);
        // 20 at once and 100 in the second.
        assert!((119..=121).contains(&taken), "{taken}");
        assert_eq!(excess, Some(Excess::Rate));
        assert_eq!(send(&mut sources, "203.0.113.2", SECOND, 0, 20), (20, None), "another source");
        assert_eq!(send(&mut sources, "192.0.2.1", SECOND, 0, 1_000), (1_000, None), "trusted");
        let (taken, _) = send(&mut sources, "203.0.113.1", 3 * SECOND, 0, 100);
        assert_eq!(taken, 20, "full again");
    }

    #[test]
    fn of_ipv6_a_64_is_one_source() {
        let mut sources = Sources::new(64, &[1; 16]);
        assert_eq!(send(&mut sources, "2001:db8::1", SECOND, 0, 20).0, 20);
        assert_eq!(send(&mut sources, "2001:db8::2", SECOND, 0, 20).0, 0);
        assert_eq!(send(&mut sources, "2001:db8:0:1::2", SECOND, 0, 20).0, 20);
        for text in ["203.0.113.9", "2001:db8:0:1::"] {
            assert_eq!(SourceNet::of(address(text)).address(), address(text));
        }
    }

    #[test]
    fn who_goes_on_is_banned_for_a_time() {
        let mut sources = Sources::new(64, &[1; 16]);
        let step = SECOND / 1_000;
        let (_, excess) = send(&mut sources, "203.0.113.1", SECOND, step, 3_000);
        assert_eq!(excess, Some(Excess::Rate));
        let begin = 4 * SECOND;
        let mut ban = None;
        for number in 0..200 {
            let taken = sources.take(address("203.0.113.1"), &plan(), begin + number * step);
            if let Err(Excess::NewlyBanned(new)) = taken {
                ban = Some(new);
            }
        }
        let Some(Ban { source, until_ns }) = ban else { std::panic!("no ban") };
        assert_eq!(source.address(), address("203.0.113.1"));
        assert!((14 * SECOND..15 * SECOND).contains(&until_ns), "{until_ns}");
        assert_eq!(
            send(&mut sources, "203.0.113.1", until_ns - SECOND, 0, 50),
            (0, Some(Excess::Banned))
        );
        assert_eq!(send(&mut sources, "203.0.113.1", until_ns, 0, 20).0, 20, "and free again");
        assert!(!sources.unban(source));
    }

    #[test]
    fn a_pause_begins_anew_and_an_operator_ends_a_ban() {
        let mut sources = Sources::new(64, &[1; 16]);
        let from = "203.0.113.1";
        for second in 1..20 {
            // Two messages too many, every second and a half.
            send(&mut sources, from, second * 3 / 2 * SECOND, 0, 22);
        }
        assert_eq!(send(&mut sources, from, 40 * SECOND, 0, 20), (20, None));
        let step = SECOND / 1_000;
        let (_, excess) = send(&mut sources, from, 41 * SECOND, step, 4_000);
        assert_eq!(excess, Some(Excess::Banned));
        assert!(sources.unban(SourceNet::of(address(from))));
        assert_eq!(send(&mut sources, from, 45 * SECOND, 0, 20), (20, None));
    }

    #[test]
    fn a_flood_of_others_sets_nobody_free() {
        let mut sources = Sources::new(16, &[1; 16]);
        let from = "203.0.113.1";
        let (_, excess) = send(&mut sources, from, SECOND, SECOND / 1_000, 4_000);
        assert_eq!(excess, Some(Excess::Banned));
        for other in 0..10_000_u32 {
            let _ = sources.take(Ipv4Addr::from_bits(other + 1).into(), &plan(), 5 * SECOND);
        }
        assert_eq!(send(&mut sources, from, 6 * SECOND, 0, 1), (0, Some(Excess::Banned)));
    }
}
