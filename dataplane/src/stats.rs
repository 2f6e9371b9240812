//! Counters of one queue pair and of one worker: one writer, the worker; any number of readers that never
//! slow it.

use crate::awaiting::Awaiting;
use crate::held_replies::HeldReplies;
use crate::limits::SPILL_SIBLINGS_MAX;
use crate::load_counters::LoadCounters;
use crate::probe::StageCounters;
use crate::spill::Spill;
use control_api::DropReason;
use control_api::status::{
    AuthStatus, LocationStatus, NameStatus, OverloadStatus, QueueStatus, TransactionStatus,
};
use core::sync::atomic::{AtomicU64, Ordering};
use sip_core::{
    DigestCounts, LocationCounts, LocationSizes, NameCounts, OverloadState, SheddingCounts,
    TransactionCounts, TransactionSizes,
};

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

/// What a worker says of itself beside its queues, every few rounds.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Of its transactions.
    pub transactions: TransactionCounters,
    /// Of its bindings.
    pub location: LocationCounters,
    /// Of the credentials that it has checked.
    pub auth: AuthCounters,
    /// Of host names.
    pub names: NameCounters,
    /// Of what it does while there is too much to do.
    pub overload: OverloadCounters,
    /// Of stateless work that went to siblings and came from them.
    pub spill: SpillCounters,
    /// Of what members of destination sets say of their load.
    pub loads: LoadCounters,
    /// Of the time that its stages take.
    pub stages: StageCounters,
    /// How often it has looked after its own affairs: a worker whose count stands still hangs.
    pub beats: Counter,
}

/// Stateless work of one worker that siblings took, and that it took from them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct SpillCounters {
    /// By lane: the first is to the next worker.
    given: [Counter; SPILL_SIBLINGS_MAX],
    taken: Counter,
}

impl SpillCounters {
    /// Says how it stands. Only the owning worker may call this.
    pub fn publish<P>(&self, spill: &Spill<P>) {
        for (counter, (_, given)) in self.given.iter().zip(spill.given()) {
            counter.set(given);
        }
        self.taken.set(spill.taken());
    }

    /// Messages given to siblings, the next worker first.
    pub fn given(&self) -> impl Iterator<Item = u64> {
        self.given.iter().map(Counter::get)
    }

    /// Messages taken from siblings.
    pub fn taken(&self) -> u64 {
        self.taken.get()
    }
}

/// Declares counters with one for each field of a status.
macro_rules! published {
    ($name:ident, $status:ident; $($field:ident),+) => {
        #[doc = concat!("The counters of a [`", stringify!($status), "`].")]
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct $name {
            $($field: Counter,)+
        }

        impl $name {
            /// Says how it stands. Only the owning worker may call this.
            pub fn publish(&self, status: &$status) {
                $(self.$field.set(status.$field);)+
            }

            /// The last that was said.
            pub fn status(&self) -> $status {
                $status { $($field: self.$field.get(),)+ }
            }
        }
    };
}

published! {
    TransactionCounters, TransactionStatus;
    capacity, buffers, alive, trying, proceeding, completed, confirmed, accepted, branches,
    buffers_used, timer_lag_ms, timer_lag_max_ms, opened, refused_full, merged, requests_absorbed,
    responses_absorbed, retransmitted, timed_out, failed_over, cancelled, outbox_full
}

published! {
    LocationCounters, LocationStatus;
    capacity, aors, bindings, bindings_capacity, text_blocks_used, text_blocks, waiting, held,
    registered, refreshed, removed, expired, refused_full, refused_held, located, not_registered,
    lookups, lookups_waiting, lookups_full, lookups_timed_out,
    keepalives, keepalives_answered, flows_failed
}

published! {
    AuthCounters, AuthStatus;
    accepted, retransmitted, unproved, stale, replayed, failed, unknown_user, limited, bad, unready
}

published! {
    NameCounters, NameStatus;
    cached, waiting, hits, stale, waited, no_such_name, failed, refused_full, timed_out
}

/// How host names stand, and the requests that wait for them.
pub fn name_status<P>(counts: &NameCounts, awaiting: &Awaiting<P>) -> NameStatus {
    NameStatus {
        cached: counts.cached,
        waiting: awaiting.len() as u64,
        hits: counts.hits,
        stale: counts.stale,
        waited: awaiting.waited,
        no_such_name: counts.no_such_name,
        failed: counts.failed,
        refused_full: awaiting.refused_full,
        timed_out: awaiting.timed_out,
    }
}

published! {
    OverloadCounters, OverloadStatus;
    first_permille, other_permille, stands_us, episodes, answered, unanswered, acknowledged, bans
}

/// What is done while there is too much to do.
pub fn overload_status(state: &OverloadState) -> OverloadStatus {
    let OverloadState { parts: [first_permille, other_permille], stands_ns, bans, counts } = *state;
    let SheddingCounts { episodes, answered, unanswered, acknowledged } = counts;
    OverloadStatus {
        first_permille,
        other_permille,
        stands_us: stands_ns / 1_000,
        episodes,
        answered,
        unanswered,
        acknowledged,
        bans,
    }
}

/// What became of those who were asked for credentials.
pub fn auth_status(counts: &DigestCounts) -> AuthStatus {
    let DigestCounts {
        accepted,
        retransmitted,
        unproved,
        stale,
        replayed,
        failed,
        unknown_user,
        limited,
        bad,
        unready,
    } = *counts;
    AuthStatus {
        accepted,
        retransmitted,
        unproved,
        stale,
        replayed,
        failed,
        unknown_user,
        limited,
        bad,
        unready,
    }
}

/// How transactions stand.
pub fn transaction_status(
    sizes: TransactionSizes,
    counts: &TransactionCounts,
) -> TransactionStatus {
    TransactionStatus {
        capacity: sizes.transactions.into(),
        buffers: sizes.buffers.into(),
        alive: counts.alive,
        trying: counts.trying,
        proceeding: counts.proceeding,
        completed: counts.completed,
        confirmed: counts.confirmed,
        accepted: counts.accepted,
        branches: counts.branches,
        buffers_used: counts.buffers_used,
        timer_lag_ms: counts.timer_lag_ms,
        timer_lag_max_ms: counts.timer_lag_max_ms,
        opened: counts.opened,
        refused_full: counts.refused_full,
        merged: counts.merged,
        requests_absorbed: counts.requests_absorbed,
        responses_absorbed: counts.responses_absorbed,
        retransmitted: counts.retransmitted,
        timed_out: counts.timed_out,
        failed_over: counts.failed_over,
        cancelled: counts.cancelled,
        outbox_full: counts.outbox_full,
    }
}

/// How bindings stand, the answers that wait for the store, and the requests that wait for bindings.
pub fn location_status<P>(
    sizes: LocationSizes,
    counts: &LocationCounts,
    held: &HeldReplies,
    lookups: &Awaiting<P>,
) -> LocationStatus {
    LocationStatus {
        capacity: sizes.aors.into(),
        aors: counts.aors,
        bindings: counts.bindings,
        bindings_capacity: sizes.bindings.into(),
        text_blocks_used: counts.text_blocks_used,
        text_blocks: sizes.text_blocks.into(),
        waiting: counts.waiting,
        held: held.len() as u64,
        registered: counts.registered,
        refreshed: counts.refreshed,
        removed: counts.removed,
        expired: counts.expired,
        refused_full: counts.refused_full,
        refused_held: held.refused,
        located: counts.located,
        not_registered: counts.not_registered,
        lookups: lookups.waited,
        lookups_waiting: lookups.len() as u64,
        lookups_full: lookups.refused_full,
        lookups_timed_out: lookups.timed_out,
        keepalives: counts.keepalives,
        keepalives_answered: counts.keepalives_answered,
        flows_failed: counts.flows_failed,
    }
}
