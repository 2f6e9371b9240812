//! What was found, as text, JSON and a chart.

use super::offer::Flood;
use super::series::Figures;
use super::{Arguments, Work};
use crate::load::grouped;
use anyhow::Result;
use plot::{Chart, Series, lines};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Overloaded {
    pub(crate) work: Work,
    /// Length of each run, by the worker's time.
    pub(crate) seconds: f64,
    pub(crate) target_ms: u32,
    pub(crate) interval_ms: u32,
    pub(crate) capacity_calls_per_second: f64,
    pub(crate) points: Vec<Point>,
    pub(crate) floods: Vec<FloodPoint>,
    /// Why the figures are not to be trusted.
    #[serde(flatten)]
    pub(crate) disturbance: Option<crate::disturbance::Disturbance>,
}

/// One run with more calls than can be carried. Counts are those of `seconds`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    /// Whether new work was refused.
    pub(crate) sheds: bool,
    /// What was offered, as a multiple of the capacity.
    pub(crate) factor: f64,
    pub(crate) offered_calls_per_second: f64,
    /// With those that were sent again.
    pub(crate) invites_per_second: f64,
    /// Calls that were set up in time, per second.
    pub(crate) goodput_calls_per_second: f64,
    pub(crate) goodput_of_capacity: f64,
    /// Calls set up later.
    pub(crate) late: u64,
    /// Calls refused by a response.
    pub(crate) refused: u64,
    /// INVITEs dropped in silence.
    pub(crate) silent: u64,
    /// Calls of the whole run that were up and did not end properly.
    pub(crate) broken: u64,
    /// INVITEs for which the ring had no room.
    pub(crate) lost_invites: u64,
    /// Other messages for which the ring had no room.
    pub(crate) lost_begun: u64,
    /// Frames in the ring, mean over rounds.
    pub(crate) waiting: f64,
    /// Share of the time that the worker was busy.
    pub(crate) busy: f64,
    /// Share of the rounds that were disturbed, for which a typical time counted.
    pub(crate) guessed: f64,
}

/// Honest calls beside a flood from one address.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FloodPoint {
    /// What the flood was made of.
    pub(crate) flood: &'static str,
    /// Whether `[overload.sources]` bounded it.
    pub(crate) limits: bool,
    pub(crate) flood_messages_per_second: f64,
    pub(crate) honest_calls_per_second: f64,
    /// Share of the honest calls that were set up in time.
    pub(crate) honest_goodput: f64,
    /// Honest calls of the whole run that were up and did not end properly.
    pub(crate) broken: u64,
    /// Messages of honest calls for which the ring had no room.
    pub(crate) lost_honest: u64,
    /// Messages of the flood for which it had none.
    pub(crate) lost_flood: u64,
    /// Share of the time that the worker was busy.
    pub(crate) busy: f64,
}

impl Overloaded {
    /// Nothing but the capacity yet.
    pub(super) fn new(arguments: &Arguments, capacity: f64) -> Self {
        Self {
            work: arguments.work,
            seconds: arguments.seconds,
            target_ms: arguments.target_ms,
            interval_ms: arguments.interval_ms,
            capacity_calls_per_second: capacity,
            points: Vec::new(),
            floods: Vec::new(),
            disturbance: None,
        }
    }
}

impl Point {
    #[expect(clippy::cast_precision_loss, reason = "figures")]
    pub(super) fn new(sheds: bool, factor: f64, capacity: f64, figures: &Figures) -> Self {
        let per_second = |count: u64| count as f64 / figures.seconds;
        let goodput = per_second(figures.counts.set_up);
        Self {
            sheds,
            factor,
            offered_calls_per_second: per_second(figures.counts.offered),
            invites_per_second: per_second(figures.counts.invites),
            goodput_calls_per_second: goodput,
            goodput_of_capacity: goodput / capacity,
            late: figures.counts.late,
            refused: figures.counts.refused,
            silent: figures.unanswered,
            broken: figures.broken,
            lost_invites: figures.lost_invites,
            lost_begun: figures.lost_begun,
            waiting: figures.waiting,
            busy: figures.busy,
            guessed: figures.guessed,
        }
    }
}

impl FloodPoint {
    #[expect(clippy::cast_precision_loss, reason = "figures")]
    pub(super) fn new(
        kind: Flood,
        limits: bool,
        flood_messages_per_second: f64,
        honest_calls_per_second: f64,
        figures: &Figures,
    ) -> Self {
        Self {
            flood: match kind {
                Flood::Garbage => "garbage",
                Flood::Invites => "INVITE",
            },
            limits,
            flood_messages_per_second,
            honest_calls_per_second,
            honest_goodput: figures.counts.set_up as f64 / figures.counts.offered.max(1) as f64,
            broken: figures.broken,
            lost_honest: figures.lost_in_ring(),
            lost_flood: figures.lost_flood,
            busy: figures.busy,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<9} {:>10} {:>11} {:>8.1} {:>9} {:>9} {:>9} {:>7} {:>10} {:>9} {:>6.0} {:>6.1}",
            if self.sheds { "shedding" } else { "without" },
            format!("{}x", self.factor),
            grouped(self.goodput_calls_per_second),
            self.goodput_of_capacity * 100.0,
            self.late,
            self.refused,
            self.silent,
            self.broken,
            self.lost_invites,
            self.lost_begun,
            self.waiting,
            self.busy * 100.0,
        )
    }
}

impl fmt::Display for FloodPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<9} {:>10} {:>11} {:>8.2} {:>9} {:>11} {:>11} {:>6.1}",
            self.flood,
            if self.limits { "limits" } else { "without" },
            grouped(self.flood_messages_per_second),
            self.honest_goodput * 100.0,
            self.broken,
            self.lost_honest,
            self.lost_flood,
            self.busy * 100.0,
        )
    }
}

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: capacity {} calls/s; target {} ms, interval {} ms; {} s for each line\n",
            self.work,
            grouped(self.capacity_calls_per_second),
            self.target_ms,
            self.interval_ms,
            self.seconds,
        )?;
        writeln!(
            f,
            "{:<9} {:>10} {:>11} {:>8} {:>9} {:>9} {:>9} {:>7} {:>10} {:>9} {:>6} {:>6}",
            "",
            "offered",
            "calls/s",
            "%",
            "late",
            "refused",
            "silent",
            "broken",
            "INVITE",
            "others",
            "ring",
            "busy %"
        )?;
        for point in &self.points {
            writeln!(f, "{point}")?;
        }
        writeln!(
            f,
            "\n{:<9} {:>10} {:>11} {:>8} {:>9} {:>11} {:>11} {:>6}",
            "flood", "", "messages/s", "honest %", "broken", "lost honest", "lost flood", "busy %"
        )?;
        for point in &self.floods {
            writeln!(f, "{point}")?;
        }
        match self.disturbance.as_ref().and_then(|it| it.reason.as_ref()) {
            Some(reason) => writeln!(f, "DISTURBED: {reason}"),
            None => Ok(()),
        }
    }
}

/// Goodput against what was offered.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn plot(result: &Overloaded, stem: &Path) -> Result<()> {
    let series = |sheds: bool, name: &str| {
        let points = result.points.iter().filter(|point| point.sheds == sheds);
        Series::new(name, points.map(|p| (p.factor, p.goodput_of_capacity)).collect())
    };
    let most = result.points.iter().map(|point| point.factor).fold(1.0, f64::max);
    let ideal = Series { dashed: true, ..Series::new("capacity", vec![(1.0, 1.0), (most, 1.0)]) };
    let capacity = grouped(result.capacity_calls_per_second);
    let chart = Chart {
        title: "Goodput under overload".into(),
        subtitle: format!(
            "trunkline-bench overload --work {}\n{capacity} calls/s on one core",
            result.work
        ),
        x_label: "offered, of capacity".into(),
        y_label: "goodput, of capacity".into(),
        x_log: true,
        y_log: false,
    };
    let all = [series(true, "with shedding"), series(false, "without"), ideal];
    lines(stem, &chart, &all)
}
