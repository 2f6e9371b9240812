//! The configurations that were in force, each with its number, in the state directory: `configurations/N.toml`.
//!
//! Two lines of comment stand before the text: the file that it came from, and the generation with its time and
//! who put it into force. The newest is the one in force, and what a start takes when the file is broken.

use crate::limits::GENERATIONS_MAX;
use anyhow::{Context, Result, bail};
use nic_config::last_good::{FOLDER, HEAD, absolute, number};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The kept configurations.
#[derive(Clone, Debug)]
pub struct History {
    folder: PathBuf,
}

/// One configuration that was put into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number, from 1.
    pub number: u64,
    /// When it came into force, as RFC 3339 has it, in UTC.
    pub since: String,
    /// Who did that.
    pub by: String,
    /// The file that it came from.
    pub file: PathBuf,
}

impl History {
    /// The history in this state directory, which is there.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn open(state_directory: &Path) -> Result<Self> {
        let folder = state_directory.join(FOLDER);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self { folder })
    }

    /// The newest generation with its text.
    pub fn newest(&self) -> Option<(Generation, String)> {
        self.text(self.numbers().last().copied()?).ok()
    }

    /// All generations that are kept and can be read, the oldest first.
    pub fn list(&self) -> Vec<Generation> {
        let read = |number: u64| Some(self.text(number).ok()?.0);
        self.numbers().into_iter().filter_map(read).collect()
    }

    /// A generation and its text.
    ///
    /// # Errors
    /// The numbers that there are.
    pub fn text(&self, number: u64) -> Result<(Generation, String)> {
        let numbers = self.numbers();
        if !numbers.contains(&number) {
            let (first, last) = (numbers.first().unwrap_or(&0), numbers.last().unwrap_or(&0));
            bail!("no generation {number}: {first} to {last} are kept");
        }
        read(&self.folder.join(format!("{number}.toml")))
    }

    /// Keeps a text as the next generation, which is in force from now on; forgets the oldest.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn keep(&self, file: &Path, text: &str, by: &str) -> Result<Generation> {
        let numbers = self.numbers();
        let generation = Generation {
            number: numbers.last().unwrap_or(&0) + 1,
            since: now(),
            by: by.to_owned(),
            file: absolute(file),
        };
        let Generation { number, since, by, file } = &generation;
        let file = file.display();
        let content = format!("{HEAD}{file}\n# generation {number}, {since}, by {by}\n{text}");
        crate::state::replace(&self.path(*number), content.as_bytes())?;
        for old in numbers.iter().rev().skip(GENERATIONS_MAX - 1) {
            // What cannot be removed now is so the next time.
            let _ = std::fs::remove_file(self.path(*old));
        }
        Ok(generation)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}.toml"))
    }

    /// The numbers that are kept, ascending.
    fn numbers(&self) -> Vec<u64> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut numbers: Vec<_> = entries.filter_map(|entry| number(&entry.ok()?.path())).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// Now, as the audit log and the history write it.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    format!("{now:.3}")
}

/// Reads a kept configuration.
///
/// # Errors
/// No file of ours.
pub fn read(path: &Path) -> Result<(Generation, String)> {
    let content = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let parse = || {
        let (file, rest) = content.strip_prefix(HEAD)?.split_once('\n')?;
        let (line, text) = rest.split_once('\n')?;
        let (number, line) = line.strip_prefix("# generation ")?.split_once(", ")?;
        let (since, by) = line.split_once(", by ")?;
        let generation = Generation {
            number: number.parse().ok()?,
            since: since.to_owned(),
            by: by.to_owned(),
            file: file.into(),
        };
        Some((generation, text.to_owned()))
    };
    parse().with_context(|| format!("{} is no kept configuration", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{GENERATIONS_MAX, History};
    use std::path::Path;

    #[test]
    fn generations_rise_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::open(directory.path()).unwrap();
        assert_eq!(history.newest(), None);
        let file = Path::new("/nonexistent/t.toml");
        for number in 1..=u64::try_from(GENERATIONS_MAX).unwrap() + 3 {
            let kept = history.keep(file, &format!("a = {number}\n"), "uid 0 (root)").unwrap();
            assert_eq!(kept.number, number);
        }
        let list = history.list();
        assert_eq!((list.len(), list[0].number), (GENERATIONS_MAX, 4));
        let (generation, text) = history.text(5).unwrap();
        assert_eq!((text.as_str(), generation.by.as_str()), ("a = 5\n", "uid 0 (root)"));
        assert_eq!(generation.file, file);
        assert!(generation.since.ends_with('Z'), "{}", generation.since);
        let error = history.text(3).unwrap_err().to_string();
        assert!(error.starts_with("no generation 3: 4 to "), "{error}");
    }
}
