//! The settings, as they are reckoned with.

use alloc::format;
use core::net::IpAddr;

use super::trusted::Trusted;
use crate::rewrite::branch::hex16;
use crate::rewrite::keyed_hash::QuickKey;
use crate::route::build::{SettingsError, wrong};
use crate::settings::{Network, OverloadSettings, Settings, SourceLimits};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// What protects a worker.
#[derive(Debug)]
pub(crate) struct OverloadPlan {
    /// None where sources are not limited.
    pub(super) sources: Option<SourcePlan>,
    /// 0 sheds nothing.
    pub(super) target_ns: u64,
    pub(super) interval_ns: u64,
    retry_after_s: [u16; 2],
    pub(super) feedback: bool,
    /// Of the marks of transactions, and of the tags of those that were shed.
    pub(super) keys: [QuickKey; 2],
}

/// What each source may send.
#[derive(Debug)]
pub(super) struct SourcePlan {
    /// Time in which one message may come.
    pub(super) token_ns: u64,
    /// Time in which a bucket fills.
    pub(super) burst_ns: u64,
    /// 0 bans nobody.
    pub(super) ban_after_ns: u64,
    pub(super) ban_ns: u64,
    pub(super) trusted: Trusted,
}

impl OverloadPlan {
    /// Checks the settings.
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let OverloadSettings { target_ms, interval_ms, retry_after_s, feedback, sources } =
            &settings.overload;
        check(&settings.overload)?;
        let members = settings.sets.iter().flat_map(|set| &set.members);
        let members = members.map(|member| member.address.ip());
        let key = |purpose| QuickKey::derive(&settings.secret, purpose);
        Ok(Self {
            sources: (sources.rate != 0).then(|| SourcePlan::new(sources, members)),
            target_ns: u64::from(*target_ms) * MS,
            interval_ns: u64::from(*interval_ms) * MS,
            retry_after_s: *retry_after_s,
            feedback: *feedback,
            keys: [key(b'm'), key(b't')],
        })
    }

    /// The digits in the tag of an answer to a request with this topmost Via, when it is shed.
    pub(super) fn shed_tag(&self, via: &[u8]) -> [u8; 16] {
        let [_, tag_key] = &self.keys;
        hex16(tag_key.hash(via))
    }

    /// A value of Retry-After: another one for each `mark`, so that those who were refused together do not come back
    /// together.
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of a u16 and one")]
    pub(super) fn retry_after(&self, mark: u64) -> u16 {
        let [least, most] = self.retry_after_s;
        let range = u64::from(most.saturating_sub(least)) + 1;
        least + (mark % range) as u16
    }
}

impl SourcePlan {
    /// Limits for all but `members` and those that the settings trust.
    pub(super) fn new(limits: &SourceLimits, members: impl Iterator<Item = IpAddr>) -> Self {
        let token_ns = (SECOND / u64::from(limits.rate.max(1))).max(1);
        let whole = |address: IpAddr| {
            let prefix_length = if address.is_ipv4() { 32 } else { 128 };
            Network { address, prefix_length }
        };
        Self {
            token_ns,
            burst_ns: token_ns * u64::from(limits.burst),
            ban_after_ns: u64::from(limits.ban_after_s) * SECOND,
            ban_ns: u64::from(limits.ban_s) * SECOND,
            trusted: Trusted::new(limits.trusted.iter().copied().chain(members.map(whole))),
        }
    }
}

fn check(settings: &OverloadSettings) -> Result<(), SettingsError> {
    let within = |setting: &str, value: u32, [least, most]: [u32; 2]| {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        let problem = format!("{value} is out of range: {least} to {most} is allowed");
        wrong(format!("overload.{setting}"), problem)
    };
    let OverloadSettings { target_ms, interval_ms, retry_after_s: [least, most], .. } = settings;
    let sources = &settings.sources;
    within("target_ms", *target_ms, [0, 1_000])?;
    within("interval_ms", *interval_ms, [10, 10_000])?;
    within("retry_after_seconds", (*least).into(), [1, 3_600])?;
    within("retry_after_seconds", (*most).into(), [(*least).into(), 3_600])?;
    within("sources.rate", sources.rate, [0, 10_000_000])?;
    within("sources.burst", sources.burst, [1, 10_000_000])?;
    within("sources.ban_after_seconds", sources.ban_after_s, [0, 3_600])?;
    within("sources.ban_seconds", sources.ban_s, [1, 86_400])
}
