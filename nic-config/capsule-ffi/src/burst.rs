//! Receive and transmit bursts over arrays of the caller: no allocation, one C call each.

use std::ptr::NonNull;

use crate::bindings::{self, rte_mbuf};

/// A receive queue and the transmit queue of the same index on one port, owned by one worker.
///
/// Neither `Clone` nor shared: queues are not safe for two users at a time.
#[derive(Debug)]
pub struct QueuePair {
    port: u16,
    queue: u16,
}

impl QueuePair {
    /// Takes hold of queue `queue` of port `port`. In capsule's terms the queue is the rank of the
    /// core among the port's sorted cores.
    ///
    /// # Safety
    ///
    /// Both queues are set up, the port is started before the first burst and not closed while this
    /// value is in use, and nothing else polls the pair, capsule's own `PortQueue` included.
    #[inline]
    pub const unsafe fn new(port: u16, queue: u16) -> Self {
        Self { port, queue }
    }

    /// The port's id.
    #[inline]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The queue's index.
    #[inline]
    pub const fn queue(&self) -> u16 {
        self.queue
    }

    /// Receives as many mbufs as there are and `mbufs` has room for, into its first places, and
    /// gives their number. They belong to the caller now; what stood in those places is forgotten,
    /// not freed. Places behind them are not touched.
    ///
    /// Some drivers work in steps of 4 to 8 and give nothing for less room: offer 32.
    #[inline]
    pub fn rx_burst(&mut self, mbufs: &mut [Option<NonNull<rte_mbuf>>]) -> usize {
        let count = u16::try_from(mbufs.len()).unwrap_or(u16::MAX);
        // SAFETY: `new` promises the queue to us alone; `Option<NonNull<T>>` is laid out as
        // `*mut T`, and the driver writes at most `count` of them, none null.
        let received = unsafe {
            bindings::_rte_eth_rx_burst(self.port, self.queue, mbufs.as_mut_ptr().cast(), count)
        };
        usize::from(received)
    }

    /// Hands mbufs to the transmit queue, from the front, and gives the number it took: those
    /// belong to the driver now, the others stay with the caller.
    ///
    /// # Safety
    ///
    /// The caller owns each of `mbufs`, none stands there twice, and their fields describe data
    /// inside their buffers.
    #[inline]
    pub unsafe fn tx_burst(&mut self, mbufs: &mut [NonNull<rte_mbuf>]) -> usize {
        let count = u16::try_from(mbufs.len()).unwrap_or(u16::MAX);
        // SAFETY: `new` promises the queue to us alone; `NonNull<T>` is laid out as `*mut T`; the
        // caller vouches for the mbufs.
        let sent = unsafe {
            bindings::_rte_eth_tx_burst(self.port, self.queue, mbufs.as_mut_ptr().cast(), count)
        };
        usize::from(sent)
    }
}
