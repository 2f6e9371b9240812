//! The audit log: `audit.jsonl` in the state directory, one JSON object a line for everything that somebody asked
//! to be changed, whatever came of it.

use crate::configuration::history::now;
use crate::limits::AUDIT_MAX;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::error;

/// The audit log of an appliance. Copies write to the same.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    file: Mutex<File>,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in UTC as RFC 3339 has it.
    pub time: String,
    /// `uid 0 (root)`, `token NAME` or `signal SIGHUP`.
    pub who: String,
    /// `reload`, `rollback`, `drain`, `undrain`, `leave`, `stay`, `unban`, `rss apply`, `rss undo`, `restore`, `start`.
    pub what: String,
    /// `done`, `unchanged` or `refused`.
    pub outcome: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

impl Audit {
    /// Opens the log in this directory, which is there, for appending.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn open(state_directory: &Path) -> Result<Self> {
        let path = state_directory.join("audit.jsonl");
        let file = Mutex::new(open(&path)?);
        Ok(Self(Arc::new(Shared { path, file })))
    }

    /// Writes a line. One that cannot be written is no reason to refuse what it tells about, but is said loudly.
    pub fn write(&self, who: &str, what: &str, outcome: &str, detail: Value) {
        let entry = Entry {
            time: now(),
            who: who.to_owned(),
            what: what.to_owned(),
            outcome: outcome.to_owned(),
            detail,
        };
        if let Err(error) = self.append(&entry) {
            error!("the audit log lacks {entry:?}: {error:#}");
        }
    }

    /// Writes down that somebody drained a member, or put it back, unless it was `refused`.
    pub fn drained(
        &self,
        who: &str,
        set: &str,
        member: SocketAddr,
        drained: bool,
        refused: Option<&String>,
    ) {
        let what = if drained { "drain" } else { "undrain" };
        let outcome = if refused.is_some() { "refused" } else { "done" };
        self.write(who, what, outcome, json!({ "set": set, "member": member, "note": refused }));
    }

    /// Writes down that somebody ended the ban of a source, if the data plane was there to do so.
    pub fn unbanned(&self, who: &str, address: IpAddr, is_done: bool) {
        let outcome = if is_done { "done" } else { "refused" };
        self.write(who, "unban", outcome, json!({ "address": address }));
    }

    fn append(&self, entry: &Entry) -> Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.metadata()?.len() + line.len() as u64 > AUDIT_MAX {
            std::fs::rename(&self.0.path, self.0.path.with_extension("jsonl.1"))?;
            *file = open(&self.0.path)?;
        }
        file.write_all(&line)?;
        file.sync_data().with_context(|| self.0.path.display().to_string())
    }

    /// The last `count` lines, the newest last.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn last(&self, count: usize) -> Result<Vec<Entry>> {
        let text = std::fs::read_to_string(&self.0.path)
            .with_context(|| self.0.path.display().to_string())?;
        // A crash can leave half a line at the end.
        let entries: Vec<Entry> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(entries[entries.len().saturating_sub(count)..].to_vec())
    }
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.with_context(|| format!("audit log {} cannot be opened", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{AUDIT_MAX, Audit};
    use serde_json::json;

    #[test]
    fn lines_are_kept_and_the_file_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let audit = Audit::open(directory.path()).unwrap();
        audit.write("uid 0 (root)", "drain", "done", json!({ "set": "core" }));
        audit.write("token ops", "reload", "refused", json!(null));
        let last = Audit::open(directory.path()).unwrap().last(1).unwrap();
        assert_eq!(
            (last.len(), last[0].who.as_str(), last[0].outcome.as_str()),
            (1, "token ops", "refused")
        );
        assert_eq!(audit.last(9).unwrap()[0].detail["set"], "core");
        let path = directory.path().join("audit.jsonl");
        let long = "x".repeat(usize::try_from(AUDIT_MAX).unwrap());
        audit.write(&long, "drain", "done", json!(null));
        audit.write("uid 0 (root)", "undrain", "done", json!(null));
        assert!(std::fs::metadata(&path).unwrap().len() < 200);
        assert!(path.with_extension("jsonl.1").exists());
    }
}
