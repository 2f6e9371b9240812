//! Questions where a host name leads, from the data plane to control, and the answers (RFC 3263). On a connection of
//! their own: control says `Attach`, then questions and answers go their ways in any order.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

/// From control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToNames {
    /// Control answers on this connection; a newer one takes the place of an older one.
    Attach,
    /// Answers to questions.
    Answers(Vec<NameReply>),
}

/// From the data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromNames {
    /// The answer to `Attach`.
    Attached,
    /// Each is to be answered, and soon: requests wait.
    Questions(Vec<NameAsked>),
}

/// Most questions and answers in one message.
pub const NAMES_AT_ONCE: usize = 64;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NameAsked {
    /// The name in lower case, without a dot at its end.
    pub name: String,
    /// The port of the URI; 0 when it has none.
    pub port: u16,
    /// The number of the transport that the URI asks for, as the data plane counts them.
    pub transport: Option<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameReply {
    /// What was asked.
    pub asked: NameAsked,
    /// Where it leads.
    pub outcome: Resolved,
    /// How long that counts, in milliseconds.
    pub ttl_ms: u32,
    /// How much longer it may be used while nobody can say anything newer, in milliseconds.
    pub stale_ms: u32,
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolved {
    /// To these addresses.
    Found(Vec<ResolvedAddress>),
    /// To nowhere: there is no such name, or none with an address.
    NoSuchName,
    /// Nobody could say.
    Failed,
}

/// An address to which a name leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedAddress {
    /// The address and port.
    pub address: SocketAddr,
    /// The number of the transport spoken there.
    pub transport: u8,
    /// Those of lower numbers are asked first.
    pub priority: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
}

/// What control did about names. Counts run since control started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesStatus {
    /// The name servers that are asked.
    pub servers: Vec<SocketAddr>,
    /// Whether the data plane is connected for names.
    pub is_linked: bool,
    /// Answers in memory.
    pub cached: u64,
    /// Questions of the data plane.
    pub questions: u64,
    /// Of these, answered from memory.
    pub hits: u64,
    /// Queries for records, of which one question takes several; the resolver answers some from its own memory.
    pub queries: u64,
    /// Questions that found addresses.
    pub found: u64,
    /// Questions for names that lead nowhere.
    pub negative: u64,
    /// Questions answered with what was known before, as no name server had anything newer in time.
    pub stale: u64,
    /// Questions to which there was no answer.
    pub failed: u64,
    /// What was wrong the last time; empty when nothing ever was.
    pub trouble: String,
}
