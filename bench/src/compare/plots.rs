//! The comparison as plots: rate against latency, rate against loss, cost per stage.

use super::{Comparison, Point};
use crate::system::Work;
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use plot::{Chart, Series, lines, stacked_bars};
use serde::Deserialize;
use std::path::Path;
use std::process::{Command, Stdio};

/// Loss drawn for a point without any, in percent: a logarithmic axis has no zero.
const NO_LOSS: f64 = 0.001;

/// Writes the plots of every work that has rows.
pub(super) fn write(comparison: &Comparison, directory: &Path) -> Result<()> {
    for work in Work::value_variants() {
        let latency = series(comparison, *work, |point| point.p99_us);
        let loss = series(comparison, *work, |point| (point.failed_share * 100.0).max(NO_LOSS));
        if latency.is_empty() {
            continue;
        }
        let chart = |title: &str, y_label: &str| Chart {
            title: format!("{work}: {title}"),
            subtitle: format!("{}\n{}", comparison.command, comparison.machine),
            x_label: "offered calls per second".into(),
            y_label: y_label.into(),
            x_log: true,
            y_log: true,
        };
        let stem = |name: &str| directory.join(format!("{work}-{name}"));
        let title = "99 of 100 messages are faster";
        lines(&stem("latency"), &chart(title, "p99 latency of a message, us"), &latency)?;
        let y_label = format!("failed calls, % (none is drawn at {NO_LOSS})");
        lines(&stem("loss"), &chart("calls that fail", &y_label), &loss)?;
    }
    Ok(())
}

/// A line for each system that did this work.
fn series(comparison: &Comparison, work: Work, y: impl Fn(&Point) -> f64) -> Vec<Series> {
    let rows = comparison.rows.iter().filter(|row| row.scenario == work);
    rows.map(|row| {
        let points = row.curve.iter().map(|p| (p.offered_calls_per_second, y(p))).collect();
        let mut series = Series::new(row.system.to_string(), points);
        series.marked = row.disturbed || row.curve.iter().any(|point| point.disturbed);
        series
    })
    .collect()
}

/// What is read of the pipeline's report.
#[derive(Deserialize)]
struct Pipeline {
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    stage: String,
    ns_per_message: f64,
}

/// Measures the pipeline on core 1 and draws what each stage costs.
pub(super) fn write_stages(comparison: &Comparison, directory: &Path) -> Result<()> {
    let bench = std::env::current_exe()?;
    let arguments = ["pipeline", "--seconds", "1", "--json", "-"];
    let output = Command::new(bench)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("the pipeline bench")?;
    ensure!(output.status.success(), "trunkline-bench {} failed", arguments.join(" "));
    std::fs::write(directory.join("pipeline.json"), &output.stdout)?;
    let pipeline: Pipeline = serde_json::from_slice(&output.stdout)?;
    let stages = pipeline.stages.into_iter().map(|stage| (stage.stage, stage.ns_per_message));
    let chart = Chart {
        title: "Cost of each stage of the pipeline".into(),
        subtitle: format!("trunkline-bench {}\n{}", arguments.join(" "), comparison.machine),
        x_label: "nanoseconds per message".into(),
        ..Chart::default()
    };
    stacked_bars(&directory.join("stages"), &chart, &[("stateless".into(), stages.collect())])
}
