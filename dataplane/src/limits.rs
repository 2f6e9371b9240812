//! Every bound of this crate, each with its reason.

use core::time::Duration;

/// Frames taken from a receive queue at once: what DPDK's vector drivers hand out per call, and
/// few enough that a burst's headers stay in the L1 cache.
pub const BURST_MAX: usize = 32;

/// Frames collected for one port before they go to its transmit queue: two receive bursts, so
/// that two ports that both answer into one never force a flush of a single frame.
pub const TX_BURST_MAX: usize = 64;

/// Messages of one worker that wait for ARP or neighbour discovery: most of a second of traffic
/// to a dead host at 1,000 messages/s; more are dropped with `neighbour_queue_full`. The mempool is
/// planned for as many, and for those that wait for names and for users.
pub const PARKED_MAX: usize = nic_config::mempool::PARKED_PER_WORKER as usize - 2 * AWAITING_MAX;

/// Requests of one worker that wait until control says where a host name leads: with an answer in 20 ms they are
/// 12,000 requests a second to names that nobody knows yet. More are answered with 503. As many wait until control says
/// what other appliances know of their users; more are answered with what is known here.
pub const AWAITING_MAX: usize = 256;

/// Those of them that lie in parcels of the service core: a sixteenth of what it has.
pub const AWAITING_PARCELS_MAX: usize = SERVICE_PARCELS / 16;

/// How long a request waits for a name: a second more than control takes at most to say that nobody knows. The same for
/// a user: an engine whose node has died answers again by then.
pub const AWAITING_NS_MAX: u64 = 5_000_000_000;

/// Questions of one worker that wait for the service core, which looks every millisecond: one for each request that
/// may wait, for a name or for a user.
pub const QUESTIONS_MAX: usize = 2 * AWAITING_MAX;

/// Questions that control has not answered yet; with more it is too slow, and they fail.
pub const NAMES_ASKED_MAX: usize = 1_024;

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

/// Poll rounds between two looks at the timers: a round of two full bursts takes 30 us, so that timers,
/// which count milliseconds, run half a millisecond late at most; an idle round costs nothing more.
pub const TIMER_ROUNDS: u32 = 16;

/// Timers that run between two bursts: about as much work as one burst. With more due the next round goes on.
pub const TIMERS_PER_ROUND: u32 = 64;

/// Messages that wait for one worker on the rings from its siblings: 16 bursts that all belong to it and
/// came to others. The mempool is planned for as many.
pub const HANDOFFS_PER_WORKER: usize = nic_config::mempool::HANDOFFS_PER_WORKER as usize;

/// Messages that wait on one ring between two workers, at least: a burst, whatever the number of workers.
pub const HANDOFFS_PER_PAIR_MIN: usize = nic_config::mempool::BURST as usize;

/// Messages that a worker takes from its siblings between two bursts of its own.
pub const HANDOFFS_PER_ROUND: usize = BURST_MAX;

/// Siblings that a worker can give stateless work to: to receive a message, find its Call-ID and give it away costs about
/// a quarter of its whole way, so that more than four have nothing to do; and some may be busy.
pub const SPILL_SIBLINGS_MAX: usize = nic_config::mempool::SPILL_SIBLINGS_MAX as usize;

/// Messages that a sibling is given ahead: two bursts, so that it has work until its owner, which takes a burst of its own
/// meanwhile, comes to give it more; and few enough that nearly all calls may go anywhere at the next burst.
pub const SPILL_DEPTH: usize = 2 * BURST_MAX;

/// Messages under way to one sibling at most, with those that must follow others of their call; the mempool is planned
/// for as many. A sibling that stands still while these fill up loses what follows (`handoff_full`).
pub const SPILL_PENDING_MAX: usize = nic_config::mempool::SPILLED_PER_SIBLING as usize;

/// Batches on the ring to a sibling: each burst of the owner makes one, if only of a message that must follow others.
pub const SPILL_RING: usize = 32;

/// Parts that Call-IDs are divided into, of which each keeps its order: many times [`SPILL_DEPTH`], so that few of them
/// are bound to a worker at a time, and 8 KiB, which stay in the L1 cache.
pub const SPILL_BUCKETS: usize = 1_024;

/// Full bursts of a port one after the other after which work is spilled: with more than a hundred messages waiting it is
/// no coincidence of arrivals.
pub const SPILL_AFTER_BURSTS: u8 = 4;

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

/// Parcels of the service core: messages from the kernel and from connections that are with the workers at one
/// time. 512 of 68 KiB are 34 MiB, of which memory is only what was used; with none left the kernel's
/// socket buffers hold what comes, and then drop, and connections are not read.
pub const SERVICE_PARCELS: usize = 512;

/// Parcels of one worker that hold any message: those that came in one frame and leave in fragments.
pub const WORKER_PARCELS: usize = 256;

/// Parcels of one worker that hold [`SMALL_PARCEL`] bytes: for nearly all that goes over connections. Each request
/// from a connection may have two answers before the service core looks again, those to all of [`SERVICE_PARCELS`] at
/// once, and a receive ring of NIC holds as many again. 8 MiB; the service core looks every 100 us.
pub const SMALL_PARCELS: usize = 2_048;

/// Bytes of a small parcel: what two frames of Ethernet hold.
pub const SMALL_PARCEL: usize = 4_096;

/// Bytes that may wait for one connection thread of control, which reads as fast as its core lets it.
pub const CONNECTION_LINK_BYTES: usize = 16 << 20;

/// Connections that came in and that requests of ours may go over (RFC 5923): those of proxies, not of phones.
pub const ALIASES_MAX: usize = 65_536;

/// Bytes that wait for one connection thread while no more is taken from it: who is slow to send answers gets no
/// more work begun.
pub const CONNECTION_LINK_BEHIND: usize = 256 << 10;

/// Parcels that wait on one of the rings between the service core and a worker while the worker gets no more from
/// connections: those that the service core has not taken yet, and those that the worker has not. Behind the latter
/// its own ones come home, of which it may need 48 in each round in which it takes [`PARCELS_PER_LOOK`].
pub const PARCELS_BEHIND: usize = SMALL_PARCELS / 16;

/// Empty packets that are kept for each of them.
pub const CONNECTION_PACKETS_KEPT: usize = 16;

/// Parcels that a worker takes at one look: each may cost as much as a burst of frames.
pub const PARCELS_PER_LOOK: usize = 8;

/// Batches of changed bindings of one worker: what may be on its way to the store at a time. 16 of 64 KiB hold
/// 3,500 AoRs of 300 bytes; with 10 ms from a worker to the disk and back that is 350,000 AoRs per second,
/// several times what a disk takes.
pub const LOG_BATCHES: usize = 16;

/// Batches of stored bindings on their way to one worker. The service core looks every millisecond or two, so
/// that some 4,000,000 AoRs could be loaded per second, and a core that is late now and then costs nothing.
pub const LOAD_BATCHES: usize = 32;

/// Poll rounds between two looks at the log of changed bindings: so many full bursts of REGISTER requests
/// make one full batch.
pub const LOG_ROUNDS: u32 = 8;

/// Users without bindings that a worker without a store forgets at each of these looks: as many as full
/// bursts between two of them can remove.
pub const FORGOTTEN_PER_LOOK: usize = 32 * LOG_ROUNDS as usize;

/// Bytes of answers to REGISTER of one worker that wait for the store. The memory is planned for as many.
#[expect(clippy::cast_possible_truncation, reason = "8 MiB")]
pub const HELD_BYTES: usize = nic_config::registrar::HELD_BYTES as usize;

/// Answers that leave between two bursts when the store has confirmed: about as much work as a burst.
pub const RELEASES_PER_ROUND: usize = 64;

/// Sources whose buckets a worker keeps: 2 MiB, and four times as many as a /18 has hosts. With more of them those
/// that were quiet for longest are forgotten, whose buckets are full.
pub const SOURCES: u32 = 65_536;

/// Changes of a port's RSS that can be undone: more than anybody tries in an hour.
pub const RSS_UNDO_MAX: usize = 16;

/// Sets of places in which a worker counts flows, and places of a set: 2,048 flows in 112 KiB, which the L2 cache holds beside
/// the tables of the SIP stages; with more at a time the small ones take turns.
pub const FLOW_SETS: usize = 256;
/// Tags and counts of a set fill one cache line.
pub const FLOW_WAYS: usize = 8;

/// How long a table of flows counts before the service core gets it.
pub const FLOW_TABLE_NS: u64 = 1_000_000_000;

/// How far the averages of flows go back: a plan wants what lasts, and a change is to be seen soon.
pub const FLOW_AVERAGE: Duration = Duration::from_secs(30);

/// Messages each second below which a flow is not shown: one in a hundred seconds, which the averages hardly know.
pub const FLOW_RATE_MIN: f64 = 0.01;

/// Flows that the service core knows: eight full tables of workers. With more the least are forgotten.
pub const FLOWS_KEPT: usize = 16_384;

/// Flows that are listed for one question: a message of 1 MiB at most.
pub const FLOWS_SHOWN: usize = FLOWS_KEPT;

/// Pause between two looks at whether the queues of a port are even.
pub const REBALANCE_PAUSE: Duration = Duration::from_secs(1);

/// How long entries of a table wait for the queue that they leave to run empty. One that does not within so many times what its
/// ring holds is one that loses messages.
pub const REBALANCE_EMPTY_MAX: Duration = Duration::from_secs(1);

/// The part of messages that may come to other queues than reckoned: flows that have just moved, and what the NIC takes for
/// another kind of packet. With more, the reckoning is wrong.
pub const REBALANCE_STRAYED_MAX: f64 = 0.2;

/// Bans that the service core can list; more are in force but not shown.
pub const BANS_MAX: usize = 4_096;

/// Pause between two looks at whether the store still confirms.
pub const STORE_WATCH: Duration = Duration::from_millis(50);

/// Hosts with a sign that they are unreachable, which control has not asked for yet: as many next
/// hops as two large destination sets have, and no more memory for whoever forges ICMP errors.
pub const UNREACHABLE_MAX: usize = 1_024;

/// Hosts whose path MTU is known to be smaller than the link's; others are then sent what the link takes.
pub const PATH_MTUS_MAX: usize = 1_024;

/// How long a path MTU counts before a larger one is tried (RFC 1191 section 6.3, RFC 8201 section 4).
pub const PATH_MTU_AGE: Duration = Duration::from_mins(10);

/// Least time between two changes of the workers' path MTUs: each costs them their caches.
pub const PATH_MTU_PAUSE: Duration = Duration::from_secs(1);

/// Datagrams or ICMP errors taken from one kernel socket before the others have their turn.
pub const SOCKET_BATCH: usize = 32;

/// Attempts to send a message while ICMP errors of earlier ones are reported instead.
pub const SEND_ATTEMPTS_MAX: usize = 4;

/// Bytes read of a datagram that an ICMP error quotes, so that our Via is among them: hosts quote 520 to
/// 1,184 bytes of SIP (RFC 1812 4.3.2.3, RFC 4443 section 3), and of a longer request line we need not know.
pub const QUOTED_MAX: usize = 1_024;

/// Send and receive buffer of a kernel socket, in bytes: a hundred messages of 20 KB with what the
/// kernel adds to each fragment.
pub const SOCKET_BUFFER: usize = 4 << 20;

/// Pause before a listen address that is not there yet is tried again.
pub const BIND_RETRY: Duration = Duration::from_millis(500);

const _: () = assert!(BURST_MAX <= TX_BURST_MAX);
const _: () = assert!(SPILL_BUCKETS.is_power_of_two() && SPILL_DEPTH < SPILL_PENDING_MAX);
const _: () = assert!(FLOW_SETS.is_power_of_two());
const _: () = assert!(MAILBOX_ROUNDS.is_multiple_of(TIMER_ROUNDS)); // The mailbox's round runs the timers.
const _: () = assert!(nic_config::limits::PORTS_MAX <= u8::MAX as usize);
