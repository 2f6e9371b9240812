//! Bounds of the watch over the kernel's routes and neighbours, each with its reason.

use std::time::Duration;

/// Resolve requests that wait for the service: a burst of calls to as many new neighbours. One that
/// does not fit is asked for again by the next message to that neighbour.
pub const REQUESTS_MAX: usize = 1_024;

/// Next hops that the kernel is asked for at one time. A quarter of the entries which a kernel's
/// neighbour table has by default (`gc_thresh3`, 1,024), so that a scan over an on-link /64 cannot
/// push out the neighbours that live.
pub const ASKED_MAX: usize = 256;

/// Neighbours that are followed: 16 times the kernel's default table. More stay unresolved.
pub const NEIGHBOURS_MAX: usize = 16_384;

/// Links: what a `u16` numbers, 4,094 VLANs on each of 16 ports.
pub const LINKS_MAX: usize = 1 << 16;

/// Routes of the main table: a full Internet table of both families (1.2 million) with room.
pub const ROUTES_MAX: usize = 1 << 21;

/// Pause between two requests for a next hop that stays silent: the kernel's own between two ARP
/// requests.
pub const ASK_AGAIN: Duration = Duration::from_secs(1);

/// When the kernel has given up on a next hop for certain: three requests one second apart.
pub const ASK_EXPIRES: Duration = Duration::from_secs(4);

/// Age at which a neighbour is probed: with the kernel's three probes one second apart, a MAC
/// address that changed in silence is noticed within 8 s.
pub const PROBE_AFTER: Duration = Duration::from_secs(5);

/// Probes per second over all ports: 64 KB/s of ARP. Above five times as many neighbours each is
/// probed less often.
pub const PROBES_PER_SECOND: usize = 100;

/// How long a change waits for others of its burst before workers get a new picture: far below a
/// round trip, long enough for the dozen events that one `ip link set down` makes.
pub const COALESCE: Duration = Duration::from_millis(1);

/// A dump that took t is not repeated before 4 t: route churn takes at most a fifth of the core.
pub const DUMP_PAUSE_FACTOR: u32 = 4;

/// A dump that takes longer lost its end: two million routes take about 4 s.
pub const DUMP_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause before a lost netlink socket is opened again.
pub const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Bytes of the event socket's receive buffer, as asked for; the kernel gives what `rmem_max`
/// allows. When it overflows, all is dumped again.
pub const EVENT_BUFFER: usize = 1 << 20;
