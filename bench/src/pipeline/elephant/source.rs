//! What stands for the NIC: frames made beforehand, which go round and round.
//!
//! A NIC writes a frame into a buffer without work of a core. So here no core that receives does any: the one that
//! transmits a frame makes it again what it was, and gives it back. That costs about what the transmit side of the pcap
//! driver costs, and there are so many buffers that they have left the caches of the core before they come again.

use super::order::Order;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};
use crossbeam::queue::ArrayQueue;
use dataplane::limits::{BURST_MAX, TX_BURST_MAX};
use dataplane::mbuf::{DpdkQueues, Frame};
use dataplane::packet::PacketBuf;
use dataplane::packet_io::{Burst, PacketIo, TxFrames};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

/// How often each frame of the flow is there: with 256 calls 3,584, many more than can be under way.
const COPIES: usize = 2;
/// Where in the buffer a frame's number in the flow stands, from its end: the pipeline does not come there.
const TAG: usize = 8;

/// Frames on their way back from a transmit queue.
type Returned = SmallVec<[Frame; TX_BURST_MAX]>;

/// The flow, and the ways back from each lcore.
#[derive(Debug)]
pub(super) struct Flow {
    frames: Vec<Vec<u8>>,
    /// Frames made so far.
    made: AtomicUsize,
    returned: Vec<ArrayQueue<Returned>>,
}

impl Flow {
    /// This flow, on its way through so many lcores.
    pub(super) fn new(frames: Vec<Vec<u8>>, lcores: usize) -> Self {
        let buffers = COPIES * frames.len();
        let returned = (0..lcores).map(|_| ArrayQueue::new(buffers)).collect();
        Self { frames, made: AtomicUsize::new(0), returned }
    }

    /// Brings all frames home, and makes those anew that were dropped.
    fn fill(&self, waiting: &mut VecDeque<Frame>, queues: &mut DpdkQueues) {
        for returned in &self.returned {
            while let Some(frames) = returned.pop() {
                waiting.extend(frames);
            }
        }
        let missing = (COPIES * self.frames.len()).saturating_sub(waiting.len());
        waiting.extend((0..missing).map(|_| self.make(queues)));
    }

    /// The next frame of the flow in a new packet.
    fn make(&self, queues: &mut DpdkQueues) -> Frame {
        let number = self.made.fetch_add(1, Ordering::Relaxed) % self.frames.len();
        let mut frame = queues.new_packet().expect("the mempool has thousands");
        let (buffer, window) = frame.buffer();
        let tag = buffer.len() - TAG;
        buffer[tag..].copy_from_slice(&number.to_le_bytes());
        restore(&mut frame, window.start, &self.frames[number]);
        frame
    }

    fn original(&self, frame: &mut Frame) -> &[u8] {
        let (buffer, _) = frame.buffer();
        let number = buffer.last_chunk().map_or(0, |tag| usize::from_le_bytes(*tag));
        &self.frames[number]
    }
}

fn restore(frame: &mut Frame, start: usize, original: &[u8]) {
    let window: Range<usize> = start..start + original.len();
    frame.buffer().0[window.clone()].copy_from_slice(original);
    frame.set_window(window);
}

/// The queues of one lcore.
pub(super) struct Ends {
    queues: DpdkQueues,
    flow: Arc<Flow>,
    lcore: u8,
    /// Where a frame begins in its buffer.
    start: usize,
    /// Frames that wait in the receive queue; none where RSS brings nothing.
    waiting: Option<VecDeque<Frame>>,
    /// Where the order is looked at.
    pub(super) order: Option<Arc<Order>>,
}

impl Ends {
    /// The queues of `lcore`, to which RSS brings the flow or nothing.
    pub(super) fn new(mut queues: DpdkQueues, flow: &Arc<Flow>, lcore: u8, has_flow: bool) -> Self {
        let start = queues.new_packet().map_or(0, |mut packet| packet.buffer().1.start);
        let waiting = has_flow.then(VecDeque::new);
        Self { queues, flow: Arc::clone(flow), lcore, start, waiting, order: None }
    }

    /// Before a run: all frames wait again.
    pub(super) fn fill(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.reserve(COPIES * self.flow.frames.len());
            self.flow.fill(waiting, &mut self.queues);
        }
    }
}

impl PacketIo for Ends {
    type Packet = Frame;

    fn rx_burst(&mut self, _port: usize, burst: &mut Burst<Frame>) {
        let Some(waiting) = &mut self.waiting else { return };
        let mut returned = self.flow.returned.iter();
        while waiting.len() < BURST_MAX
            && let Some(ring) = returned.next()
        {
            while waiting.len() < BURST_MAX
                && let Some(frames) = ring.pop()
            {
                waiting.extend(frames);
            }
        }
        // So few are left only when others were dropped.
        for _ in waiting.len()..BURST_MAX {
            waiting.push_back(self.flow.make(&mut self.queues));
        }
        burst.extend(waiting.drain(..BURST_MAX));
        if let Some(order) = &self.order {
            for frame in burst {
                let (buffer, window) = frame.buffer();
                order.number(&mut buffer[window]).expect("each message of the flow has a number");
            }
        }
    }

    fn tx_burst(&mut self, _port: usize, frames: &mut TxFrames<Frame>) -> usize {
        let mut leaving = vec![];
        if let Some(order) = &self.order {
            leaving.extend(frames.iter().filter_map(|f| order.begin(f.frame(), self.lcore)));
        }
        let taken = frames.len();
        let mut returned = Returned::new();
        for mut frame in frames.drain(..) {
            let original = self.flow.original(&mut frame);
            restore(&mut frame, self.start, original);
            returned.push(frame);
        }
        for (call, number) in leaving {
            call.has_left(number);
        }
        let kept = self.flow.returned[usize::from(self.lcore)].push(returned);
        assert!(kept.is_ok(), "there is room for all frames");
        taken
    }

    fn new_packet(&mut self) -> Option<Frame> {
        self.queues.new_packet()
    }
}

impl Drop for Ends {
    /// On the lcore, while there still is a mempool.
    fn drop(&mut self) {
        for returned in &self.flow.returned {
            while returned.pop().is_some() {}
        }
    }
}
