//! The store of bindings: an embedded log-structured tree (fjall), the AoR as key, its record as value.
//!
//! A commit is one write behind the journal and one `fdatasync`; a kill at any moment leaves all of it or
//! nothing (docs/decisions/0012). Every error is final for the handle: the store is opened anew.

use anyhow::Result;
use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use rustix::fs::{Advice, fadvise};
use sip_core::record::{Record, records};
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use tracing::error;

use crate::limits::{STORE_BLOCK, STORE_CACHE};

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
    /// What the file system refused; another process that has it open.
    pub fn open(directory: &Path) -> Result<Self> {
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
        open().map_err(|error: fjall::Error| match error {
            fjall::Error::Locked => {
                anyhow::anyhow!("another process has the store {} open", directory.display())
            }
            error => {
                anyhow::anyhow!("the store {} cannot be opened: {error}", directory.display())
            }
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
