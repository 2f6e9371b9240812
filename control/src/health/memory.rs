//! What must survive a restart of control: what operators drained, and who was down. It is read before
//! the first epoch is published, so that a restart puts nobody back into use.

use crate::state::replace;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

/// The file `members.json` in the state directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Set and address of what operators drained.
    pub drained: BTreeSet<(String, SocketAddr)>,
    /// Addresses that did not answer.
    pub down: BTreeSet<SocketAddr>,
}

impl Memory {
    /// Reads the file; empty when there is none.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub fn load(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{}: delete it to forget drains", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// Replaces the file in one step.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        replace(path, &serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[test]
    fn survives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("members.json");
        assert_eq!(Memory::load(&path).unwrap(), Memory::default());
        let mut memory = Memory::default();
        memory.drained.insert(("core".into(), "[2001:db8::1]:5060".parse().unwrap()));
        memory.down.insert("192.0.2.1:5060".parse().unwrap());
        memory.save(&path).unwrap();
        assert_eq!(Memory::load(&path).unwrap(), memory);
        std::fs::write(&path, "{").unwrap();
        assert!(Memory::load(&path).unwrap_err().to_string().contains("delete it"));
    }
}
