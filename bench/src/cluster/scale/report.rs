//! What was found, for people and for programs.

use super::Seen;
use super::costs::Costs;
use super::model::{Model, Stage, TOLERANCE};
use anyhow::Result;
use control::lab::topology::Role;
use plot::{Chart, Series, lines};
use serde::Serialize;
use std::path::Path;

/// The most that a message may cost the first stage, to plain forwarding.
const RATIO_MAX: f64 = 1.3;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    command: String,
    costs: Costs,
    first_stage_ratio: f64,
    topologies: Vec<Row>,
    /// Furthest of all from linear, in parts of it.
    deviation_max: f64,
    failed: u64,
}

#[derive(Debug, Serialize)]
struct Row {
    topology: String,
    #[serde(flatten)]
    seen: Seen,
    #[serde(flatten)]
    model: Model,
}

impl Report {
    pub(super) fn new(command: String, costs: Costs, seen: Vec<Seen>, models: Vec<Model>) -> Self {
        let rows = seen.into_iter().zip(models);
        let topologies: Vec<Row> = rows
            .map(|(seen, model)| Row { topology: seen.topology.to_string(), seen, model })
            .collect();
        let of_linear = topologies.iter().flat_map(|Row { model, .. }| {
            [model.of_linear, model.first_stage.of_linear, model.second_stage.of_linear]
        });
        Self {
            command,
            first_stage_ratio: costs.first_stage_ratio,
            costs,
            deviation_max: of_linear.map(|part| (part - 1.0).abs()).fold(0.0, f64::max),
            failed: topologies.iter().map(|row| row.seen.failed()).sum(),
            topologies,
        }
    }

    pub(super) fn is_good(&self) -> bool {
        let is_linear = self.topologies.iter().all(|row| row.model.is_linear());
        is_linear && self.failed == 0 && self.first_stage_ratio <= RATIO_MAX
    }

    pub(super) fn print(&self) {
        let Costs { plain_ns, first_stage_ns, register_ns, call_message_ns, .. } = &self.costs;
        let first: Vec<_> = first_stage_ns.iter().map(|ns| format!("{ns:.0}")).collect();
        println!("CPU time of a message in a worker");
        println!("  plain stateless forwarding             {plain_ns:.0} ns");
        println!(
            "  first stage, 1, 2, 3 members           {} ns: at most {:.3} times plain forwarding (must be {RATIO_MAX})",
            first.join(", "),
            self.first_stage_ratio
        );
        println!("  second stage, REGISTER                 {register_ns:.0} ns, without a driver");
        println!(
            "  second stage, message of a call        {call_message_ns:.0} ns, without a driver"
        );
        for reason in &self.costs.disturbances {
            println!("  DISTURBED: {reason}");
        }
        println!(
            "\nMessages in the lab, and capacity in registrations a second with as many calls (must be within {:.0} % of linear)",
            100.0 * TOLERANCE
        );
        println!("       stage    share of each node, %    messages    ns   capacity  of linear");
        for Row { topology, model, .. } in &self.topologies {
            println!("{topology}   first    {}", model.first_stage.line());
            println!("       second   {}", model.second_stage.line());
            println!("       both {:>47.0} {:>10.3}", model.capacity, model.of_linear);
        }
        println!(
            "\n       registrations  calls  failed  sent again  dropped   time of the workers, us a message: first, second stage"
        );
        for Row { topology, seen, .. } in &self.topologies {
            println!(
                "{topology}   {:>13} {:>6} {:>7} {:>11} {:>8}   {:.1}, {:.1}",
                seen.registrations.done,
                seen.calls.done,
                seen.failed(),
                seen.retransmissions,
                seen.nodes.iter().map(|work| work.dropped).sum::<u64>(),
                seen.busy_us(Role::FirstStage),
                seen.busy_us(Role::SecondStage)
            );
            for failure in seen.registrations.failures.iter().chain(&seen.calls.failures) {
                println!("         {failure}");
            }
        }
        println!("\nfurthest from linear: {:.1} %", 100.0 * self.deviation_max);
    }

    /// Capacity against nodes of the first stage, a line for each number in the second.
    pub(super) fn draw(&self, file: &Path) -> Result<()> {
        let chart = Chart {
            title: "What sNpM carries".to_owned(),
            subtitle: format!("{}; cost model, a core for each node", self.command),
            x_label: "nodes in the first stage".to_owned(),
            y_label: "registrations/s with as many calls".to_owned(),
            x_log: false,
            y_log: false,
        };
        let of = |second: u8, part: fn(&Model) -> f64| -> Vec<(f64, f64)> {
            let rows = self.topologies.iter().filter(|row| row.seen.topology.second == second);
            rows.map(|row| (f64::from(row.seen.topology.first), part(&row.model))).collect()
        };
        let series = (1..=3).filter(|second| !of(*second, |_| 0.0).is_empty()).flat_map(|second| {
            let seen = of(second, |model| model.capacity);
            let linear = of(second, |model| model.linear);
            [
                Series { marked: true, ..Series::new(format!("p{second}"), seen) },
                Series { dashed: true, ..Series::new(format!("p{second}, linear"), linear) },
            ]
        });
        lines(file, &chart, &series.collect::<Vec<_>>())
    }
}

impl Seen {
    fn failed(&self) -> u64 {
        self.registrations.failed + self.calls.failed
    }

    /// Time of a stage's workers for a message, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    fn busy_us(&self, role: Role) -> f64 {
        let of_stage = || self.nodes.iter().filter(|work| work.role == role);
        let us: f64 = of_stage().map(|work| work.busy_us_per_message * work.messages as f64).sum();
        us / of_stage().map(|work| work.messages).sum::<u64>().max(1) as f64
    }
}

impl Stage {
    fn line(&self) -> String {
        let shares = self.shares.iter().map(|share| format!("{:.1}", 100.0 * share));
        let shares = shares.collect::<Vec<_>>().join(" ");
        format!(
            "{shares:21}    {:>8.2} {:>5.0} {:>10.0} {:>10.3}",
            self.messages, self.ns, self.capacity, self.of_linear
        )
    }
}
