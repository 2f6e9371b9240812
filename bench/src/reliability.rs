//! `trunkline-bench reliability`: what nodes that fail make of two stages of them.
//!
//! The model is that of Singh and Schulzrinne, "Failover and load sharing in SIP telephony" (2005), section 4: users are served
//! as long as each stage has a node. To it comes what users wait while others take over from a node that failed, which is the
//! larger part once takeover is measured in seconds and repair in hours.

use crate::json;
use anyhow::{Context, Result, ensure};
use plot::{Chart, Series, lines};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How reliable one, two and three nodes in each of two stages are
///
/// A node is up for a share of the time, and repaired after a while. Users are served as long as each stage has a node that is up,
/// but for the time that the others need to take over from one that failed.
#[derive(clap::Args)]
#[command(after_help = "\
Columns:
  all down       share of the time in which a stage has no node
  taking over    share of the time in which a user waits for a takeover: failures per second of the two nodes that serve the
                 user, times the seconds until the user is reachable again; without a second node there is none
  availability   what is left, in percent
  a year         minutes of a year in which a user is not served

Examples:
  trunkline-bench reliability --takeover 3
  trunkline-bench reliability --faults target/bench/cluster.json --plot target/bench/reliability
  trunkline-bench reliability --node 99.9 --repair 600 --takeover 2.5 --json -")]
pub(crate) struct Arguments {
    /// Share of the time that a node is up, in percent, above 0 and below 100
    #[arg(long, default_value_t = 99.0, value_name = "PERCENT", value_parser = percent)]
    node: f64,
    /// Mean time to repair in seconds
    #[arg(long, default_value_t = 3600.0, value_name = "SECONDS", value_parser = seconds)]
    repair: f64,
    /// Seconds from a failure until the users of the node are reachable again
    #[arg(long, value_name = "SECONDS", value_parser = seconds, required_unless_present = "faults", conflicts_with = "faults")]
    takeover: Option<f64>,
    /// Take these seconds from the result of a fault campaign: its slowest
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Write the result as JSON to this file; - for standard output instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Draw unavailability against the time of a takeover; both SVG and PNG unless the name ends in one of them
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..100.0).contains(number) && *number > 0.0);
    number.ok_or_else(|| format!("{text:?} is not a number above 0 and below 100"))
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1e9).contains(number) && *number > 0.0);
    number.ok_or_else(|| format!("{text:?} is not a number of seconds above 0"))
}

/// Prints the table.
///
/// # Errors
/// A campaign's result that cannot be read, a file that cannot be written.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let takeover_seconds = match (&arguments.faults, arguments.takeover) {
        (Some(file), _) => slowest(file)?,
        (None, seconds) => seconds.unwrap_or_default(),
    };
    let node = Node { up: arguments.node / 100.0, repair_seconds: arguments.repair };
    let report = Report::new(node, takeover_seconds);
    match arguments.json.as_deref() {
        Some(path) => json::write(&report, path)?,
        None => report.print(&mut std::io::stdout())?,
    }
    arguments.plot.as_deref().map_or(Ok(()), |file| draw(file, &report))
}

/// The slowest takeover of a fault campaign.
fn slowest(file: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{}: `trunkline-bench cluster` writes it", file.display()))?;
    let found: serde_json::Value = serde_json::from_str(&text).context("it is no JSON")?;
    let seconds = found["slowest_reach_seconds"].as_f64();
    let seconds =
        seconds.with_context(|| format!("{} has no slowest_reach_seconds", file.display()))?;
    ensure!(seconds > 0.0, "{}: no takeover was measured", file.display());
    Ok(seconds)
}

/// A machine that fails and is repaired.
#[derive(Clone, Copy, Debug, Serialize)]
struct Node {
    /// Share of the time that it is up, 0 to 1.
    up: f64,
    /// Mean time to repair.
    repair_seconds: f64,
}

impl Node {
    fn down(self) -> f64 {
        1.0 - self.up
    }

    /// Failures per second: one in each cycle of being up and being repaired.
    fn failures_per_second(self) -> f64 {
        self.down() / self.repair_seconds
    }
}

/// What becomes of `n` nodes in the first stage and `m` in the second.
#[derive(Clone, Copy, Debug, Serialize)]
struct Topology {
    first: i32,
    second: i32,
    /// Share of the time in which a stage has no node.
    all_down: f64,
    /// Share of the time in which a user waits for a takeover.
    taking_over: f64,
    /// Share of the time in which a user is served.
    availability: f64,
}

impl Topology {
    fn new(first: i32, second: i32, node: Node, takeover_seconds: f64) -> Self {
        let has_node = |nodes| 1.0 - node.down().powi(nodes);
        let up = has_node(first) * has_node(second);
        // A stage of one has nobody who takes over: its failure is in `all_down`, with the repair.
        let stages = f64::from(i32::from(first > 1) + i32::from(second > 1));
        let taking_over = stages * node.failures_per_second() * takeover_seconds;
        let availability = (up - taking_over).max(0.0);
        Self { first, second, all_down: 1.0 - up, taking_over, availability }
    }

    fn minutes_a_year(self) -> f64 {
        (1.0 - self.availability) * 365.25 * 24.0 * 60.0
    }
}

#[derive(Debug, Serialize)]
struct Report {
    node: Node,
    takeover_seconds: f64,
    topologies: Vec<Topology>,
}

impl Report {
    fn new(node: Node, takeover_seconds: f64) -> Self {
        let pairs = (1..=3).flat_map(|first| (1..=3).map(move |second| (first, second)));
        let topologies = pairs
            .map(|(first, second)| Topology::new(first, second, node, takeover_seconds))
            .collect();
        Self { node, takeover_seconds, topologies }
    }

    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Self { node, takeover_seconds, .. } = self;
        writeln!(
            out,
            "each node up {} % of the time, repaired after {} s; takeover after {takeover_seconds} s\n",
            node.up * 100.0,
            node.repair_seconds
        )?;
        writeln!(out, "        all down   taking over   availability        a year")?;
        for one in &self.topologies {
            writeln!(
                out,
                "s{}p{}   {:>9.2e}   {:>11.2e}   {:>10.5} %   {:>7.1} min",
                one.first,
                one.second,
                one.all_down,
                one.taking_over,
                one.availability * 100.0,
                one.minutes_a_year()
            )?;
        }
        Ok(())
    }
}

/// Unavailability against the time of a takeover, up to a minute.
fn draw(file: &Path, report: &Report) -> Result<()> {
    let chart = Chart {
        title: "How long takeovers may take".to_owned(),
        subtitle: format!(
            "trunkline-bench reliability: nodes up {} % of the time, repaired after {} s; a model, with takeover after {} s as measured",
            report.node.up * 100.0,
            report.node.repair_seconds,
            report.takeover_seconds
        ),
        x_label: "takeover, s".to_owned(),
        y_label: "share of the time without service".to_owned(),
        x_log: true,
        y_log: true,
    };
    let times = || (0..=36).map(|step| 0.1 * 10_f64.powf(f64::from(step) / 12.0));
    let curve = |nodes| {
        let at = |time| (time, 1.0 - Topology::new(nodes, nodes, report.node, time).availability);
        Series::new(
            format!("s{nodes}p{nodes}"),
            times().filter(|time| *time <= 60.0).map(at).collect(),
        )
    };
    let mut series: Vec<_> = (1..=3).map(curve).collect();
    let measured = report.topologies.iter().filter(|one| one.first == one.second);
    let measured = measured.map(|one| (report.takeover_seconds, 1.0 - one.availability)).collect();
    series.push(Series { marked: true, ..Series::new("this takeover", measured) });
    let five = vec![(0.1, 1e-5), (60.0, 1e-5)];
    series.push(Series { dashed: true, ..Series::new("five nines", five) });
    lines(file, &chart, &series)
}

#[cfg(test)]
mod tests {
    use super::{Node, Report, Topology, slowest};

    const NODE: Node = Node { up: 0.99, repair_seconds: 3600.0 };

    fn is_near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn without_takeovers_it_is_the_model_of_the_paper() {
        let of = |first, second| Topology::new(first, second, NODE, 0.0).availability;
        assert!(is_near(of(1, 1), 0.99 * 0.99));
        assert!(is_near(of(2, 2), 0.9999 * 0.9999));
        // Three servers of 99 % in each stage: five nines.
        assert!(is_near(of(3, 3), 0.999_999 * 0.999_999) && of(3, 3) > 0.99999);
    }

    #[test]
    fn a_takeover_costs_its_time_at_each_failure_of_a_node_that_has_another() {
        let per_second = 0.01 / 3600.0;
        let taking_over = |first, second| Topology::new(first, second, NODE, 3.0).taking_over;
        assert!(is_near(taking_over(1, 1), 0.0));
        assert!(is_near(taking_over(1, 3), 3.0 * per_second));
        assert!(is_near(taking_over(3, 3), 6.0 * per_second));
    }

    #[test]
    fn the_table_has_all_nine() {
        let mut out = Vec::new();
        Report::new(NODE, 3.0).print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("\ns").count(), 9, "{text}");
        assert!(text.contains("\ns1p1     1.99e-2        0.00e0     98.01000 %"), "{text}");
    }

    #[test]
    fn a_campaign_without_takeovers_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cluster.json");
        assert!(slowest(&file).unwrap_err().to_string().contains("trunkline-bench cluster"));
        std::fs::write(&file, r#"{"slowest_reach_seconds": 2.5}"#).unwrap();
        assert!(is_near(slowest(&file).unwrap(), 2.5));
        std::fs::write(&file, "{}").unwrap();
        assert!(slowest(&file).unwrap_err().to_string().contains("no slowest_reach_seconds"));
    }
}
