//! How long things take, free of coordinated omission: times run from when a message was due, not from
//! when a busy generator came to send it.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest time told apart, in nanoseconds.
const TIME_MAX: u64 = 100_000_000_000;

/// Histograms of nanoseconds, to three significant digits.
#[derive(Debug)]
pub(crate) struct Latency {
    /// Message due at its sender to its arrival at the other side.
    messages: Histogram<u64>,
    /// Request due to its final response.
    transactions: Histogram<u64>,
    /// Call due to its first message handed over: how late the generator is.
    schedule: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        let empty = || {
            Histogram::new_with_bounds(1, TIME_MAX, 3)
                .expect("three digits up to 100 s are possible")
        };
        Self { messages: empty(), transactions: empty(), schedule: empty() }
    }
}

impl Latency {
    /// Notes one message.
    pub(crate) fn message(&mut self, nanoseconds: u64) {
        self.messages.saturating_record(nanoseconds);
    }

    /// Notes one transaction.
    pub(crate) fn transaction(&mut self, nanoseconds: u64) {
        self.transactions.saturating_record(nanoseconds);
    }

    /// Notes how late a call began.
    pub(crate) fn schedule(&mut self, nanoseconds: u64) {
        self.schedule.saturating_record(nanoseconds);
    }

    /// The figures of the report: messages, transactions, lateness.
    pub(crate) fn summaries(&self) -> [Percentiles; 3] {
        [&self.messages, &self.transactions, &self.schedule].map(Percentiles::of)
    }
}

/// Points of a distribution, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    /// How many were measured.
    pub(crate) count: u64,
    /// Median.
    pub(crate) p50_us: f64,
    /// 99 of 100 are not above.
    pub(crate) p99_us: f64,
    /// 999 of 1,000 are not above.
    pub(crate) p999_us: f64,
    /// The largest.
    pub(crate) max_us: f64,
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "below 100 s")]
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            count: histogram.len(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
        }
    }
}
