//! `[overload]`: what happens when more comes than can be done.

use super::value;
use serde::Deserialize;
use sip_core::{Network, OverloadSettings, SourceLimits};

/// `[overload]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overload {
    /// Time for which messages may wait for a worker, once it sheds. Default 5 ms; 1 to 1,000; 0 never sheds.
    pub target_ms: u32,
    /// How long a worker must have been behind before it sheds. Default 100 ms; 10 to 10,000.
    pub interval_ms: u32,
    /// Least and most Retry-After for what is shed; each response has a value between them. Default
    /// `[4, 12]` s; 1 to 3,600.
    pub retry_after_seconds: [u16; 2],
    /// Whether clients that ask for it (RFC 7339) are told how much less they are to send. Default true.
    pub feedback: bool,
    /// `[overload.sources]`
    pub sources: Sources,
}

/// `[overload.sources]`: what each source address may send to each worker; of IPv6 a /64 counts as one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sources {
    /// Messages per second. Default 0: no limit; to 10,000,000.
    pub rate: u32,
    /// Messages that may come at once. Default 1,000; 1 to 10,000,000.
    pub burst: u32,
    /// How long a source must have been over its rate, without a pause of a second, before it is banned. Default
    /// 5 s; 0 (nobody is banned) to 3,600.
    pub ban_after_seconds: u32,
    /// How long a ban lasts. Default 60 s; 1 to 86,400.
    pub ban_seconds: u32,
    /// Networks that are not limited; members of destination sets never are. Default none.
    #[serde(deserialize_with = "value::networks")]
    pub trusted: Vec<Network>,
}

impl Default for Overload {
    fn default() -> Self {
        let OverloadSettings { target_ms, interval_ms, retry_after_s, feedback, .. } =
            OverloadSettings::default();
        let sources = Sources::default();
        Self { target_ms, interval_ms, retry_after_seconds: retry_after_s, feedback, sources }
    }
}

impl Default for Sources {
    fn default() -> Self {
        let SourceLimits { rate, burst, ban_after_s, ban_s, trusted } = SourceLimits::default();
        Self { rate, burst, ban_after_seconds: ban_after_s, ban_seconds: ban_s, trusted }
    }
}

impl Overload {
    /// The same as the router knows it.
    pub(super) fn to_sip(&self) -> OverloadSettings {
        let Sources { rate, burst, ban_after_seconds, ban_seconds, trusted } = &self.sources;
        OverloadSettings {
            target_ms: self.target_ms,
            interval_ms: self.interval_ms,
            retry_after_s: self.retry_after_seconds,
            feedback: self.feedback,
            sources: SourceLimits {
                rate: *rate,
                burst: *burst,
                ban_after_s: *ban_after_seconds,
                ban_s: *ban_seconds,
                trusted: trusted.clone(),
            },
        }
    }
}
