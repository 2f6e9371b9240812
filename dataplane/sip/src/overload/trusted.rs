//! Networks as ranges, sorted and disjoint: whether an address lies in one is a search by halves.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::settings::Network;

/// A set of addresses.
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    /// First and last address of each range; IPv4 is mapped into IPv6 (RFC 4291 section 2.5.5.2).
    ranges: Box<[(u128, u128)]>,
}

impl Trusted {
    /// All addresses of these networks.
    pub(crate) fn new(networks: impl Iterator<Item = Network>) -> Self {
        let mut ranges: Vec<_> = networks.map(range).collect();
        ranges.sort_unstable();
        let mut disjoint: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match disjoint.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => disjoint.push((first, last)),
            }
        }
        Self { ranges: disjoint.into() }
    }

    /// Whether the address is one of them.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = number(address);
        let behind = self.ranges.partition_point(|&(first, _)| first <= address);
        let range = behind.checked_sub(1).and_then(|at| self.ranges.get(at));
        range.is_some_and(|&(_, last)| address <= last)
    }
}

fn range(network: Network) -> (u128, u128) {
    let bits = if network.address.is_ipv4() { 32 } else { 128 };
    let host = u32::from(bits - network.prefix_length.min(bits));
    let hosts = 1_u128.checked_shl(host).map_or(u128::MAX, |count| count - 1);
    let first = number(network.address) & !hosts;
    (first, first | hosts)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::Trusted;

    fn trusted(networks: &[&str]) -> Trusted {
        Trusted::new(networks.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn an_address_is_found_in_its_network_only() {
        let networks = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "::/0"];
        let set = trusted(&networks[..4]);
        for (address, is_in) in [
            ("10.255.0.1", true),
            ("9.255.255.255", false),
            ("11.0.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), is_in, "{address}");
        }
        assert!(!trusted(&[]).contains("10.0.0.1".parse().unwrap()));
        assert!(trusted(&["0.0.0.0/0"]).contains("203.0.113.1".parse().unwrap()));
        assert!(!trusted(&["0.0.0.0/0"]).contains("2001:db8::1".parse().unwrap()));
        assert!(trusted(&networks[4..]).contains("2001:db8::1".parse().unwrap()));
    }
}
