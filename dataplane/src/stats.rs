//! Counters of one queue pair and of one worker: one writer, the worker; any number of readers that never
//! slow it.

use control_api::DropReason;
use control_api::status::{LocationStatus, QueueStatus, TransactionStatus};
use core::sync::atomic::{AtomicU64, Ordering};
use sip_core::{LocationCounts, TransactionCounts, TransactionSizes};

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
    pub absorbed: Counter,
    pub handed_off: Counter,
    pub handed_in: Counter,
    pub originated: Counter,
    pub originated_dropped: Counter,
    pub parked: Counter,
    pub transmitted: Counter,
    pub received_bytes: Counter,
    pub transmitted_bytes: Counter,
    pub bursts: Counter,
    pub busy_ns: Counter,
    dropped: Drops,
}

/// By reason.
#[derive(Debug)]
struct Drops([Counter; DropReason::COUNT]);

impl Default for Drops {
    fn default() -> Self {
        Self([const { Counter(AtomicU64::new(0)) }; DropReason::COUNT])
    }
}

/// What a message counts as when it has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A message of somebody else's.
    Forwarded,
    /// Our own answer to the message that came.
    Replied,
    /// A message of our own, which a transaction has made.
    Originated,
}

impl QueueCounters {
    /// Counts one message that has left.
    pub fn count_sent(&self, sent: Sent) {
        match sent {
            Sent::Forwarded => self.forwarded.add(1),
            Sent::Replied => self.replied.add(1),
            Sent::Originated => self.originated.add(1),
        }
    }

    /// Counts one message that was to leave and ends here.
    pub fn drop_unsent(&self, sent: Sent, reason: DropReason) {
        self.drop_for(reason);
        if sent == Sent::Originated {
            self.originated_dropped.add(1);
        }
    }

    /// Counts one packet that ends here.
    pub fn drop_for(&self, reason: DropReason) {
        self.dropped.0[reason as usize].add(1);
    }

    /// A reading of all counters for `queue` of `port`, polled by `lcore`.
    pub fn status(&self, port: &str, queue: u16, lcore: u16) -> QueueStatus {
        QueueStatus {
            port: port.to_owned(),
            queue,
            lcore,
            // Ends are read before beginnings, so that a reading under load never shows more
            // packets out than in.
            dropped: self.dropped.0.iter().map(Counter::get).collect(),
            replied: self.replied.get(),
            forwarded: self.forwarded.get(),
            absorbed: self.absorbed.get(),
            handed_off: self.handed_off.get(),
            originated: self.originated.get(),
            parked: self.parked.get(),
            transmitted: self.transmitted.get(),
            transmitted_bytes: self.transmitted_bytes.get(),
            busy_ns: self.busy_ns.get(),
            bursts: self.bursts.get(),
            received_bytes: self.received_bytes.get(),
            originated_dropped: self.originated_dropped.get(),
            handed_in: self.handed_in.get(),
            received: self.received.get(),
        }
    }
}

/// Declares [`WorkerCounters`] with one counter for each field of [`TransactionStatus`].
macro_rules! worker_counters {
    ($($size:ident),+; $($field:ident),+) => {
        /// What a worker says of its transactions, every few rounds; the fields are those of
        /// [`TransactionStatus`].
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct WorkerCounters {
            $($size: Counter,)+
            $($field: Counter,)+
        }

        impl WorkerCounters {
            /// Says how it stands. Only the owning worker may call this.
            pub fn publish(&self, sizes: TransactionSizes, counts: &TransactionCounts) {
                self.capacity.set(sizes.transactions.into());
                self.buffers.set(sizes.buffers.into());
                $(self.$field.set(counts.$field);)+
            }

            /// The last that was said.
            pub fn status(&self) -> TransactionStatus {
                TransactionStatus {
                    $($size: self.$size.get(),)+
                    $($field: self.$field.get(),)+
                }
            }
        }
    };
}

worker_counters! {
    capacity, buffers;
    alive, trying, proceeding, completed, confirmed, accepted, branches, buffers_used,
    timer_lag_ms, timer_lag_max_ms, opened, refused_full, merged, requests_absorbed, responses_absorbed,
    retransmitted, timed_out, failed_over, cancelled, outbox_full
}

/// Declares [`LocationCounters`] with one counter for each field of [`LocationStatus`].
macro_rules! location_counters {
    ($($own:ident),+; $($field:ident),+) => {
        /// What a worker says of its bindings, every few rounds; the fields are those of
        /// [`LocationStatus`].
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct LocationCounters {
            $($own: Counter,)+
            $($field: Counter,)+
        }

        impl LocationCounters {
            /// Says how it stands: room for AoRs, answers that wait and those that were refused, and what
            /// the tables count. Only the owning worker may call this.
            pub fn publish(&self, [$($own),+]: [u64; 3], counts: &LocationCounts) {
                $(self.$own.set($own);)+
                $(self.$field.set(counts.$field);)+
            }

            /// The last that was said.
            pub fn status(&self) -> LocationStatus {
                LocationStatus {
                    $($own: self.$own.get(),)+
                    $($field: self.$field.get(),)+
                }
            }
        }
    };
}

location_counters! {
    capacity, held, refused_held;
    aors, bindings, waiting, text_blocks_used, timer_lag_ms, registered, refreshed, removed, expired, queries,
    retransmitted, malformed, unknown, forbidden, out_of_order, too_brief, unsupported, over_limit,
    refused_full, loading, located, not_registered, keepalives, flows_failed
}
