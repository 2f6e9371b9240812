//! The store of bindings: an embedded log-structured tree (fjall), the AoR as key, its record as value.
//!
//! A commit is one write behind the journal and one `fdatasync`; a kill at any moment leaves all of it or
//! nothing (docs/decisions/0012). Every error is final for the handle: the store is opened anew.

use crate::location::merge::merge;
use anyhow::Result;
use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use rustix::fs::{Advice, fadvise};
use sip_core::record::{Record, records};
use std::collections::HashMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tracing::error;

use crate::limits::{STORE_BLOCK, STORE_CACHE};

/// Why a store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another process has the store {0} open")]
    Locked(PathBuf),
    /// What lies there is no store of ours, or a broken one: opening it again will not help.
    #[error("the store {0} is broken or none of ours: {1}")]
    Unreadable(PathBuf, String),
    /// What the file system refused.
    #[error("the store {0} cannot be opened: {1}")]
    Refused(PathBuf, String),
}

/// An open store.
#[derive(Clone)]
pub struct Store {
    database: Database,
    aors: Keyspace,
}

impl Store {
    /// Opens the store in `directory`, or makes one.
    ///
    /// # Errors
    /// Why not.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        forget_cached(directory);
        let open = || {
            let database =
                Database::builder(directory).cache_size(STORE_CACHE).worker_threads(1).open()?;
            let options = || {
                KeyspaceCreateOptions::default()
                    .data_block_size_policy(BlockSizePolicy::all(STORE_BLOCK))
                    .data_block_compression_policy(CompressionPolicy::disabled())
            };
            let aors = database.keyspace("aors", options)?;
            Ok(Self { database, aors })
        };
        open().map_err(|error: fjall::Error| match (error, directory.to_owned()) {
            (fjall::Error::Locked, directory) => OpenError::Locked(directory),
            (error, directory) if is_broken(&error) => {
                OpenError::Unreadable(directory, error.to_string())
            }
            (error, directory) => OpenError::Refused(directory, error.to_string()),
        })
    }

    /// Commits records, the last of an AoR counting. They are on stable storage when this returns. What is
    /// no record is left out: it would stand in the way for ever.
    ///
    /// # Errors
    /// What failed: then nobody knows what is stored of these, and this handle takes no more.
    pub fn commit<'a>(&self, batches: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        // Two writes of a key in one commit have no order in the store.
        let mut newest: HashMap<&str, Record<'_>> = HashMap::new();
        for record in batches.flat_map(records) {
            match record {
                Ok(record) => drop(newest.insert(record.aor(), record)),
                Err(error) => error!("the data plane sent changes that are lost: {error}"),
            }
        }
        let mut commit = self.database.batch().durability(Some(PersistMode::SyncData));
        for (aor, record) in newest {
            if record.is_deletion() {
                commit.remove(&self.aors, aor);
            } else {
                commit.insert(&self.aors, aor, record.bytes());
            }
        }
        commit.commit().map_err(|error| anyhow::anyhow!("the store takes nothing: {error}"))
    }

    /// These records together with what is stored of their AoRs: nothing that is stored is lost by
    /// committing them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn merged(&self, restored: &[u8]) -> Result<Vec<u8>> {
        let mut all = Vec::with_capacity(restored.len());
        for record in records(restored).flatten() {
            let stored = self.get(record.aor())?.unwrap_or_default();
            merge(&stored, &record, &mut all);
        }
        Ok(all)
    }

    /// The record of an AoR.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get(&self, aor: &str) -> Result<Option<Vec<u8>>> {
        let found = self.aors.get(aor).map_err(|error| unreadable(&error))?;
        Ok(found.map(|record| record.to_vec()))
    }

    /// All records as they are at this moment, in pieces of whole records of at most `piece` bytes.
    pub fn pieces(&self, piece: usize) -> impl Iterator<Item = Result<Vec<u8>>> + use<> {
        let mut entries = self.aors.iter();
        let mut next: Option<fjall::UserValue> = None;
        std::iter::from_fn(move || {
            let mut bytes = Vec::with_capacity(piece);
            if let Some(record) = next.take() {
                bytes.extend_from_slice(&record);
            }
            for entry in entries.by_ref() {
                let record = match entry.into_inner() {
                    Ok((_, record)) => record,
                    Err(error) => return Some(Err(unreadable(&error))),
                };
                if bytes.len() + record.len() > piece && !bytes.is_empty() {
                    next = Some(record);
                    break;
                }
                bytes.extend_from_slice(&record);
            }
            (!bytes.is_empty()).then_some(Ok(bytes))
        })
    }
}

/// Whether what lies there will never be a store again.
fn is_broken(error: &fjall::Error) -> bool {
    match error {
        // A file where the folder should be, a folder that was left half made, a part that is missing.
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => matches!(
            error.kind(),
            ErrorKind::AlreadyExists
                | ErrorKind::NotADirectory
                | ErrorKind::NotFound
                | ErrorKind::InvalidData
                | ErrorKind::UnexpectedEof
        ),
        fjall::Error::Locked | fjall::Error::Poisoned => false,
        _ => true,
    }
}

fn unreadable(error: &fjall::Error) -> anyhow::Error {
    anyhow::anyhow!("the store cannot be read: {error}")
}

/// Has the kernel forget what it keeps of journals. After a write that failed, Linux takes what never
/// reached the disk for clean (Rebello and others, USENIX ATC 2020); who reads it would take it for stored.
fn forget_cached(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "jnl")
            && let Ok(file) = File::open(&path)
        {
            // A file system that cannot do this has no such cache.
            let _ = fadvise(&file, 0, None, Advice::DontNeed);
        }
    }
}
