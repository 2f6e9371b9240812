//! One axis, linear or logarithmic, with round ticks and short numbers.

use anyhow::{Result, ensure};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// Intervals that a linear axis aims at.
const INTERVALS: f64 = 6.0;
/// At most so many different values become the ticks of a logarithmic axis themselves.
const OWN_TICKS_MAX: usize = 9;

/// Of more groups than this only some get their number.
const GROUPS_NUMBERED: usize = 32;

/// How a number of the data becomes a pixel.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    log: bool,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// An axis that holds all `values`. A linear one starts at zero unless that would waste half of it.
    /// A logarithmic one has its ticks at the values if there are few, as with numbers of cores, and
    /// `own_ticks` wants it.
    ///
    /// # Errors
    /// When no value has a place on such an axis.
    pub(super) fn over(
        values: impl Iterator<Item = f64>,
        log: bool,
        own_ticks: bool,
    ) -> Result<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        ensure!(!values.is_empty(), "there is no point to draw");
        let (first, last) = (values[0], values[values.len() - 1]);
        if !log {
            return Ok(Self::linear(first, last));
        }
        let ticks = if own_ticks && (2..=OWN_TICKS_MAX).contains(&values.len()) {
            values
        } else {
            decades(first, last)
        };
        let (low, high) = (ticks[0].min(first), ticks[ticks.len() - 1].max(last));
        Ok(Self { log, low, high, ticks })
    }

    fn linear(first: f64, last: f64) -> Self {
        let wide = first < last / 2.0 || last <= first;
        let low = if first >= 0.0 && wide { 0.0 } else { first };
        let span = if last > low { last - low } else { last.abs().max(1.0) };
        let step = round_step(span / INTERVALS);
        let begin = (low / step).floor();
        let end = ((low + span) / step - 1e-9).ceil();
        let mut ticks = vec![];
        let mut tick = begin;
        while tick <= end {
            ticks.push(tick * step);
            tick += 1.0;
        }
        Self { log: false, low: begin * step, high: end * step, ticks }
    }

    /// Groups of columns, at 0, 1, 2 and so on; with many of them not each has a number.
    pub(super) fn of_groups(groups: usize) -> Self {
        let last = groups.saturating_sub(1);
        #[expect(clippy::cast_precision_loss, reason = "a number of groups")]
        let ticks = (0..=last).step_by(last / GROUPS_NUMBERED + 1).map(|group| group as f64);
        #[expect(clippy::cast_precision_loss, reason = "a number of groups")]
        let high = last as f64 + 0.5;
        Self { log: false, low: -0.5, high, ticks: ticks.collect() }
    }

    /// The least and the greatest value that it shows.
    pub(super) fn ends(&self) -> [f64; 2] {
        [self.low, self.high]
    }

    /// Whether the axis has a place for `value`.
    pub(super) fn shows(log: bool, value: f64) -> bool {
        value.is_finite() && (!log || value > 0.0)
    }
}

/// The next of 1, 2, 5, 10 ... above `rough`.
fn round_step(rough: f64) -> f64 {
    let decade = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    decade * steps.into_iter().find(|step| step * decade >= rough * 0.999).unwrap_or(10.0)
}

/// 1, 10, 100 ... around the two; with 2 and 5 between where they are near each other.
fn decades(first: f64, last: f64) -> Vec<f64> {
    let between: &[f64] = if last / first > 2e3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let mut ticks = vec![];
    let mut exponent = first.log10().floor();
    while exponent <= last.log10().ceil() {
        ticks.extend(between.iter().map(|factor| factor * 10_f64.powf(exponent)));
        exponent += 1.0;
    }
    let begin = ticks.iter().rposition(|tick| *tick <= first).unwrap_or(0);
    let end = ticks.iter().position(|tick| *tick >= last).unwrap_or(ticks.len() - 1);
    ticks[begin..=end.max((begin + 1).min(ticks.len() - 1))].to_vec()
}

/// The number with a factor of thousand as the field writes it: 250 k, 1.5 M.
pub(super) fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 0.999_5e9 => (value / 1e9, " G"),
        size if size >= 0.999_5e6 => (value / 1e6, " M"),
        size if size >= 999.5 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.999_5 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "a pixel")]
    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let place = |value: f64| if self.log { value.ln() } else { value };
        let (low, high) = (place(self.low), place(self.high));
        let share = if high > low { (place(*value) - low) / (high - low) } else { 0.5 };
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        short(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[f64], log: bool, own: bool) -> Vec<String> {
        let axis = Axis::over(values.iter().copied(), log, own).expect("values");
        axis.ticks.iter().map(|tick| short(*tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_the_data() {
        assert_eq!(
            ticks(&[2e5, 2.9e6], false, false),
            ["0", "500 k", "1 M", "1.5 M", "2 M", "2.5 M", "3 M"]
        );
        assert_eq!(ticks(&[99.9, 99.99], false, false).len(), 6);
        assert_eq!(ticks(&[7.0], false, false)[0], "0");
        assert_eq!(ticks(&[1.0, 2.0, 64.0], true, true), ["1", "2", "64"]);
        assert_eq!(
            ticks(&[3e5, 2e9], true, false),
            ["100 k", "1 M", "10 M", "100 M", "1 G", "10 G"]
        );
        assert_eq!(ticks(&[30.0, 110.0], true, false), ["20", "50", "100", "200"]);
        assert_eq!(ticks(&[100.0], true, true), ["100", "200"]);
    }

    #[test]
    fn numbers_are_short() {
        let cases = [(0.0, "0"), (0.25, "0.25"), (64.0, "64"), (999.7, "1 k"), (1_234.0, "1.23 k")];
        for (value, wanted) in cases {
            assert_eq!(short(value), wanted);
        }
        assert_eq!(short(44_600_000.0), "44.6 M");
        assert_eq!(short(-1.5e6), "-1.5 M");
    }

    #[test]
    fn equal_factors_take_equal_room_on_a_logarithmic_axis() {
        let axis = Axis::over([1.0, 100.0].into_iter(), true, true).expect("values");
        assert_eq!([1.0, 10.0, 100.0].map(|value| axis.map(&value, (0, 400))), [0, 200, 400]);
    }
}
