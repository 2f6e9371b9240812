//! The profiles, in the order in which they are listed: PCI devices first.

use super::{Ability, Profile, RssProfile};

const INTEL: u16 = 0x8086;
const ALL_FIELDS: &str = "ipv4,ipv6,ipv4-udp,ipv6-udp";
const SYMMETRIC_KEY: &str =
    "any Toeplitz hash is with a key of 16 bits repeated (trunkline rss plan --symmetric)";
const SYMMETRIC_FLOW: &str = "by such a key, or by the function symmetric_toeplitz of an rte_flow rule: \
     rte_eth_rss_conf of 22.11 has no function";
const SLOWER_TX: &str = "any transmit offload but fast free takes the queue from the simple and vector paths to the full \
     one: checksum_offload = false may be faster, measure both";

/// Every driver that is known here.
pub const PROFILES: &[Profile] =
    &[ICE, I40E, IXGBE, MLX5, ENA, VIRTIO, AF_XDP, AF_PACKET, MEMIF, TAP];

const ICE: Profile = Profile {
    name: "ice",
    devices: "Intel E810, E822, E823, E825",
    dpdk: &["net_ice"],
    kernel: &["ice"],
    binding: "pci, bound to vfio-pci; or interface (AF_XDP)",
    rss: Some(RssProfile {
        fields: ALL_FIELDS,
        reta: 512,
        other_reta: &[128],
        key_bytes: 52,
        first_key: "random at each start",
    }),
    live_reta: Ability::yes(),
    symmetric: Ability::yes_by(SYMMETRIC_FLOW),
    rte_flow: Ability::yes(),
    tx_udp_checksum: Ability::yes(),
    rx_checksum: Ability::yes(),
    rx_timestamp: Ability::yes_by("any frame"),
    rx_scatter: Ability::yes(),
    queues_max: None,
    descriptors_max: Some(4096),
    limits: &[
        "needs the DDP package: /lib/firmware/intel/ice/ddp/ice.pkg, from linux-firmware. Without it the \
         driver does not start, or with safe-mode-support=1 has neither RSS nor checksums",
        "the table has 2,048 entries in hardware; DPDK shows 512 of them",
        "UDP checksums stay on the vector path",
    ],
    sources: &[
        "drivers/net/ice/ice_ethdev.c",
        "drivers/net/ice/ice_rxtx_vec_common.h",
        "doc/guides/nics/ice.rst",
    ],
    pci: (
        INTEL,
        &[
            0x124c, 0x124d, 0x124e, 0x124f, 0x151d, 0x1591, 0x1592, 0x1593, 0x1599, 0x159a, 0x159b,
            0x188a, 0x188b, 0x188c, 0x188d, 0x188e, 0x1890, 0x1891, 0x1892, 0x1893, 0x1894, 0x1897,
            0x1898, 0x1899, 0x189a, 0x579c, 0x579d, 0x579e, 0x579f,
        ],
    ),
};

const I40E: Profile = Profile {
    name: "i40e",
    devices: "Intel X710, XL710, XXV710, X722",
    dpdk: &["net_i40e"],
    kernel: &["i40e"],
    binding: "pci, bound to vfio-pci; or interface (AF_XDP)",
    rss: Some(RssProfile {
        fields: ALL_FIELDS,
        reta: 512,
        other_reta: &[],
        key_bytes: 52,
        first_key: "fixed, begins with 44:39:79:6b",
    }),
    live_reta: Ability::yes(),
    symmetric: Ability::yes_by(SYMMETRIC_FLOW),
    rte_flow: Ability::yes(),
    tx_udp_checksum: Ability::yes_by("off the vector path"),
    rx_checksum: Ability::yes(),
    rx_timestamp: Ability::no_but("only frames of IEEE 1588"),
    rx_scatter: Ability::yes(),
    queues_max: None,
    descriptors_max: Some(4096),
    limits: &[
        SLOWER_TX,
        "two ports of 40 Gbit/s in one PCIe 3.0 x8 slot share less than 64 Gbit/s",
    ],
    sources: &[
        "drivers/net/i40e/i40e_ethdev.c",
        "drivers/net/i40e/i40e_hash.c",
        "drivers/net/i40e/i40e_rxtx.c",
        "doc/guides/nics/i40e.rst",
    ],
    pci: (
        INTEL,
        &[
            0x1572, 0x1574, 0x1580, 0x1581, 0x1583, 0x1584, 0x1585, 0x1586, 0x1587, 0x1588, 0x1589,
            0x158a, 0x158b, 0x0cf8, 0x0d58, 0x15ff, 0x101f, 0x104e, 0x104f, 0x374c, 0x37ce, 0x37cf,
            0x37d0, 0x37d1, 0x37d2, 0x37d3,
        ],
    ),
};

const IXGBE: Profile = Profile {
    name: "ixgbe",
    devices: "Intel 82599, X520, X540, X550",
    dpdk: &["net_ixgbe"],
    kernel: &["ixgbe"],
    binding: "pci, bound to vfio-pci; or interface (AF_XDP)",
    rss: Some(RssProfile {
        fields: ALL_FIELDS,
        reta: 128,
        other_reta: &[512],
        key_bytes: 40,
        first_key: "that of Microsoft's verification suite",
    }),
    live_reta: Ability::yes(),
    symmetric: Ability::yes_by(SYMMETRIC_KEY),
    rte_flow: Ability::yes(),
    tx_udp_checksum: Ability::yes_by("off the vector path"),
    rx_checksum: Ability::yes(),
    rx_timestamp: Ability::no_but("only frames of IEEE 1588"),
    rx_scatter: Ability::yes(),
    queues_max: Some(128),
    descriptors_max: Some(4096),
    limits: &[
        SLOWER_TX,
        "the table of the X550 has 512 entries",
        "RSS reaches 16 queues of an 82599 or X540: their entries have 4 bits (datasheet; unverified)",
        "no RSS together with QinQ",
    ],
    sources: &[
        "drivers/net/ixgbe/ixgbe_ethdev.c",
        "drivers/net/ixgbe/ixgbe_rxtx.c",
        "doc/guides/nics/ixgbe.rst",
    ],
    pci: (
        INTEL,
        &[
            0x10f7, 0x1514, 0x10fb, 0x1529, 0x1507, 0x154d, 0x154a, 0x1558, 0x151c, 0x1528, 0x1560,
            0x1563, 0x15d1, 0x15c4, 0x15c8, 0x15ce, 0x15ac,
        ],
    ),
};

const MLX5: Profile = Profile {
    name: "mlx5",
    devices: "NVIDIA ConnectX-4 to ConnectX-7, BlueField",
    dpdk: &["mlx5_pci", "net_mlx5"],
    kernel: &["mlx5_core"],
    binding: "pci, left with mlx5_core: DPDK works beside the kernel; or interface (AF_XDP)",
    rss: Some(RssProfile {
        fields: ALL_FIELDS,
        reta: 512,
        other_reta: &[64, 128, 256],
        key_bytes: 40,
        first_key: "fixed, begins with 2c:c6:81:d1",
    }),
    live_reta: Ability::partly(
        "an update makes the port's flow rules anew (mlx5_traffic_restart): frames of that moment may be lost",
    ),
    symmetric: Ability::yes_by(SYMMETRIC_KEY),
    rte_flow: Ability::yes(),
    tx_udp_checksum: Ability::yes(),
    rx_checksum: Ability::yes(),
    rx_timestamp: Ability::yes_by("any frame, in ticks of the NIC's clock"),
    rx_scatter: Ability::yes(),
    queues_max: None,
    descriptors_max: None,
    limits: &[
        "needs rdma-core (libibverbs, libmlx5) and no vfio-pci",
        "the table begins with as many entries as queues, when these are a power of two, else with 512; an update may \
         bring any size up to 512",
        "with compressed completions (rxq_cqe_comp_en) some frames carry no hash",
    ],
    sources: &[
        "drivers/net/mlx5/mlx5_ethdev.c",
        "drivers/net/mlx5/mlx5_rss.c",
        "drivers/net/mlx5/mlx5_txq.c",
        "drivers/net/mlx5/linux/mlx5_os.c",
        "doc/guides/nics/mlx5.rst",
    ],
    pci: (
        0x15b3,
        &[
            0x1013, 0x1014, 0x1015, 0x1016, 0x1017, 0x1018, 0x1019, 0x101a, 0x101b, 0x101c, 0x101d,
            0x101e, 0x101f, 0x1021, 0xa2d2, 0xa2d3, 0xa2d6, 0xa2dc,
        ],
    ),
};

const ENA: Profile = Profile {
    name: "ena",
    devices: "Amazon Elastic Network Adapter",
    dpdk: &["net_ena"],
    kernel: &["ena"],
    binding: "pci, bound to vfio-pci (mostly without an IOMMU); or interface (AF_XDP)",
    rss: Some(RssProfile {
        fields: "ipv4-udp,ipv6-udp",
        reta: 128,
        other_reta: &[],
        key_bytes: 40,
        first_key: "random at each start",
    }),
    live_reta: Ability::yes(),
    symmetric: Ability::partly(
        "by a key of 16 bits repeated, where the instance lets the key be set",
    ),
    rte_flow: Ability::no(),
    tx_udp_checksum: Ability::partly("as the device grants it; asked at the start"),
    rx_checksum: Ability::partly("as the device grants it; asked at the start"),
    rx_timestamp: Ability::no(),
    rx_scatter: Ability::yes(),
    queues_max: None,
    descriptors_max: None,
    limits: &[
        "no field set of addresses alone: fragments reach queue 0 (unverified)",
        "some instance types refuse another key or other fields; compare what was read back",
        "the key is written in reversed order of bytes to the device, which DPDK does by itself",
    ],
    sources: &[
        "drivers/net/ena/ena_ethdev.c",
        "drivers/net/ena/ena_ethdev.h",
        "drivers/net/ena/ena_rss.c",
    ],
    pci: (0x1d0f, &[0xec20, 0xec21]),
};

const VIRTIO: Profile = Profile {
    name: "virtio",
    devices: "virtio-net of QEMU, Firecracker, vhost and clouds",
    dpdk: &["net_virtio", "net_virtio_user"],
    kernel: &["virtio_net", "virtio-pci"],
    binding: "pci, bound to vfio-pci (without an IOMMU in most guests); or interface (AF_XDP)",
    rss: Some(RssProfile {
        fields: ALL_FIELDS,
        reta: 128,
        other_reta: &[],
        key_bytes: 40,
        first_key: "that of Microsoft's verification suite",
    }),
    live_reta: Ability::partly("over the control queue, where the host offers VIRTIO_NET_F_RSS"),
    symmetric: Ability::yes_by(SYMMETRIC_KEY),
    rte_flow: Ability::no(),
    tx_udp_checksum: Ability::partly(
        "where the host offers VIRTIO_NET_F_CSUM; the host does it, perhaps in software",
    ),
    rx_checksum: Ability::partly(
        "UDP, where the host offers VIRTIO_NET_F_GUEST_CSUM; never the IPv4 header",
    ),
    rx_timestamp: Ability::no(),
    rx_scatter: Ability::partly("where the host offers mergeable buffers"),
    queues_max: Some(128),
    descriptors_max: None,
    limits: &[
        "no RSS at all where the host does not offer it (QEMU: mq=on,rss=on): then all frames reach queue 0 or what the \
         host thinks fit",
        "the hash is not put into the mbuf",
        "the host decides how many descriptors a queue has, often 256",
    ],
    sources: &[
        "drivers/net/virtio/virtio_ethdev.c",
        "drivers/net/virtio/virtqueue.h",
        "doc/guides/nics/virtio.rst",
    ],
    pci: (0x1af4, &[0x1000, 0x1041]),
};

const AF_XDP: Profile = Profile {
    name: "af_xdp",
    devices: "any kernel interface, through its own driver",
    dpdk: &["net_af_xdp"],
    kernel: &["veth"],
    binding: "interface",
    rss: None,
    live_reta: Ability::no_but("the kernel's driver: ethtool -X"),
    symmetric: Ability::no_but("the kernel's driver: ethtool -X hkey with 16 bits repeated"),
    rte_flow: Ability::no_but("the kernel's driver: ethtool -N"),
    tx_udp_checksum: Ability::no_but("software"),
    rx_checksum: Ability::no_but("software"),
    rx_timestamp: Ability::no(),
    rx_scatter: Ability::no(),
    queues_max: None,
    descriptors_max: None,
    limits: &[
        "an MTU of 3,438 at most: a frame and its headroom share one page",
        "takes queues 0 to n-1 of the interface; frames on other queues go to the kernel",
        "without zero copy in the kernel's driver each frame is copied once",
        "no hash in the mbuf",
    ],
    sources: &["drivers/net/af_xdp/rte_eth_af_xdp.c", "doc/guides/nics/af_xdp.rst"],
    pci: (0, &[]),
};

const AF_PACKET: Profile = Profile {
    name: "af_packet",
    devices: "any kernel interface, through packet sockets",
    dpdk: &["net_af_packet"],
    kernel: &[],
    binding: "vdev = \"net_af_packet0,iface=eth1\"",
    rss: None,
    live_reta: Ability::no_but("the kernel spreads by its own hash (PACKET_FANOUT_HASH)"),
    symmetric: Ability::no(),
    rte_flow: Ability::no(),
    tx_udp_checksum: Ability::no_but("software"),
    rx_checksum: Ability::no_but("software"),
    rx_timestamp: Ability::no(),
    rx_scatter: Ability::no(),
    queues_max: None,
    descriptors_max: None,
    limits: &[
        "the kernel sees every frame as well, and answers SIP with ICMP when nobody listens",
        "frames of 2,048 bytes unless framesz says more; they are copied, at the price of system calls",
    ],
    sources: &["drivers/net/af_packet/rte_eth_af_packet.c", "doc/guides/nics/af_packet.rst"],
    pci: (0, &[]),
};

const MEMIF: Profile = Profile {
    name: "memif",
    devices: "shared memory between two processes",
    dpdk: &["net_memif"],
    kernel: &[],
    binding: "vdev = \"net_memif0,role=client,socket=@name\"",
    rss: None,
    live_reta: Ability::no_but("the sender chooses the queue"),
    symmetric: Ability::no(),
    rte_flow: Ability::no(),
    tx_udp_checksum: Ability::no_but("software"),
    rx_checksum: Ability::no_but("software"),
    rx_timestamp: Ability::no(),
    rx_scatter: Ability::no(),
    queues_max: Some(255),
    descriptors_max: Some(16384),
    limits: &[
        "queue i of one side is queue i of the other",
        "a client never connects again by itself",
    ],
    sources: &["drivers/net/memif/rte_eth_memif.c", "drivers/net/memif/rte_eth_memif.h"],
    pci: (0, &[]),
};

const TAP: Profile = Profile {
    name: "tap",
    devices: "an interface of the kernel's, made for us",
    dpdk: &["net_tap"],
    kernel: &["tun"],
    binding: "vdev = \"net_tap0,iface=sip0\"",
    rss: None,
    live_reta: Ability::no_but(
        "it has no table: the kernel chooses the queue, or an rte_flow rule with rss",
    ),
    symmetric: Ability::no(),
    rte_flow: Ability::partly("by tc flower, in the kernel"),
    tx_udp_checksum: Ability::yes_by("the driver computes it itself, on our core"),
    rx_checksum: Ability::yes_by("the driver computes it itself, on our core"),
    rx_timestamp: Ability::no(),
    rx_scatter: Ability::yes(),
    queues_max: Some(16),
    descriptors_max: None,
    limits: &[
        "a system call for each frame",
        "it claims to hash IP, UDP and TCP, yet refuses any key and has no table",
    ],
    sources: &[
        "drivers/net/tap/rte_eth_tap.c",
        "drivers/net/tap/tap_rss.h",
        "doc/guides/nics/tap.rst",
    ],
    pci: (0, &[]),
};
