//! What was found, as text, JSON and a chart.

use crate::load::{LoadReport, grouped};
use crate::system::Work;
use anyhow::Result;
use plot::{Chart, Series, lines};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Overloaded {
    pub(crate) version: String,
    pub(crate) work: Work,
    /// Milliseconds of which the worker ran for one.
    pub(crate) period_ms: u32,
    /// Length of each run.
    pub(crate) seconds: u32,
    /// Calls per second that it carried.
    pub(crate) capacity_calls_per_second: f64,
    pub(crate) points: Vec<Point>,
    pub(crate) flood: Option<Flooded>,
}

/// One run.
#[derive(Debug, Serialize)]
pub(crate) struct Point {
    /// Whether new work was refused.
    pub(crate) sheds: bool,
    /// What was offered, as a multiple of the capacity.
    pub(crate) factor: f64,
    pub(crate) offered_calls_per_second: f64,
    pub(crate) goodput_calls_per_second: f64,
    pub(crate) goodput_of_capacity: f64,
    /// Calls answered with 503.
    pub(crate) refused: u64,
    /// Calls without an answer.
    pub(crate) silent: u64,
    /// Calls that were up and did not end properly.
    pub(crate) broken: u64,
    /// Why the run says more about the generator than about the appliance.
    pub(crate) generator_limit: Option<String>,
}

/// Honest calls beside a flood from one address.
#[derive(Debug, Serialize)]
pub(crate) struct Flooded {
    pub(crate) honest_calls_per_second: f64,
    pub(crate) flood_messages_per_second: f64,
    /// Share of the honest calls that completed, without limits for sources.
    pub(crate) completed_share_without_limits: f64,
    /// The same with limits.
    pub(crate) completed_share_with_limits: f64,
}

impl Point {
    pub(crate) fn new(sheds: bool, factor: f64, capacity: f64, report: &LoadReport) -> Self {
        let counts = &report.counts;
        // Calls that went on when the run ended have done nothing wrong.
        #[expect(clippy::cast_precision_loss, reason = "a figure")]
        let goodput = (counts.completed + counts.in_progress) as f64 / report.seconds;
        Self {
            sheds,
            factor,
            offered_calls_per_second: report.offered_calls_per_second,
            goodput_calls_per_second: goodput,
            goodput_of_capacity: goodput / capacity,
            refused: counts.refused.get(&503).copied().unwrap_or(0),
            silent: counts.timed_out.saturating_sub(counts.failed_up),
            broken: counts.failed_up,
            generator_limit: report.generator_limit.clone(),
        }
    }
}

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity = grouped(self.capacity_calls_per_second);
        writeln!(
            f,
            "{}, {}; its worker runs for 1 of {} ms",
            self.version, self.work, self.period_ms
        )?;
        writeln!(f, "capacity {capacity} calls/s; {} s for each line\n", self.seconds)?;
        writeln!(
            f,
            "{:<10} {:>16} {:>18} {:>10} {:>10} {:>8}",
            "", "offered", "goodput", "refused", "silent", "broken"
        )?;
        for point in &self.points {
            let offered = grouped(point.offered_calls_per_second);
            let goodput = grouped(point.goodput_calls_per_second);
            writeln!(
                f,
                "{:<10} {:>16} {:>18} {:>10} {:>10} {:>8}{}",
                if point.sheds { "shedding" } else { "without" },
                format!("{offered} ({}x)", point.factor),
                format!("{goodput} ({:.1} %)", point.goodput_of_capacity * 100.0),
                point.refused,
                point.silent,
                point.broken,
                point
                    .generator_limit
                    .as_ref()
                    .map_or_else(String::new, |limit| format!("  generator: {limit}")),
            )?;
        }
        let Some(flood) = &self.flood else { return Ok(()) };
        writeln!(
            f,
            "\nhonest calls ({}/s) beside a flood of {} messages/s from one address: {:.1} % complete without limits, {:.1} % with",
            grouped(flood.honest_calls_per_second),
            grouped(flood.flood_messages_per_second),
            flood.completed_share_without_limits * 100.0,
            flood.completed_share_with_limits * 100.0,
        )
    }
}

/// Goodput against what was offered.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn plot(result: &Overloaded, stem: &Path) -> Result<()> {
    let series = |sheds: bool, name: &str| {
        let points = result.points.iter().filter(|point| point.sheds == sheds);
        Series::new(name, points.map(|p| (p.factor, p.goodput_of_capacity)).collect())
    };
    let most = result.points.iter().map(|point| point.factor).fold(1.0, f64::max);
    let ideal = Series { dashed: true, ..Series::new("capacity", vec![(1.0, 1.0), (most, 1.0)]) };
    let chart = Chart {
        title: "Goodput under overload".into(),
        subtitle: format!(
            "trunkline-bench overload --work {} --period-ms {}\n{}, {} calls/s",
            result.work,
            result.period_ms,
            result.version,
            grouped(result.capacity_calls_per_second)
        ),
        x_label: "offered, of capacity".into(),
        y_label: "goodput, of capacity".into(),
        x_log: true,
        y_log: false,
    };
    let all = [series(true, "with shedding"), series(false, "without"), ideal];
    let drawn: Vec<_> = all.into_iter().filter(|one| !one.points.is_empty()).collect();
    lines(stem, &chart, &drawn)
}
