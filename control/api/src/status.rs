//! What the data plane says about itself: per port, queue and lcore, every packet counted once in
//! and once out.

use crate::reasons::DropReason;
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// A snapshot of the data plane's counters. All counts run since the data plane started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Process id of the data plane.
    pub pid: u32,
    /// The configuration epoch that every worker has acknowledged; 0 before the first.
    pub epoch: u64,
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
    /// Requests and responses forwarded, counted at the queue that received them.
    pub forwarded: u64,
    /// Requests answered by us.
    pub replied: u64,
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

    /// Frames received and not yet accounted for: 0 when the law of conservation holds.
    pub fn unaccounted(&self) -> i128 {
        i128::from(self.received)
            - i128::from(self.forwarded)
            - i128::from(self.replied)
            - i128::from(self.dropped_total())
            - i128::from(self.parked)
    }
}
