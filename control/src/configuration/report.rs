//! What became of a wish to change the configuration, as the API and the commands tell it.

use super::changes::Change;
use crate::config::ConfigError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is in force.
    InForce,
    /// It was in force already.
    Unchanged,
    /// It would come into force; nothing was done.
    WouldChange,
    /// It has mistakes; nothing was changed.
    Broken,
    /// Settings need a restart; nothing was changed.
    NeedsRestart,
    /// Something else refused it; nothing was changed.
    Refused,
}

/// What became of a wish to change the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// In one word.
    pub verdict: Verdict,
    /// The generation in force after it.
    pub generation: u64,
    /// The epoch by which every worker has it; none while no data plane is there, which gets it when it is back.
    #[serde(default)]
    pub epoch: Option<u64>,
    /// Setting by setting.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// Settings that wait for a restart, because the rest was asked for alone.
    #[serde(default)]
    pub waiting: Vec<String>,
    /// Every mistake of a broken one.
    #[serde(default)]
    pub mistakes: Vec<MistakeLine>,
    /// Why it was refused, or what to know about it.
    #[serde(default)]
    pub note: Option<String>,
}

/// One mistake of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MistakeLine {
    /// The file.
    pub file: PathBuf,
    /// Line in it, from 1; none when something is missing.
    #[serde(default)]
    pub line: Option<usize>,
    /// The setting.
    pub setting: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

impl Report {
    /// A report without details.
    pub fn new(verdict: Verdict, generation: u64) -> Self {
        Self {
            verdict,
            generation,
            epoch: None,
            changes: Vec::new(),
            waiting: Vec::new(),
            mistakes: Vec::new(),
            note: None,
        }
    }

    /// A file with mistakes, while `generation` stays in force.
    pub fn broken(error: &ConfigError, generation: u64) -> Self {
        let line = |mistake: &crate::config::Mistake| MistakeLine {
            file: error.path.clone(),
            line: mistake.line,
            setting: mistake.setting.clone(),
            problem: mistake.problem.clone(),
        };
        let mistakes = error.mistakes.iter().map(line).collect();
        let note = Some(error.to_string());
        Self { mistakes, note, ..Self::new(Verdict::Broken, generation) }
    }

    /// Whether it ended as it was meant.
    pub fn is_good(&self) -> bool {
        matches!(self.verdict, Verdict::InForce | Verdict::Unchanged | Verdict::WouldChange)
    }

    /// In one line, for the logs.
    pub fn line(&self) -> String {
        let Self { generation, .. } = self;
        let changed = self.changes.len();
        match self.verdict {
            Verdict::InForce => {
                let epoch = match self.epoch {
                    Some(epoch) => format!("every worker runs on epoch {epoch}"),
                    None => "the data plane is away and gets it when it is back".to_owned(),
                };
                format!("generation {generation} is in force, {changed} change(s): {epoch}")
            }
            Verdict::Unchanged => {
                format!("nothing has changed: generation {generation} stays in force")
            }
            Verdict::WouldChange => {
                format!("{changed} change(s) would come into force; generation {generation} is")
            }
            Verdict::Broken => {
                format!("refused: the file is broken; generation {generation} stays in force")
            }
            Verdict::NeedsRestart => format!(
                "refused, because of what needs a restart: {}; generation {generation} stays in force",
                self.restarts().join(", ")
            ),
            Verdict::Refused => format!("refused; generation {generation} stays in force"),
        }
    }

    fn restarts(&self) -> Vec<&str> {
        let needs = self.changes.iter().filter(|change| change.restart.is_some());
        needs.map(|change| change.setting.as_str()).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        if let Some(note) = &self.note {
            writeln!(f, "{note}")?;
        }
        if !self.waiting.is_empty() {
            writeln!(f, "waiting for a restart: {}", self.waiting.join(", "))?;
        }
        f.write_str(&self.line())
    }
}
