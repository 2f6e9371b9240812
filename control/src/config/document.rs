//! The TOML text, section by section, so that one run of `trunkline check` reports every mistake
//! and not only the first one: each section and each list entry is read on its own.

use super::error::Mistake;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// A parsed TOML file from which sections are taken one by one.
pub(super) struct Document<'t> {
    text: &'t str,
    table: DeTable<'t>,
    known: Vec<&'static str>,
    /// Where each section and list entry that was taken begins.
    pub(super) lines: Vec<(String, usize)>,
    /// Every mistake found so far.
    pub(super) mistakes: Vec<Mistake>,
}

impl<'t> Document<'t> {
    /// Reads the TOML syntax.
    ///
    /// # Errors
    /// The first syntax error: what comes after it is mostly its echo.
    pub(super) fn parse(text: &'t str) -> Result<Self, Mistake> {
        let table = DeTable::parse(text).map_err(|e| Mistake {
            line: e.span().map(|span| line_of(text, span.start)),
            setting: String::new(),
            problem: one_line(e.message()),
        })?;
        let (known, lines, mistakes) = Default::default();
        Ok(Self { text, table: table.into_inner(), known, lines, mistakes })
    }

    /// Takes `[name]`; its default when absent or wrong (then the mistake is recorded).
    pub(super) fn section<T: DeserializeOwned + Default>(&mut self, name: &'static str) -> T {
        self.known.push(name);
        let Some(value) = self.table.remove(name) else { return T::default() };
        let value = self.read(value, name.to_owned());
        value.unwrap_or_default()
    }

    /// Takes `[name]`, if it is there.
    pub(super) fn optional<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        self.known.push(name);
        let value = self.table.remove(name)?;
        self.read(value, name.to_owned())
    }

    /// Takes the entries of `[[name]]` that can be read; mistakes are recorded entry by entry.
    pub(super) fn list<T: DeserializeOwned>(&mut self, name: &'static str) -> Vec<T> {
        self.known.push(name);
        let Some(value) = self.table.remove(name) else { return Vec::new() };
        let line = line_of(self.text, value.span().start);
        let DeValue::Array(array) = value.into_inner() else {
            self.mistakes.push(Mistake {
                line: Some(line),
                setting: name.to_owned(),
                problem: format!("is a list: write its header as [[{name}]]"),
            });
            return Vec::new();
        };
        let numbered = array.into_iter().enumerate();
        numbered.filter_map(|(index, value)| self.read(value, format!("{name}[{index}]"))).collect()
    }

    /// Records every section that nobody took as unknown.
    pub(super) fn refuse_the_rest(&mut self) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            self.mistakes.push(Mistake {
                line: Some(line_of(self.text, key.span().start)),
                setting: String::new(),
                problem: unknown("section", name, &self.known),
            });
        }
    }

    fn read<T: DeserializeOwned>(
        &mut self,
        value: Spanned<DeValue<'t>>,
        setting: String,
    ) -> Option<T> {
        let start = value.span().start;
        self.lines.push((setting.clone(), line_of(self.text, start)));
        match serde_path_to_error::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(value),
            Err(error) => {
                let path = path_below(setting, error.path());
                let error = error.into_inner();
                let at = error.span().map_or(start, |span| span.start);
                self.mistakes.push(Mistake {
                    line: Some(line_of(self.text, at)),
                    setting: path,
                    problem: explain(&one_line(error.message())),
                });
                None
            }
        }
    }
}

/// The line, counted from 1, of the byte at `offset`.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

fn one_line(message: &str) -> String {
    message.split('\n').map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

fn path_below(setting: String, path: &serde_path_to_error::Path) -> String {
    path.iter().fold(setting, |above, segment| match segment {
        Segment::Seq { index } => format!("{above}[{index}]"),
        Segment::Map { key } => format!("{above}.{key}"),
        Segment::Enum { .. } | Segment::Unknown => above,
    })
}

/// Turns serde's "unknown field `x`, expected one of `a`, `b`" into help with the nearest name.
pub(super) fn explain(message: &str) -> String {
    let what = if message.starts_with("unknown field") {
        "key"
    } else if message.starts_with("unknown variant") {
        "value"
    } else {
        return out_of_range(message).unwrap_or_else(|| message.to_owned());
    };
    let mut names = message.split('`').skip(1).step_by(2);
    let Some(found) = names.next() else { return message.to_owned() };
    unknown(what, found, &names.collect::<Vec<_>>())
}

/// Turns serde's "invalid value: integer `300`, expected u8" into what is allowed.
fn out_of_range(message: &str) -> Option<String> {
    let (number, kind) =
        message.strip_prefix("invalid value: integer `")?.split_once("`, expected ")?;
    let most = match kind {
        "u8" => u8::MAX.into(),
        "u16" => u16::MAX.into(),
        "u32" => u32::MAX,
        _ => return None,
    };
    Some(format!("{number} is out of range: 0 to {most} can be written"))
}

pub(super) fn unknown(what: &str, found: &str, allowed: &[&str]) -> String {
    let nearest = allowed
        .iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len().max(found.len()) / 3)
        .min();
    let hint = nearest.map_or_else(String::new, |(_, name)| format!(" did you mean `{name}`?"));
    format!("unknown {what} `{found}`:{hint} allowed here: {}", allowed.join(", "))
}
