//! Every bound of this crate, each with its reason.

/// Longest message: positions are `u16`, and a UDP payload ends at 65,507 bytes anyway.
pub const MESSAGE_MAX: usize = u16::MAX as usize;

/// Longest message that a connection may bring: it may have to leave as a UDP payload.
pub const STREAM_MESSAGE_MAX: usize = 65_507;

/// Header lines in one message. Real messages carry 10 to 40; a line costs at least five bytes, so
/// without this bound one datagram could make us look at 13,000 of them.
pub const HEADERS_MAX: usize = 256;

/// Via lines in one message: Max-Forwards starts at 70 (RFC 3261 section 20.22), so a message that
/// has been through more hops than that is not a call any more.
pub const VIAS_MAX: u16 = 70;

/// Times that a request may come through us, by the Vias in it; legitimate spirals take a few
/// turns. Below as many Vias nobody looks (RFC 3261 section 16.3 step 4 leaves it open).
pub const LOOP_PASSES_MAX: u16 = 10;

/// Route lines in one message. Chains of proxies are short; each Route costs a rewrite downstream.
pub const ROUTES_MAX: u16 = 32;

/// Longest Request-URI, Route URI included: an edit may have to carry one whole (RFC 3261 16.4).
pub const URI_MAX: usize = 1024;

/// Least and most T1, in milliseconds: a LAN, and a way around the world by satellite.
pub const T1_MS: [u32; 2] = [10, 10_000];

/// Most T2 and T4, in milliseconds: with more, nobody waits any longer.
pub const T2_T4_MS_MAX: u32 = 60_000;

/// Least and most timer C, in milliseconds. RFC 3261 section 16.6 step 11 asks for more than three
/// minutes; less is for callees that never ring long. An hour is no ringing any more.
pub const TIMER_C_MS: [u32; 2] = [1_000, 3_600_000];

/// Timer B and F in T1 (RFC 3261 table 4): after that a destination is given up anyway.
pub const TIMEOUT_T1: u32 = 64;

/// Most destinations that are tried for one request, one after the other.
pub const ATTEMPTS_MAX: u8 = 8;

/// Header parameters looked at in one Via, URI or name-addr, so that `;;;;` costs no more than a line.
pub const PARAMETERS_MAX: usize = 64;

/// Listen points: two hex digits in our branch name one, and control shows them on one screen.
pub const LISTEN_POINTS_MAX: usize = 64;

/// Domains that are ours; each costs one entry of a hash table.
pub const DOMAINS_MAX: usize = 4096;

/// Longest host name (RFC 1035 section 2.3.4).
pub const DOMAIN_LENGTH_MAX: usize = 253;

/// Destination sets, named by a `u16` in the answers of the router.
pub const SETS_MAX: usize = 1024;

/// Members of a destination set: the hash looks at each of them for every message.
pub const MEMBERS_MAX: usize = 256;

/// Members with a capacity, all sets together; each worker counts each of them.
pub const CAPACITIES_MAX: usize = 4096;

/// Addresses of members that are asked to say how much less they want, all sets together: each worker remembers what each
/// of them said.
pub const ASKED_MAX: usize = 1024;

/// For how long what a member says of its load counts at most, in milliseconds, however long it asks for: who was told
/// to keep everything back hears no end of it.
pub const TOLD_MS_MAX: u32 = 600_000;

/// For how long an older word of a member may still come after a newer one, in milliseconds: as long as responses may be
/// repeated (64 T1).
pub const TOLD_ORDER_MS: u64 = 32_000;

/// Requests per second that a member's capacity can say: what one worker can count in microseconds.
pub const CAPACITY_MAX: u32 = 1_000_000;

/// Choices that a worker remembers, in 16 bytes each. With round robin, where all are remembered, it
/// is enough for 5,000 new transactions a second of three minutes each.
pub const CHOICES_MAX: usize = 1 << 20;

/// How long an INVITE transaction lasts at most, in seconds: timer C is "larger than 3 minutes"
/// (RFC 3261 section 16.6 step 11), and the final response may be retransmitted for 32 s.
pub const TRANSACTION_SECONDS_MAX: u64 = 240;

/// How long a set goes on to choose as before a change for what looks new, in milliseconds, when
/// the member of before is alive. An INVITE that left before the change is sent again within this
/// time unless it has been without any answer for 3.5 s (RFC 3261 17.1.1.2: after 0.5, 1.5, 3.5,
/// 7.5 s).
pub const SETTLE_MS: u64 = 4_000;

/// The same with one change after another: so late the first of them counts for new requests.
pub const SETTLE_MS_MAX: u64 = 30_000;

/// Prefix tables, each with a line of its own in `trunkline check`.
pub const PREFIX_TABLES_MAX: usize = 64;

/// Prefixes of one table: four times the numbering plan of the world with all ported ranges; some
/// 25 bytes each.
pub const PREFIXES_MAX: usize = 4_000_000;

/// Longest header name or value that a rule compares with.
pub const HEADER_TEXT_MAX: usize = 256;

/// Rules: they are tried in order for every request.
pub const RULES_MAX: usize = 1024;

/// Entries of one match list of a rule (methods, domains, prefixes, networks), tried in order.
pub const RULE_MATCHES_MAX: usize = 256;

/// Longest user prefix of a rule.
pub const USER_PREFIX_MAX: usize = 128;

/// Longest reason phrase of a rule that rejects.
pub const REASON_MAX: usize = 128;

/// Longest AoR, `user@host`, in bytes.
pub const AOR_MAX: usize = 320;

/// Longest text of one binding, its URI, instance and Path together: as much as fits a request.
pub const BINDING_TEXT_MAX: usize = 1536;

/// Most bytes of one record of the location store: an AoR with all of its bindings.
pub const RECORD_MAX: usize = 64 + AOR_MAX + CONTACTS_MAX * (128 + BINDING_TEXT_MAX);

/// AoRs of one worker: the index names their slots by 24 bits.
pub const AORS_MAX: u32 = (1 << 24) - 1;

/// Most bindings of one AoR: each of them gets a branch of every call.
pub const CONTACTS_MAX: usize = 16;

/// Least and most of the shortest registration, in seconds: only what is below an hour may be refused as
/// too brief (RFC 3261 section 10.3 step 7).
pub const MIN_EXPIRES_S: [u32; 2] = [1, 3_600];

/// Longest registration, in seconds: a year.
pub const EXPIRES_S_MAX: u32 = 31_536_000;

/// Least and most time between two keep-alives of ours, in seconds: NATs forget UDP flows after 30 s
/// to some minutes (RFC 5626 section 4.4.2 asks for less than 30).
pub const KEEPALIVE_S: [u32; 2] = [5, 600];

/// Longest Flow-Timer, in seconds: NATs forget UDP flows long before.
pub const FLOW_TIMER_S_MAX: u32 = 3_600;

/// Longest wait for a store that is away, in milliseconds: clients give up after 32 s.
pub const FLUSH_PATIENCE_MS_MAX: u32 = 60_000;

/// URIs of a Service-Route: proxies of one operator in a row.
pub const SERVICE_ROUTES_MAX: usize = 8;

/// Longest URI of a Service-Route: all of them stand in each 200.
pub const SERVICE_ROUTE_LENGTH_MAX: usize = 255;

/// Realms; each of them costs a table of users.
pub const REALMS_MAX: usize = 256;

/// Longest user name, realm and cnonce of credentials. Real ones have 10 to 60 bytes; all of them are hashed.
pub const CREDENTIAL_TEXT_MAX: usize = 256;

/// Longest message that is recognised when it comes again with the same nonce count, in bytes: more than a
/// REGISTER has, and an INVITE with a usual body.
pub const RETRANSMISSION_MAX: usize = 2048;

/// Users with credentials: they take 80 bytes each.
pub const USERS_MAX: usize = 50_000_000;

/// Lines with credentials for one realm that are taken out of a request: a client sends one for each algorithm
/// that it was offered (RFC 8760 section 2.4), and we offer two.
pub const CREDENTIAL_LINES_MAX: usize = 4;

/// Longest host name (RFC 1035 section 2.3.4, without the dot at its end).
pub const HOST_NAME_MAX: usize = 253;

/// Answers to questions where a name leads that a worker remembers: the peers of a large carrier. They take 50 bytes
/// each, and their addresses elsewhere.
pub const NAMES_MAX: usize = 4096;

/// Addresses of a name that are asked: as many as a transaction keeps.
pub const NAME_TARGETS_MAX: usize = 16;

/// Edits of one message: the top of the message, Request-URI, received/rport (4), pops of Route (4),
/// Route appended, Max-Forwards, a flow of the client, a Path, leading CRLFs, and
/// credentials (4) make 20.
pub const EDITS_MAX: usize = 24;

/// Bytes inserted by the edits of one message: three URIs (strict routing, or a binding with its Path),
/// and under 1,000 bytes for a Via, four Record-Routes, Max-Forwards and received/rport.
pub const EDIT_TEXT_MAX: usize = 3 * URI_MAX + 1024;

/// Capacity of an [`Output`](crate::Output): the largest message.
pub const OUTPUT_MAX: usize = MESSAGE_MAX;

/// Longest STUN message: what fits a packet on every IPv6 path (1,280 bytes) without its headers.
pub const STUN_MAX: usize = 1280 - 40 - 8;

/// Attributes that a STUN error lists: more would make our answers larger than they need be.
pub const STUN_UNKNOWN_MAX: usize = 8;

/// Transactions of one worker: the index names their slots by 24 bits.
pub const TRANSACTIONS_MAX: u32 = (1 << 24) - 1;

/// Branches of one request: a fork to more asks for trouble, and their numbers have 5 bits.
pub const BRANCHES_MAX: usize = 16;

/// Branches beyond the first of each transaction, all together: a part of the transactions of this size.
pub const MORE_BRANCHES_PART: u32 = 4;

/// Messages that transactions send on their own and that wait for packets: those of one burst of 32
/// requests with forks, or of one look at the timers.
pub const OUTBOX_MESSAGES: usize = 1024;

/// Bytes of them: room for the largest message beside those of a burst.
pub const OUTBOX_BYTES: usize = 1 << 18;

/// What our lines add to a request at most: Via, two Record-Routes, Max-Forwards, received, rport.
pub const TOP_LINES_MAX: usize = 512;
