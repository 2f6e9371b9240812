//! Frames in DPDK's mbufs, and the queue pairs they come from. The one file of this crate with `unsafe`.

use crate::limits::{BURST_MAX, TX_BURST_MAX};
use crate::packet::PacketBuf;
use crate::packet_io::{Burst, PacketIo, TxFrames};
use capsule_ffi::{Pool, QueuePair, rte_mbuf};
use core::ops::Range;
use core::ptr::NonNull;
use core::slice;
use nic_config::plan::{NicPlan, PortPlan, Rss};

/// Cache lines of a frame that are asked for beforehand: so far To mostly lies within, by which new work is told.
const HEAD_LINES: usize = 6;

/// An mbuf that we own, with the frame in its first segment.
#[derive(Debug)]
pub struct Frame(NonNull<rte_mbuf>);

// SAFETY: a `Frame` is the only owner of its mbuf, and nothing about an mbuf is bound to a thread: DPDK
// frees it into the cache of whichever lcore does so. (rte_mbuf.h, rte_mempool.h)
unsafe impl Send for Frame {}

impl Frame {
    fn raw(&self) -> &rte_mbuf {
        // SAFETY: a `Frame` is made only from mbufs that the driver gave away, and owns its mbuf
        // until it is dropped or sent.
        unsafe { self.0.as_ref() }
    }

    /// Gives the mbuf up without freeing it.
    fn into_raw(self) -> NonNull<rte_mbuf> {
        let raw = self.0;
        core::mem::forget(self);
        raw
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: we own the mbuf, and nobody can use it after this.
        unsafe { capsule_ffi::free(self.0) }
    }
}

impl PacketBuf for Frame {
    fn frame(&self) -> &[u8] {
        let raw = self.raw();
        // SAFETY: the driver and `set_window` keep data_off + data_len within the buffer that
        // buf_addr points to, and we own it.
        unsafe {
            let start = raw.buf_addr.cast::<u8>().add(raw.data_off.into());
            slice::from_raw_parts(start, raw.data_len.into())
        }
    }

    fn buffer(&mut self) -> (&mut [u8], Range<usize>) {
        let raw = self.raw();
        let start = usize::from(raw.data_off);
        let window = start..start + usize::from(raw.data_len);
        // SAFETY: buf_addr points to buf_len bytes that belong to this mbuf alone: we take no
        // clones, and drivers hand out mbufs with one reference.
        let buffer =
            unsafe { slice::from_raw_parts_mut(raw.buf_addr.cast::<u8>(), raw.buf_len.into()) };
        (buffer, window)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a buffer's length is a u16")]
    fn set_window(&mut self, window: Range<usize>) {
        // SAFETY: as in `raw`, and `&mut self` makes us the only user.
        let raw = unsafe { self.0.as_mut() };
        assert!(window.start <= window.end && window.end <= usize::from(raw.buf_len));
        raw.data_off = window.start as u16;
        raw.data_len = window.len() as u16;
        raw.pkt_len = window.len() as u32;
    }

    fn is_contiguous(&self) -> bool {
        self.raw().nb_segs == 1
    }

    #[expect(clippy::cast_possible_truncation, reason = "lengths of headers")]
    fn leave_checksum(&mut self, link_len: usize, ip_len: usize) {
        // SAFETY: as in `raw`, and `&mut self` makes us the only user.
        let raw = unsafe { self.0.as_mut() };
        capsule_ffi::leave_udp_checksum(raw, link_len as u8, ip_len as u16);
    }

    fn prefetch(&self) {
        let frame = self.frame();
        for line in 0..HEAD_LINES {
            capsule_ffi::prefetch(frame.as_ptr().wrapping_add(64 * line));
        }
    }
}

/// The queue pairs of one lcore, in the order of the plan's ports.
#[derive(Debug)]
pub struct DpdkQueues {
    pairs: Vec<QueuePair>,
    pool: Option<Pool>,
}

impl DpdkQueues {
    /// Takes queue `queue` of every port of the plan.
    ///
    /// # Errors
    /// The name of a port that EAL does not know.
    pub fn open(plan: &NicPlan, queue: u16) -> anyhow::Result<Self> {
        let pair = |port: &PortPlan| {
            let id = capsule_ffi::port_by_name(&port.eal_device)
                .ok_or_else(|| anyhow::anyhow!("port {:?}: EAL has no such device", port.name))?;
            // SAFETY: capsule has set up one queue pair per worker on each port and starts the
            // ports before the workers; each worker opens its own queue once, and nothing polls
            // capsule's `PortQueue`s. Workers end before the ports are closed.
            Ok(unsafe { QueuePair::new(id, queue) })
        };
        let pairs = plan.ports.iter().map(pair).collect::<anyhow::Result<_>>()?;
        // SAFETY: capsule keeps its pools until after the workers have ended.
        Ok(Self { pairs, pool: unsafe { Pool::local() } })
    }

    /// A frame with nothing in it, for what begins here instead of arriving; none when the pool is
    /// empty.
    pub fn allocate(&self) -> Option<Frame> {
        self.pool?.alloc().map(Frame)
    }
}

impl PacketIo for DpdkQueues {
    type Packet = Frame;

    fn rx_burst(&mut self, port: usize, burst: &mut Burst<Frame>) {
        let mut mbufs = [None; BURST_MAX];
        let received = self.pairs[port].rx_burst(&mut mbufs);
        burst.extend(mbufs[..received].iter().flatten().map(|mbuf| Frame(*mbuf)));
    }

    fn tx_burst(&mut self, port: usize, frames: &mut TxFrames<Frame>) -> usize {
        let mut mbufs = [NonNull::dangling(); TX_BURST_MAX];
        let count = frames.len().min(TX_BURST_MAX);
        for (mbuf, frame) in mbufs.iter_mut().zip(&*frames) {
            *mbuf = frame.0;
        }
        // SAFETY: we own each frame, none stands in `frames` twice, and their fields describe data
        // inside their buffers. What the driver took is forgotten below, not freed.
        let sent = unsafe { self.pairs[port].tx_burst(&mut mbufs[..count]) };
        for frame in frames.drain(..sent) {
            let _ = frame.into_raw();
        }
        sent
    }

    fn computes_checksums(&self, port: usize) -> bool {
        let grant = self.pairs.get(port).and_then(|pair| capsule_ffi::port_grant(pair.port()));
        grant.is_some_and(|grant| grant.has_udp_checksum())
    }

    fn new_packet(&mut self) -> Option<Frame> {
        self.allocate()
    }
}

/// Tells our DPDK bindings how the ports and the pool of this plan are to be set up.
pub fn set_profiles(plan: &NicPlan) {
    capsule_ffi::set_data_room(plan.memory.pool.data_room);
    for port in &plan.ports {
        capsule_ffi::set_port_profile(capsule_ffi::PortProfile {
            device: port.eal_device.clone(),
            rss: Some(port.rss == Rss::Port),
            rss_key: None,
            mtu: Some(port.mtu),
            rx_checksum_offload: false,
            tx_checksum_offload: port.checksum_offload,
        });
    }
}
