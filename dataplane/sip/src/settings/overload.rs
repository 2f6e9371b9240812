//! What happens when more comes than can be done.

use alloc::vec::Vec;

use super::Network;

/// How a worker protects itself and its callers from too much work.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OverloadSettings {
    /// Time that messages may wait before they are taken, in milliseconds; 1 to 1,000. 0 sheds nothing.
    pub target_ms: u32,
    /// How long a queue must stand before new work is refused, in milliseconds; 10 to 10,000.
    pub interval_ms: u32,
    /// Least and most value of Retry-After in responses to what is refused, in seconds; 1 to 3,600.
    pub retry_after_s: [u16; 2],
    /// Whether clients that ask for it (RFC 7339) are told how much less they are to send.
    pub feedback: bool,
    /// What each source may send.
    pub sources: SourceLimits,
}

/// What each source may send to each worker. A source is an IPv4 address or an IPv6 /64. Members of destination
/// sets are never limited.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SourceLimits {
    /// Messages per second; 0 sets no limit. To 10,000,000.
    pub rate: u32,
    /// Messages that may come at once; 1 to 10,000,000.
    pub burst: u32,
    /// How long messages of a source must have been dropped without a pause before it is banned, in seconds; 0 bans
    /// nobody. To 3,600.
    pub ban_after_s: u32,
    /// How long a ban lasts, in seconds; 1 to 86,400.
    pub ban_s: u32,
    /// Networks that are not limited.
    pub trusted: Vec<Network>,
}

impl Default for OverloadSettings {
    fn default() -> Self {
        let sources = SourceLimits::default();
        Self { target_ms: 0, interval_ms: 100, retry_after_s: [4, 12], feedback: true, sources }
    }
}

impl Default for SourceLimits {
    fn default() -> Self {
        Self { rate: 0, burst: 1_000, ban_after_s: 5, ban_s: 60, trusted: Vec::new() }
    }
}
