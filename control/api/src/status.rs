//! What the data plane says about itself: per port, queue and lcore, every packet counted once in
//! and once out.

use crate::reasons::DropReason;
use alloc::{string::String, vec::Vec};
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

/// A snapshot of the data plane's counters. All counts run since the data plane started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Process id of the data plane.
    pub pid: u32,
    /// The configuration epoch that every worker has acknowledged; 0 before the first.
    pub epoch: u64,
    /// Whether the appliance is about to go: OPTIONS to it are answered with 503.
    pub is_leaving: bool,
    /// Whether EAL found hugepages.
    pub hugepages: bool,
    /// One entry per queue pair.
    pub queues: Vec<QueueStatus>,
    /// Mbufs of the mempool that are in use now (rings, parked messages, driver).
    pub mbufs_in_use: u32,
    /// Mbufs in the mempool.
    pub mbufs_total: u32,
    /// The way of large messages through the kernel, and what ICMP said.
    pub kernel: KernelStatus,
    /// One entry per worker.
    pub workers: Vec<WorkerStatus>,
    /// Which workers have spilled stateless work to which siblings.
    pub spills: Vec<SpillStatus>,
    /// The ports whose queues are kept even while they run.
    pub rebalances: Vec<RebalanceStatus>,
    /// How changes of bindings come to control's store.
    pub store: StoreStatus,
    /// Sources that some worker has banned now.
    pub banned_sources: u32,
    /// What members of destination sets with `overload_control` have said of their load.
    pub member_loads: Vec<MemberLoadStatus>,
    /// What each port is and was granted, in the order of the configuration.
    pub ports: Vec<PortStatus>,
}

/// What a port is, and what its driver granted at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    /// Its name.
    pub name: String,
    /// DPDK's driver: `net_ice`, `net_af_xdp`.
    pub driver: String,
    /// MTU in bytes.
    pub mtu: u16,
    /// What RSS hashes by DPDK, in the words of testpmd; empty when DPDK does not hash.
    pub rss_fields: Vec<String>,
    /// Entries of the RSS table, 0 without one.
    pub reta_size: u16,
    /// Bytes of the RSS key, 0 where the driver does not say.
    pub rss_key_bytes: u8,
    /// Offloads of received frames that are on, as testpmd names them.
    pub rx_offloads: Vec<String>,
    /// Offloads of sent frames that are on.
    pub tx_offloads: Vec<String>,
    /// Whether the NIC computes the UDP checksums of what we send; else software does.
    pub nic_checksums: bool,
}

/// Stateless work that one worker has given to one sibling, because its own queue did not run empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpillStatus {
    /// The lcore of the worker that received it.
    pub from: u16,
    /// The lcore of the sibling.
    pub to: u16,
    /// Messages since the start.
    pub messages: u64,
}

/// Live rebalance of one port: entries of its table that move while its queues are uneven.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RebalanceStatus {
    /// Name of the port.
    pub port: String,
    /// How it stands: `even`, `quiet`, `uneven`, `moved`, or `held`, `stuck`, `blind`, `failed` and why.
    pub state: String,
    /// The load of the fullest queue as a multiple of the mean, by the moving averages of flows.
    pub max_over_mean: f64,
    /// Seconds for which the queues have been uneven.
    pub uneven_seconds: u64,
    /// How often entries were moved.
    pub rounds: u64,
    /// Entries moved.
    pub entries: u64,
    /// How often the driver refused, or the port could not be read back.
    pub failures: u64,
    /// The last time.
    pub last: Option<RebalanceRound>,
}

/// Entries that moved at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceRound {
    /// How long ago.
    pub seconds_ago: u64,
    /// Why.
    pub reason: String,
    /// Which.
    pub moves: Vec<EntryMove>,
}

/// An entry of a table that went to another queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryMove {
    /// Its index.
    pub entry: u16,
    /// The queue that had it.
    pub from: u16,
    /// The queue that got it.
    pub to: u16,
}

/// What a member of a destination set has said of its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLoadStatus {
    /// Its address.
    pub member: SocketAddr,
    /// What it wants.
    pub load: MemberLoad,
}

/// How many requests fewer a member wants (RFC 7339), and what became of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLoad {
    /// Per cent of requests outside of dialogs that it wants fewer now; of several workers the one that keeps back most.
    pub percent: u8,
    /// For how long, unless it says so again, in milliseconds.
    pub left_ms: u64,
    /// Responses that said how many it wants.
    pub heard: u64,
    /// Requests that went to other members instead.
    pub diverted: u64,
    /// Requests that were answered with 503 instead.
    pub refused: u64,
}

/// The way of changed bindings to control's store, from the side of the data plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct StoreStatus {
    /// Whether there is none by configuration: bindings are in memory only.
    pub is_none: bool,
    /// Whether control is connected for location.
    pub is_connected: bool,
    /// Whether all that was stored has been loaded: before that, location is answered with 503.
    pub is_loaded: bool,
    /// Whether they answer without what is stored, because it could not be read: who has not registered
    /// since is unknown.
    pub has_begun_without: bool,
    /// Where an older store lies that could not be read; empty when there is none.
    pub set_aside: String,
    /// Set while the workers answer from memory, because the store does not confirm.
    pub degraded: Option<Degraded>,
    /// How often that began.
    pub degradations: u64,
    /// Batches of changes on their way, which control has not confirmed yet.
    pub unconfirmed: u64,
    /// Batches of changes that control has confirmed.
    pub confirmed: u64,
    /// Records that the workers took when they were loaded.
    pub loaded: u64,
    /// Stored records without a binding that was still alive.
    pub load_expired: u64,
    /// Stored records that found no room, or that nobody could read.
    pub load_refused: u64,
}

/// Why workers answer from memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    /// What is wrong.
    pub reason: String,
    /// For how long, in milliseconds.
    pub for_ms: u64,
}

/// What one worker owns beside its queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// The lcore that it runs on.
    pub lcore: u16,
    /// Messages that it handed over to the workers that own their transactions or to siblings that had time, on all
    /// ports.
    pub handed_off: u64,
    /// Messages that other workers handed over to it, on all ports.
    pub handed_in: u64,
    /// Messages that it could not hand over, because the ring was full.
    pub handoff_full: u64,
    /// Of those handed over, stateless work that it gave to siblings because its own queue did not run empty.
    pub spilled: u64,
    /// Of those that others handed over, stateless work that was too much for them.
    pub spilled_in: u64,
    /// Its transactions.
    pub transactions: TransactionStatus,
    /// Its bindings.
    pub location: LocationStatus,
    /// Credentials that it has checked.
    pub auth: AuthStatus,
    /// Host names that its requests went to.
    pub names: NameStatus,
    /// Where its time goes.
    pub stages: StageStatus,
    /// What it does while there is too much to do.
    pub overload: OverloadStatus,
}

/// What one worker does while there is more than it can do, a fraction of a second old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverloadStatus {
    /// Part of INVITE and REGISTER outside of dialogs that is taken now, in thousandths: 1,000 without overload.
    pub first_permille: u64,
    /// The same of other requests outside of dialogs.
    pub other_permille: u64,
    /// Microseconds for which its queues have not run empty.
    pub stands_us: u64,
    /// How often it began to refuse new work.
    pub episodes: u64,
    /// Requests refused with 503.
    pub answered: u64,
    /// Requests refused without an answer; `dropped` has them as `overload`.
    pub unanswered: u64,
    /// ACK to those 503, which are absorbed.
    pub acknowledged: u64,
    /// How often it banned a source.
    pub bans: u64,
}

/// The stages of a message's way through a worker, in the order of [`StageStatus::ns`].
pub const STAGES: [&str; 11] = [
    "receive",
    "decode",
    "parse",
    "route",
    "digest",
    "location",
    "adjacency",
    "transaction",
    "rewrite",
    "encode",
    "transmit",
];

/// The time that one worker spent in each stage, in a sample of its bursts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageStatus {
    /// Messages in the sample.
    pub messages: u64,
    /// Nanoseconds by stage, in the order of [`STAGES`].
    pub ns: [u64; STAGES.len()],
}

/// What became of the requests that one worker asked for credentials, a fraction of a second old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthStatus {
    /// Their credentials were right.
    pub accepted: u64,
    /// Of these, retransmissions.
    pub retransmitted: u64,
    /// They had none for the realm, or none that are offered.
    pub unproved: u64,
    /// Their nonce was over or unknown.
    pub stale: u64,
    /// Their nonce count had been used.
    pub replayed: u64,
    /// Their digest was wrong; those of unknown users count here too.
    pub failed: u64,
    /// Of these, for users that do not exist or have no HA1 of the algorithm.
    pub unknown_user: u64,
    /// Their source or user had failed too often.
    pub limited: u64,
    /// Their credentials broke the grammar or were for another resource.
    pub bad: u64,
    /// They came before the users of their realm were known.
    pub unready: u64,
}

/// The host names that requests of one worker went to, a fraction of a second old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameStatus {
    /// Names that it remembers.
    pub cached: u64,
    /// Requests that wait for an answer now.
    pub waiting: u64,
    /// Requests whose name was known, at once or after a wait.
    pub hits: u64,
    /// Of these, by an answer that was over, as nobody had a newer one.
    pub stale: u64,
    /// Requests that had to wait.
    pub waited: u64,
    /// Requests refused with 404, as the name leads nowhere.
    pub no_such_name: u64,
    /// Requests refused with 503, as nobody could say where the name leads.
    pub failed: u64,
    /// Requests refused with 503, as too many waited.
    pub refused_full: u64,
    /// Requests refused with 503, as no answer came in time.
    pub timed_out: u64,
}

/// The bindings of one worker, a fraction of a second old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationStatus {
    /// AoRs that there is room for.
    pub capacity: u64,
    /// AoRs with a binding now.
    pub aors: u64,
    /// Bindings now.
    pub bindings: u64,
    /// Bindings that there is room for.
    pub bindings_capacity: u64,
    /// Blocks of text in use now.
    pub text_blocks_used: u64,
    /// Blocks of text of 64 bytes that there are.
    pub text_blocks: u64,
    /// AoRs whose newest state has not been given to the store.
    pub waiting: u64,
    /// Answers that wait until the store has confirmed.
    pub held: u64,
    /// Bindings that were new.
    pub registered: u64,
    /// Bindings that were refreshed.
    pub refreshed: u64,
    /// Bindings that were taken away by a REGISTER.
    pub removed: u64,
    /// Bindings whose time was over.
    pub expired: u64,
    /// REGISTER requests answered with 503 as there was no room for the binding.
    pub refused_full: u64,
    /// REGISTER requests answered with 503 as too many answers waited for the store.
    pub refused_held: u64,
    /// Requests that were located.
    pub located: u64,
    /// Requests for users who had no binding: 480.
    pub not_registered: u64,
    /// Requests that had to wait for what other appliances know of their user.
    pub lookups: u64,
    /// Requests that wait for it now.
    pub lookups_waiting: u64,
    /// Requests answered without, as too many waited.
    pub lookups_full: u64,
    /// Requests answered with 503, as nobody could say it in time.
    pub lookups_timed_out: u64,
    /// Keep-alives that were sent to bindings behind NAT.
    pub keepalives: u64,
    /// Of the OPTIONS among them, those that were answered.
    pub keepalives_answered: u64,
    /// Bindings that were taken away because their flow had failed.
    pub flows_failed: u64,
}

/// The transactions of one worker, a fraction of a second old. A transaction is one request on its way
/// through us: the server transaction and all branches beneath it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionStatus {
    /// Transactions that there is room for.
    pub capacity: u64,
    /// Message buffers of 256 bytes that there are.
    pub buffers: u64,
    /// Transactions alive now.
    pub alive: u64,
    /// Of these, server transactions that have sent no response (RFC 3261 17.2.2).
    pub trying: u64,
    /// That have sent a provisional response.
    pub proceeding: u64,
    /// That have sent a final response and wait for its ACK, or for retransmissions.
    pub completed: u64,
    /// INVITE transactions that had their ACK and absorb its retransmissions.
    pub confirmed: u64,
    /// INVITE transactions that have passed a 2xx (RFC 6026).
    pub accepted: u64,
    /// Branches alive now.
    pub branches: u64,
    /// Message buffers in use now.
    pub buffers_used: u64,
    /// Milliseconds by which timers run late now.
    pub timer_lag_ms: u64,
    /// The most they ever ran late, in milliseconds.
    pub timer_lag_max_ms: u64,
    /// Transactions opened.
    pub opened: u64,
    /// Requests answered with 503, because the table was full.
    pub refused_full: u64,
    /// Requests answered with 482, because they had come by another way before.
    pub merged: u64,
    /// Requests absorbed: retransmissions, ACK and CANCEL.
    pub requests_absorbed: u64,
    /// Responses absorbed.
    pub responses_absorbed: u64,
    /// Messages that were sent again.
    pub retransmitted: u64,
    /// Branches that ended without an answer.
    pub timed_out: u64,
    /// Requests sent on to the next destination after one that failed.
    pub failed_over: u64,
    /// Branches that were cancelled.
    pub cancelled: u64,
    /// Messages of our own that were lost because too many waited; timers send them again.
    pub outbox_full: u64,
}

/// Kernel sockets of the data plane's service core: the way of messages larger than the MTU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelStatus {
    /// Listen points whose kernel socket is open.
    pub sockets: u32,
    /// Datagrams that the kernel gave us and a worker got: put together from fragments, or left to
    /// the kernel by the XDP program.
    pub received: u64,
    /// Messages that the kernel sent, in fragments or whole.
    pub sent: u64,
    /// Messages that the kernel refused to send.
    pub send_failed: u64,
    /// ICMP errors: no such port, host or network.
    pub unreachable: u64,
    /// ICMP errors: larger than the path's MTU.
    pub too_big: u64,
    /// ICMP errors that changed nothing: of another kind, without sense, or beyond a bound.
    pub ignored: u64,
    /// Hosts whose path MTU is known to be smaller than the link's.
    pub path_mtus: u32,
}

/// Name of the port in the [`QueueStatus`] of what a worker gets from and gives to the kernel's
/// sockets: it has no frames, but each message counts once in and once out there as well.
pub const KERNEL_PORT: &str = "kernel";

/// The counters of one queue pair, written by the one lcore that polls it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Name of the port.
    pub port: String,
    /// Index of the queue pair on the port.
    pub queue: u16,
    /// The lcore that polls it.
    pub lcore: u16,
    /// Frames received.
    pub received: u64,
    /// Messages that other workers received on this port and handed over, because this one owns their
    /// transaction, or because it had time and they had not.
    pub handed_in: u64,
    /// Requests and responses forwarded, counted at the queue that received them.
    pub forwarded: u64,
    /// Requests answered by us.
    pub replied: u64,
    /// Messages that go no further: those that a transaction took, retransmissions, ACK, CANCEL, 100 Trying,
    /// responses that are not the best; and answers to our keep-alives.
    pub absorbed: u64,
    /// Messages handed over to the worker that owns their transaction, or spilled to one that has time.
    pub handed_off: u64,
    /// Messages of our own that left here: 100 Trying, retransmissions, forks, CANCEL, ACK and final
    /// responses of transactions. Nothing was received for them.
    pub originated: u64,
    /// Messages of our own that were dropped; `dropped` has them by reason.
    pub originated_dropped: u64,
    /// Drops by [`DropReason`], in the order of [`DropReason::ALL`].
    pub dropped: Vec<u64>,
    /// Messages kept aside now: for ARP or neighbour discovery, or on their way through the kernel.
    pub parked: u64,
    /// Frames handed to the driver's transmit ring on this queue.
    pub transmitted: u64,
    /// Bytes received, from the Ethernet header on.
    pub received_bytes: u64,
    /// Bytes transmitted, from the Ethernet header on.
    pub transmitted_bytes: u64,
    /// Bursts that held at least one frame.
    pub bursts: u64,
    /// Nanoseconds spent on bursts that held at least one frame.
    pub busy_ns: u64,
}

impl QueueStatus {
    /// All drops of this queue.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Drops of this queue for one reason.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// Messages that came in and are not yet accounted for: 0 when the law of conservation holds.
    pub fn unaccounted(&self) -> i128 {
        let began = [self.received, self.handed_in, self.originated_dropped];
        let ended = [
            self.forwarded,
            self.replied,
            self.absorbed,
            self.handed_off,
            self.dropped_total(),
            self.parked,
        ];
        let sum = |counts: &[u64]| counts.iter().copied().map(i128::from).sum::<i128>();
        sum(&began) - sum(&ended)
    }
}
