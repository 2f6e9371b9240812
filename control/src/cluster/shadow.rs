//! What the workers of this node have, as hashes: a record says what there is, and only here is known what there was.
//!
//! A worker may not have got yet what we have given it, or not have taken it, because it had a change of its own that
//! was not sent. So each replacement has a number, workers say with their changes which was the last that they have
//! seen, and a record says if the worker has passed over one ([`sip_core::record::Record::has_passed`]). Only what a
//! worker certainly had, and has no more before it was over, was removed by somebody.

use super::fields::Change;
use super::keys::{Identity, identity};
use sip_core::record::{BindingView, Record};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

/// A binding that ends within so many milliseconds is not missed when it is gone.
const NEARLY_OVER_MS: u64 = 2_000;
/// For so long it is remembered that a worker was told of a removal: a record that is older may be on its way.
const GONE_MS: u64 = 60_000;

/// A binding that workers have: 32 bytes.
#[derive(Clone, Copy, Debug)]
struct Held {
    id: Identity,
    /// Hash of its Call-ID mixed with its CSeq.
    version: u64,
    /// Number of the replacement that has brought it, or taken it away; 0 when a worker itself has told of it.
    since: u64,
    /// In milliseconds since 1970; the highest bit: it was taken away.
    ends: u64,
}

const GONE: u64 = 1 << 63;

impl Held {
    fn new(binding: &BindingView<'_>, since: u64) -> Self {
        let version = version(binding.call_id_hash, binding.cseq);
        Self { id: identity(binding), version, since, ends: binding.expires_unix_ms }
    }

    fn is_gone(&self) -> bool {
        self.ends & GONE != 0
    }

    fn ends_ms(&self) -> u64 {
        self.ends & !GONE
    }
}

fn version(call: u64, cseq: u32) -> u64 {
    call.rotate_left(7) ^ u64::from(cseq).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What is known of an AoR.
#[derive(Debug, Default)]
struct Known {
    /// Number of the last replacement that has named it.
    replaced: u64,
    held: Box<[Held]>,
}

/// What the workers have. An AoR with one binding takes some 100 bytes: 32 in the table, which is filled half to seven
/// eighths, and 48 beside it.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    /// By a hash of the AoR with a random key.
    aors: HashMap<u64, Known>,
    hasher: RandomState,
}

impl Shadow {
    /// How many AoRs there are.
    pub(super) fn len(&self) -> usize {
        self.aors.len()
    }

    /// Nothing is there any more: the workers have begun anew.
    pub(super) fn clear(&mut self) {
        self.aors.clear();
    }

    /// Whether workers have this AoR.
    pub(super) fn has(&self, aor: &str) -> bool {
        self.aors.contains_key(&self.key(aor))
    }

    /// Whether a replacement of this AoR is on its way to a worker that has seen those up to `seen`: what the worker has
    /// told without it is taken away by it again.
    pub(super) fn is_ahead(&self, aor: &str, seen: u64) -> bool {
        self.aors.get(&self.key(aor)).is_some_and(|known| known.replaced > seen)
    }

    /// A worker that has seen the replacements up to `seen` has told of an AoR: what was changed there.
    pub(super) fn told(&mut self, record: &Record<'_>, seen: u64, unix_ms: u64) -> Vec<Change> {
        let now = Instant::now();
        let key = self.key(record.aor());
        let Known { replaced, held: before } = self.aors.remove(&key).unwrap_or_default();
        let mut held = Vec::with_capacity(before.len() + 1);
        let mut changes = Vec::new();
        for binding in record.bindings() {
            let new = Held::new(&binding, 0);
            let old = before.iter().find(|old| old.id == new.id);
            match old {
                // Taken away again while this record was on its way.
                Some(old) if old.is_gone() && old.since > seen && old.version == new.version => {
                    continue;
                }
                Some(old) if !old.is_gone() && old.version == new.version => {}
                _ => changes.extend(Change::live(record.aor(), &binding, now)),
            }
            held.push(new);
        }
        for old in before {
            if held.iter().any(|new| new.id == old.id) || old.ends_ms() <= unix_ms {
                continue;
            }
            if old.since > seen {
                held.push(old); // The worker will see it.
            } else if !old.is_gone()
                && (old.since == 0 || !record.has_passed())
                && old.ends_ms() > unix_ms + NEARLY_OVER_MS
            {
                changes.push(Change::removed(old.id, now));
            }
        }
        self.keep(key, replaced, held);
        changes
    }

    /// The AoR is being replaced by this record, in the replacement of this number.
    pub(super) fn replaced(&mut self, record: &Record<'_>, number: u64, unix_ms: u64) {
        let key = self.key(record.aor());
        let before = self.aors.remove(&key).unwrap_or_default().held;
        let mut held: Vec<_> = record
            .bindings()
            .map(|binding| {
                let new = Held::new(&binding, number);
                let is_known = |old: &&Held| {
                    !old.is_gone()
                        && old.since == 0
                        && (old.id, old.version) == (new.id, new.version)
                };
                let since = before.iter().find(is_known).map_or(number, |old| old.since);
                Held { since, ..new }
            })
            .collect();
        let gone = before.iter().filter(|old| !held.iter().any(|new| new.id == old.id));
        let gone: Vec<_> = gone
            .filter(|old| old.ends_ms() > unix_ms)
            .map(|old| {
                if old.is_gone() {
                    *old
                } else {
                    Held { since: number, ends: (unix_ms + GONE_MS) | GONE, ..*old }
                }
            })
            .collect();
        held.extend(gone);
        self.keep(key, number, held);
    }

    /// Forgets what is over.
    pub(super) fn sweep(&mut self, unix_ms: u64) {
        self.aors.retain(|_, known| known.held.iter().any(|one| one.ends_ms() > unix_ms));
    }

    fn keep(&mut self, key: u64, replaced: u64, held: Vec<Held>) {
        if !held.is_empty() {
            self.aors.insert(key, Known { replaced, held: held.into_boxed_slice() });
        }
    }

    fn key(&self, aor: &str) -> u64 {
        self.hasher.hash_one(aor)
    }
}

#[cfg(test)]
mod tests;
