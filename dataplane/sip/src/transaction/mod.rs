//! Transactions: the stateful half of the proxy (RFC 3261 sections 16 and 17, RFC 6026).
//!
//! ```text
//!  request ──► recognise ──┬─ New ──► route_request ──► open ──► rewrite, send ──► sent
//!                          └─ Absorbed: a retransmission, an ACK, a CANCEL
//!  response ─► owner ──────┬─ Here ──► response ──┬─ Forward ──► rewrite, send ──► passed
//!                          ├─ Worker: hand it off └─ Absorbed
//!                          └─ Stateless, Forged, Stale
//!  time ─────► expire            an ICMP error ──► unreachable
//!                    └──────────────┬────────────────┘
//!                   outbox: what transactions send on their own
//! ```
//!
//! Everything here belongs to one worker and is made at the start: nothing is allocated later. After
//! each call the outbox is to be emptied, in order, after the message in hand has been sent.

mod branches;
mod buffers;
mod compose;
mod counts;
mod expire;
mod foresee;
mod index;
mod layer;
mod lost_flow;
mod machines;
mod others;
mod outbox;
mod place;
mod record;
mod request;
mod response;
mod table;
mod target_set;
mod time;
mod wheel;

pub(crate) use buffers::{Buffers, Line, Text};
pub use counts::TransactionCounts;
pub(crate) use index::{Index, NONE};
pub use layer::{Egress, TransactionSizes, Transactions};
pub use lost_flow::LostFlow;
pub use outbox::{Outbox, Outgoing};
pub use place::{BranchId, QuotedBranch, quoted_branch};
pub use request::{Recognised, ServerKey};
pub use response::{Owner, ResponseFate};
pub(crate) use target_set::Target;
pub(crate) use time::Tick;
pub(crate) use wheel::Wheel;
