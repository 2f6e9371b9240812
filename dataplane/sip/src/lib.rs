//! SIP for a stateless proxy, without I/O and without a clock (RFC 3261 sections 16.3 to 16.6,
//! 16.11, 18.1, 18.2; RFC 3581; RFC 5658).
//!
//! Bytes and tables go in, values and edits come out:
//!
//! ```text
//! parse ──► Request  ──► route_request  ──► rewrite_request  ──► EditList ──► patch, emit_prefix
//!   │          └── Refusal ──► write_reply ──► Output
//!   ├─────► Response ──► route_response ──► rewrite_response ──► EditList ──► emit_prefix
//!   └─────► ParseError ──► refusal ──► write_reply ──► Output
//! ```
//!
//! Between route and rewrite the caller finds out from which listen point the message leaves.
//! What must be known again later (which listen point a request came in by, that a dialog is ours)
//! travels in the messages, under a keyed hash. All that is remembered between messages is to which
//! member of a destination set a request went when no hash can tell that again ([`Choices`]).
//!
//! No byte from the network makes this crate panic or allocate; the values it gives are ranges into
//! the datagram.

#![no_std]
#![forbid(unsafe_code)]
#![allow(
    clippy::inline_always,
    reason = "measured: results of the inner steps must not go through memory"
)]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

mod alias;
mod digest;
mod framing;
#[doc(hidden)]
pub mod fuzzing;
pub mod limits;
mod location;
#[doc(hidden)]
pub mod measuring;
mod message;
mod names;
mod overload;
mod parse;
mod registrar;
mod rewrite;
mod route;
mod settings;
pub mod stun;
mod transaction;

pub use alias::{Alias, alias};
pub use digest::{
    Authenticated, Credentials, CredentialsBuilder, CredentialsError, Demand, Digest, DigestCounts,
    DigestSizes, Role, consume_credentials,
};
pub use framing::{Class, Frame, FrameError, Framer, class};
pub use location::{
    AorOwner, AorQuestion, AorUri, LoadCounts, Located, Location, LocationCounts, LocationSizes,
    NoAor, Target, Targets, record,
};
pub use message::{Arrival, Headers, Message, Method, Request, Response, Span};
pub use names::{
    HostName, NameAnswer, NameCounts, NameHops, NameOutcome, NameQuestion, NameTarget, Names,
    NotAimed,
};
pub use overload::{
    Ban, Excess, Judgement, Overload, OverloadState, SheddingCounts, SourceNet, is_new_request,
};
pub use parse::call_id::call_id;
pub use parse::error::{ParseError, ParseErrorKind};
pub use parse::header::HeaderId;
pub use parse::parse;
pub use registrar::Registered;
pub use rewrite::edit::EditList;
pub use rewrite::feedback::{Feedback, feed_back};
pub use rewrite::output::{Full, Output};
pub use rewrite::reply::{acknowledges_reply, write_reply};
pub use rewrite::request::{rewrite_located, rewrite_request};
pub use rewrite::response::rewrite_response;
pub use route::build::SettingsError;
pub use route::choices::{Choices, Share};
pub use route::loads::MemberLoad;
pub use route::outcome::{Refusal, Reply, SipDrop};
pub use route::request::explain::{Criterion, Explanation, RuleFit, explain_request};
pub use route::request::{
    RequestRoute, RouteReason, begin_route, finish_route, route_otherwise, route_request,
};
pub use route::response::{ResponseRoute, route_response};
pub use route::shares::Shares;
pub use route::tables::{PrefixSize, Tables};
pub use settings::{
    Action, Algorithm, AuthSettings, Blocked, DestinationSet, DigestAlgorithm, Durability, Fork,
    HashKey, HeaderMatch, HeaderTest, KeepAlive, ListenId, ListenPoint, Maddr, Member,
    MemberChange, MemberState, MergedRequests, Nat, Network, NetworkError, OverloadSettings,
    Oversize, PrefixTable, RealmId, RegistrarSettings, Relay, Rule, Settings, SourceLimits, Store,
    TransactionSettings, Transport,
};
pub use transaction::{
    BranchId, Egress, LostFlow, Outbox, Outgoing, Owner, QuotedBranch, Recognised, ResponseFate,
    ServerKey, TransactionCounts, TransactionSizes, Transactions, quoted_branch,
};
