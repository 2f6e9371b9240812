//! The comparison as a table.

use super::{Comparison, Row};
use crate::load::grouped;
use crate::system::SystemKind;
use std::fmt::Write;

/// The table of all rows, with what is missing below.
pub(super) fn text(comparison: &Comparison) -> String {
    let mut text = format!("{}\n{}\n\n", comparison.command, comparison.machine);
    let _ = writeln!(
        text,
        "{:<16} {:<13} {:>9} {:>11} {:>10} {:>8} {:>8} {:>8} {:>7} {:>9}  remarks",
        "scenario",
        "system",
        "calls/s",
        "messages/s",
        "us/message",
        "p50",
        "p99",
        "p99.9",
        "MiB",
        "ours:peer"
    );
    for row in &comparison.rows {
        let ratio = ratio(comparison, row).map_or(String::new(), |ratio| format!("{ratio:.2}"));
        #[expect(clippy::cast_precision_loss, reason = "a figure in a table")]
        let mebibytes = row.memory_bytes as f64 / f64::from(1 << 20);
        let _ = writeln!(
            text,
            "{:<16} {:<13} {:>9} {:>11} {:>10.2} {:>8.0} {:>8.0} {:>8.0} {mebibytes:>7.0} {ratio:>9}  {}",
            row.scenario.to_string(),
            row.system.to_string(),
            grouped(row.calls_per_second),
            grouped(row.messages_per_second),
            row.cpu_us_per_message,
            row.p50_us,
            row.p99_us,
            row.p999_us,
            remarks(row)
        );
    }
    for missing in &comparison.missing {
        let (scenario, system) = (missing.scenario.to_string(), missing.system.to_string());
        let _ = writeln!(text, "{scenario:<16} {system:<13} missing: {}", missing.reason);
    }
    text
}

/// Messages per second of ours over those of this row's system.
fn ratio(comparison: &Comparison, row: &Row) -> Option<f64> {
    let ours = comparison
        .rows
        .iter()
        .find(|ours| ours.scenario == row.scenario && ours.system == SystemKind::Trunkline)?;
    (row.system != SystemKind::Trunkline)
        .then(|| ours.messages_per_second / row.messages_per_second.max(1.0))
}

fn remarks(row: &Row) -> String {
    let [low, high] = row.calls_per_second_spread;
    let mut remarks = vec![format!("{} to {} calls/s", grouped(low), grouped(high))];
    if row.generator_limited {
        remarks.push("the generator was the limit".to_owned());
    }
    if let Some(reason) = &row.disturbed_by {
        remarks.push(format!("DISTURBED: {reason}"));
    }
    remarks.join("; ")
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::compare::{Comparison, Missing, Row};
    use crate::system::{SystemKind, Work};

    fn row(system: SystemKind, messages_per_second: f64) -> Row {
        Row {
            scenario: Work::Stateless,
            system,
            calls_per_second: messages_per_second / 7.0,
            messages_per_second,
            cpu_us_per_message: 1.5,
            p50_us: 10.0,
            p99_us: 20.0,
            p999_us: 30.0,
            failed_calls: 0,
            memory_bytes: 5 << 20,
            disturbed: system == SystemKind::Kamailio,
            disturbed_by: (system == SystemKind::Kamailio).then(|| "cron".to_owned()),
            generator_limited: false,
            calls_per_second_spread: [1.0, 2.0],
            cores: 1,
            version: String::new(),
            curve: Vec::new(),
        }
    }

    #[test]
    fn ratios_disturbance_and_what_is_missing_stand_in_the_table() {
        let comparison = Comparison {
            rows: vec![row(SystemKind::Trunkline, 70_000.0), row(SystemKind::Kamailio, 35_000.0)],
            missing: vec![Missing {
                scenario: Work::Stateful,
                system: SystemKind::Opensips,
                reason: "no binary".into(),
            }],
            ..Comparison::default()
        };
        let text = text(&comparison);
        let kamailio = text.lines().find(|line| line.contains("kamailio")).unwrap();
        assert!(kamailio.contains(" 2.00 ") && kamailio.contains("DISTURBED: cron"), "{text}");
        assert!(text.contains("missing: no binary"), "{text}");
    }
}
