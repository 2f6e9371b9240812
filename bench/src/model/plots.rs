//! The model as charts: rate against cores, cost per stage, cost of a touch.

use super::memory::TouchCost;
use super::predict::{CORES, Costs, Work};
use super::report::ModelReport;
use anyhow::Result;
use plot::{Chart, Series, lines, stacked_bars};
use std::path::Path;

/// Writes `model-cores`, `model-stages` and `model-memory` into `folder`, each as SVG and PNG.
///
/// # Errors
/// When the font is missing or a file cannot be written.
pub(super) fn draw(folder: &Path, report: &ModelReport) -> Result<()> {
    cores(&folder.join("model-cores"), report)?;
    stages(&folder.join("model-stages"), report)?;
    memory(&folder.join("model-memory"), report)
}

fn chart(report: &ModelReport, title: &str, x_label: &str, y_label: &str) -> Chart {
    Chart {
        title: title.to_owned(),
        subtitle: format!("{}\n{}", report.command, report.machine),
        x_label: x_label.to_owned(),
        y_label: y_label.to_owned(),
        x_log: true,
        y_log: true,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a small number of cores")]
fn cores(stem: &Path, report: &ModelReport) -> Result<()> {
    let by_cores = |costs: &Costs, work, which: usize| {
        let rate = |cores| (f64::from(cores), costs.by_cores(work, cores)[which]);
        CORES.into_iter().map(rate).collect::<Vec<_>>()
    };
    let stateless = |which| by_cores(&report.costs, Work::default(), which);
    let stateful = |which| by_cores(&report.stateful_costs, report.stateful_work, which);
    let mut series = vec![
        Series::new("stateless, even cores", stateless(1)),
        Series::new("stateless, Amdahl", stateless(0)),
        Series::new("stateful, even cores", stateful(1)),
        Series::new("stateful, Amdahl", stateful(0)),
    ];
    let found = &report.measured;
    let measured = vec![
        (1.0, found.one_core_messages_per_second),
        (found.cores as f64, found.all_cores_messages_per_second),
    ];
    let name =
        if found.disturbance.disturbed { "measured, disturbed" } else { "measured, stateless" };
    series.push(Series { marked: found.disturbance.disturbed, ..Series::new(name, measured) });
    for line in &report.line_rates {
        let rate = line.line_messages_per_second;
        let ends = [CORES[0], CORES[CORES.len() - 1]].map(|cores| (f64::from(cores), rate));
        let name = format!("{} GbE is full", line.gigabits);
        series.push(Series { dashed: true, ..Series::new(name, ends.to_vec()) });
    }
    lines(stem, &chart(report, "Modelled messages per second", "cores", "messages/s"), &series)
}

fn stages(stem: &Path, report: &ModelReport) -> Result<()> {
    let stages = report.measured.stages.iter();
    let mut parts: Vec<_> =
        stages.map(|stage| (stage.stage.to_owned(), stage.ns_per_message)).collect();
    let stateless = ("stateless".to_owned(), parts.clone());
    let (work, costs) = (report.stateful_work, &report.stateful_costs);
    let without: f64 = parts.iter().map(|(_, ns)| ns).sum();
    parts.push(("transactions".to_owned(), (costs.message_ns - without).max(0.0)));
    parts.push((format!("{} hand-offs", work.handoffs), work.handoffs * costs.handoff_ns));
    parts.push((format!("{} touches", work.touches), work.touches * costs.touch_ns));
    let bars = [stateless, ("stateful, modelled".to_owned(), parts)];
    let title = "Cost per stage, measured apart from one another";
    stacked_bars(stem, &chart(report, title, "ns per message", ""), &bars)
}

#[expect(clippy::cast_precision_loss, reason = "a place on an axis")]
fn memory(stem: &Path, report: &ModelReport) -> Result<()> {
    let touches = &report.measured.memory.touches;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let line = |name: &str, ns: fn(&TouchCost) -> f64| {
        Series::new(name, touches.iter().map(|cost| (mib(cost.table_bytes), ns(cost))).collect())
    };
    let series = [
        line("4 KiB pages, dependent", |cost| cost.small_pages.dependent_ns),
        line("2 MiB pages, dependent", |cost| cost.huge_pages.dependent_ns),
        line("4 KiB pages, independent", |cost| cost.small_pages.independent_ns),
        line("2 MiB pages, independent", |cost| cost.huge_pages.independent_ns),
    ];
    let title = "One random cache line of a table";
    lines(stem, &chart(report, title, "MiB of the table", "ns"), &series)
}
