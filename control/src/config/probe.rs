//! `probe = { ... }` of a destination set: how its members are asked whether they are well.

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::time::Duration;

/// How a member is probed with OPTIONS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Probe {
    /// Time between two probes while nothing is in doubt. `interval_seconds`, default 10; 1 to 3,600.
    pub interval: Duration,
    /// How long an answer may take. `timeout_ms`, default 1,000; 50 to 10,000, at most the interval.
    pub timeout: Duration,
    /// Probes that must fail in a row before the member is down. Default 3; 1 to 100.
    pub down_after: u8,
    /// Probes that must be answered in a row before the member is up again. Default 2; 1 to 100.
    pub up_after: u8,
    /// Largest part in percent by which an interval is longer or shorter, so that neither members nor
    /// appliances fall into step. `jitter`, default 0.1; 0.0 to 0.5.
    pub jitter_percent: u8,
}

/// What a set does when none of its members is in use any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum AllDown {
    /// Goes on with all members that are down, as if they were up: when everything fails at once,
    /// the probes are as likely to be wrong as the members. Drained members stay out.
    #[default]
    #[serde(rename = "keep")]
    Keep,
    /// Answers new requests at once, so that upstream tries another way without waiting.
    #[serde(rename = "503")]
    Unavailable,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            down_after: 3,
            up_after: 2,
            jitter_percent: 10,
        }
    }
}

/// `false`, `true`, or a table.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`probe` is false, true or a table such as { interval_seconds = 10 }"
)]
enum Text {
    Switch(bool),
    Table(toml::Table),
}

/// The table as it stands in the file.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Table {
    interval_seconds: u16,
    timeout_ms: u16,
    down_after: u8,
    up_after: u8,
    jitter: f64,
}

impl Default for Table {
    fn default() -> Self {
        Self { interval_seconds: 10, timeout_ms: 1_000, down_after: 3, up_after: 2, jitter: 0.1 }
    }
}

/// Reads the setting; `None` stands for `false`.
pub(super) fn probe<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Probe>, D::Error> {
    match Text::deserialize(from)? {
        Text::Switch(false) => Ok(None),
        Text::Switch(true) => Ok(Some(Probe::default())),
        Text::Table(table) => {
            let table: Table = table.try_into().map_err(|error: toml::de::Error| {
                D::Error::custom(super::document::explain(error.message()))
            })?;
            table.check().map(Some).map_err(D::Error::custom)
        }
    }
}

/// The default of a set that does not say `probe`.
#[expect(clippy::unnecessary_wraps, reason = "the field can be off")]
pub(super) fn on() -> Option<Probe> {
    Some(Probe::default())
}

impl Table {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 50")]
    fn check(&self) -> Result<Probe, String> {
        let within = |name: &str, value: u16, least: u16, most: u16| {
            let is_fine = (least..=most).contains(&value);
            let problem = || format!("{name} = {value}: {least} to {most} is allowed");
            if is_fine { Ok(()) } else { Err(problem()) }
        };
        within("interval_seconds", self.interval_seconds, 1, 3_600)?;
        within("timeout_ms", self.timeout_ms, 50, 10_000)?;
        within("down_after", self.down_after.into(), 1, 100)?;
        within("up_after", self.up_after.into(), 1, 100)?;
        if !(0.0..=0.5).contains(&self.jitter) {
            return Err(format!("jitter = {}: 0.0 to 0.5 is allowed", self.jitter));
        }
        let interval = Duration::from_secs(self.interval_seconds.into());
        let timeout = Duration::from_millis(self.timeout_ms.into());
        if timeout > interval {
            return Err("timeout_ms is longer than interval_seconds".into());
        }
        Ok(Probe {
            interval,
            timeout,
            down_after: self.down_after,
            up_after: self.up_after,
            jitter_percent: (self.jitter * 100.0).round() as u8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{AllDown, Probe};
    use serde::Deserialize;
    use std::time::Duration;

    #[derive(Debug, Deserialize)]
    struct Set {
        #[serde(default = "super::on", deserialize_with = "super::probe")]
        probe: Option<Probe>,
        #[serde(default)]
        all_down: AllDown,
    }

    fn read(text: &str) -> Result<Set, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn on_by_default_and_off_when_asked() {
        assert_eq!(read("").unwrap().probe, Some(Probe::default()));
        assert_eq!(read("probe = true").unwrap().probe, Some(Probe::default()));
        assert_eq!(read("probe = false").unwrap().probe, None);
        assert_eq!(read("all_down = \"503\"").unwrap().all_down, AllDown::Unavailable);
        let probe = read("probe = { interval_seconds = 1, jitter = 0.25, up_after = 1 }");
        let expected = Probe {
            interval: Duration::from_secs(1),
            up_after: 1,
            jitter_percent: 25,
            ..Probe::default()
        };
        assert_eq!(probe.unwrap().probe, Some(expected));
    }

    #[test]
    fn mistakes_say_what_is_allowed() {
        for (text, problem) in [
            ("probe = { interval_seconds = 0 }", "interval_seconds = 0: 1 to 3600 is allowed"),
            ("probe = { timeout_ms = 2000, interval_seconds = 1 }", "timeout_ms is longer"),
            ("probe = { jitter = 0.6 }", "jitter = 0.6: 0.0 to 0.5 is allowed"),
            ("probe = { interval_second = 1 }", "did you mean `interval_seconds`?"),
            ("probe = 7", "`probe` is false, true or a table"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
