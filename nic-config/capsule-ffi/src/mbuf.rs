//! The raw mbuf: where its fields lie, its end, and a hint to the cache.

use std::mem::offset_of;
use std::ptr::NonNull;

use crate::bindings::{self, rte_mbuf};

/// The numbers of `src/shim.c`, asserted on the struct that bindgen wrote.
const _: () = {
    assert!(offset_of!(rte_mbuf, buf_addr) == 0);
    assert!(offset_of!(rte_mbuf, data_off) == 16);
    assert!(offset_of!(rte_mbuf, refcnt) == 18);
    assert!(offset_of!(rte_mbuf, nb_segs) == 20);
    assert!(offset_of!(rte_mbuf, port) == 22);
    assert!(offset_of!(rte_mbuf, ol_flags) == 24);
    assert!(offset_of!(rte_mbuf, __bindgen_anon_1.packet_type) == 32);
    assert!(offset_of!(rte_mbuf, pkt_len) == 36);
    assert!(offset_of!(rte_mbuf, data_len) == 40);
    assert!(offset_of!(rte_mbuf, __bindgen_anon_2.hash.rss) == 44);
    assert!(offset_of!(rte_mbuf, buf_len) == 54);
    assert!(offset_of!(rte_mbuf, pool) == 56);
    assert!(offset_of!(rte_mbuf, next) == 64);
    assert!(offset_of!(rte_mbuf, __bindgen_anon_3.tx_offload) == 72);
    assert!(size_of::<rte_mbuf>() == 128);
};

/// The RSS hash that the NIC left in an mbuf; meaningful only where `ol_flags` says so.
#[inline]
pub fn rss_hash(mbuf: &rte_mbuf) -> u32 {
    // SAFETY: every member of the union is plain bits, and a driver or the pool wrote them.
    unsafe { mbuf.__bindgen_anon_2.hash.rss }
}

/// `l2_len` has the lowest bits of `tx_offload`, and so many; `l3_len` follows.
const L2_LEN_BITS: u32 = 7;

/// Leaves the UDP checksum of a frame to the NIC. The frame has an Ethernet header of `link_len` bytes, tags included, below
/// 128; then an IP header of `ip_len`, 20 for IPv4 or 40 for IPv6; then the UDP header, whose checksum field
/// holds the sum of the pseudo header (`rte_ethdev.h`, `RTE_ETH_TX_OFFLOAD_UDP_CKSUM`; `rte_mbuf_core.h`, `tx_offload`).
///
/// Only for queues of a port that was granted [`PortGrant::has_udp_checksum`](crate::PortGrant::has_udp_checksum).
#[inline]
pub fn leave_udp_checksum(mbuf: &mut rte_mbuf, link_len: u8, ip_len: u16) {
    const IPV4_LEN: u16 = 20;
    let family = if ip_len == IPV4_LEN { bindings::MBUF_TX_IPV4 } else { bindings::MBUF_TX_IPV6 };
    mbuf.ol_flags |= bindings::MBUF_TX_UDP_CKSUM | family;
    mbuf.__bindgen_anon_3.tx_offload = u64::from(link_len) | u64::from(ip_len) << L2_LEN_BITS;
}

/// Gives an mbuf, with all its segments, back to its pool.
///
/// # Safety
///
/// The caller owns `mbuf` (received or allocated, neither sent nor freed) and gives it up here.
#[inline]
pub unsafe fn free(mbuf: NonNull<rte_mbuf>) {
    // SAFETY: promised by the caller.
    unsafe { bindings::_rte_pktmbuf_free(mbuf.as_ptr()) }
}

/// Gives many mbufs back, each with all its segments to its own pool; cheaper than one by one.
///
/// # Safety
///
/// As [`free`], for each of them, and none stands there twice.
#[inline]
pub unsafe fn free_bulk(mbufs: &mut [NonNull<rte_mbuf>]) {
    for part in mbufs.chunks_mut(u16::MAX.into()) {
        #[allow(clippy::cast_possible_truncation)] // a chunk is no longer than u16::MAX
        let count = part.len() as u32;
        // SAFETY: `NonNull<T>` is laid out as `*mut T`; the rest is promised by the caller.
        unsafe { bindings::rte_pktmbuf_free_bulk(part.as_mut_ptr().cast(), count) }
    }
}

/// Asks the CPU to bring the cache line at `address` near. Any address is allowed.
#[inline]
pub fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
