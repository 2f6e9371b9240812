//! Checks the settings of digest authentication.

use alloc::format;
use core::fmt::Display;
use core::ops::RangeInclusive;

use super::build::{SettingsError, check_count, wrong};
use crate::limits::{CREDENTIAL_TEXT_MAX, REALMS_MAX};
use crate::settings::{AuthSettings, DigestAlgorithm};

/// Refuses what cannot be asked for or checked.
pub(super) fn check(auth: &AuthSettings) -> Result<(), SettingsError> {
    check_count("auth.realms", auth.realms.len(), REALMS_MAX)?;
    for (index, name) in auth.realms.iter().enumerate() {
        check_realm(auth, index, name)?;
    }
    match auth.algorithms.as_slice() {
        [] => return wrong("auth.algorithms", "there is none; name \"SHA-256\", \"MD5\" or both"),
        [one, other, ..] if one == other => return twice(*one),
        [_, other, third, ..] => return twice(if third == other { *other } else { *third }),
        _ => {}
    }
    within("nonce_s", auth.nonce_s, "s", 10..=86_400)?;
    within("failure_window_s", auth.failure_window_s, "s", 1..=3_600)?;
    within("block_s", auth.block_s, "s", 1..=86_400)?;
    for (name, failures) in [
        ("failures_per_source", auth.failures_per_source),
        ("failures_per_user", auth.failures_per_user),
    ] {
        within(name, failures, "failures", 0..=100_000)?;
    }
    Ok(())
}

/// The name stands between quotes in our challenges.
fn check_realm(auth: &AuthSettings, index: usize, name: &str) -> Result<(), SettingsError> {
    let setting = format!("auth.realms[{index}].name");
    if name.is_empty() || name.len() > CREDENTIAL_TEXT_MAX {
        let problem =
            format!("it has {} bytes; 1 to {CREDENTIAL_TEXT_MAX} are possible", name.len());
        return wrong(setting, problem);
    }
    if name.chars().any(|letter| letter.is_control() || matches!(letter, '"' | '\\')) {
        let problem =
            format!("{name:?} holds a quote, a backslash or a control character; leave it out");
        return wrong(setting, problem);
    }
    if auth.realms.iter().take(index).any(|before| before == name) {
        return wrong(setting, format!("\"{name}\" stands twice"));
    }
    Ok(())
}

fn twice(algorithm: DigestAlgorithm) -> Result<(), SettingsError> {
    let name = match algorithm {
        DigestAlgorithm::Sha256 => "SHA-256",
        DigestAlgorithm::Md5 => "MD5",
    };
    wrong("auth.algorithms", format!("\"{name}\" stands twice"))
}

fn within<T: Copy + PartialOrd + Display>(
    name: &str,
    value: T,
    unit: &str,
    range: RangeInclusive<T>,
) -> Result<(), SettingsError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    wrong(format!("auth.{name}"), format!("{value} {unit}; {least} to {most} are possible"))
}
