//! Columns side by side in numbered groups, such as the queues of a port, and lines across all of them.

use super::{Area, Chart, Draw, axes, axis::Axis, colour, frame, legend_text, plain, write};
use anyhow::{Result, ensure};
use plotters::prelude::*;
use std::path::Path;

/// Part of a group's room that its columns take.
const FILLED: f64 = 0.8;

/// One column in each group.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Name in the legend.
    pub name: String,
    /// Heights, of group 0 first.
    pub values: Vec<f64>,
}

/// Writes columns, and a dashed line for each of `limits`, a name and a height. `x_log` and `y_log` of the chart mean nothing here. For `file` see [`super::lines`].
///
/// # Errors
/// When there is no column to draw, the font is missing or a file cannot be written.
pub fn columns(
    file: &Path,
    chart: &Chart,
    columns: &[Columns],
    limits: &[(String, f64)],
) -> Result<()> {
    let groups = columns.iter().map(|column| column.values.len()).max().unwrap_or(0);
    ensure!(groups > 0, "there is no column to draw");
    let values = columns.iter().flat_map(|column| column.values.iter().copied());
    let heights = values.chain(limits.iter().map(|limit| limit.1)).chain([0.0]);
    let y = Axis::over(heights, false, false)?;
    write(file, &Groups { chart, columns, limits, x: Axis::of_groups(groups), y })
}

struct Groups<'a> {
    chart: &'a Chart,
    columns: &'a [Columns],
    limits: &'a [(String, f64)],
    x: Axis,
    y: Axis,
}

impl Draw for Groups<'_> {
    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Result<()> {
        let (data, legend) = frame(area, self.chart)?;
        let mut context = axes(&data, self.chart, [&self.x, &self.y], false)?;
        let width = FILLED / f64::from(u32::try_from(self.columns.len())?);
        for ((index, left), column) in (0..).zip(steps(-FILLED / 2.0, width)).zip(self.columns) {
            let rectangles = steps(left, 1.0).zip(&column.values).map(|(left, value)| {
                let corners = [(left, 0.0), (left + width, *value)];
                Rectangle::new(corners, colour(index).filled())
            });
            context.draw_series(rectangles).map_err(plain)?;
        }
        let ends = self.x.ends();
        for (index, (_, height)) in (self.columns.len()..).zip(self.limits) {
            let line = ends.map(|end| (end, *height)).into_iter();
            let style = colour(index).stroke_width(2);
            context.draw_series(DashedLineSeries::new(line, 7, 5, style)).map_err(plain)?;
        }
        self.draw_legend(&legend)
    }
}

impl Groups<'_> {
    fn draw_legend<DB: DrawingBackend>(&self, legend: &Area<DB>) -> Result<()> {
        let columns = self.columns.iter().map(|column| (&column.name, false));
        let limits = self.limits.iter().map(|limit| (&limit.0, true));
        for ((line, index), (name, is_limit)) in (0..).zip(0..).zip(columns.chain(limits)) {
            let middle = legend_text(legend, line, name)?;
            if is_limit {
                for (from, to) in [(4, 11), (17, 24)] {
                    let ends = [(from, middle), (to, middle)];
                    let stroke = PathElement::new(ends, colour(index).stroke_width(2));
                    legend.draw(&stroke).map_err(plain)?;
                }
            } else {
                let corners = [(8, middle - 7), (24, middle + 7)];
                legend.draw(&Rectangle::new(corners, colour(index).filled())).map_err(plain)?;
            }
        }
        Ok(())
    }
}

/// `first`, and every `step` after it.
fn steps(first: f64, step: f64) -> impl Iterator<Item = f64> {
    (0_u32..).map(move |number| first + f64::from(number) * step)
}
