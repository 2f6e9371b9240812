//! The report of a run, as text and as JSON.

use super::counts::Counts;
use super::faults::Injected;
use super::latency::Percentiles;
use crate::disturbance::Disturbance;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Lateness (99 of 100 calls, microseconds) from which on the generator was too slow for its plan.
const LATENESS_MAX_US: f64 = 10_000.0;

/// How a run went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LoadReport {
    /// Name of the scenario.
    pub(crate) scenario: String,
    /// What it ran over.
    pub(crate) wire: String,
    /// Calls per second that were planned.
    pub(crate) offered_calls_per_second: f64,
    /// Simultaneous users that this stands for; only in the scenario of users.
    pub(crate) users: Option<f64>,
    /// How long calls were begun, in seconds.
    pub(crate) seconds: f64,
    /// Calls completed per second of that time.
    pub(crate) calls_per_second: f64,
    /// Of these, calls completed while others were due, per second after the time to settle.
    pub(crate) carried_per_second: f64,
    /// Messages received per second of that time.
    pub(crate) messages_per_second: f64,
    /// Failed calls of all that ended, 0 to 1.
    pub(crate) failed_share: f64,
    /// Everything counted.
    pub(crate) counts: Counts,
    /// Faults that the generator put in itself.
    pub(crate) injected: Option<Injected>,
    /// A message from its sender to the other side.
    pub(crate) message_latency: Percentiles,
    /// A request to its final response.
    pub(crate) transaction_latency: Percentiles,
    /// How late calls began.
    pub(crate) lateness: Percentiles,
    /// Datagrams that the kernel dropped because a receive buffer of ours was full.
    pub(crate) overflows: u64,
    /// Calls that could not begin because too many were open.
    pub(crate) crowded: u64,
    /// Share of its core that the generator used, 0 to 1.
    pub(crate) generator_busy: f64,
    /// What others took of the machine; a target on the same machine is one of them.
    pub(crate) disturbance: Disturbance,
    /// Set when the figure is one of the generator, not of the target.
    pub(crate) generator_limit: Option<String>,
}

impl LoadReport {
    /// Finds out whether the generator itself was too slow.
    pub(crate) fn judge_generator(&mut self) {
        let late = self.lateness.p99_us > LATENESS_MAX_US;
        self.generator_limit = if self.overflows > 0 {
            Some(format!("{} datagrams overflowed its receive buffers", self.overflows))
        } else if self.counts.not_taken > 0 {
            Some(format!("{} datagrams found no room to be sent", self.counts.not_taken))
        } else if self.crowded > 0 {
            Some(format!("{} calls found no free record (--calls-max)", self.crowded))
        } else if late {
            let late_ms = self.lateness.p99_us / 1e3;
            Some(format!("one call in a hundred began over {late_ms:.0} ms late"))
        } else {
            None
        };
    }

    /// Whether not one message was lost, late by a retransmission, or wrong.
    pub(crate) fn is_lossless(&self) -> bool {
        let counts = &self.counts;
        counts.failed == 0
            && counts.lost == 0
            && counts.retransmissions == 0
            && counts.wrong.total() == 0
            && counts.completed > 0
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let mut line = |name: &str, text: String| writeln!(f, "{name:<22} {text}");
        line("scenario", format!("{} over {}", self.scenario, self.wire))?;
        if let Some(users) = self.users {
            line("users", grouped(users))?;
        }
        line(
            "calls per second",
            format!(
                "{} completed, {} offered, for {:.1} s",
                grouped(self.calls_per_second),
                grouped(self.offered_calls_per_second),
                self.seconds
            ),
        )?;
        line("messages per second", grouped(self.messages_per_second))?;
        line(
            "calls",
            format!(
                "{} begun, {} completed, {} failed ({:.4} %), {} in progress",
                counts.calls,
                counts.completed,
                counts.failed,
                self.failed_share * 100.0,
                counts.in_progress
            ),
        )?;
        if counts.failed > 0 {
            line(
                "  of these",
                format!("{} timed out, refused {:?}", counts.timed_out, counts.refused),
            )?;
        }
        line(
            "messages",
            format!(
                "{} sent, {} received, {} lost, {} retransmitted",
                counts.sent, counts.received, counts.lost, counts.retransmissions
            ),
        )?;
        line(
            "order",
            format!(
                "{} duplicates, {} reordered, {} late",
                counts.duplicates, counts.reordered, counts.late
            ),
        )?;
        line("wrong", format!("{} {}", counts.wrong.total(), counts.wrong))?;
        if let Some(injected) = &self.injected {
            line(
                "injected",
                format!(
                    "{} lost, {} duplicated, {} held back (seen only where a call's next message overtakes)",
                    injected.lost, injected.duplicated, injected.reordered
                ),
            )?;
        }
        line("message latency", self.message_latency.to_string())?;
        line("transaction latency", self.transaction_latency.to_string())?;
        line("calls began late by", self.lateness.to_string())?;
        line("generator", format!("{:.0} % of its core", self.generator_busy * 100.0))?;
        if let Some(reason) = &self.disturbance.reason {
            line("DISTURBED", format!("{reason} (a target on this machine counts as other)"))?;
        }
        if let Some(limit) = &self.generator_limit {
            line("NOT THE TARGET'S LIMIT", format!("the generator was too slow: {limit}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us, max {:.1} us",
            self.p50_us, self.p99_us, self.p999_us, self.max_us
        )
    }
}

/// A rate as a whole number with separators.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are positive")]
pub(crate) fn grouped(rate: f64) -> String {
    control::status_report::grouped(rate.round() as u64)
}
