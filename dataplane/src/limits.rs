//! Every bound of this crate, each with its reason.

/// Frames taken from a receive queue at once: what DPDK's vector drivers hand out per call, and
/// few enough that a burst's headers stay in the L1 cache.
pub const BURST_MAX: usize = 32;

/// Frames collected for one port before they go to its transmit queue: two receive bursts, so
/// that two ports that both answer into one never force a flush of a single frame.
pub const TX_BURST_MAX: usize = 64;

/// Messages of one worker that wait for ARP or neighbour discovery: a second of traffic
/// to a dead host at 1,000 messages/s; more are dropped with `neighbour_queue_full`. The mempool is
/// planned for as many.
pub const PARKED_MAX: usize = nic_config::mempool::PARKED_PER_WORKER as usize;

/// How long a message waits for a neighbour: the kernel gives up after three probes one second apart.
pub const PARKED_NS_MAX: u64 = 3_500_000_000;

/// Commands that wait for one worker: epochs and routing tables are coalesced before they are
/// sent, so a worker that polls at all never lets this fill.
pub const MAILBOX_MAX: usize = 64;

/// Events of one worker that wait for the service core: resolve requests and tables handed back.
pub const EVENTS_MAX: usize = 1_024;

/// Poll rounds between two looks into the mailbox: a look costs a fence, about the price of a
/// dozen empty polls.
pub const MAILBOX_ROUNDS: u32 = 64;

/// Poll rounds between two returns to the executor, so that capsule's shutdown reaches the worker.
pub const EXECUTOR_ROUNDS: u32 = 4_096;

/// Pause of an idle worker under `idle = "sleep"`, in microseconds: half of what a LAN round trip
/// takes, and long enough for a generator on the same core to run.
pub const IDLE_SLEEP_US: u64 = 50;

/// Attempts to hand frames to a transmit queue that makes no progress before they are dropped.
pub const TX_ATTEMPTS_MAX: u32 = 16;

/// Datagrams at most this long that hold only CR, LF or NUL are keep-alives (RFC 5626 3.5.1 sends
/// 4 bytes; phones send 1 to 4).
pub const KEEPALIVE_MAX: usize = 4;

/// Connections to the management socket at one time: control, a status command, a monitor, and room.
pub const LINKS_MAX: usize = 32;

/// Hosts with a sign that they are unreachable, which control has not asked for yet: as many next
/// hops as two large destination sets have, and no more memory for whoever forges ICMP errors.
pub const UNREACHABLE_MAX: usize = 1_024;

const _: () = assert!(BURST_MAX <= TX_BURST_MAX);
const _: () = assert!(nic_config::limits::PORTS_MAX <= u8::MAX as usize);
