//! The buffer a frame lies in: one contiguous piece of memory with room before and after the frame.
//!
//! The SIP stages see only this trait, so the whole pipeline runs on plain memory in tests.

use crate::checksum;
use core::ops::Range;

/// A frame inside a larger buffer.
pub trait PacketBuf: Unpin {
    /// The frame, from the Ethernet header on.
    fn frame(&self) -> &[u8];

    /// The whole buffer, headroom and tailroom included, and the place of the frame in it.
    fn buffer(&mut self) -> (&mut [u8], Range<usize>);

    /// Declares `window` of the buffer to be the frame.
    ///
    /// # Panics
    /// When the window does not lie inside the buffer: a mistake of ours, never of the network.
    fn set_window(&mut self, window: Range<usize>);

    /// Whether all of the frame lies in this buffer.
    fn is_contiguous(&self) -> bool {
        true
    }

    /// Leaves the UDP checksum to the NIC. The frame has a link header of `link_len` bytes and an IP header of `ip_len`, and
    /// its checksum field holds the sum of the pseudo header. Only for a port that computes checksums.
    fn leave_checksum(&mut self, link_len: usize, ip_len: usize);

    /// Asks the CPU for the first cache lines of the frame.
    fn prefetch(&self) {}
}

/// A frame in ordinary memory, for tests and for replaying captures.
#[derive(Clone, Debug)]
pub struct MemoryPacket {
    buffer: Vec<u8>,
    window: Range<usize>,
    /// Where the UDP header and its checksum are that were left to a NIC.
    left_at: Option<usize>,
}

impl MemoryPacket {
    /// Room before the frame: DPDK's `RTE_PKTMBUF_HEADROOM`.
    pub const HEADROOM: usize = 128;
    /// Size of the buffer: DPDK's default data room and headroom.
    pub const SIZE: usize = 2_176;

    /// A buffer of [`Self::SIZE`] bytes (or as many as needed) with `frame` after the headroom.
    pub fn new(frame: &[u8]) -> Self {
        let end = Self::HEADROOM + frame.len();
        let mut buffer = vec![0; Self::SIZE.max(end)];
        buffer[Self::HEADROOM..end].copy_from_slice(frame);
        Self { buffer, window: Self::HEADROOM..end, left_at: None }
    }

    /// Does what a NIC does to a frame whose checksum was left to it: sums up from the UDP header on, in whose
    /// checksum field the pseudo header's sum stands already.
    pub fn complete_checksum(&mut self) {
        let Some(udp) = self.left_at.take() else { return };
        let frame = &mut self.buffer[self.window.clone()];
        let check = !checksum::fold(checksum::sum(0, &frame[udp..]));
        let check = if check == 0 { 0xffff } else { check };
        frame[udp + 6..udp + 8].copy_from_slice(&check.to_be_bytes());
    }
}

impl PacketBuf for MemoryPacket {
    fn frame(&self) -> &[u8] {
        &self.buffer[self.window.clone()]
    }

    fn buffer(&mut self) -> (&mut [u8], Range<usize>) {
        (&mut self.buffer, self.window.clone())
    }

    fn set_window(&mut self, window: Range<usize>) {
        assert!(window.start <= window.end && window.end <= self.buffer.len());
        self.window = window;
    }

    fn leave_checksum(&mut self, link_len: usize, ip_len: usize) {
        self.left_at = Some(link_len + ip_len);
    }
}
