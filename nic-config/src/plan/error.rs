use thiserror::Error;

use crate::limits;
use crate::rss::RssError;

/// Why settings and machine do not go together.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant says it")]
pub enum PlanError {
    #[error("[[ports]]: {0} given; write 1 to {max} of them", max = limits::PORTS_MAX)]
    PortCount(usize),
    #[error("port {0:?}: the name is given twice; give every port its own")]
    PortNameTwice(String),
    #[error(
        "port {port:?}: {key} = {value:?} already belongs to port {other:?}; one device makes one port"
    )]
    DeviceTwice { port: String, key: &'static str, value: String, other: String },
    #[error("port {port:?}: interface = {interface:?}: no such interface; set one of {known}")]
    NoInterface { port: String, interface: String, known: String },
    #[error(
        "port {port:?}: interface = {interface:?} is down; run: ip link set dev {interface} up"
    )]
    InterfaceDown { port: String, interface: String },
    #[error(
        "port {0:?}: rss_key and rss_reta spread packets over queues, and it has one; leave them out"
    )]
    RssOneQueue(String),
    #[error("port {port:?}: rss_reta: {error}")]
    RssReta { port: String, error: RssError },
    #[error(
        "port {port:?}: kernel_interface = {interface:?}: no such interface; make it: ip link add {interface} type dummy, then give it the port's MAC address and its IP addresses"
    )]
    NoKernelInterface { port: String, interface: String },
    #[error(
        "port {port:?}: pci = {address:?}: no such device; list them with: dpdk-devbind.py --status-dev net"
    )]
    NoPciDevice { port: String, address: String },
    #[error(
        "port {port:?}: pci = {address:?} is bound to {driver}; run: dpdk-devbind.py --bind=vfio-pci {address}"
    )]
    PciDriver { port: String, address: String, driver: String },
    #[error(
        "port {port:?}: {key} = {value:?} needs {missing}; start as root or grant it (AmbientCapabilities= of the systemd unit)"
    )]
    NoPrivilege { port: String, key: &'static str, value: String, missing: String },
    #[error(
        "port {port:?}: queues = {queues}, but lcores.workers has {workers}; worker i polls queue i of every port, so make them equal"
    )]
    QueuesNotWorkers { port: String, queues: u16, workers: usize },
    #[error(
        "port {port:?}: queues = {queues}, but {interface} has {rx} receive and {tx} transmit queues; lower queues or run: ethtool -L {interface} combined {queues} (veth: rx {queues} tx {queues})"
    )]
    FewQueues { port: String, queues: u16, interface: String, rx: u16, tx: u16 },
    #[error("port {port:?}: mtu = {mtu} (of interface {interface}) is above what AF_XDP takes; set mtu = {max} or less, or run: ip link set dev {interface} mtu {max}", max = limits::AF_XDP_MTU_MAX)]
    MtuAfXdp { port: String, mtu: u32, interface: String },
    #[error("port {port:?}: mtu = {mtu}; write {min} to {max}", min = limits::MTU_MIN, max = limits::MTU_MAX)]
    Mtu { port: String, mtu: u32 },
    #[error("port {port:?}: mtu = {mtu} makes mbufs too large for the AF_XDP ports, which share the pool; set {max} or less", max = limits::AF_XDP_MTU_MAX)]
    MtuShared { port: String, mtu: u16 },
    #[error("lcores.workers is empty; name one lcore for each queue")]
    NoWorkers,
    #[error("lcores.workers names lcore {0} twice; a lcore polls one queue of each port")]
    LcoreTwice(u16),
    #[error("lcores.workers = {given:?} is not in ascending order; write {sorted:?}")]
    LcoreOrder { given: Vec<u16>, sorted: Vec<u16> },
    #[error(
        "lcores.{setting}: lcore {lcore} is not there or not allowed to this process; use some of {known}"
    )]
    NoLcore { setting: &'static str, lcore: u16, known: String },
    #[error("lcores.{setting}: lcore {lcore} is above {max}, the largest that DPDK here takes", max = limits::LCORE_MAX)]
    LcoreTooLarge { setting: &'static str, lcore: u16 },
    #[error("memory.mbufs = {mbufs}: these ports and queues need {needed} to {max}; leave it out for the right number", max = limits::MBUFS_MAX)]
    Mbufs { mbufs: u32, needed: u32 },
    #[error("[[ports]]: descriptors and queues ask for {0} mbufs, more than {max}; lower rx_descriptors, tx_descriptors or queues", max = limits::MBUFS_MAX)]
    TooManyMbufs(u32),
    #[error(
        "memory.megabytes = {limit}: the plan needs {needed}; raise it, or lower queues or descriptors"
    )]
    MemoryLimit { limit: u32, needed: u32 },
    #[error(
        "memory: {needed} MiB needed, {transactions} of them for transactions, {location} for bindings and credentials, {available} MiB available; free some, or lower queues, descriptors, memory.transactions or memory.aors"
    )]
    Memory { needed: u32, transactions: u32, location: u32, available: u32 },
    #[error(
        "memory.message_buffers = {message_buffers}: {transactions} transactions need one each at least, and 4 each for ordinary calls; raise it, leave it out, or lower memory.transactions"
    )]
    MessageBuffers { message_buffers: u32, transactions: u32 },
    #[error(
        "memory.bindings = {bindings}: {aors} addresses-of-record need one each at least; raise it, leave it out, or lower memory.aors"
    )]
    Bindings { bindings: u32, aors: u32 },
    #[error(
        "memory.location_text_blocks = {text_blocks}: {bindings} bindings need one each at least, and 4 each with parameters and Path; raise it, leave it out, or lower memory.bindings"
    )]
    LocationTextBlocks { text_blocks: u32, bindings: u32 },
    #[error(
        "memory.hugepages = \"require\": {needed} MiB needed, {free} MiB of hugepages free; run: sysctl vm.nr_hugepages={pages}, or set \"auto\""
    )]
    NoHugepages { needed: u32, free: u32, pages: u32 },
}
