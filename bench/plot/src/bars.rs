//! Stacked bars that lie on their side, so that their names can be read: what a whole is made of.

use super::{Area, Chart, Draw, axis, axis::Axis, colour, frame, legend_text, plain, write};
use super::{FAINT, GRID};
use anyhow::{Result, ensure};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// A bar's name, and its parts from left to right, each with a value of at least 0.
pub type Bar = (String, Vec<(String, f64)>);

/// A part narrower than this many pixels has no room for its value.
const ROOM_FOR_A_VALUE: i32 = 30;
/// Pixels for the names of the bars.
const NAMES: i32 = 150;
/// Pixels below the bars, for the axis.
const AXIS: i32 = 56;
/// Pixels above the bars.
const ABOVE: i32 = 14;
/// No bar is thicker.
const THICKEST: i32 = 70;

/// Writes one bar below the other to `file`, or, unless its name ends in `.svg` or `.png`, to both files with these endings. `x_log` and `y_label` of the chart mean nothing here.
///
/// # Errors
/// When there is no bar to draw, the font is missing or a file cannot be written.
pub fn stacked_bars(file: &Path, chart: &Chart, bars: &[Bar]) -> Result<()> {
    ensure!(!bars.is_empty(), "there is no bar to draw");
    let total = |bar: &Bar| bar.1.iter().map(|part| part.1).sum::<f64>();
    let x = Axis::over(bars.iter().map(total).chain([0.0]), false, false)?;
    let mut parts: Vec<&str> = vec![];
    for (name, _) in bars.iter().flat_map(|bar| &bar.1) {
        if !parts.contains(&name.as_str()) {
            parts.push(name);
        }
    }
    write(file, &Bars { chart, all: bars, x, parts })
}

struct Bars<'a> {
    chart: &'a Chart,
    all: &'a [Bar],
    x: Axis,
    /// Names of the parts in the order of their colours.
    parts: Vec<&'a str>,
}

impl Draw for Bars<'_> {
    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Result<()> {
        let (data, legend) = frame(area, self.chart)?;
        let (width, height) = data.dim_in_pixel();
        let (right, bottom) = (i32::try_from(width)? - 60, i32::try_from(height)? - AXIS);
        self.draw_axis(&data, right, bottom)?;
        let room = (bottom - ABOVE) / i32::try_from(self.all.len())?;
        let half = (room * 3 / 8).clamp(1, THICKEST / 2);
        for (middle, bar) in (0..).map(|bar| ABOVE + room / 2 + bar * room).zip(self.all) {
            self.draw_bar(&data, right, (middle - half, middle + half), bar)?;
        }
        for ((line, index), name) in (0..).zip(0..).zip(&self.parts) {
            let middle = legend_text(&legend, line, name)?;
            let corners = [(8, middle - 7), (24, middle + 7)];
            legend.draw(&Rectangle::new(corners, colour(index).filled())).map_err(plain)?;
        }
        Ok(())
    }
}

impl Bars<'_> {
    fn draw_axis<DB: DrawingBackend>(
        &self,
        data: &DrawingArea<DB, Shift>,
        right: i32,
        bottom: i32,
    ) -> Result<()> {
        let centred = text(14, BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        for tick in self.x.key_points(0) {
            let place = self.x.map(&tick, (NAMES, right));
            let line = [(place, ABOVE), (place, bottom)];
            data.draw(&PathElement::new(line, GRID)).map_err(plain)?;
            data.draw_text(&axis::short(tick), &centred, (place, bottom + 8)).map_err(plain)?;
        }
        let line = [(NAMES, ABOVE), (NAMES, bottom)];
        data.draw(&PathElement::new(line, FAINT)).map_err(plain)?;
        let label = text(16, BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        data.draw_text(&self.chart.x_label, &label, (NAMES.midpoint(right), bottom + 30))
            .map_err(plain)
    }

    fn draw_bar<DB: DrawingBackend>(
        &self,
        data: &DrawingArea<DB, Shift>,
        right: i32,
        (top, bottom): (i32, i32),
        (name, parts): &Bar,
    ) -> Result<()> {
        let middle = top.midpoint(bottom);
        let beside = text(14, BLACK).pos(Pos::new(HPos::Right, VPos::Center));
        data.draw_text(name, &beside, (NAMES - 10, middle)).map_err(plain)?;
        let mut sum = 0.0;
        for (part, value) in parts {
            let from = self.x.map(&sum, (NAMES, right));
            sum += value;
            let to = self.x.map(&sum, (NAMES, right));
            let colour = colour(self.parts.iter().position(|name| name == part).unwrap_or(0));
            let whole = Rectangle::new([(from, top), (to, bottom)], colour.filled());
            data.draw(&whole).map_err(plain)?;
            let edge = [(to, top), (to, bottom)];
            data.draw(&PathElement::new(edge, WHITE)).map_err(plain)?;
            if to - from >= ROOM_FOR_A_VALUE {
                let inside = text(14, readable_on(colour));
                let inside = inside.pos(Pos::new(HPos::Center, VPos::Center));
                let place = (from.midpoint(to), middle);
                data.draw_text(&axis::short(*value), &inside, place).map_err(plain)?;
            }
        }
        let after = text(16, BLACK).pos(Pos::new(HPos::Left, VPos::Center));
        let end = self.x.map(&sum, (NAMES, right)) + 6;
        data.draw_text(&axis::short(sum), &after, (end, middle)).map_err(plain)
    }
}

fn text(size: u32, colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour)
}

/// White on dark colours, black on light ones (ITU-R BT.601 luma).
fn readable_on(colour: RGBColor) -> RGBColor {
    let luma = 299 * u32::from(colour.0) + 587 * u32::from(colour.1) + 114 * u32::from(colour.2);
    if luma > 140_000 { BLACK } else { WHITE }
}
