//! What is exported, one line for each metric: its name, what it tells, where it stands.

use control_api::NamesStatus;
use control_api::operator::{ConnectionThread, ConnectionsStatus, TransportStatus};
use control_api::status::{
    KernelStatus, MemberLoad, QueueStatus, RebalanceStatus, SpillStatus, Status, StoreStatus,
    WorkerStatus,
};
use prometheus_client::metrics::MetricType;

/// A metric of things of one kind.
pub(super) struct Metric<T> {
    /// Without prefix and `_total`.
    pub(super) name: &'static str,
    /// What it tells, in a sentence.
    pub(super) help: &'static str,
    /// Where it stands.
    pub(super) value: fn(&T) -> Value,
}

/// A value with its kind: counters only rise, levels are what is there now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Count(u64),
    CountSeconds(f64),
    Level(u64),
    LevelSeconds(f64),
}

impl Value {
    /// 1 or 0.
    pub(super) fn flag(is_so: bool) -> Self {
        Self::Level(is_so.into())
    }

    /// A counter of nanoseconds, as seconds.
    #[expect(clippy::cast_precision_loss, reason = "exact for a hundred days of nanoseconds")]
    pub(super) fn nanos(nanoseconds: u64) -> Self {
        Self::CountSeconds(nanoseconds as f64 / 1e9)
    }

    /// A level in milliseconds, as seconds.
    #[expect(clippy::cast_precision_loss, reason = "exact for ages")]
    pub(super) fn millis(milliseconds: u64) -> Self {
        Self::LevelSeconds(milliseconds as f64 / 1e3)
    }

    /// A level in microseconds, as seconds.
    #[expect(clippy::cast_precision_loss, reason = "exact for ages")]
    fn micros(microseconds: u64) -> Self {
        Self::LevelSeconds(microseconds as f64 / 1e6)
    }

    /// A level in thousandths, as a ratio.
    #[expect(clippy::cast_precision_loss, reason = "at most 1,000")]
    fn permille(thousandths: u64) -> Self {
        Self::LevelSeconds(thousandths as f64 / 1e3)
    }

    /// As OpenMetrics calls it.
    pub(super) fn kind(&self) -> MetricType {
        match self {
            Self::Count(_) | Self::CountSeconds(_) => MetricType::Counter,
            Self::Level(_) | Self::LevelSeconds(_) => MetricType::Gauge,
        }
    }
}

/// The data plane as a whole.
#[rustfmt::skip]
pub(super) const STATUS: &[Metric<Status>] = &[
    Metric { name: "dataplane_process_id", help: "Process id of the data plane.", value: |s| Value::Level(s.pid.into()) },
    Metric { name: "epoch", help: "Configuration epoch that every worker runs on; 0 before the first.", value: |s| Value::Level(s.epoch) },
    Metric { name: "leaving", help: "Whether the appliance is about to go: OPTIONS to it are answered with 503.", value: |s| Value::flag(s.is_leaving) },
    Metric { name: "hugepages", help: "Whether DPDK's memory comes from hugepages.", value: |s| Value::flag(s.hugepages) },
    Metric { name: "mbufs_in_use", help: "Mbufs of the mempool that are in use.", value: |s| Value::Level(s.mbufs_in_use.into()) },
    Metric { name: "banned_sources", help: "Sources that some worker has banned now.", value: |s| Value::Level(s.banned_sources.into()) },
    Metric { name: "mbufs", help: "Mbufs in the mempool.", value: |s| Value::Level(s.mbufs_total.into()) },
];

/// The way of large messages through the kernel.
#[rustfmt::skip]
pub(super) const KERNEL: &[Metric<KernelStatus>] = &[
    Metric { name: "kernel_sockets", help: "Listen points whose kernel socket is open.", value: |s| Value::Level(s.sockets.into()) },
    Metric { name: "kernel_received", help: "Datagrams that the kernel gave to workers: put together from fragments, or left to it by the XDP program.", value: |s| Value::Count(s.received) },
    Metric { name: "kernel_sent", help: "Messages that the kernel sent, in fragments or whole.", value: |s| Value::Count(s.sent) },
    Metric { name: "kernel_send_failed", help: "Messages that the kernel refused to send.", value: |s| Value::Count(s.send_failed) },
    Metric { name: "kernel_icmp_unreachable", help: "ICMP errors: no such port, host or network.", value: |s| Value::Count(s.unreachable) },
    Metric { name: "kernel_icmp_too_big", help: "ICMP errors: larger than the MTU of the path.", value: |s| Value::Count(s.too_big) },
    Metric { name: "kernel_icmp_ignored", help: "ICMP errors that changed nothing.", value: |s| Value::Count(s.ignored) },
    Metric { name: "kernel_path_mtus", help: "Hosts whose path MTU is known to be smaller than the link's.", value: |s| Value::Level(s.path_mtus.into()) },
];

/// Host names, as control has them.
#[rustfmt::skip]
pub(super) const NAMES: &[Metric<NamesStatus>] = &[
    Metric { name: "names_linked", help: "Whether the data plane is connected for host names.", value: |s| Value::flag(s.is_linked) },
    Metric { name: "names_cached", help: "Host names whose addresses control remembers.", value: |s| Value::Level(s.cached) },
    Metric { name: "names_questions", help: "Questions of the data plane where a host name leads.", value: |s| Value::Count(s.questions) },
    Metric { name: "names_hits", help: "Questions about host names that were answered from memory.", value: |s| Value::Count(s.hits) },
    Metric { name: "names_queries", help: "Queries for DNS records; the resolver answers some from its own memory.", value: |s| Value::Count(s.queries) },
    Metric { name: "names_found", help: "Questions about host names that found addresses.", value: |s| Value::Count(s.found) },
    Metric { name: "names_negative", help: "Questions about host names that lead nowhere.", value: |s| Value::Count(s.negative) },
    Metric { name: "names_stale", help: "Questions about host names answered with what was known before, as no name server had anything newer in time.", value: |s| Value::Count(s.stale) },
    Metric { name: "names_failed", help: "Questions about host names to which there was no answer.", value: |s| Value::Count(s.failed) },
];

/// The way of bindings to the store.
#[rustfmt::skip]
pub(super) const STORE: &[Metric<StoreStatus>] = &[
    Metric { name: "store_none", help: "Whether there is no store by configuration: bindings are in memory only.", value: |s| Value::flag(s.is_none) },
    Metric { name: "store_connected", help: "Whether control is connected for location.", value: |s| Value::flag(s.is_connected) },
    Metric { name: "store_loaded", help: "Whether all stored bindings have been loaded.", value: |s| Value::flag(s.is_loaded) },
    Metric { name: "store_begun_without", help: "Whether workers answer without what is stored, because it could not be read.", value: |s| Value::flag(s.has_begun_without) },
    Metric { name: "store_set_aside", help: "Whether an older store that could not be read was set aside.", value: |s| Value::flag(!s.set_aside.is_empty()) },
    Metric { name: "store_degraded", help: "Whether workers answer from memory, because the store does not confirm.", value: |s| Value::flag(s.degraded.is_some()) },
    Metric { name: "store_degraded_seconds", help: "For how long workers have answered from memory.", value: |s| Value::millis(s.degraded.as_ref().map_or(0, |degraded| degraded.for_ms)) },
    Metric { name: "store_degradations", help: "How often workers began to answer from memory.", value: |s| Value::Count(s.degradations) },
    Metric { name: "store_unconfirmed", help: "Batches of changed bindings that control has not confirmed yet.", value: |s| Value::Level(s.unconfirmed) },
    Metric { name: "store_confirmed", help: "Batches of changed bindings that control has confirmed.", value: |s| Value::Count(s.confirmed) },
    Metric { name: "store_records_loaded", help: "Stored records that workers took.", value: |s| Value::Count(s.loaded) },
    Metric { name: "store_records_expired", help: "Stored records without a binding that was still alive.", value: |s| Value::Count(s.load_expired) },
    Metric { name: "store_records_refused", help: "Stored records that found no room, or that nobody could read.", value: |s| Value::Count(s.load_refused) },
];

/// Each queue pair; drops stand for themselves.
#[rustfmt::skip]
pub(super) const QUEUE: &[Metric<QueueStatus>] = &[
    Metric { name: "queue_received", help: "Frames received.", value: |s| Value::Count(s.received) },
    Metric { name: "queue_handed_in", help: "Messages that other workers received on this port and handed over.", value: |s| Value::Count(s.handed_in) },
    Metric { name: "queue_forwarded", help: "Requests and responses forwarded, at the queue that received them.", value: |s| Value::Count(s.forwarded) },
    Metric { name: "queue_replied", help: "Requests answered by us.", value: |s| Value::Count(s.replied) },
    Metric { name: "queue_absorbed", help: "Messages that a transaction took and that went no further.", value: |s| Value::Count(s.absorbed) },
    Metric { name: "queue_handed_off", help: "Messages handed over to the worker that owns their transaction, or to one that has time.", value: |s| Value::Count(s.handed_off) },
    Metric { name: "queue_originated", help: "Messages of our own that left: what transactions send on their own.", value: |s| Value::Count(s.originated) },
    Metric { name: "queue_originated_dropped", help: "Messages of our own that were dropped.", value: |s| Value::Count(s.originated_dropped) },
    Metric { name: "queue_parked", help: "Messages kept aside now: for a neighbour, or on their way through the kernel.", value: |s| Value::Level(s.parked) },
    Metric { name: "queue_transmitted", help: "Frames handed to the driver.", value: |s| Value::Count(s.transmitted) },
    Metric { name: "queue_received_bytes", help: "Bytes received, from the Ethernet header on.", value: |s| Value::Count(s.received_bytes) },
    Metric { name: "queue_transmitted_bytes", help: "Bytes transmitted, from the Ethernet header on.", value: |s| Value::Count(s.transmitted_bytes) },
    Metric { name: "queue_bursts", help: "Bursts that held at least one frame.", value: |s| Value::Count(s.bursts) },
    Metric { name: "queue_busy_seconds", help: "Time spent on bursts that held at least one frame.", value: |s| Value::nanos(s.busy_ns) },
];

/// Each port whose queues are kept even.
#[rustfmt::skip]
pub(super) const REBALANCE: &[Metric<RebalanceStatus>] = &[
    Metric { name: "rss_max_over_mean", help: "The load of the fullest queue as a multiple of the mean, by moving averages of flows.", value: |r| Value::LevelSeconds(r.max_over_mean) },
    Metric { name: "rss_uneven_seconds", help: "For how long the queues have been more uneven than rss_rebalance allows.", value: |r| Value::Level(r.uneven_seconds) },
    Metric { name: "rss_rebalances", help: "How often entries of the RSS table were moved, because the queues were uneven.", value: |r| Value::Count(r.rounds) },
    Metric { name: "rss_rebalanced_entries", help: "Entries of the RSS table that were moved.", value: |r| Value::Count(r.entries) },
    Metric { name: "rss_rebalance_failures", help: "How often the driver refused to move entries of the RSS table.", value: |r| Value::Count(r.failures) },
];

/// Each pair of workers of which one has spilled work to the other.
#[rustfmt::skip]
pub(super) const SPILL: &[Metric<SpillStatus>] = &[
    Metric { name: "spilled", help: "Messages that one worker received and a sibling took, because the queue of the first did not run empty.", value: |s| Value::Count(s.messages) },
];

/// Each worker.
#[rustfmt::skip]
pub(super) const WORKER: &[Metric<WorkerStatus>] = &[
    Metric { name: "worker_handed_off", help: "Messages handed over to the workers that own their transactions or that have time, on all ports.", value: |s| Value::Count(s.handed_off) },
    Metric { name: "worker_handed_in", help: "Messages that other workers handed over, on all ports.", value: |s| Value::Count(s.handed_in) },
    Metric { name: "worker_spilled", help: "Of the messages handed over, stateless work given to siblings because the own queue did not run empty.", value: |s| Value::Count(s.spilled) },
    Metric { name: "worker_spilled_in", help: "Of the messages that other workers handed over, stateless work that was too much for them.", value: |s| Value::Count(s.spilled_in) },
    Metric { name: "worker_handoff_full", help: "Messages that could not be handed over, because the ring was full.", value: |s| Value::Count(s.handoff_full) },
    Metric { name: "worker_sampled_messages", help: "Messages in the sample of worker_stage_seconds.", value: |s| Value::Count(s.stages.messages) },
    Metric { name: "transactions_capacity", help: "Transactions that there is room for.", value: |s| Value::Level(s.transactions.capacity) },
    Metric { name: "transactions_buffers", help: "Message buffers of 256 bytes that there are.", value: |s| Value::Level(s.transactions.buffers) },
    Metric { name: "transactions_alive", help: "Transactions alive now.", value: |s| Value::Level(s.transactions.alive) },
    Metric { name: "transactions_trying", help: "Transactions that have sent no response.", value: |s| Value::Level(s.transactions.trying) },
    Metric { name: "transactions_proceeding", help: "Transactions that have sent a provisional response.", value: |s| Value::Level(s.transactions.proceeding) },
    Metric { name: "transactions_completed", help: "Transactions that have sent a final response and wait for its ACK, or for retransmissions.", value: |s| Value::Level(s.transactions.completed) },
    Metric { name: "transactions_confirmed", help: "INVITE transactions that had their ACK.", value: |s| Value::Level(s.transactions.confirmed) },
    Metric { name: "transactions_accepted", help: "INVITE transactions that have passed a 2xx.", value: |s| Value::Level(s.transactions.accepted) },
    Metric { name: "transactions_branches", help: "Branches alive now.", value: |s| Value::Level(s.transactions.branches) },
    Metric { name: "transactions_buffers_used", help: "Message buffers in use now.", value: |s| Value::Level(s.transactions.buffers_used) },
    Metric { name: "transactions_timer_lag_seconds", help: "By how much timers run late now.", value: |s| Value::millis(s.transactions.timer_lag_ms) },
    Metric { name: "transactions_timer_lag_max_seconds", help: "The most by which timers ever ran late.", value: |s| Value::millis(s.transactions.timer_lag_max_ms) },
    Metric { name: "transactions_opened", help: "Transactions opened.", value: |s| Value::Count(s.transactions.opened) },
    Metric { name: "transactions_refused_full", help: "Requests answered with 503, because the table was full.", value: |s| Value::Count(s.transactions.refused_full) },
    Metric { name: "transactions_merged", help: "Requests answered with 482, because they had come by another way before.", value: |s| Value::Count(s.transactions.merged) },
    Metric { name: "transactions_requests_absorbed", help: "Requests absorbed: retransmissions, ACK and CANCEL.", value: |s| Value::Count(s.transactions.requests_absorbed) },
    Metric { name: "transactions_responses_absorbed", help: "Responses absorbed.", value: |s| Value::Count(s.transactions.responses_absorbed) },
    Metric { name: "transactions_retransmitted", help: "Messages that were sent again.", value: |s| Value::Count(s.transactions.retransmitted) },
    Metric { name: "transactions_timed_out", help: "Branches that ended without an answer.", value: |s| Value::Count(s.transactions.timed_out) },
    Metric { name: "transactions_failed_over", help: "Requests sent on to the next destination after one that failed.", value: |s| Value::Count(s.transactions.failed_over) },
    Metric { name: "transactions_cancelled", help: "Branches that were cancelled.", value: |s| Value::Count(s.transactions.cancelled) },
    Metric { name: "transactions_outbox_full", help: "Messages of our own that were lost because too many waited.", value: |s| Value::Count(s.transactions.outbox_full) },
    Metric { name: "location_capacity", help: "Addresses-of-record that there is room for.", value: |s| Value::Level(s.location.capacity) },
    Metric { name: "location_aors", help: "Addresses-of-record with a binding now.", value: |s| Value::Level(s.location.aors) },
    Metric { name: "location_bindings", help: "Bindings now.", value: |s| Value::Level(s.location.bindings) },
    Metric { name: "location_bindings_capacity", help: "Bindings that there is room for.", value: |s| Value::Level(s.location.bindings_capacity) },
    Metric { name: "location_text_blocks_used", help: "Blocks of text in use now.", value: |s| Value::Level(s.location.text_blocks_used) },
    Metric { name: "location_text_blocks", help: "Blocks of text of 64 bytes that there are.", value: |s| Value::Level(s.location.text_blocks) },
    Metric { name: "location_waiting", help: "Addresses-of-record whose newest state has not been given to the store.", value: |s| Value::Level(s.location.waiting) },
    Metric { name: "location_held", help: "Answers that wait until the store has confirmed.", value: |s| Value::Level(s.location.held) },
    Metric { name: "location_registered", help: "Bindings that were new.", value: |s| Value::Count(s.location.registered) },
    Metric { name: "location_refreshed", help: "Bindings that were refreshed.", value: |s| Value::Count(s.location.refreshed) },
    Metric { name: "location_removed", help: "Bindings that were taken away by a REGISTER.", value: |s| Value::Count(s.location.removed) },
    Metric { name: "location_expired", help: "Bindings whose time was over.", value: |s| Value::Count(s.location.expired) },
    Metric { name: "location_refused_full", help: "REGISTER requests answered with 503, as there was no room for the binding.", value: |s| Value::Count(s.location.refused_full) },
    Metric { name: "location_located", help: "Requests that were located.", value: |s| Value::Count(s.location.located) },
    Metric { name: "location_not_registered", help: "Requests for users who had no binding, answered with 480.", value: |s| Value::Count(s.location.not_registered) },
    Metric { name: "location_lookups", help: "Requests that had to wait for what other appliances know of their user.", value: |s| Value::Count(s.location.lookups) },
    Metric { name: "location_lookups_waiting", help: "Requests that wait for what other appliances know of their user.", value: |s| Value::Level(s.location.lookups_waiting) },
    Metric { name: "location_lookups_full", help: "Requests answered without what other appliances know of their user, as too many waited.", value: |s| Value::Count(s.location.lookups_full) },
    Metric { name: "location_lookups_timed_out", help: "Requests answered with 503, as nobody could say in time what other appliances know of their user.", value: |s| Value::Count(s.location.lookups_timed_out) },
    Metric { name: "location_keepalives", help: "Keep-alives that were sent to bindings behind NAT.", value: |s| Value::Count(s.location.keepalives) },
    Metric { name: "location_keepalives_answered", help: "OPTIONS among the keep-alives that were answered.", value: |s| Value::Count(s.location.keepalives_answered) },
    Metric { name: "location_flows_failed", help: "Bindings that were taken away because their flow had failed.", value: |s| Value::Count(s.location.flows_failed) },
    Metric { name: "location_refused_held", help: "REGISTER requests answered with 503, as too many answers waited for the store.", value: |s| Value::Count(s.location.refused_held) },
    Metric { name: "overload_first_taken_ratio", help: "Part of INVITE and REGISTER outside of dialogs that is taken now: 1 without overload.", value: |s| Value::permille(s.overload.first_permille) },
    Metric { name: "overload_other_taken_ratio", help: "Part of other requests outside of dialogs that is taken now: 1 without overload.", value: |s| Value::permille(s.overload.other_permille) },
    Metric { name: "overload_behind_seconds", help: "For how long the queues have not run empty.", value: |s| Value::micros(s.overload.stands_us) },
    Metric { name: "overload_episodes", help: "How often a worker began to refuse new work.", value: |s| Value::Count(s.overload.episodes) },
    Metric { name: "overload_answered", help: "New requests refused with 503 because there was too much to do.", value: |s| Value::Count(s.overload.answered) },
    Metric { name: "overload_unanswered", help: "New requests refused without an answer because there were too many to answer.", value: |s| Value::Count(s.overload.unanswered) },
    Metric { name: "overload_acknowledged", help: "ACK to those 503.", value: |s| Value::Count(s.overload.acknowledged) },
    Metric { name: "overload_bans", help: "How often a source was banned because it went on sending too much.", value: |s| Value::Count(s.overload.bans) },
    Metric { name: "auth_accepted", help: "Requests whose credentials were right.", value: |s| Value::Count(s.auth.accepted) },
    Metric { name: "auth_retransmitted", help: "Retransmissions among the requests whose credentials were right.", value: |s| Value::Count(s.auth.retransmitted) },
    Metric { name: "auth_unproved", help: "Requests without credentials for the realm, or none that are offered.", value: |s| Value::Count(s.auth.unproved) },
    Metric { name: "auth_stale", help: "Requests whose nonce was over or unknown.", value: |s| Value::Count(s.auth.stale) },
    Metric { name: "auth_replayed", help: "Requests whose nonce count had been used.", value: |s| Value::Count(s.auth.replayed) },
    Metric { name: "auth_failed", help: "Requests whose digest was wrong.", value: |s| Value::Count(s.auth.failed) },
    Metric { name: "auth_unknown_user", help: "Requests whose digest was wrong because there is no such user, or no HA1 of the algorithm.", value: |s| Value::Count(s.auth.unknown_user) },
    Metric { name: "auth_limited", help: "Requests whose source or user had failed too often.", value: |s| Value::Count(s.auth.limited) },
    Metric { name: "auth_bad", help: "Requests whose credentials broke the grammar or were for another resource.", value: |s| Value::Count(s.auth.bad) },
    Metric { name: "auth_unready", help: "Requests that came before the users of their realm were known.", value: |s| Value::Count(s.auth.unready) },
    Metric { name: "worker_names_cached", help: "Host names that a worker remembers.", value: |s| Value::Level(s.names.cached) },
    Metric { name: "worker_names_waiting", help: "Requests that wait until control says where a host name leads.", value: |s| Value::Level(s.names.waiting) },
    Metric { name: "worker_names_hits", help: "Requests to host names that the worker knew, at once or after a wait.", value: |s| Value::Count(s.names.hits) },
    Metric { name: "worker_names_stale", help: "Requests to host names by an answer that was over, as nobody had a newer one.", value: |s| Value::Count(s.names.stale) },
    Metric { name: "worker_names_waited", help: "Requests that had to wait for where a host name leads.", value: |s| Value::Count(s.names.waited) },
    Metric { name: "worker_names_no_such_name", help: "Requests refused with 404, as the host name leads nowhere.", value: |s| Value::Count(s.names.no_such_name) },
    Metric { name: "worker_names_failed", help: "Requests refused with 503, as nobody could say where the host name leads.", value: |s| Value::Count(s.names.failed) },
    Metric { name: "worker_names_refused_full", help: "Requests to host names refused with 503, as too many waited.", value: |s| Value::Count(s.names.refused_full) },
    Metric { name: "worker_names_timed_out", help: "Requests to host names refused with 503, as no answer came in time.", value: |s| Value::Count(s.names.timed_out) },
];

/// Each member that is asked to say how many requests it wants.
#[rustfmt::skip]
pub(super) const MEMBER_LOAD: &[Metric<MemberLoad>] = &[
    Metric { name: "member_fewer_ratio", help: "Part of requests outside of dialogs that a member wants fewer now (RFC 7339).", value: |s| Value::permille(u64::from(s.percent) * 10) },
    Metric { name: "member_fewer_left_seconds", help: "For how long it wants fewer, unless it says so again.", value: |s| Value::millis(s.left_ms) },
    Metric { name: "member_fewer_heard", help: "Responses in which a member said how many requests it wants.", value: |s| Value::Count(s.heard) },
    Metric { name: "member_fewer_diverted", help: "Requests that a member did not want, given to other members.", value: |s| Value::Count(s.diverted) },
    Metric { name: "member_fewer_refused", help: "Requests that a member did not want, answered with 503.", value: |s| Value::Count(s.refused) },
];

/// Control's connections as a whole.
#[rustfmt::skip]
pub(super) const CONNECTIONS: &[Metric<ConnectionsStatus>] = &[
    Metric { name: "connections_pings", help: "Keep-alives over connections that were answered.", value: |s| Value::Count(s.pings) },
    Metric { name: "connections_send_failed", help: "Messages that could not be sent over a connection.", value: |s| Value::Count(s.failed) },
    Metric { name: "connections_unavailable", help: "Requests over connections answered with 503 while the data plane was away.", value: |s| Value::Count(s.unavailable) },
    Metric { name: "connections_dropped", help: "Other messages over connections that came while the data plane was away.", value: |s| Value::Count(s.dropped) },
    Metric { name: "connections_congestions", help: "How often connections were not read because the data plane took no more.", value: |s| Value::Count(s.congestions) },
];

/// Each connection thread.
#[rustfmt::skip]
pub(super) const CONNECTION_THREAD: &[Metric<ConnectionThread>] = &[
    Metric { name: "connection_thread_linked", help: "Whether a connection thread is connected to the data plane.", value: |s| Value::flag(s.is_linked) },
    Metric { name: "connection_thread_connections", help: "Connections of a thread now.", value: |s| Value::Level(s.connections) },
    Metric { name: "connection_thread_waiting_bytes", help: "Bytes that wait for slow readers.", value: |s| Value::Level(s.waiting_bytes) },
    Metric { name: "connection_thread_link_waiting_bytes", help: "Bytes that wait for the data plane.", value: |s| Value::Level(s.link_waiting_bytes) },
];

/// The connections of one transport.
#[rustfmt::skip]
pub(super) const TRANSPORT: &[Metric<TransportStatus>] = &[
    Metric { name: "transport_connections", help: "Connections now.", value: |s| Value::Level(s.open) },
    Metric { name: "transport_accepted", help: "Connections that came in.", value: |s| Value::Count(s.accepted) },
    Metric { name: "transport_opened", help: "Connections that we began to open.", value: |s| Value::Count(s.opened) },
    Metric { name: "transport_received", help: "Messages received.", value: |s| Value::Count(s.received) },
    Metric { name: "transport_received_bytes", help: "Bytes received, without those of TLS.", value: |s| Value::Count(s.received_bytes) },
    Metric { name: "transport_sent", help: "Messages sent.", value: |s| Value::Count(s.sent) },
    Metric { name: "transport_sent_bytes", help: "Bytes sent, without those of TLS.", value: |s| Value::Count(s.sent_bytes) },
];
