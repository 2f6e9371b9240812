//! What differs between two sets of figures, and whether it matters.

use crate::micro::Row;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Instructions that a step may need more before it counts as a regression, as a ratio: the count is exact, but a
/// hash seed or a compiler's mood moves single instructions.
const INSTRUCTIONS_MORE: f64 = 1.02;
/// Time that something may take more before it is pointed out, as a ratio.
const TIME_MORE: f64 = 1.15;

/// What one run of `make bench` found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) pipeline: Pipeline,
    pub(super) micro: Vec<Row>,
}

/// What is kept of the pipeline's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pipeline {
    pub(super) messages_per_second: f64,
    pub(super) ratio_to_testpmd_macswap: f64,
}

/// All changes, in the order of the new figures.
pub(super) struct Changes {
    lines: Vec<Line>,
    gone: Vec<String>,
}

/// What became of one figure, as ratios of new to old: more is worse.
struct Line {
    name: String,
    instructions: Option<f64>,
    ns: Option<f64>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    New,
    /// More instructions in a step of ours.
    Regression,
    Slower,
    Alike,
    Better,
}

impl Changes {
    pub(super) fn between(old: &Figures, new: &Figures) -> Self {
        let mut lines = vec![pipeline(&old.pipeline, &new.pipeline)];
        lines.extend(new.micro.iter().map(|row| {
            let before = old.micro.iter().find(|before| before.name == row.name);
            before.map_or_else(|| Line::new_row(row), |before| Line::of_rows(before, row))
        }));
        let is_there = |name: &str| new.micro.iter().any(|row| row.name == name);
        let names = old.micro.iter().map(|row| &row.name);
        Self { lines, gone: names.filter(|name| !is_there(name)).cloned().collect() }
    }

    /// Whether a step of ours needs more instructions than it did.
    pub(super) fn has_regression(&self) -> bool {
        self.lines.iter().any(|line| line.kind == Kind::Regression)
    }
}

/// Its time per message; it is not counted in instructions, as DPDK polls as often as there is time.
fn pipeline(old: &Pipeline, new: &Pipeline) -> Line {
    let ns = old.messages_per_second / new.messages_per_second;
    Line { name: "pipeline".to_owned(), instructions: None, ns: Some(ns), kind: kind(None, ns) }
}

impl Line {
    fn new_row(row: &Row) -> Self {
        Self { name: row.name.clone(), instructions: None, ns: None, kind: Kind::New }
    }

    fn of_rows(old: &Row, new: &Row) -> Self {
        let counts = old.instructions.zip(new.instructions);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let instructions = counts.map(|(old, new)| new as f64 / old as f64);
        let ns = new.ns / old.ns;
        let is_ours = !new.name.starts_with("peer_") && !new.name.starts_with("mark_");
        let kind = kind(instructions.filter(|_| is_ours), ns);
        Self { name: new.name.clone(), instructions, ns: Some(ns), kind }
    }
}

fn kind(instructions: Option<f64>, ns: f64) -> Kind {
    match instructions {
        Some(ratio) if ratio > INSTRUCTIONS_MORE => Kind::Regression,
        _ if ns > TIME_MORE => Kind::Slower,
        Some(ratio) if ratio < 1.0 / INSTRUCTIONS_MORE => Kind::Better,
        _ => Kind::Alike,
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:<34} {:>12} {:>7}", "new : old", "instructions", "ns")?;
        let ratio =
            |value: Option<f64>| value.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        for line in &self.lines {
            let remark = match line.kind {
                Kind::New => "  new",
                Kind::Regression => "  REGRESSION: over 2 % more instructions",
                Kind::Slower => "  slower by over 15 %; the machine may be noisy: run it again",
                Kind::Better => "  fewer instructions; worth a new record",
                Kind::Alike => "",
            };
            let (instructions, ns) = (ratio(line.instructions), ratio(line.ns));
            writeln!(f, "  {:<34} {instructions:>12} {ns:>7}{remark}", line.name)?;
        }
        for name in &self.gone {
            writeln!(f, "  {name:<34} is in the baseline and was not measured")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, ns: f64, instructions: u64) -> Row {
        Row { name: name.to_owned(), ns, instructions: Some(instructions), allocations: 0 }
    }

    fn figures(messages_per_second: f64, micro: Vec<Row>) -> Figures {
        let pipeline = Pipeline { messages_per_second, ratio_to_testpmd_macswap: 0.07 };
        Figures { pipeline, micro }
    }

    fn kinds(old: &Row, new: &Row) -> (Kind, bool) {
        let [old, new] = [old, new].map(|row| figures(1e6, vec![row.clone()]));
        let changes = Changes::between(&old, &new);
        (changes.lines[1].kind, changes.has_regression())
    }

    #[test]
    fn only_more_instructions_of_ours_are_a_regression() {
        let old = row("parse", 100.0, 1_000);
        assert_eq!(kinds(&old, &row("parse", 100.0, 1_000)), (Kind::Alike, false));
        assert_eq!(kinds(&old, &row("parse", 114.0, 1_020)), (Kind::Alike, false));
        assert_eq!(kinds(&old, &row("parse", 90.0, 1_021)), (Kind::Regression, true));
        assert_eq!(kinds(&old, &row("parse", 116.0, 1_000)), (Kind::Slower, false));
        assert_eq!(kinds(&old, &row("parse", 100.0, 900)), (Kind::Better, false));
        let peer = row("peer_rsip_parse", 100.0, 1_000);
        assert_eq!(kinds(&peer, &row("peer_rsip_parse", 100.0, 2_000)), (Kind::Alike, false));
    }

    #[test]
    fn a_missing_count_is_no_regression() {
        let old = row("parse", 100.0, 1_000);
        let new = Row { instructions: None, ..old.clone() };
        assert_eq!(kinds(&old, &new), (Kind::Alike, false));
    }

    #[test]
    fn what_came_what_went_and_a_slower_pipeline_are_said() {
        let old = figures(1e6, vec![row("parse", 1.0, 1), row("gone", 1.0, 1)]);
        let new = figures(5e5, vec![row("parse", 1.0, 1), row("came", 1.0, 1)]);
        let text = Changes::between(&old, &new).to_string();
        let line = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name));
        assert!(line("pipeline").is_some_and(|line| line.contains("2.000  slower")), "{text}");
        assert!(line("came").is_some_and(|line| line.ends_with("new")), "{text}");
        assert!(line("gone").is_some_and(|line| line.contains("not measured")), "{text}");
    }
}
