//! Every bound of this crate, each with its reason.

/// Ports of one data plane: two sides, doubled for redundancy, doubled again for a second network.
/// DPDK itself takes 32.
pub const PORTS_MAX: usize = 8;

/// Largest lcore that EAL accepts, one less than Debian's `RTE_MAX_LCORE` of 128.
pub const LCORE_MAX: u16 = 127;

/// Fewest descriptors of a queue: two bursts of 32.
pub const DESCRIPTORS_MIN: u16 = 64;

/// Most descriptors of a queue; what the widespread drivers (ixgbe, i40e, ice) take at most.
pub const DESCRIPTORS_MAX: u16 = 4096;

/// Smallest MTU: what IPv6 asks of every link (RFC 8200 section 5).
pub const MTU_MIN: u16 = 1280;

/// Largest MTU of a port that is not AF_XDP: jumbo frames.
pub const MTU_MAX: u16 = 9000;

/// Largest MTU of an AF_XDP port: a frame with one VLAN tag, its headrooms and the mempool's own
/// bytes share one page (see [`crate::mempool`]). DPDK's driver names 3,542, but frames above this
/// one are lost in the kernel, seen only as missed packets of the port.
pub const AF_XDP_MTU_MAX: u16 = 3438;

/// Longest name of a port; names stand in metrics and in columns of tables.
pub const PORT_NAME_MAX: usize = 32;

/// Longest name of a kernel interface (`IFNAMSIZ` without its zero byte).
pub const INTERFACE_NAME_MAX: usize = 15;

/// Most mbufs of one pool: 2 GiB at 2 KiB each, above which a mistyped setting is likelier.
pub const MBUFS_MAX: u32 = (1 << 20) - 1;

/// Most transactions of one worker: 16 GiB and more, above which a mistyped setting is likelier. The
/// number of a transaction has 26 bits in our branch.
pub const TRANSACTIONS_MAX: u32 = (1 << 24) - 1;

/// Most message buffers of one worker: twice the default of the most transactions.
pub const MESSAGE_BUFFERS_MAX: u32 = 1 << 27;

/// Most addresses-of-record of one worker: 4 GiB and more, above which a mistyped setting is likelier.
pub const AORS_MAX: u32 = (1 << 24) - 1;

/// Most bindings of one worker: twice the most addresses-of-record.
pub const BINDINGS_MAX: u32 = (1 << 25) - 1;

/// Most blocks for the texts of one worker's bindings: four for each of the most bindings.
pub const LOCATION_TEXT_BLOCKS_MAX: u32 = 1 << 27;

/// Most listen points (address and port) in the XDP program's map; also in `xdp/sip_redirect.bpf.c`.
pub const LISTEN_POINTS_MAX: usize = 256;
