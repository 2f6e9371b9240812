//! What is counted per queue, and its sums.

use super::ratio;
use control_api::status::QueueStatus;
use serde::Serialize;

/// What is counted per queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Counters {
    /// Packets received.
    pub received: u64,
    /// Messages that other workers handed in.
    pub handed_in: u64,
    /// Requests and responses forwarded.
    pub forwarded: u64,
    /// Requests answered by us.
    pub replied: u64,
    /// Messages that a transaction took and that went no further.
    pub absorbed: u64,
    /// Messages handed to the worker that owns their transaction.
    pub handed_off: u64,
    /// Messages of our own that left: what transactions send on their own.
    pub originated: u64,
    /// Messages of our own that were dropped; `dropped` has them too.
    pub originated_dropped: u64,
    /// Packets dropped.
    pub dropped: u64,
    /// Messages that wait for a neighbour now.
    pub parked: u64,
    /// Packets handed to the driver.
    pub transmitted: u64,
    /// Bursts with at least one packet.
    pub bursts: u64,
    /// Nanoseconds spent on bursts with at least one packet.
    pub busy_ns: u64,
    /// `busy_ns` for each packet received; 0 when there was none.
    pub busy_ns_per_message: f64,
}

impl Counters {
    pub(super) fn of(queue: &QueueStatus) -> Self {
        Self {
            received: queue.received,
            handed_in: queue.handed_in,
            forwarded: queue.forwarded,
            replied: queue.replied,
            absorbed: queue.absorbed,
            handed_off: queue.handed_off,
            originated: queue.originated,
            originated_dropped: queue.originated_dropped,
            dropped: queue.dropped_total(),
            parked: queue.parked,
            transmitted: queue.transmitted,
            bursts: queue.bursts,
            busy_ns: queue.busy_ns,
            busy_ns_per_message: 0.0,
        }
        .with_ratio()
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            handed_in: self.handed_in + other.handed_in,
            forwarded: self.forwarded + other.forwarded,
            replied: self.replied + other.replied,
            absorbed: self.absorbed + other.absorbed,
            handed_off: self.handed_off + other.handed_off,
            originated: self.originated + other.originated,
            originated_dropped: self.originated_dropped + other.originated_dropped,
            dropped: self.dropped + other.dropped,
            parked: self.parked + other.parked,
            transmitted: self.transmitted + other.transmitted,
            bursts: self.bursts + other.bursts,
            busy_ns: self.busy_ns + other.busy_ns,
            busy_ns_per_message: 0.0,
        }
        .with_ratio()
    }

    fn with_ratio(mut self) -> Self {
        self.busy_ns_per_message = ratio(self.busy_ns, self.received);
        self
    }

    /// Packets received at once, on average: a burst shares the cost of its system calls.
    pub fn messages_per_burst(&self) -> f64 {
        ratio(self.received, self.bursts)
    }
}
