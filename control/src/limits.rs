//! Every bound of this crate, each with its reason.

use std::time::Duration;

/// Longest name of an appliance or destination set, in bytes: it stands in one column of a table.
pub const NAME_MAX: usize = 64;

/// Largest Retry-After, in seconds: an hour. Longer silences are a decision for a person.
pub const RETRY_AFTER_MAX: u16 = 3_600;

/// Pause before the first attempt to reach the data plane again: its restart takes about this long.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(100);

/// Longest pause between such attempts: calls are dropped until the data plane has its epoch, and four
/// attempts per second on a local socket cost nothing.
pub const RECONNECT_MAX: Duration = Duration::from_millis(250);

/// How long the data plane may take to answer one message. An epoch with the largest tables
/// takes some ten milliseconds; longer means that it hangs.
pub const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Largest datagram that the kernel socket takes: the largest UDP payload there is.
pub const DATAGRAM_MAX: usize = 65_535;

/// Pause before a listen address that is not there yet is tried again.
pub const BIND_RETRY: Duration = Duration::from_millis(500);

/// Pause after an error of a kernel socket, so that one that stays cannot keep a core busy.
pub const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Least time between two log lines about requests that the kernel got instead of the data plane.
pub const FALLBACK_LOG_EVERY: Duration = Duration::from_secs(5);

/// Pause before a process that died is started again; the first attempts.
pub const RESTART_FIRST: Duration = Duration::from_millis(50);

/// The pause from the [`QUICK_DEATHS_MAX`]th quick death on: the machine must stay usable.
pub const RESTART_SLOW: Duration = Duration::from_secs(1);

/// A process that lived shorter than this died quickly.
pub const QUICK_DEATH: Duration = Duration::from_secs(5);

/// Quick deaths in a row after which restarts become slow.
pub const QUICK_DEATHS_MAX: u32 = 5;

/// How long processes may drain after SIGTERM before they get SIGKILL.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Largest answer to a probe that is looked at: a 200 OK to OPTIONS with all that a server can do.
pub const PROBE_ANSWER_MAX: usize = 8_192;

/// Commands that may wait for the health monitor: it takes one in microseconds.
pub const HEALTH_COMMANDS_MAX: usize = 64;

/// Time between two looks at credential files.
pub const CREDENTIALS_WATCH: Duration = Duration::from_secs(1);

/// Pause before credentials that could not be read are tried again.
pub const CREDENTIALS_RETRY: Duration = Duration::from_secs(5);

/// Time between two questions to the data plane for hosts that messages did not reach.
pub const SIGNS_EVERY: Duration = Duration::from_secs(1);

/// Connections of operators' commands at a time; each lives for one question.
pub const OPERATORS_MAX: usize = 16;

/// Bytes of the store that are kept in memory: the index of five million AoRs, and no more; what it holds
/// is read once, at the start of the data plane.
pub const STORE_CACHE: u64 = 32 << 20;

/// Bytes of a block of the store: what one read brings; larger ones are read faster in order.
pub const STORE_BLOCK: u32 = 16 << 10;

/// Batches of changes of up to 64 KiB that are committed together: 4 MiB, which a disk takes in the time of a few
/// flushes.
pub const GROUP_MAX: usize = 64;

/// Pieces of up to 64 KiB that are read before the reader has taken the first of them.
pub const PIECES_AHEAD: usize = 32;

/// Pause before a store that failed is opened anew.
pub const STORE_RETRY_FIRST: Duration = Duration::from_millis(250);

/// Longest such pause: how much later than space on the disk the store is well again.
pub const STORE_RETRY_MAX: Duration = Duration::from_secs(2);

/// Pause before what is stored is read again for the data plane.
pub const LOCATION_RETRY: Duration = Duration::from_millis(500);

/// How long the data plane waits for what is stored, answering 503: one disk that is slow to come is
/// worth it, and phones try again within some seconds. Behind it, it begins without.
pub const LOCATION_PATIENCE: Duration = Duration::from_secs(10);

/// Most connections at one time that can be configured: ten times the 400,000 that one server is to carry.
pub const CONNECTIONS_MAX: u32 = 4_000_000;

/// File descriptors of a table beside those of connections: listen points, stores, logs, operators.
pub const DESCRIPTORS_BESIDE: u64 = 512;

/// Sockets that go to a connection thread in one packet: a turn of a listen point fills some; the kernel takes 253.
pub const GATE_SOCKETS: usize = 64;

/// Bytes of packets to a thread that may wait, by the kernel's own account of some 800 for each: 16 packets with a
/// thousand sockets. Those on their way count against `RLIMIT_NOFILE`, too.
pub const GATE_BYTES: usize = 8 << 10;

/// Pause before sockets are given again when too many are on their way, and how often: a second, in which any thread
/// comes round.
pub const GATE_PAUSE: Duration = Duration::from_millis(10);
/// See [`GATE_PAUSE`].
pub const GATE_TRIES: u32 = 100;

/// Packets that a thread takes through its gate before it looks at its connections again.
pub const GATE_TURN: usize = 16;

/// Bytes that wait for the data plane before sockets are read no further: four of its largest packets.
pub const LINK_WAITING_MAX: usize = 512 << 10;

/// The same with reports of failures: these are dropped beyond, and senders find out by their timers.
pub const LINK_REPORTS_MAX: usize = 4 << 20;

/// Bytes of a packet to the data plane at which another one is begun: small ones wait less.
pub const LINK_PACKET: usize = 32 << 10;

/// Packets of the data plane that are taken before connections are looked at again.
pub const LINK_TURN: usize = 16;

/// Bytes that one read from a connection takes.
pub const READ_MAX: usize = 64 << 10;

/// Events that one look at the sockets takes.
pub const EVENTS_MAX: usize = 1_024;

/// Connections that one turn of a listen point accepts.
pub const ACCEPT_TURN: usize = 256;

/// Not yet accepted connections of a listen point; the kernel's `net.core.somaxconn` bounds it too.
pub const BACKLOG: i32 = 4_096;

/// Pause before another connection is accepted when there are no file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection that we end may take to read our last words.
pub const LINGER: Duration = Duration::from_secs(2);

/// Bytes of a message that go back to the data plane when it could not be sent.
pub const FAILED_MAX: usize = 8_192;

/// Messages that one write to a socket takes.
pub const WRITE_PIECES: usize = 16;

/// When the kernel looks whether a silent peer is still there, how often then, and how many may stay
/// unanswered: a peer that has gone without a word is noticed within ten minutes.
pub const KEEPALIVE_AFTER: Duration = Duration::from_mins(5);
/// See [`KEEPALIVE_AFTER`].
pub const KEEPALIVE_EVERY: Duration = Duration::from_mins(1);
/// See [`KEEPALIVE_AFTER`].
pub const KEEPALIVE_TRIES: u32 = 4;

/// How long sent bytes may stay without an acknowledgement: as long as a transaction of SIP lives.
pub const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(32);

/// Name servers that can be configured: more are never asked in the time that a request waits.
pub const NAME_SERVERS_MAX: usize = 8;

/// How long finding the addresses of a name may take, with all its queries: the data plane waits a second longer.
pub const NAME_MAX_WAIT: Duration = Duration::from_secs(4);

/// How long a question waits for name servers while there is an older answer: before the request is sent again (RFC
/// 3261's T1), so that nobody notices. RFC 8767 section 5 has 1.8 s for people in front of browsers.
pub const NAME_STALE_AFTER: Duration = Duration::from_millis(400);

/// How long an older answer counts before name servers are asked again (RFC 8767 section 4).
pub const NAME_STALE: Duration = Duration::from_secs(30);

/// How long it counts that nobody could say anything (RFC 9520 section 3.2: at least a second).
pub const NAME_FAILED: Duration = Duration::from_secs(2);

/// Configurations that are kept for rollback: weeks of daily changes.
pub const GENERATIONS_MAX: usize = 32;

/// Bytes of the audit log before it is put aside as `audit.jsonl.1` in place of the one that was there: some
/// forty thousand lines.
pub const AUDIT_MAX: u64 = 8 << 20;

/// How long a data plane that is there may take to put new settings into force: the epoch, and the time in which a
/// lost connection to it shows.
pub const IN_FORCE_MAX: Duration = Duration::from_secs(6);

/// Wishes to change the configuration that may wait: they are taken one after the other.
pub const CHANGES_WAITING_MAX: usize = 8;

/// HTTP connections at a time.
pub const API_CONNECTIONS_MAX: usize = 64;

/// How long a client may take for the head of an HTTP request, and an idle connection stays open.
pub const API_HEAD_MAX: Duration = Duration::from_secs(10);

/// How long an HTTP request may take as a whole.
pub const API_REQUEST_MAX: Duration = Duration::from_secs(30);

/// Flows that `/v1/rss/flows` lists unless asked for more.
pub const FLOWS_LISTED: u32 = 100;

/// Largest body of an HTTP request: a configuration of 1,024 full destination sets.
pub const API_BODY_MAX: usize = 16 << 20;

/// Nodes of a Redis Cluster that can be named to begin with: it tells of the others itself.
pub const ENGINE_NODES_MAX: usize = 16;

/// How long the engine may take for one answer. A node of it that stands still is not known to until then; it is replaced
/// within some seconds, and what waits is kept.
pub const ENGINE_ANSWER_MAX: Duration = Duration::from_secs(1);

/// Pause before the engine is tried again, first and at most.
pub const ENGINE_RETRY_FIRST: Duration = Duration::from_millis(200);
/// See [`ENGINE_RETRY_FIRST`].
pub const ENGINE_RETRY_MAX: Duration = Duration::from_millis(500);

/// For how long it is kept what the engine got: longer than it takes until a master that died is replaced and that is
/// noticed.
pub const RECENT_FOR: Duration = Duration::from_secs(30);

/// Most AoRs of which that is kept: some 40 MB.
pub const RECENT_MAX: usize = 100_000;

/// How long it is remembered that a binding was removed: a change that was held back for longer would bring it back,
/// until it ends.
pub const TOMBSTONE: Duration = Duration::from_mins(5);

/// Changes in the log of a shard, about: with 64 shards some 260,000, several minutes of the registrations that a cluster
/// is built for. Who has missed more reads the shard again.
pub const SHARD_LOG: u32 = 4_096;

/// Changed AoRs of a shard that are read from its log at a time.
pub const FOLLOW_MAX: u16 = 1_000;

/// How long a look at the logs of all shards waits for a shard whose node does not answer: the others go on.
pub const FOLLOW_PATIENCE: Duration = Duration::from_millis(300);

/// Time between two looks at the logs of all shards: how much later than another node this one knows.
pub const FOLLOW_EVERY: Duration = Duration::from_millis(100);

/// For how long a question of a worker for an AoR is tried to be answered: a little less than its request waits.
pub const LOOKUP_PATIENCE: Duration = Duration::from_millis(4_500);

/// AoRs that workers have asked for and that have not been answered: a worker has 256 such requests at most.
pub const LOOKUPS_MAX: usize = 16_384;

/// AoRs of a shard that one script takes: some milliseconds, in which the engine answers nobody else.
pub const SCRIPT_AORS: usize = 128;

/// Most bindings that are asked of a page of a shard's index.
pub const SHARD_PAGE: u16 = 100;

/// A node that has not said for so long that it is there has gone.
pub const LEASE: Duration = Duration::from_secs(5);

/// How often it says so.
pub const LEASE_EVERY: Duration = Duration::from_secs(1);

/// Difference of two clocks that is worth a line in the log.
pub const CLOCKS_APART: Duration = Duration::from_secs(3);

/// Time between two looks for AoRs that have ended.
pub const SHADOW_SWEEP: Duration = Duration::from_secs(30);
