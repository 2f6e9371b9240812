//! What ICMP errors said about the MTU of paths (RFC 1191, RFC 8201), believed as far as RFC 5927
//! section 7 lets it: bounded in number, in time and in how small it can get.

use crate::fib::{PATH_MTU_MIN, PathMtus};
use crate::limits::{PATH_MTU_AGE, PATH_MTUS_MAX};
use core::net::IpAddr;
use hashbrown::HashMap;
use tokio::time::Instant;

/// What every IPv4 host takes, whole or in fragments (RFC 1122 3.3.2); what is smaller changes nothing
/// any more.
const IPV4_MIN: u16 = 576;

/// Path MTUs with their age.
#[derive(Debug, Default)]
pub(super) struct PathMtuTable {
    paths: HashMap<IpAddr, (u16, Instant)>,
}

impl PathMtuTable {
    /// Notes that packets to `host` may have no more than `mtu` bytes; `known` is what they have had
    /// so far. Gives false when this changes nothing.
    pub(super) fn learn(&mut self, host: IpAddr, mtu: u32, known: u16, now: Instant) -> bool {
        let floor = if host.is_ipv4() { IPV4_MIN } else { PATH_MTU_MIN };
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX).max(floor);
        // A path MTU never grows by an error (RFC 8201 section 4).
        let before = self.paths.get(&host).map_or(known, |(mtu, _)| *mtu);
        let is_full = self.paths.len() == PATH_MTUS_MAX && !self.paths.contains_key(&host);
        if mtu >= before || is_full {
            return false;
        }
        self.paths.insert(host, (mtu, now));
        true
    }

    /// Forgets what is too old. Gives whether there was anything.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.paths.len();
        self.paths.retain(|_, (_, since)| now.duration_since(*since) < PATH_MTU_AGE);
        self.paths.len() != before
    }

    /// How many hosts are known.
    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// The table as workers see it.
    pub(super) fn snapshot(&self) -> PathMtus {
        self.paths.iter().map(|(host, (mtu, _))| (*host, *mtu)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{PATH_MTU_AGE, PATH_MTUS_MAX, PathMtuTable};
    use core::net::{IpAddr, Ipv4Addr};
    use tokio::time::Instant;

    fn v4(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(n).into()
    }

    #[test]
    fn a_path_mtu_shrinks_stays_and_expires() {
        let (mut table, now) = (PathMtuTable::default(), Instant::now());
        assert!(!table.learn(v4(1), 1_500, 1_500, now), "no news");
        assert!(table.learn(v4(1), 1_400, 1_500, now));
        assert!(!table.learn(v4(1), 1_450, 1_400, now), "errors never make it larger");
        assert!(table.learn(v4(1), 0, 1_400, now), "a router that does not say");
        assert_eq!(table.snapshot()[&v4(1)], 576);
        assert!(!table.expire(now + PATH_MTU_AGE / 2));
        assert!(table.expire(now + PATH_MTU_AGE));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn ipv6_has_its_minimum_and_the_table_its_bound() {
        let (mut table, now) = (PathMtuTable::default(), Instant::now());
        let host: IpAddr = "2001:db8::1".parse().unwrap();
        assert!(table.learn(host, 68, 1_500, now));
        assert_eq!(table.snapshot()[&host], 1_280);
        for n in 0..5_000 {
            table.learn(v4(n), 1_400, 1_500, now);
        }
        assert_eq!(table.len(), PATH_MTUS_MAX);
    }
}
