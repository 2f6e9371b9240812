//! The queues of a worker whose frames come from callers and callees in the same process, in real mbufs.

use dataplane::limits::BURST_MAX;
use dataplane::mbuf::{DpdkQueues, Frame};
use dataplane::packet_io::{Burst, PacketIo, TxFrames};
use std::collections::VecDeque;

/// One port; what a driver would do costs nothing here, and the rest is taken off.
pub(super) struct Wire {
    /// Whose mempool new packets come from.
    queues: DpdkQueues,
    /// Frames that have arrived, the oldest first.
    pub(super) arrived: VecDeque<Frame>,
    /// Frames for the neighbour, which arrived here; they come first.
    pub(super) strangers: VecDeque<Frame>,
    /// Frames that were sent since the last look.
    pub(super) sent: Vec<Frame>,
    /// Of a burst, so many that are not strangers, 0 to [`BURST_MAX`].
    pub(super) burst: usize,
    clock: quanta::Clock,
    /// Ticks of the clock spent in here.
    pub(super) ticks: u64,
    /// When the queue was first looked at, since this was last none.
    pub(super) first: Option<u64>,
    /// When a frame was last received or sent.
    pub(super) last: u64,
}

impl Wire {
    /// A wire with room for so many frames on it.
    pub(super) fn new(queues: DpdkQueues, frames: usize, clock: quanta::Clock) -> Self {
        Self {
            queues,
            arrived: VecDeque::with_capacity(frames),
            strangers: VecDeque::with_capacity(frames),
            sent: Vec::with_capacity(frames),
            burst: BURST_MAX,
            clock,
            ticks: 0,
            first: None,
            last: 0,
        }
    }

    /// Gives the queues back.
    pub(super) fn into_queues(self) -> DpdkQueues {
        self.queues
    }
}

impl PacketIo for Wire {
    type Packet = Frame;

    fn rx_burst(&mut self, _port: usize, burst: &mut Burst<Frame>) {
        let began = self.clock.raw();
        self.first.get_or_insert(began);
        let count = self.strangers.len().min(BURST_MAX);
        burst.extend(self.strangers.drain(..count));
        let count = self.arrived.len().min(self.burst).min(BURST_MAX - count);
        burst.extend(self.arrived.drain(..count));
        self.last = self.clock.raw();
        self.ticks += self.last - began;
    }

    fn tx_burst(&mut self, _port: usize, frames: &mut TxFrames<Frame>) -> usize {
        let began = self.clock.raw();
        let count = frames.len();
        self.sent.extend(frames.drain(..));
        self.last = self.clock.raw();
        self.ticks += self.last - began;
        count
    }

    fn new_packet(&mut self) -> Option<Frame> {
        self.queues.allocate()
    }
}
