//! The queues before and after as a chart.

use super::{Report, over_mean};
use anyhow::Result;
use nic_config::rss::planner::Outcome;
use plot::{Chart, Columns, columns};
use std::path::Path;

/// Draws the load of each queue into an `.svg` or `.png` file.
///
/// # Errors
/// When the font is missing or the file cannot be written.
pub fn draw(file: &Path, report: &Report, source: &str) -> Result<()> {
    let plan = report.plan;
    let (queues, entries) = (plan.before.queue_loads.len(), plan.after.reta.entries().len());
    let of = |name: &str, outcome: &Outcome| Columns {
        name: format!("{name}: {:.3}", over_mean(outcome.max(), plan)),
        values: outcome.queue_loads.iter().map(|load| over_mean(*load, plan)).collect(),
    };
    let best = over_mean(plan.best_possible.lower, plan);
    let chart = Chart {
        title: "Load of each queue".to_owned(),
        subtitle: format!(
            "trunkline rss plan --queues {queues} on {source}: {} flows, {entries} entries, {} over {}\n\
             in the legend: the fullest queue",
            report.flows,
            report.in_force.function.name(),
            report.in_force.fields
        ),
        x_label: "queue".to_owned(),
        y_label: "load, the mean is 1".to_owned(),
        ..Chart::default()
    };
    let loads = [of("before", &plan.before), of("after", &plan.after)];
    columns(file, &chart, &loads, &[(format!("best possible: {best:.3}"), best)])
}
