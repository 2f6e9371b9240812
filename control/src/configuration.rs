//! The configuration in force: what changes with a new one, what needs a restart, what was in force before.
//!
//! - [`changes`]: two files, setting by setting.
//! - [`history`]: the last generations, for rollback and for a start with a broken file.
//! - [`manager`]: puts a configuration into force whole, or leaves everything as it was.

pub mod changes;
pub mod history;
pub mod manager;
pub mod report;
mod restart;

pub use restart::{Restart, differences};

use crate::config::{Config, ConfigError};
use history::{Generation, History};
use std::path::{Path, PathBuf};

/// A configuration with the text that it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file that it came from, or would have come from.
    pub file: PathBuf,
    /// What stands there.
    pub text: String,
    /// What that means.
    pub config: Config,
}

impl Loaded {
    /// Reads the file.
    ///
    /// # Errors
    /// Every mistake that was found.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|e| ConfigError::whole(file.to_owned(), format!("cannot be read: {e}")))?;
        Self::parse(file, text)
    }

    /// Takes `text` as if it stood in `file`: what it names lies beside that file.
    ///
    /// # Errors
    /// Every mistake that was found.
    pub fn parse(file: &Path, text: String) -> Result<Self, ConfigError> {
        let directory = file.parent().unwrap_or(Path::new(""));
        match Config::parse(&text, directory) {
            Ok(config) => Ok(Self { file: file.to_owned(), text, config }),
            Err(mistakes) => Err(ConfigError { path: file.to_owned(), mistakes }),
        }
    }

    /// Reads the file for a start. When it is broken, gives the last generation of it that was in force, and
    /// what is wrong with the file.
    ///
    /// # Errors
    /// The mistakes of the file, when there is no such generation or it is broken by now as well.
    pub fn for_start(file: &Path) -> Result<(Self, Option<ConfigError>), ConfigError> {
        let broken = match Self::read(file) {
            Ok(loaded) => return Ok((loaded, None)),
            Err(broken) => broken,
        };
        // A file that is not there is a mistyped name.
        let Ok(text) = std::fs::read(file) else { return Err(broken) };
        let text = String::from_utf8_lossy(&text);
        let kept = nic_config::last_good::find(file, &text)
            .and_then(|kept| history::read(&kept).ok())
            .and_then(|(_, text)| Self::parse(file, text).ok());
        kept.map(|good| (good, Some(broken.clone()))).ok_or(broken)
    }
}

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct Running {
    /// Which one, since when and by whom.
    pub generation: Generation,
    /// What it says.
    pub loaded: Loaded,
    /// What is wrong with the file, when that was broken at the start and the last good one came into force.
    pub broken_file: Option<String>,
    /// Settings of the text that wait for a restart.
    pub waiting: Vec<String>,
}

impl Running {
    /// What a process starts with; kept as a new generation unless it is the newest one already.
    ///
    /// # Errors
    /// A state directory that cannot be written.
    pub fn at_start(
        loaded: Loaded,
        broken: Option<&ConfigError>,
        history: &History,
    ) -> anyhow::Result<Self> {
        let generation = match history.newest() {
            Some((newest, text)) if text == loaded.text => newest,
            _ => history.keep(&loaded.file, &loaded.text, "start")?,
        };
        let broken_file = broken.map(ToString::to_string);
        Ok(Self { generation, loaded, broken_file, waiting: Vec::new() })
    }
}
