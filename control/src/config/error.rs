//! What is wrong with a configuration file, in lines an editor can jump to.

use std::fmt;
use std::path::PathBuf;

/// One mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line in the file, counted from 1; none when the mistake is something missing.
    pub line: Option<usize>,
    /// The setting, as `section.key` or `section[index].key` (index from 0); empty for syntax.
    pub setting: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

/// Why a configuration file was refused: every mistake found, at least one.
///
/// Displays one line per mistake: `FILE:LINE: SETTING: PROBLEM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// The mistakes in the order of their lines.
    pub mistakes: Vec<Mistake>,
}

impl ConfigError {
    /// An error about the file as a whole.
    pub(crate) fn whole(path: PathBuf, problem: String) -> Self {
        Self { path, mistakes: vec![Mistake { line: None, setting: String::new(), problem }] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.path.display())?;
            if let Some(line) = mistake.line {
                write!(f, ":{line}")?;
            }
            if !mistake.setting.is_empty() {
                write!(f, ": {}", mistake.setting)?;
            }
            write!(f, ": {}", mistake.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
