//! What is known here and not yet in the engine, or there and not yet in the workers.

use super::engine::Position;
use super::fields::{Change, unix_ms};
use super::keys::SHARDS;
use super::lookups::{Asker, Lookup, Lookups};
use super::picture::Picture;
use super::recent::Recent;
use super::shadow::Shadow;
use super::share::Share;
use crate::config::Cluster;
use crate::location::keeper::StoreState;
use sip_core::record::{Record, records};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{error, info};

/// What the workers are given, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForWorkers {
    /// Records that other nodes have changed.
    Replace {
        /// Each is above the one before it.
        number: u64,
        /// Whole records.
        records: Vec<u8>,
    },
    /// These have been given what there is of the AoRs that they have asked for.
    Answer(Vec<Asker>),
}

/// What is done when changes are in the engine.
pub(super) type Confirm = Box<dyn FnOnce() + Send>;

/// What the tasks share.
pub(super) struct Hub {
    pub(super) cluster: Cluster,
    /// The name of this node.
    pub(super) node: String,
    inner: Mutex<Inner>,
    /// Changes have come.
    pub(super) has_changes: Notify,
    pub(super) state: watch::Sender<StoreState>,
    pub(super) picture: watch::Sender<Picture>,
    /// What this node holds; none while nobody says who shares users.
    pub(super) share: watch::Sender<Option<Share>>,
    pub(super) replacements: mpsc::Sender<ForWorkers>,
    /// A worker has asked for an AoR.
    pub(super) has_lookups: Notify,
}

#[derive(Default)]
struct Inner {
    shadow: Shadow,
    /// What the engine is to get, by AoR.
    pending: HashMap<String, Vec<Change>>,
    /// What it is being given.
    in_flight: HashMap<String, Vec<Change>>,
    /// Who waits for what is pending.
    waiting: Vec<Confirm>,
    /// Who waits for what is in flight.
    confirming: Vec<Confirm>,
    /// AoRs to be read once more: there was a change of ours when it was to be replaced.
    again: HashSet<String>,
    /// AoRs that were written since reading began: what was read of them may be older.
    written_meanwhile: HashSet<String>,
    /// What the engine got lately.
    recent: Recent,
    /// The last entry in the log of each shard that we have made.
    made: HashMap<u8, Position>,
    /// AoRs that workers have asked for.
    lookups: Lookups,
    /// The workers have all that this node is to hold, as far as was known at the last look.
    is_whole: bool,
    /// Of the last replacement.
    number: u64,
    /// All that is held is to be given to the workers again.
    wants_all: bool,
    /// What is wrong: with the connection, and with writing.
    troubles: [Option<String>; 2],
}

/// Where trouble comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Connection,
    Writing,
}

impl Hub {
    pub(super) fn new(
        cluster: Cluster,
        node: String,
        state: watch::Sender<StoreState>,
        replacements: mpsc::Sender<ForWorkers>,
    ) -> Self {
        // A control process that is started again counts on.
        let inner = Inner { number: unix_ms() << 10, ..Inner::default() };
        let picture = Picture {
            cluster: cluster.name.clone(),
            node: node.clone(),
            shards: SHARDS.into(),
            ..Picture::default()
        };
        Self {
            cluster,
            node,
            inner: Mutex::new(inner),
            has_changes: Notify::new(),
            state,
            picture: watch::channel(picture).0,
            share: watch::channel(None).0,
            replacements,
            has_lookups: Notify::new(),
        }
    }

    /// Takes what a worker has told, when it had seen the replacements up to `seen`.
    pub(super) fn tell(&self, bytes: &[u8], seen: u64, confirm: Confirm) {
        let inner = &mut *self.lock();
        let now = unix_ms();
        for record in records(bytes) {
            match record {
                Ok(record) => {
                    if inner.shadow.is_ahead(record.aor(), seen) {
                        // That replacement has taken this change away again in the worker.
                        inner.again.insert(record.aor().to_owned());
                    }
                    let changes = inner.shadow.told(&record, seen, now);
                    inner.add(record.aor(), changes);
                }
                Err(error) => error!("the data plane sent changes that are lost: {error}"),
            }
        }
        inner.waiting.push(confirm);
        self.has_changes.notify_one();
    }

    /// Takes records that are to be there beside what is: whatever the engine has of a binding is newer.
    pub(super) fn restore(&self, bytes: &[u8], confirm: Confirm) {
        let inner = &mut *self.lock();
        let since = Instant::now().checked_sub(crate::limits::TOMBSTONE * 2);
        let since = since.unwrap_or_else(Instant::now);
        for record in records(bytes).flatten() {
            let changes = record.bindings();
            let changes = changes.filter_map(|one| Change::live(record.aor(), &one, since));
            let changes = changes.collect();
            inner.add(record.aor(), changes);
        }
        inner.waiting.push(confirm);
        self.has_changes.notify_one();
    }

    /// Takes all that is pending into flight; false when there is nothing to do.
    pub(super) fn begin_round(&self) -> bool {
        let inner = &mut *self.lock();
        inner.take_back();
        if inner.pending.is_empty() && inner.waiting.is_empty() {
            return false;
        }
        inner.in_flight = std::mem::take(&mut inner.pending);
        inner.confirming = std::mem::take(&mut inner.waiting);
        true
    }

    /// What is in flight.
    pub(super) fn in_flight(&self) -> Vec<(String, Vec<Change>)> {
        self.lock().in_flight.iter().map(|(aor, changes)| (aor.clone(), changes.clone())).collect()
    }

    /// The engine has these of a shard; `made` is the last entry of its log that this has made.
    pub(super) fn written<'a>(
        &self,
        shard: u8,
        aors: impl Iterator<Item = &'a String>,
        made: Option<Position>,
    ) {
        let inner = &mut *self.lock();
        for aor in aors {
            if let Some(changes) = inner.in_flight.remove(aor) {
                inner.written_meanwhile.insert(aor.clone());
                inner.recent.add(shard, aor.clone(), changes, Instant::now());
            }
        }
        if let Some(made) = made {
            inner.made.insert(shard, made);
        }
    }

    /// The last entry in the log of a shard that we have made.
    pub(super) fn made(&self, shard: u8) -> Option<Position> {
        self.lock().made.get(&shard).copied()
    }

    /// A master has died with what it had not given to its replica: what it got from us lately is written again.
    pub(super) fn write_again(&self, shard: u8) {
        let inner = &mut *self.lock();
        inner.made.remove(&shard);
        for (aor, changes) in inner.recent.take(shard, Instant::now()) {
            inner.add_missing(aor, changes);
        }
        self.has_changes.notify_one();
    }

    /// Records are going to be read: what is written from now on may be newer than they are.
    pub(super) fn begin_reading(&self) {
        self.lock().written_meanwhile.clear();
    }

    /// Everybody is told whose changes the engine has; gives whether it has all that was in flight.
    pub(super) fn end_round(&self) -> bool {
        let confirmed = {
            let inner = &mut *self.lock();
            if !inner.in_flight.is_empty() {
                inner.take_back();
                return false;
            }
            std::mem::take(&mut inner.confirming)
        };
        for confirm in confirmed {
            confirm();
        }
        true
    }

    /// Whether an AoR is among what workers have.
    pub(super) fn has(&self, aor: &str) -> bool {
        self.lock().shadow.has(aor)
    }

    /// Takes the question of a worker that has no binding of an AoR. Gives whether there is nothing to be had: this node
    /// holds the AoR and has loaded its share, or the engine is away.
    pub(super) fn ask_for(&self, aor: String, asker: Asker) -> bool {
        if !self.picture.borrow().is_connected {
            return true;
        }
        let is_held = self.share.borrow().as_ref().is_some_and(|share| share.has(&aor));
        let inner = &mut *self.lock();
        // What the workers are said to have may be on its way there.
        let has_all = is_held && inner.is_whole && !inner.shadow.has(&aor);
        if !has_all {
            inner.lookups.add(aor, asker, Instant::now());
            self.has_lookups.notify_one();
        }
        has_all
    }

    /// The AoRs that workers have asked for, and who each time.
    pub(super) fn take_lookups(&self) -> Vec<(String, Lookup)> {
        self.lock().lookups.take(Instant::now())
    }

    /// These could not be read yet.
    pub(super) fn put_back(&self, lookups: Vec<(String, Lookup)>) {
        self.lock().lookups.put_back(lookups);
    }

    /// Says whether the workers have all that this node is to hold.
    pub(super) fn set_whole(&self, is_whole: bool) {
        let inner = &mut *self.lock();
        inner.is_whole = is_whole && !inner.wants_all;
    }

    /// Records of what is stored, on their way to workers that have begun anew.
    pub(super) fn loaded(&self, bytes: &[u8]) {
        let inner = &mut *self.lock();
        // The next replacement tells that the workers have them.
        let (number, now) = (inner.number + 1, unix_ms());
        for record in records(bytes).flatten() {
            inner.shadow.replaced(&record, number, now);
        }
    }

    /// The workers have begun anew and have nothing.
    pub(super) fn workers_are_empty(&self) {
        let inner = &mut *self.lock();
        inner.shadow.clear();
        inner.again.clear();
    }

    /// Gives the workers records in place of what they have, but for AoRs of which we know better.
    pub(super) fn replace(&self, way: mpsc::Permit<'_, ForWorkers>, bytes: &[u8]) -> u64 {
        let inner = &mut *self.lock();
        inner.number += 1;
        let (number, now) = (inner.number, unix_ms());
        let (mut out, mut count) = (Vec::with_capacity(bytes.len()), 0);
        for record in records(bytes).flatten() {
            let aor = record.aor();
            if inner.is_newer_here(aor) {
                inner.again.insert(aor.to_owned());
            } else if inner.is_news(&record) {
                inner.shadow.replaced(&record, number, now);
                out.extend_from_slice(record.bytes());
                count += 1;
            }
        }
        way.send(ForWorkers::Replace { number, records: out });
        count
    }

    /// AoRs that have to be read once more and are not being changed by us any more.
    pub(super) fn again(&self) -> Vec<String> {
        let inner = &mut *self.lock();
        let Inner { again, pending, in_flight, .. } = inner;
        let is_free = |aor: &String| !pending.contains_key(aor) && !in_flight.contains_key(aor);
        again.extract_if(is_free).collect()
    }

    /// Has all that this node holds given to the workers once more.
    pub(super) fn want_all(&self) {
        let inner = &mut *self.lock();
        (inner.wants_all, inner.is_whole) = (true, false);
    }

    /// Whether that is wanted; it is not any more.
    pub(super) fn takes_all(&self) -> bool {
        std::mem::take(&mut self.lock().wants_all)
    }

    /// Forgets what is over.
    pub(super) fn sweep(&self) {
        self.lock().shadow.sweep(unix_ms());
    }

    /// AoRs that workers have, and AoRs with changes that the engine has not got.
    pub(super) fn counts(&self) -> (u64, u64) {
        let inner = self.lock();
        let waiting = inner.pending.len() + inner.in_flight.len();
        (inner.shadow.len() as u64, waiting as u64)
    }

    /// Something is wrong, or not any more. The log says so once.
    pub(super) fn set_trouble(&self, source: Source, trouble: Option<String>) {
        let shown = {
            let troubles = &mut self.lock().troubles;
            let place = match source {
                Source::Connection => &mut troubles[0],
                Source::Writing => &mut troubles[1],
            };
            *place = trouble;
            troubles.iter().flatten().next().cloned()
        };
        let before =
            self.state.send_replace(StoreState { trouble: shown.clone(), set_aside: None });
        match (&before.trouble, &shown) {
            (before, Some(trouble)) if before.as_ref() != Some(trouble) => {
                error!("cluster: {trouble}: the workers go on with what they have");
            }
            (Some(_), None) => {
                let waiting = self.counts().1;
                info!(waiting, "cluster: the engine is well again");
            }
            _ => {}
        }
        self.picture.send_modify(|picture| picture.trouble = shown);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Adds changes of an AoR; of two of one binding the later counts.
    fn add(&mut self, aor: &str, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let pending = self.pending.entry(aor.to_owned()).or_default();
        for change in changes {
            match pending.iter_mut().find(|one| one.id == change.id) {
                Some(one) if change.repeats(one) => {}
                Some(one) => *one = change,
                None => pending.push(change),
            }
        }
    }

    /// What is still in flight is pending again, unless there is something later.
    fn take_back(&mut self) {
        for (aor, changes) in std::mem::take(&mut self.in_flight) {
            self.add_missing(aor, changes);
        }
        self.confirming.append(&mut self.waiting);
        self.waiting = std::mem::take(&mut self.confirming);
    }

    /// Adds changes of an AoR, but for bindings of which there is something later.
    fn add_missing(&mut self, aor: String, changes: Vec<Change>) {
        let pending = self.pending.entry(aor).or_default();
        for change in changes {
            if !pending.iter().any(|later| later.id == change.id) {
                pending.push(change);
            }
        }
    }

    /// Whether what was read of an AoR may be older than what we have.
    fn is_newer_here(&self, aor: &str) -> bool {
        self.pending.contains_key(aor)
            || self.in_flight.contains_key(aor)
            || self.written_meanwhile.contains(aor)
    }

    /// Whether it says something of an AoR that workers may have, or will.
    fn is_news(&self, record: &Record<'_>) -> bool {
        !record.is_deletion() || self.shadow.has(record.aor())
    }
}
