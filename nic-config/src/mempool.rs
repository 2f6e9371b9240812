//! How many mbufs, how large, and how much memory they take: the one formula.
//!
//! An mbuf is somewhere between the NIC and a worker at any time, and the pool must hold all that
//! can be out at once, or receiving stops. What can hold mbufs:
//!
//! - the receive and transmit descriptors of every queue;
//! - for AF_XDP, per queue, the fill ring and the completion ring, of fixed size in DPDK's driver;
//! - one burst received and one burst ready to send per port and worker;
//! - packets parked by a worker (an unresolved neighbour, a reassembly), handed over to it, or spilled by it;
//! - the cache of every lcore, which overflows only at one and a half times its size.

use crate::settings::{Device, PortSettings};

/// Most mbufs in a per-lcore cache (DPDK's `RTE_MEMPOOL_CACHE_MAX_SIZE`).
pub const CACHE_MAX: u32 = 512;

/// Packets a worker may keep aside at one time.
pub const PARKED_PER_WORKER: u32 = 1280;

/// Packets that wait for a worker on the rings from its siblings, at least [`BURST`] on each.
pub const HANDOFFS_PER_WORKER: u32 = 512;

/// Siblings that a worker can spill stateless work to.
pub const SPILL_SIBLINGS_MAX: u32 = 7;

/// Packets on their way to one of them.
pub const SPILLED_PER_SIBLING: u32 = 256;

/// Packets of one receive or transmit call.
pub const BURST: u32 = 32;

/// Entries of an AF_XDP fill ring and of a completion ring in DPDK 22.11's driver.
const AF_XDP_FILL: u32 = 4096;
const AF_XDP_COMPLETION: u32 = 2048;

/// `RTE_PKTMBUF_HEADROOM` of Debian's build.
const HEADROOM: u32 = 128;
/// `XDP_PACKET_HEADROOM`: what the kernel keeps free before a frame in a UMEM chunk.
const XDP_HEADROOM: u32 = 256;
/// Ethernet header and one VLAN tag; AF_XDP delivers no CRC.
const AF_XDP_L2: u32 = 14 + 4;
/// Ethernet header, two VLAN tags, CRC.
const NIC_L2: u32 = 14 + 8 + 4;
/// `struct rte_mbuf` and the mempool's object header, each in whole cache lines.
const MBUF_STRUCT: u32 = 128;
const OBJECT_HEADER: u32 = 64;
const CACHE_LINE: u32 = 64;
/// A memory page; an AF_XDP chunk lies within one.
const PAGE: u32 = 4096;
/// `RTE_MBUF_DEFAULT_BUF_SIZE` without its headroom: many NICs want receive buffers of 2 KiB.
const BUFFER_MIN: u32 = 2048;

/// What EAL needs beside the pools (rings, port data, heap headers), MiB.
const EAL_OVERHEAD_MIB: u32 = 64;

/// The pool of each NUMA socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// Number of mbufs; 2^n - 1 is what a mempool's ring stores without waste.
    pub mbufs: u32,
    /// Mbufs in the cache of each lcore.
    pub cache_size: u32,
    /// Bytes of buffer in an mbuf, headroom included (`data_room_size` of `rte_pktmbuf_pool_create`).
    pub data_room: u16,
}

impl PoolSize {
    /// The size by formula for these ports on so many workers, or with `mbufs` from the settings.
    /// `mtus` holds the MTU of each port in bytes, in the ports' order.
    pub fn of(ports: &[PortSettings], mtus: &[u16], workers: u32, mbufs: Option<u32>) -> Self {
        let mbufs = mbufs.unwrap_or_else(|| round_up(mbufs_needed(ports, workers)));
        let rooms = ports.iter().zip(mtus).map(|(port, mtu)| data_room(&port.device, *mtu));
        Self { mbufs, cache_size: cache_size(mbufs), data_room: rooms.max().unwrap_or(0) }
    }

    /// Memory of `pools` pools and of EAL itself, MiB.
    pub fn mebibytes(&self, pools: u32, hugepages: bool) -> u32 {
        let object = u64::from(object_size(self.data_room));
        // DPDK lets no object straddle a page, unless pages are so large that it hardly matters.
        let each = if hugepages { object } else { object.next_multiple_of(u64::from(PAGE)) };
        let bytes = each * u64::from(self.mbufs) * u64::from(pools);
        let mebibytes = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
        mebibytes.saturating_add(EAL_OVERHEAD_MIB)
    }
}

/// The mbufs that can be out of the pool at one time.
pub fn mbufs_needed(ports: &[PortSettings], workers: u32) -> u32 {
    let queues: u32 = ports.iter().map(|port| u32::from(port.queues) * per_queue(port)).sum();
    let bursts = workers * 2 * BURST * u32::try_from(ports.len()).unwrap_or(u32::MAX);
    // The service lcore has a cache too.
    let caches = (workers + 1) * (CACHE_MAX + CACHE_MAX / 2);
    let handed = handed_over(workers) + spilled(workers);
    queues + bursts + workers * (PARKED_PER_WORKER + handed) + caches
}

/// Packets that can be on the rings from its siblings to one of this many workers.
fn handed_over(workers: u32) -> u32 {
    let siblings = workers.saturating_sub(1);
    if siblings == 0 { 0 } else { HANDOFFS_PER_WORKER.max(siblings * BURST) }
}

/// Packets that one of this many workers can have spilled to its siblings.
fn spilled(workers: u32) -> u32 {
    SPILLED_PER_SIBLING * SPILL_SIBLINGS_MAX.min(workers.saturating_sub(1))
}

fn per_queue(port: &PortSettings) -> u32 {
    let descriptors = u32::from(port.rx_descriptors) + u32::from(port.tx_descriptors);
    match port.device {
        Device::Interface(_) => descriptors + AF_XDP_FILL + AF_XDP_COMPLETION,
        Device::Pci(_) | Device::Vdev(_) => descriptors,
    }
}

/// The next 2^n - 1.
fn round_up(mbufs: u32) -> u32 {
    (mbufs + 1).next_power_of_two() - 1
}

/// DPDK refuses a cache above [`CACHE_MAX`] or above `mbufs` / 1.5.
pub fn cache_size(mbufs: u32) -> u32 {
    CACHE_MAX.min(mbufs * 2 / 3)
}

/// Bytes of buffer so that a frame of this MTU is one mbuf.
pub fn data_room(device: &Device, mtu: u16) -> u16 {
    let mtu = u32::from(mtu);
    let room = match device {
        Device::Interface(_) => (HEADROOM + XDP_HEADROOM + mtu + AF_XDP_L2)
            .next_multiple_of(CACHE_LINE)
            .max(HEADROOM + BUFFER_MIN),
        // NICs count receive buffers in KiB and round down.
        Device::Pci(_) | Device::Vdev(_) => {
            HEADROOM + (mtu + NIC_L2).next_multiple_of(1024).max(BUFFER_MIN)
        }
    };
    u16::try_from(room).unwrap_or(u16::MAX)
}

/// Whether an AF_XDP port can work on a pool with this data room: a UMEM chunk is the whole object
/// and the kernel takes none above a page.
pub fn fits_af_xdp(data_room: u16) -> bool {
    object_size(data_room) <= PAGE
}

/// Bytes of one object. DPDK makes the number of its cache lines odd, so that the buffers' starts
/// spread over the memory channels (`rte_mempool_calc_obj_size`, four channels assumed).
fn object_size(data_room: u16) -> u32 {
    let lines = (OBJECT_HEADER + MBUF_STRUCT + u32::from(data_room)).div_ceil(CACHE_LINE);
    (lines | 1) * CACHE_LINE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    fn port(device: Device, queues: u16, descriptors: u16) -> PortSettings {
        PortSettings {
            name: "p".into(),
            device,
            queues,
            verify_checksums: true,
            checksum_offload: true,
            rx_descriptors: descriptors,
            tx_descriptors: descriptors,
            rss_key: None,
            rss_reta: None,
            rss_rebalance: None,
            kernel_interface: None,
            mtu: None,
        }
    }

    fn eth() -> Device {
        Device::Interface("eth1".into())
    }

    #[test]
    fn two_af_xdp_ports_with_one_queue() {
        let ports = [port(eth(), 1, 2048), port(eth(), 1, 2048)];
        // 2 x (2048 + 2048 + 4096 + 2048) + 2 x 64 + 1280 + 2 x 768
        assert_eq!(mbufs_needed(&ports, 1), 20480 + 128 + 1280 + 1536);
        let pool = PoolSize::of(&ports, &[1500, 1500], 1, None);
        assert_eq!(pool, PoolSize { mbufs: 32767, cache_size: 512, data_room: 2176 });
        assert_eq!(pool.mebibytes(1, false), 128 + 64);
        assert_eq!(pool.mebibytes(1, true), 74 + 64);
    }

    #[test]
    fn capacity_is_one_less_than_a_power_of_two() {
        for (needed, rounded) in [(0, 0), (1, 1), (1023, 1023), (1024, 2047), (1025, 2047)] {
            assert_eq!(round_up(needed), rounded, "{needed}");
        }
    }

    #[test]
    fn cache_stays_within_what_dpdk_takes() {
        for mbufs in [1, 2, 3, 255, 767, 768, 1_048_575] {
            let cache = cache_size(mbufs);
            assert!(cache <= CACHE_MAX && cache * 3 / 2 <= mbufs, "{mbufs}: {cache}");
        }
        assert_eq!(cache_size(1023), 512);
    }

    #[test]
    fn data_room_of_af_xdp_ends_within_the_page() {
        assert_eq!(data_room(&eth(), 1500), 2176);
        let largest = data_room(&eth(), limits::AF_XDP_MTU_MAX);
        assert!(fits_af_xdp(largest));
        assert!(!fits_af_xdp(data_room(&eth(), limits::AF_XDP_MTU_MAX + 1)));
        // What is left in the chunk of the kernel's and our headroom holds frame and VLAN tag.
        let chunk = object_size(largest) - OBJECT_HEADER - MBUF_STRUCT - HEADROOM - XDP_HEADROOM;
        assert_eq!(chunk, u32::from(limits::AF_XDP_MTU_MAX) + AF_XDP_L2);
    }

    #[test]
    fn data_room_of_a_nic_is_whole_kibibytes() {
        let pci = Device::Pci("0000:3b:00.0".into());
        assert_eq!(data_room(&pci, 1500), 2176);
        assert_eq!(data_room(&pci, 2022), 2176);
        assert_eq!(data_room(&pci, 2023), 3200);
        assert_eq!(data_room(&pci, 9000), 128 + 9216);
    }
}
