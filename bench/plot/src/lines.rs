//! Lines with points: a rate against a latency, a loss, a number of cores.

use super::{Area, Chart, Draw, axes, axis::Axis, colour, frame, legend_text, plain, write};
use anyhow::Result;
use plotters::prelude::*;
use std::path::Path;

/// Points of one name, joined in their order.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Horizontal and vertical value.
    pub points: Vec<(f64, f64)>,
    /// Draws the points hollow, for what is not to be trusted as the others are.
    pub marked: bool,
    /// Draws a dashed line without points, for limits.
    pub dashed: bool,
}

impl Series {
    /// Ordinary points.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, ..Self::default() }
    }
}

/// Writes one line for each series to `file`, or, unless its name ends in `.svg` or `.png`, to both files with these endings.
///
/// # Errors
/// When there is no point to draw, the font is missing or a file cannot be written.
pub fn lines(file: &Path, chart: &Chart, series: &[Series]) -> Result<()> {
    let shown =
        |point: &(f64, f64)| Axis::shows(chart.x_log, point.0) && Axis::shows(chart.y_log, point.1);
    let mut series = series.to_vec();
    for one in &mut series {
        one.points.retain(shown);
    }
    let points = || series.iter().flat_map(|one| &one.points);
    let x = Axis::over(points().map(|point| point.0), chart.x_log, true)?;
    let y = Axis::over(points().map(|point| point.1), chart.y_log, false)?;
    write(file, &Lines { chart, series: &series, x, y })
}

struct Lines<'a> {
    chart: &'a Chart,
    series: &'a [Series],
    x: Axis,
    y: Axis,
}

impl Draw for Lines<'_> {
    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Result<()> {
        let (data, legend) = frame(area, self.chart)?;
        let mut context = axes(&data, self.chart, [&self.x, &self.y], true)?;
        for (index, one) in self.series.iter().enumerate() {
            let (colour, points) = (colour(index), one.points.iter().copied());
            if one.dashed {
                let style = colour.stroke_width(2);
                context.draw_series(DashedLineSeries::new(points, 7, 5, style)).map_err(plain)?;
                continue;
            }
            let line = LineSeries::new(points.clone(), colour.stroke_width(2));
            context.draw_series(line).map_err(plain)?;
            // Under a hollow point its line must not show.
            let inner = if one.marked { WHITE.filled() } else { colour.filled() };
            let dots = points.clone().map(|point| Circle::new(point, 4, inner));
            context.draw_series(dots).map_err(plain)?;
            let rings = points.map(|point| Circle::new(point, 4, colour.stroke_width(2)));
            context.draw_series(rings).map_err(plain)?;
        }
        self.draw_legend(&legend)
    }
}

impl Lines<'_> {
    fn draw_legend<DB: DrawingBackend>(&self, legend: &Area<DB>) -> Result<()> {
        for ((line, index), one) in (0..).zip(0..).zip(self.series) {
            let middle = legend_text(legend, line, &one.name)?;
            let style = colour(index).stroke_width(2);
            let stroke = |from, to| {
                legend.draw(&PathElement::new([(from, middle), (to, middle)], style)).map_err(plain)
            };
            if one.dashed {
                stroke(4, 11)?;
                stroke(17, 24)?;
                continue;
            }
            stroke(4, 24)?;
            let inner = if one.marked { WHITE.filled() } else { style.filled() };
            legend.draw(&Circle::new((14, middle), 4, inner)).map_err(plain)?;
            legend.draw(&Circle::new((14, middle), 4, style)).map_err(plain)?;
        }
        Ok(())
    }
}
