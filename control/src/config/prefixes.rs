//! `[[prefix_tables]]`: files with up to millions of number prefixes and the set of each.

use super::error::Mistake;
use super::routes::DestinationSet;
use super::value;
use serde::Deserialize;
use sip_core as sip;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Mistakes of one file that are reported; what is wrong in a thousand lines is wrong in the first ten.
const MISTAKES_MAX: usize = 10;

/// `[[prefix_tables]]`: a table that routes name with `forward_by_prefix`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixTable {
    /// The name that routes use. Required; 1 to 64 letters, digits, `-`, `_`, `.`; unique.
    #[serde(deserialize_with = "value::name")]
    pub name: String,
    /// The file, beside the configuration file unless it begins with `/`. Required. One `prefix,set`
    /// in a line; empty lines and lines that begin with `#` do not count; at most 4,000,000.
    pub file: PathBuf,
    /// What stands in the file.
    #[serde(skip)]
    pub(super) table: Arc<sip::PrefixTable>,
}

impl PrefixTable {
    /// The table as the router knows it.
    pub fn table(&self) -> &sip::PrefixTable {
        &self.table
    }

    /// Reads the file of the table with this index, whose prefixes lead to `sets`.
    pub(super) fn read(
        &mut self,
        index: usize,
        directory: &Path,
        sets: &[DestinationSet],
    ) -> Vec<Mistake> {
        let setting = format!("prefix_tables[{index}].file");
        let path = directory.join(&self.file);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                let problem = format!("{} cannot be read: {error}", path.display());
                return vec![Mistake { line: None, setting, problem }];
            }
        };
        let mut problems = Vec::new();
        self.table = Arc::new(read(&self.name, &text, sets, &mut problems));
        let beyond = problems.len().saturating_sub(MISTAKES_MAX);
        problems.truncate(MISTAKES_MAX);
        let mistake = |(line, problem): (usize, String)| {
            let problem = format!("{}:{line}: {problem}", path.display());
            Mistake { line: None, setting: setting.clone(), problem }
        };
        let mut mistakes: Vec<_> = problems.into_iter().map(mistake).collect();
        if beyond > 0 {
            let problem = format!("{}: and {beyond} more mistakes", path.display());
            mistakes.push(Mistake { line: None, setting, problem });
        }
        mistakes
    }

    /// The lines of the file, from 1, in which `prefix` stands.
    pub(super) fn lines_of(&self, prefix: &str, directory: &Path) -> Vec<usize> {
        let text = std::fs::read_to_string(directory.join(&self.file)).unwrap_or_default();
        let same = |(line, content)| match entry(content) {
            Ok(Some((other, _))) if other == prefix => Some(line),
            _ => None,
        };
        (1..).zip(text.lines()).filter_map(same).collect()
    }
}

fn read(
    name: &str,
    text: &str,
    known: &[DestinationSet],
    problems: &mut Vec<(usize, String)>,
) -> sip::PrefixTable {
    let mut table = sip::PrefixTable::new(name, Vec::new());
    let mut sets = HashMap::new();
    for (line, content) in (1..).zip(text.lines()) {
        let (prefix, set) = match entry(content) {
            Ok(Some(entry)) => entry,
            Ok(None) => continue,
            Err(problem) => {
                problems.push((line, problem.to_owned()));
                continue;
            }
        };
        let next = u16::try_from(sets.len()).unwrap_or(u16::MAX);
        let index = *sets.entry(set).or_insert_with(|| {
            if !known.iter().any(|known| known.name == set) {
                problems.push((line, format!("there is no destination set \"{set}\"")));
            }
            table.sets.push(set.to_owned());
            next
        });
        if !table.push(prefix, index) {
            let longest = sip::limits::USER_PREFIX_MAX;
            problems.push((line, format!("the prefix is longer than {longest} bytes")));
        }
    }
    table
}

/// Prefix and set in a line; none in a line that does not count.
fn entry(line: &str) -> Result<Option<(&str, &str)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (prefix, set) = line.split_once(',').ok_or("is not `prefix,set`")?;
    match (prefix.trim(), set.trim()) {
        ("", _) => Err("has no prefix before the comma"),
        (_, "") => Err("has no set behind the comma"),
        entry => Ok(Some(entry)),
    }
}
