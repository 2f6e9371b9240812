//! Charts as SVG for the reader and PNG for tools that know nothing else; both show the same.
#![forbid(unsafe_code)]

mod axis;
mod bars;
mod columns;
mod font;
mod lines;

pub use bars::{Bar, stacked_bars};
pub use columns::{Columns, columns};
pub use lines::{Series, lines};

use anyhow::{Context, Result, anyhow};
use axis::Axis;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Width and height of every chart in pixels.
const SIZE: (u32, u32) = (1000, 600);
/// Pixels on the right that belong to the legend.
const LEGEND_WIDTH: u32 = 225;
/// Pixels from one line of the legend to the next.
const LEGEND_LINE: i32 = 22;
/// Colours that people with any colour vision tell apart (Okabe and Ito, "Color Universal Design", 2008), the weakest last;
/// grey stands for their black, which the axes have. Two more differ from the others by their darkness.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(127, 127, 127),
    RGBColor(68, 40, 110),
    RGBColor(110, 58, 20),
    RGBColor(240, 228, 66),
];
const GRID: RGBColor = RGBColor(226, 226, 226);
const FAINT: RGBColor = RGBColor(90, 90, 90);

/// What stands around the data.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// What the chart shows.
    pub title: String,
    /// The command and the machine, so that a chart that travels alone can be checked; lines are split at `\n`.
    pub subtitle: String,
    /// What the horizontal axis counts, with its unit.
    pub x_label: String,
    /// What the vertical axis counts, with its unit. Bars have none.
    pub y_label: String,
    /// Logarithmic horizontal axis; points at zero or below are left out.
    pub x_log: bool,
    /// Logarithmic vertical axis; points at zero or below are left out.
    pub y_log: bool,
}

/// A chart that can be drawn on any of the two backends.
trait Draw {
    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Result<()>;
}

type Area<DB> = DrawingArea<DB, Shift>;

/// Writes the one file whose name ends in `.svg` or `.png`, and else both with these endings.
fn write(file: &Path, drawing: &impl Draw) -> Result<()> {
    font::register()?;
    let path = |extension: &str| {
        // Not `with_extension`, which would cut a stem such as "rate-0.5".
        let mut path = file.as_os_str().to_owned();
        path.push(extension);
        PathBuf::from(path)
    };
    match file.extension().and_then(OsStr::to_str) {
        Some("svg") => svg(file, drawing),
        Some("png") => png(file, drawing),
        _ => svg(&path(".svg"), drawing).and_then(|()| png(&path(".png"), drawing)),
    }
}

fn svg(path: &Path, drawing: &impl Draw) -> Result<()> {
    finish(&SVGBackend::new(path, SIZE).into_drawing_area(), drawing)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn png(path: &Path, drawing: &impl Draw) -> Result<()> {
    finish(&BitMapBackend::new(path, SIZE).into_drawing_area(), drawing)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn finish<DB: DrawingBackend>(area: &Area<DB>, drawing: &impl Draw) -> Result<()> {
    area.fill(&WHITE).map_err(plain)?;
    drawing.draw(area)?;
    area.present().map_err(plain)
}

/// plotters' errors borrow from the backend; their text is enough.
fn plain(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}

/// Draws title and subtitle (sizes of text are even everywhere: the PNG's renderer sets the full stops of odd ones too high), and gives the areas of the data and of the legend.
fn frame<DB: DrawingBackend>(area: &Area<DB>, chart: &Chart) -> Result<(Area<DB>, Area<DB>)> {
    let text = |size, colour: &RGBColor| ("sans-serif", size).into_font().color(colour);
    area.draw_text(&chart.title, &text(24, &BLACK), (16, 14)).map_err(plain)?;
    let mut top = 44;
    for line in chart.subtitle.lines() {
        area.draw_text(line, &text(14, &FAINT), (16, top)).map_err(plain)?;
        top += 18;
    }
    let (_, below) = area.split_vertically(top);
    let width = i32::try_from(SIZE.0 - LEGEND_WIDTH)?;
    Ok(below.split_horizontally(width))
}

/// Makes the room for the data, with its axes and labels; across it go horizontal lines, and vertical ones where `is_crossed`.
fn axes<'a, DB: DrawingBackend + 'a>(
    data: &'a Area<DB>,
    chart: &Chart,
    [x, y]: [&Axis; 2],
    is_crossed: bool,
) -> Result<ChartContext<'a, DB, Cartesian2d<Axis, Axis>>> {
    let mut context = ChartBuilder::on(data)
        .margin(14)
        .margin_right(20)
        .x_label_area_size(46)
        .y_label_area_size(72)
        .build_cartesian_2d(x.clone(), y.clone())
        .map_err(plain)?;
    let mut mesh = context.configure_mesh();
    if !is_crossed {
        mesh.disable_x_mesh();
    }
    mesh.x_desc(&chart.x_label)
        .y_desc(&chart.y_label)
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 16))
        .axis_style(FAINT)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(plain)?;
    Ok(context)
}

/// Draws one line of the legend; the caller draws its key at the left of the text.
fn legend_text<DB: DrawingBackend>(area: &Area<DB>, line: i32, text: &str) -> Result<i32> {
    let middle = 24 + line * LEGEND_LINE;
    let style = ("sans-serif", 14).into_font().color(&BLACK);
    let style = style.pos(Pos::new(HPos::Left, VPos::Center));
    area.draw_text(text, &style, (34, middle)).map_err(plain)?;
    Ok(middle)
}

/// The `index`-th colour, over and over.
fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        Chart {
            title: "Rate & latency <test>".to_owned(),
            subtitle: "trunkline-bench test".to_owned(),
            x_label: "messages/s".to_owned(),
            y_label: "microseconds".to_owned(),
            x_log: true,
            y_log: false,
        }
    }

    fn assert_written(folder: &Path, stem: &str) {
        let read = |name: String| std::fs::read(folder.join(name)).expect("written");
        let svg = String::from_utf8(read(format!("{stem}.svg"))).expect("text");
        assert!(svg.starts_with("<svg") && svg.contains("&lt;test&gt;"), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(read(format!("{stem}.png")).starts_with(b"\x89PNG\r\n\x1a\n"));
    }

    #[test]
    fn both_files_are_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let series = [
            Series::new("ours", vec![(1.0, 10.0), (10.0, 12.0), (1e6, 90.0)]),
            Series { marked: true, ..Series::new("peer", vec![(1.0, 30.0), (0.0, 1.0)]) },
            Series { dashed: true, ..Series::new("limit", vec![(1.0, 80.0), (1e6, 80.0)]) },
        ];
        lines(&folder.path().join("rate-0.5"), &chart(), &series).expect("drawn");
        assert_written(folder.path(), "rate-0.5");
        let parts = |first| vec![("parse".to_owned(), first), ("route".to_owned(), 92.0)];
        let bars = [("ours".to_owned(), parts(112.0)), ("peer".to_owned(), parts(300.0))];
        stacked_bars(&folder.path().join("stages"), &chart(), &bars).expect("drawn");
        assert_written(folder.path(), "stages");
        let queues = Columns { name: "before".to_owned(), values: vec![0.5, 1.5] };
        let limits = [("best possible".to_owned(), 1.0)];
        columns(&folder.path().join("queues"), &chart(), &[queues], &limits).expect("drawn");
        assert_written(folder.path(), "queues");
    }

    #[test]
    fn a_name_with_an_ending_is_one_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let queues = [Columns { name: "before".to_owned(), values: vec![0.5, 1.5] }];
        for name in ["queues.svg", "queues.png"] {
            columns(&folder.path().join(name), &chart(), &queues, &[]).expect("drawn");
            assert!(folder.path().join(name).exists());
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = [Series::new("none", vec![(0.0, 1.0), (f64::NAN, 1.0)])];
        for series in [&below[..], &[]] {
            let error = lines(&folder.path().join("none"), &chart(), series).expect_err("no point");
            assert!(format!("{error:#}").contains("no point"), "{error:#}");
        }
        assert!(stacked_bars(&folder.path().join("none"), &chart(), &[]).is_err());
        assert!(columns(&folder.path().join("none"), &chart(), &[], &[]).is_err());
    }
}
