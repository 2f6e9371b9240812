//! What became of registrations and calls.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Failures that are named; all of them are counted.
const NAMED: usize = 20;
/// Longest time that is told apart, in microseconds: no request waits for longer.
const LONGEST_US: u64 = 40_000_000;

/// Of one run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(super) last: Option<Instant>,
    /// From the first request to the end of the last operation.
    pub(crate) seconds: f64,
    pub(crate) registrations: Outcome,
    pub(crate) calls: Outcome,
    /// Messages that were sent again.
    pub(crate) retransmissions: u64,
}

/// Of operations of one kind.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Those that ended well.
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// Some of the failures.
    pub(crate) failures: Vec<String>,
    /// Until the final response to the REGISTER or INVITE, in microseconds.
    latency: Histogram<u32>,
}

/// An outcome as it is written.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OutcomeReport {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) failures: Vec<String>,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// Until the final response to the REGISTER or INVITE.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Default for Outcome {
    fn default() -> Self {
        let latency = Histogram::new_with_max(LONGEST_US, 3).expect("bounds of a histogram");
        Self { done: 0, failed: 0, failures: vec![], latency }
    }
}

impl Outcome {
    pub(super) fn answered_after(&mut self, time: Duration) {
        self.latency.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn ended(&mut self, failure: Option<String>) {
        match failure {
            None => self.done += 1,
            Some(failure) => {
                self.failed += 1;
                if self.failures.len() < NAMED {
                    self.failures.push(failure);
                }
            }
        }
    }

    /// What is written, when it took so long.
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    pub(crate) fn report(&self, seconds: f64) -> OutcomeReport {
        let ms = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1e3;
        OutcomeReport {
            done: self.done,
            failed: self.failed,
            failures: self.failures.clone(),
            seconds,
            per_second: if seconds > 0.0 { self.done as f64 / seconds } else { 0.0 },
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;
    use std::time::Duration;

    #[test]
    fn all_failures_are_counted_and_some_named() {
        let mut outcome = Outcome::default();
        (0..30).for_each(|number| outcome.ended(Some(format!("user{number}"))));
        (0..10).for_each(|_| outcome.ended(None));
        outcome.answered_after(Duration::from_millis(7));
        let report = outcome.report(2.0);
        assert_eq!((report.done, report.failed, report.failures.len()), (10, 30, 20));
        assert!((report.per_second - 5.0).abs() < 1e-9 && (report.p50_ms - 7.0).abs() < 0.01);
    }
}
