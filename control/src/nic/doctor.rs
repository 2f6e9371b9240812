//! What `trunkline nic doctor` says.

use nic_config::doctor::{Finding, Level, Report};
use serde_json::{Value, json};
use std::fmt::{self, Display, Formatter};

/// A report for people: what was found, the worst first, each with its effect and the command that mends it.
pub struct InText<'a>(pub &'a Report);

impl Display for InText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let counts = Level::ALL.map(|level| (level, self.0.of(level).count()));
        let counts = counts.map(|(level, count)| format!("{count} {}", plural(level, count)));
        writeln!(f, "{}", counts.join(", "))?;
        for finding in &self.0.findings {
            let Finding { level, area, seen, effect, mend } = finding;
            // What is well stands together.
            let is_first_ok = self.0.of(Level::Ok).next() == Some(finding);
            if *level != Level::Ok || is_first_ok {
                writeln!(f)?;
            }
            let level = if *level == Level::Ok { "ok".into() } else { level.name().to_uppercase() };
            writeln!(f, "{level:8} {area:11} {seen}")?;
            for (what, text) in [("effect", effect), ("mend", mend)] {
                if !text.is_empty() {
                    writeln!(f, "{:8} {what:11} {text}", "")?;
                }
            }
        }
        Ok(())
    }
}

fn plural(level: Level, count: usize) -> &'static str {
    match (level, count) {
        (Level::Fault, 1) => "fault",
        (Level::Fault, _) => "faults",
        (Level::Warning, 1) => "warning",
        (Level::Warning, _) => "warnings",
        (Level::Advice, _) => "advice",
        (Level::Ok, _) => "ok",
    }
}

/// A report for programs: the server, its NICs, the findings and how many there are of each level.
pub fn json(report: &Report) -> serde_json::Result<Value> {
    let count = |level| report.of(level).count();
    let mut value = serde_json::to_value(report)?;
    value["counts"] = json!({
        "fault": count(Level::Fault), "warning": count(Level::Warning), "advice": count(Level::Advice),
        "ok": count(Level::Ok),
    });
    Ok(value)
}
