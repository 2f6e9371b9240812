//! The neighbour table as the kernel reports it, and when to ask the kernel for more.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use tokio::time::Instant;

use super::limits::{
    ASK_AGAIN, ASK_EXPIRES, ASKED_MAX, NEIGHBOURS_MAX, PROBE_AFTER, PROBES_PER_SECOND,
};
use crate::fib::{Link, Neighbour, Neighbours, NextHop};

/// What an event says about a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    Valid {
        mac: [u8; 6],
        /// Set by hand or by the kind of interface: never to be probed.
        fixed: bool,
    },
    Failed,
    /// The kernel is asking.
    Pending,
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    neighbour: Neighbour,
    fixed: bool,
    /// Last news or last probe.
    checked: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    /// The kernel has given up.
    failed: bool,
}

/// What an event led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Workers need not know.
    Same,
    /// Workers need a new picture.
    Changed,
    /// As `Changed`: a neighbour that was valid is silent now. It may have a new MAC address.
    Lost(NextHop),
}

/// Neighbours of our links and the requests under way, both bounded.
#[derive(Debug, Default)]
pub(super) struct NeighbourTable {
    links: HashSet<u32>,
    known: HashMap<NextHop, Known>,
    asked: HashMap<NextHop, Asked>,
}

impl NeighbourTable {
    /// Begins anew with these links and a dump.
    pub(super) fn refill(&mut self, links: &[Link], dump: &[NeighbourMessage], now: Instant) {
        self.links = links.iter().map(|link| link.ifindex).collect();
        let before = std::mem::take(&mut self.known);
        for message in dump {
            let Some((next_hop, report)) = self.read(message, false) else { continue };
            if let Some(known) = before.get(&next_hop) {
                self.known.insert(next_hop, *known); // keeps a failure through the next attempt
            }
            self.apply(next_hop, report, now);
        }
    }

    /// Takes one event in.
    pub(super) fn note(&mut self, event: &NeighbourMessage, gone: bool, now: Instant) -> Outcome {
        match self.read(event, gone) {
            Some((next_hop, report)) => self.apply(next_hop, report, now),
            None => Outcome::Same,
        }
    }

    /// Whether the kernel should be asked for `next_hop` now; if so, it counts as asked.
    pub(super) fn may_ask(&mut self, next_hop: NextHop, now: Instant) -> bool {
        let valid = self.known.get(&next_hop).is_some_and(Known::is_valid);
        let asked = self.asked.get(&next_hop);
        let full = self.asked.len() >= ASKED_MAX && asked.is_none();
        let too_soon = asked.is_some_and(|asked| asked.keeps_from_asking(now));
        if !self.links.contains(&next_hop.ifindex) || valid || full || too_soon {
            return false;
        }
        self.asked.insert(next_hop, Asked { at: now, failed: false });
        true
    }

    /// Forgets requests that are over. To be called about once a second.
    pub(super) fn expire(&mut self, now: Instant) {
        self.asked.retain(|_, asked| asked.keeps_from_asking(now));
    }

    /// The neighbours to probe in this second, those without news for longest first.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<NextHop> {
        let mut due: Vec<_> = self
            .known
            .iter()
            .filter(|(_, known)| known.is_valid() && !known.fixed)
            .filter(|(_, known)| now.duration_since(known.checked) >= PROBE_AFTER)
            .map(|(next_hop, known)| (known.checked, *next_hop))
            .collect();
        due.sort_unstable_by_key(|(checked, _)| *checked);
        due.truncate(PROBES_PER_SECOND);
        for (_, next_hop) in &due {
            if let Some(known) = self.known.get_mut(next_hop) {
                known.checked = now;
            }
        }
        due.into_iter().map(|(_, next_hop)| next_hop).collect()
    }

    /// The table as workers use it.
    pub(super) fn snapshot(&self) -> Neighbours {
        self.known.iter().map(|(next_hop, known)| (*next_hop, known.neighbour)).collect()
    }

    fn read(&self, message: &NeighbourMessage, gone: bool) -> Option<(NextHop, Report)> {
        let ifindex = message.header.ifindex;
        if !self.links.contains(&ifindex) || message.header.flags.contains(NeighbourFlags::Proxy) {
            return None;
        }
        let mut address = None;
        let mut mac = None;
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                    address = Some(IpAddr::V4(*v4));
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                    address = Some(IpAddr::V6(*v6));
                }
                NeighbourAttribute::LinkLayerAddress(bytes) => {
                    mac = <[u8; 6]>::try_from(bytes.as_slice()).ok();
                }
                _ => {}
            }
        }
        let address = address.filter(|address| !address.is_multicast())?;
        let report = if gone { Report::Gone } else { report(message.header.state, mac) };
        Some((NextHop { ifindex, address }, report))
    }

    fn apply(&mut self, next_hop: NextHop, report: Report, now: Instant) -> Outcome {
        let before = self.known.get(&next_hop).map(|known| known.neighbour);
        match report {
            Report::Valid { mac, fixed } => {
                if before.is_none() && self.known.len() >= NEIGHBOURS_MAX {
                    return Outcome::Same;
                }
                let neighbour = Neighbour::Valid(mac);
                self.known.insert(next_hop, Known { neighbour, fixed, checked: now });
            }
            Report::Failed if before.is_none() && self.known.len() >= NEIGHBOURS_MAX => {}
            Report::Failed => {
                let neighbour = Neighbour::Failed;
                self.known.insert(next_hop, Known { neighbour, fixed: false, checked: now });
            }
            // A silent neighbour stays failed while it is asked again, so that messages to a dead
            // host are answered at once instead of waiting three seconds each time.
            Report::Pending if before == Some(Neighbour::Failed) => {}
            Report::Pending | Report::Gone => drop(self.known.remove(&next_hop)),
        }
        self.settle(next_hop, report);
        let after = self.known.get(&next_hop).map(|known| known.neighbour);
        match (before, after) {
            (Some(Neighbour::Valid(_)), Some(Neighbour::Failed)) => Outcome::Lost(next_hop),
            _ if before == after => Outcome::Same,
            _ => Outcome::Changed,
        }
    }

    /// A request is over with its answer. Only after a failure does the next one have to pause.
    fn settle(&mut self, next_hop: NextHop, report: Report) {
        match report {
            Report::Pending => {}
            Report::Failed => {
                if let Some(asked) = self.asked.get_mut(&next_hop) {
                    asked.failed = true;
                }
            }
            Report::Valid { .. } | Report::Gone => drop(self.asked.remove(&next_hop)),
        }
    }
}

impl Known {
    fn is_valid(&self) -> bool {
        matches!(self.neighbour, Neighbour::Valid(_))
    }
}

impl Asked {
    fn keeps_from_asking(&self, now: Instant) -> bool {
        let pause = if self.failed { ASK_AGAIN } else { ASK_EXPIRES };
        now.duration_since(self.at) < pause
    }
}

fn report(state: NeighbourState, mac: Option<[u8; 6]>) -> Report {
    use NeighbourState as S;
    let fixed = matches!(state, S::Permanent | S::Noarp);
    match (state, mac) {
        (S::Reachable | S::Stale | S::Delay | S::Probe | S::Permanent | S::Noarp, Some(mac)) => {
            Report::Valid { mac, fixed }
        }
        (S::Failed, _) => Report::Failed,
        // INCOMPLETE; and what has no MAC address or a state of later kernels is of no use either.
        _ => Report::Pending,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

    fn table() -> NeighbourTable {
        let link = Link { port: 0, ifindex: 7, vlan: None, mac: [2; 6], mtu: 1500, up: true };
        let mut table = NeighbourTable::default();
        table.refill(&[link], &[], Instant::now());
        table
    }

    fn host(number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(0x0a00_0000 | number)
    }

    fn hop(number: u32) -> NextHop {
        NextHop { ifindex: 7, address: host(number).into() }
    }

    fn event(number: u32, state: NeighbourState, mac: Option<[u8; 6]>) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = 7;
        message.header.state = state;
        let destination = NeighbourAddress::Inet(host(number));
        message.attributes.push(NeighbourAttribute::Destination(destination));
        message.attributes.extend(mac.map(|m| NeighbourAttribute::LinkLayerAddress(m.to_vec())));
        message
    }

    fn seconds(count: f64) -> Duration {
        Duration::from_secs_f64(count)
    }

    #[test]
    fn a_failure_lasts_until_the_neighbour_speaks() {
        let (mut table, now) = (table(), Instant::now());
        let mut note = |state, mac| table.note(&event(1, state, mac), false, now);
        assert_eq!(note(NeighbourState::Incomplete, None), Outcome::Same);
        assert_eq!(note(NeighbourState::Reachable, Some(MAC)), Outcome::Changed);
        assert_eq!(note(NeighbourState::Stale, Some(MAC)), Outcome::Same);
        assert_eq!(note(NeighbourState::Probe, Some([4; 6])), Outcome::Changed);
        assert_eq!(note(NeighbourState::Failed, None), Outcome::Lost(hop(1)));
        assert_eq!(note(NeighbourState::Incomplete, None), Outcome::Same);
        assert_eq!(table.snapshot()[&hop(1)], Neighbour::Failed);
        let gone = event(1, NeighbourState::Failed, None);
        assert_eq!(table.note(&gone, true, now), Outcome::Changed);
        assert!(table.snapshot().is_empty());
    }

    #[test]
    fn the_kernel_is_asked_once_a_second_at_most() {
        let (mut table, now) = (table(), Instant::now());
        assert!(table.may_ask(hop(1), now));
        assert!(!table.may_ask(hop(1), now + seconds(2.0)), "still asking");
        table.note(&event(1, NeighbourState::Failed, None), false, now + seconds(3.0));
        assert!(table.may_ask(hop(1), now + seconds(3.1)));
        table.note(&event(1, NeighbourState::Failed, None), false, now + seconds(3.2));
        assert!(!table.may_ask(hop(1), now + seconds(4.0)));
        assert!(table.may_ask(hop(1), now + seconds(4.1)));
        table.note(&event(1, NeighbourState::Reachable, Some(MAC)), false, now + seconds(4.2));
        assert!(!table.may_ask(hop(1), now + seconds(9.0)), "it is known");
        table.note(&event(1, NeighbourState::Stale, None), true, now + seconds(9.0));
        assert!(table.may_ask(hop(1), now + seconds(9.0)), "it was forgotten");
        let foreign = NextHop { ifindex: 8, ..hop(1) };
        assert!(!table.may_ask(foreign, now));
    }

    #[test]
    fn requests_are_bounded_and_expire() {
        let (mut table, now) = (table(), Instant::now());
        let granted = (0..10_000).filter(|number| table.may_ask(hop(*number), now)).count();
        assert_eq!(granted, ASKED_MAX);
        table.expire(now + ASK_EXPIRES);
        assert!(table.may_ask(hop(9_999), now + ASK_EXPIRES));
    }

    #[test]
    fn neighbours_are_probed_in_turn_and_fixed_ones_never() {
        let (mut table, start) = (table(), Instant::now());
        table.note(&event(0, NeighbourState::Permanent, Some(MAC)), false, start);
        for number in 1..=250 {
            table.note(&event(number, NeighbourState::Stale, Some(MAC)), false, start);
        }
        assert!(table.take_due(start + seconds(4.9)).is_empty());
        let mut seen = HashSet::new();
        for round in 0..3 {
            seen.extend(table.take_due(start + PROBE_AFTER + seconds(f64::from(round))));
        }
        assert_eq!(seen.len(), 250);
        assert!(!seen.contains(&hop(0)));
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut table, now) = (table(), Instant::now());
        for number in 0..20_000 {
            table.note(&event(number, NeighbourState::Stale, Some(MAC)), false, now);
        }
        assert_eq!(table.snapshot().len(), NEIGHBOURS_MAX);
    }
}
