//! Which hosts messages did not reach, until somebody asks.

use crate::limits::UNREACHABLE_MAX;
use control_api::{UnreachableHost, UnreachableSign};
use core::net::SocketAddr;
use hashbrown::HashMap;

/// Signs of unreachable hosts, counted; at most [`UNREACHABLE_MAX`] hosts.
#[derive(Debug, Default)]
pub(super) struct UnreachableHosts {
    reports: HashMap<(SocketAddr, UnreachableSign), u32>,
}

impl UnreachableHosts {
    /// Notes one sign. Gives false when the list is full of others.
    pub(super) fn note(&mut self, address: SocketAddr, sign: UnreachableSign) -> bool {
        if self.reports.len() == UNREACHABLE_MAX && !self.reports.contains_key(&(address, sign)) {
            return false;
        }
        let reports = self.reports.entry((address, sign)).or_insert(0);
        *reports = reports.saturating_add(1);
        true
    }

    /// Gives all signs and forgets them.
    pub(super) fn take(&mut self) -> Vec<UnreachableHost> {
        let host = |((address, sign), reports)| UnreachableHost { address, sign, reports };
        self.reports.drain().map(host).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{UNREACHABLE_MAX, UnreachableHosts};
    use control_api::UnreachableSign::{Host, Port};
    use core::net::SocketAddr;

    #[test]
    fn signs_are_counted_by_host_and_kind_until_they_are_taken() {
        let host: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let mut hosts = UnreachableHosts::default();
        for sign in [Port, Port, Host] {
            assert!(hosts.note(host, sign));
        }
        let mut taken = hosts.take();
        taken.sort_by_key(|host| host.reports);
        let seen: Vec<_> = taken.iter().map(|host| (host.sign, host.reports)).collect();
        assert_eq!(seen, [(Host, 1), (Port, 2)]);
        assert!(hosts.take().is_empty());
    }

    #[test]
    fn a_full_list_takes_only_hosts_it_knows() {
        let host = |n: u32| SocketAddr::new(core::net::Ipv4Addr::from_bits(n).into(), 5060);
        let mut hosts = UnreachableHosts::default();
        for n in 0..1_024 {
            assert!(hosts.note(host(n), Port));
        }
        assert!(hosts.note(host(7), Port) && !hosts.note(host(9_999), Port));
        assert_eq!(hosts.take().len(), UNREACHABLE_MAX);
    }
}
