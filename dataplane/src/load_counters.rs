//! What one worker has heard of the load of members of destination sets: one writer, the worker; any number of readers.

use crate::stats::Counter;
use control_api::status;
use core::net::SocketAddr;
use sip_core::MemberLoad;
use sip_core::limits::ASKED_MAX;

/// By the places of [`sip_core::Tables::asked_members`].
#[derive(Debug)]
pub struct LoadCounters(Box<[Place]>);

#[derive(Debug, Default)]
struct Place {
    percent: Counter,
    until_ms: Counter,
    heard: Counter,
    diverted: Counter,
    refused: Counter,
}

impl Default for LoadCounters {
    fn default() -> Self {
        Self((0..ASKED_MAX).map(|_| Place::default()).collect())
    }
}

impl LoadCounters {
    /// Says how it stands. Only the owning worker may call this.
    pub fn publish(&self, place: u16, load: &MemberLoad) {
        let Some(counters) = self.0.get(usize::from(place)) else { return };
        let MemberLoad { percent, until_ms, heard, diverted, refused } = *load;
        counters.percent.set(percent.into());
        counters.until_ms.set(until_ms);
        counters.heard.set(heard);
        counters.diverted.set(diverted);
        counters.refused.set(refused);
    }

    /// Adds what this worker has heard to what others have: of several values the greatest counts, which is what a
    /// member wants of one of them.
    pub fn add_to(&self, status: &mut status::MemberLoad, place: u16, now_ms: u64) {
        let Some(counters) = self.0.get(usize::from(place)) else { return };
        let left_ms = counters.until_ms.get().saturating_sub(now_ms);
        let percent = u8::try_from(counters.percent.get()).unwrap_or(100);
        if left_ms > 0 && percent > 0 {
            status.percent = status.percent.max(percent);
            status.left_ms = status.left_ms.max(left_ms);
        }
        status.heard += counters.heard.get();
        status.diverted += counters.diverted.get();
        status.refused += counters.refused.get();
    }
}

/// What all workers together have heard of a member.
pub fn load_of<'w>(
    member: SocketAddr,
    place: u16,
    now_ms: u64,
    workers: impl Iterator<Item = &'w LoadCounters>,
) -> status::MemberLoadStatus {
    let mut load = status::MemberLoad::default();
    workers.for_each(|worker| worker.add_to(&mut load, place, now_ms));
    status::MemberLoadStatus { member, load }
}

#[cfg(test)]
mod tests {
    use super::{LoadCounters, load_of};
    use sip_core::MemberLoad;

    #[test]
    fn workers_are_added_up_and_what_is_over_counts_no_more() {
        let workers = [LoadCounters::default(), LoadCounters::default()];
        let load = MemberLoad { percent: 20, until_ms: 500, heard: 3, diverted: 4, refused: 5 };
        workers[0].publish(7, &load);
        workers[1].publish(7, &MemberLoad { percent: 60, until_ms: 300, ..load });
        let member = "192.0.2.1:5060".parse().unwrap();
        let at = |now_ms| load_of(member, 7, now_ms, workers.iter()).load;
        assert_eq!([at(200).percent, at(300).percent, at(500).percent], [60, 20, 0]);
        assert_eq!([at(200).left_ms, at(300).left_ms, at(500).left_ms], [300, 200, 0]);
        let status = at(600);
        assert_eq!((status.heard, status.diverted, status.refused), (6, 8, 10));
    }
}
