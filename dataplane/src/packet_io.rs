//! Where frames come from and go to: the one thing a worker does not own the code of.

use crate::limits::{BURST_MAX, TX_BURST_MAX};
use crate::packet::{MemoryPacket, PacketBuf};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Frames of one receive burst.
pub type Burst<P> = SmallVec<[P; BURST_MAX]>;
/// Frames that wait for one port's transmit queue.
pub type TxFrames<P> = SmallVec<[P; TX_BURST_MAX]>;

/// The queue pairs of one lcore, one on each port, numbered like the ports of the plan.
pub trait PacketIo {
    /// The buffers that frames come in.
    type Packet: PacketBuf;

    /// Appends up to [`BURST_MAX`] frames from this lcore's receive queue of `port`.
    fn rx_burst(&mut self, port: usize, burst: &mut Burst<Self::Packet>);

    /// Hands frames to this lcore's transmit queue of `port`, from the front; what it took is
    /// removed. Gives the number taken.
    fn tx_burst(&mut self, port: usize, frames: &mut TxFrames<Self::Packet>) -> usize;

    /// Whether the NIC of `port` computes the UDP checksums that are left to it.
    fn computes_checksums(&self, port: usize) -> bool {
        let _ = port;
        false
    }

    /// A packet with nothing in it, for a message that begins here; none when the pool is empty.
    fn new_packet(&mut self) -> Option<Self::Packet>;
}

/// Queues in ordinary memory, for tests: what is pushed to `rx` is received, what is transmitted
/// lands in `tx`.
#[derive(Debug, Default)]
pub struct MemoryQueues {
    /// Frames still to be received, per port.
    pub rx: Vec<VecDeque<MemoryPacket>>,
    /// Frames transmitted, per port.
    pub tx: Vec<Vec<MemoryPacket>>,
    /// Frames that each transmit queue still takes; unbounded where there is no entry.
    pub tx_room: Vec<usize>,
    /// New packets that the pool still has.
    pub pool: usize,
    /// Checksums are left to the ports.
    pub computes_checksums: bool,
}

impl MemoryQueues {
    /// Empty queues for `ports` ports.
    pub fn new(ports: usize) -> Self {
        Self {
            rx: vec![VecDeque::new(); ports],
            tx: vec![Vec::new(); ports],
            tx_room: vec![usize::MAX; ports],
            pool: usize::MAX,
            computes_checksums: false,
        }
    }
}

impl PacketIo for MemoryQueues {
    type Packet = MemoryPacket;

    fn rx_burst(&mut self, port: usize, burst: &mut Burst<MemoryPacket>) {
        let count = self.rx[port].len().min(BURST_MAX);
        burst.extend(self.rx[port].drain(..count));
    }

    fn tx_burst(&mut self, port: usize, frames: &mut TxFrames<MemoryPacket>) -> usize {
        let count = frames.len().min(self.tx_room[port]);
        self.tx_room[port] -= count;
        self.tx[port].extend(frames.drain(..count));
        count
    }

    fn computes_checksums(&self, _port: usize) -> bool {
        self.computes_checksums
    }

    fn new_packet(&mut self) -> Option<MemoryPacket> {
        self.pool = self.pool.checked_sub(1)?;
        Some(MemoryPacket::new(&[]))
    }
}
