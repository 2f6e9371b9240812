//! Counters of one queue pair: one writer, the worker; any number of readers that never slow it.

use control_api::DropReason;
use control_api::status::QueueStatus;
use core::sync::atomic::{AtomicU64, Ordering};

/// A counter with a single writer: a plain load and store, no read-modify-write.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning worker may call this.
    pub fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    /// Sets a gauge. Only the owning worker may call this.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Reads the counter, from anywhere.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one queue pair; the fields are those of [`QueueStatus`].
///
/// Aligned to two cache lines, because adjacent lines are prefetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
#[expect(missing_docs, reason = "QueueStatus documents each field of the same name")]
pub struct QueueCounters {
    pub received: Counter,
    pub forwarded: Counter,
    pub replied: Counter,
    pub parked: Counter,
    pub transmitted: Counter,
    pub received_bytes: Counter,
    pub transmitted_bytes: Counter,
    pub bursts: Counter,
    pub busy_ns: Counter,
    dropped: [Counter; DropReason::COUNT],
}

impl QueueCounters {
    /// Counts one packet that ends here.
    pub fn drop_for(&self, reason: DropReason) {
        self.dropped[reason as usize].add(1);
    }

    /// A reading of all counters for `queue` of `port`, polled by `lcore`.
    pub fn status(&self, port: &str, queue: u16, lcore: u16) -> QueueStatus {
        QueueStatus {
            port: port.to_owned(),
            queue,
            lcore,
            // Ends are read before beginnings, so that a reading under load never shows more
            // packets out than in.
            dropped: self.dropped.iter().map(Counter::get).collect(),
            replied: self.replied.get(),
            forwarded: self.forwarded.get(),
            parked: self.parked.get(),
            transmitted: self.transmitted.get(),
            transmitted_bytes: self.transmitted_bytes.get(),
            busy_ns: self.busy_ns.get(),
            bursts: self.bursts.get(),
            received_bytes: self.received_bytes.get(),
            received: self.received.get(),
        }
    }
}
