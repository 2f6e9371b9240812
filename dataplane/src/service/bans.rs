//! Who is banned: each worker bans on its own, and the service core keeps the list.

use crate::limits::BANS_MAX;
use control_api::BannedSource;
use sip_core::{Ban, SourceNet};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Bans that may still be in force.
#[derive(Debug, Default)]
pub(super) struct Bans {
    /// By worker.
    list: RefCell<BTreeMap<(SourceNet, usize), u64>>,
}

impl Bans {
    /// A worker has banned a source.
    pub(super) fn note(&self, worker: usize, ban: Ban, now_ns: u64) {
        let mut list = self.list.borrow_mut();
        if list.len() >= BANS_MAX {
            list.retain(|_, until_ns| *until_ns > now_ns);
        }
        if list.len() < BANS_MAX {
            list.insert((ban.source, worker), ban.until_ns);
            let address = ban.source.address();
            tracing::warn!(%address, worker, "a source sends too much and is banned");
        }
    }

    /// A source is free again on all workers.
    pub(super) fn lift(&self, source: SourceNet) {
        self.list.borrow_mut().retain(|(banned, _), _| *banned != source);
    }

    /// How many sources are banned.
    pub(super) fn count(&self, now_ns: u64) -> u32 {
        u32::try_from(self.current(now_ns).len()).unwrap_or(u32::MAX)
    }

    /// Who is banned, those whose ban lasts longest first.
    pub(super) fn current(&self, now_ns: u64) -> Vec<BannedSource> {
        let mut list = self.list.borrow_mut();
        list.retain(|_, until_ns| *until_ns > now_ns);
        let mut found: Vec<BannedSource> = Vec::new();
        for (&(source, _), &until_ns) in list.iter() {
            let (address, seconds_left) =
                (source.address(), (until_ns - now_ns).div_ceil(1_000_000_000));
            match found.last_mut() {
                Some(last) if last.address == address => {
                    last.workers += 1;
                    last.seconds_left = last.seconds_left.max(seconds_left);
                }
                _ => found.push(BannedSource { address, seconds_left, workers: 1 }),
            }
        }
        found.sort_by_key(|banned| std::cmp::Reverse(banned.seconds_left));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::Bans;
    use sip_core::{Ban, SourceNet};

    #[test]
    fn workers_bans_of_a_source_are_one() {
        let bans = Bans::default();
        let source = |text: &str| SourceNet::of(text.parse().unwrap());
        let second = 1_000_000_000;
        for (worker, text, until) in
            [(0, "192.0.2.1", 5), (1, "192.0.2.1", 8), (0, "2001:db8::1", 9)]
        {
            bans.note(worker, Ban { source: source(text), until_ns: until * second }, second);
        }
        let list = |now| -> Vec<_> {
            let all = bans.current(now);
            all.iter().map(|b| (b.address.to_string(), b.seconds_left, b.workers)).collect()
        };
        assert_eq!(list(second + 1), [("2001:db8::".into(), 8, 1), ("192.0.2.1".into(), 7, 2)]);
        assert_eq!(list(6 * second)[1], ("192.0.2.1".into(), 2, 1));
        bans.lift(source("192.0.2.1"));
        assert_eq!((list(6 * second).len(), bans.count(9 * second)), (1, 0));
    }
}
