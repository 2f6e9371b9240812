//! The thread that owns the store. All that waits is committed at once and confirmed together; what fails
//! waits, and is tried again in a store opened anew, until it is there.
//!
//! What cannot be read is put aside and a new store begun. A folder that was open and is gone is waited
//! for: its disk is not mounted, and what is written below its mount point would be lost.

use crate::cluster::{Asker, EngineKeeper, Picture};
use crate::limits::{GROUP_MAX, PIECES_AHEAD, STORE_RETRY_FIRST, STORE_RETRY_MAX};
use crate::location::aside;
use crate::location::store::{OpenError, Store};
use anyhow::{Context, Result, anyhow};
use control_api::location::RECORDS_MAX;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info};

/// Says that changes are on stable storage: index of the worker and their number.
pub type Confirm = mpsc::UnboundedSender<(u16, u64)>;

/// Of all that is stored.
#[derive(Debug)]
pub enum Piece {
    /// Whole records, one behind the other.
    Records(Vec<u8>),
    /// That was all. Without it the reading has failed.
    End,
}

/// All that is stored, piece by piece.
pub type Pieces = mpsc::Receiver<Piece>;

/// What a worker has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Whole records, the newest state of each AoR.
    pub records: Vec<u8>,
    /// Number of the last replacement that it had seen.
    pub replaced: u64,
}

/// How the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreState {
    /// What is wrong with it, if anything.
    pub trouble: Option<String>,
    /// Where an older store lies that could not be read.
    pub set_aside: Option<String>,
}

/// Why nothing can be said of stored bindings.
pub const NO_STORE: &str =
    "there is no store (`[registrar] store = \"none\"`): bindings are in the workers alone";

enum Job {
    Commit(Commit),
    Restore(Commit),
    Read(mpsc::Sender<Piece>),
    ReadLate(mpsc::Sender<Piece>),
    Get(String, oneshot::Sender<Result<Option<Vec<u8>>>>),
}

struct Commit {
    records: Vec<u8>,
    confirm: Box<dyn FnOnce() + Send>,
}

/// Who keeps bindings.
#[derive(Clone, Debug)]
enum Keeping {
    /// Nobody.
    None,
    /// The thread of the store on this machine.
    Disk(Sender<Job>),
    /// The engine that several nodes share.
    Engine(EngineKeeper),
}

/// Where the keeper is asked.
#[derive(Clone, Debug)]
pub struct KeeperHandle {
    keeper: Keeping,
    /// How the store is.
    pub state: watch::Receiver<StoreState>,
}

impl KeeperHandle {
    /// Starts the keeper of the store in `directory`.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(directory: &Path) -> Result<Self> {
        let (jobs, queue) = channel();
        let (sender, state) = watch::channel(StoreState::default());
        let directory = directory.to_owned();
        let keeper = Keeper {
            directory,
            store: None,
            was_open: false,
            queue,
            pending: Vec::new(),
            restores: Vec::new(),
            late: Vec::new(),
            state: sender,
            retry: Some(Instant::now()),
            pause: STORE_RETRY_FIRST,
        };
        std::thread::Builder::new().name("location".to_owned()).spawn(|| keeper.run())?;
        Ok(Self { keeper: Keeping::Disk(jobs), state })
    }

    /// The keeper of nothing, for `[registrar] store = "none"`.
    pub fn none() -> Self {
        Self { keeper: Keeping::None, state: watch::channel(StoreState::default()).1 }
    }

    /// The keeper of bindings in an engine.
    pub fn engine(keeper: EngineKeeper) -> Self {
        let state = keeper.state();
        Self { keeper: Keeping::Engine(keeper), state }
    }

    /// What this node knows of the cluster; none when it shares bindings with nobody.
    pub fn picture(&self) -> Option<watch::Receiver<Picture>> {
        match &self.keeper {
            Keeping::Engine(keeper) => Some(keeper.picture()),
            _ => None,
        }
    }

    /// Whether it keeps nothing.
    pub fn is_none(&self) -> bool {
        matches!(self.keeper, Keeping::None)
    }

    /// Whether other appliances may have bindings that the workers here have not.
    pub fn is_shared(&self) -> bool {
        matches!(self.keeper, Keeping::Engine(_))
    }

    /// Has what others know of an AoR given to the worker that asks. Gives whether there is nothing to be had;
    /// otherwise the answer comes behind what there is, with the replacements.
    pub fn ask_for(&self, aor: String, asker: Asker) -> bool {
        match &self.keeper {
            Keeping::Engine(keeper) => keeper.ask_for(aor, asker),
            _ => true,
        }
    }

    /// Stores changes of a worker; `confirm` hears of it when they are on stable storage, whenever that is.
    pub fn commit(&self, (worker, number): (u16, u64), changes: Changes, confirm: Confirm) {
        let confirm = Box::new(move || {
            // Who asked may be gone; who comes next is sent the same again.
            let _ = confirm.send((worker, number));
        });
        let Changes { records, replaced } = changes;
        if let Keeping::Engine(keeper) = &self.keeper {
            return keeper.commit(replaced, &records, confirm);
        }
        self.ask(Job::Commit(Commit { records, confirm }));
    }

    /// Stores records beside what is stored of the same AoRs, and waits until they are on stable storage, if
    /// there is a store.
    pub async fn restore(&self, records: Vec<u8>) {
        let (sender, done) = oneshot::channel();
        let confirm = Box::new(move || {
            let _ = sender.send(());
        });
        if let Keeping::Engine(keeper) = &self.keeper {
            keeper.restore(&records, confirm);
            let _ = done.await;
            return;
        }
        self.ask(Job::Restore(Commit { records, confirm }));
        let _ = done.await;
    }

    /// All records, with the changes that were asked for before; of none, no store has any.
    pub fn read(&self) -> Pieces {
        if let Keeping::Engine(keeper) = &self.keeper {
            return keeper.all();
        }
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        if self.is_none() {
            let _ = sender.try_send(Piece::End);
        }
        self.ask(Job::Read(sender));
        pieces
    }

    /// The records for workers that have begun anew: of a store that several nodes share, those that this node holds.
    pub fn load(&self) -> Pieces {
        match &self.keeper {
            Keeping::Engine(keeper) => keeper.share(),
            _ => self.read(),
        }
    }

    /// Workers that have what is stored may have missed what other nodes have changed.
    pub fn catch_up(&self) {
        if let Keeping::Engine(keeper) = &self.keeper {
            keeper.again();
        }
    }

    /// As [`Self::load`], however long it takes until the store can be read, and as it is before anything is stored
    /// that came meanwhile.
    pub fn read_late(&self) -> Pieces {
        if let Keeping::Engine(keeper) = &self.keeper {
            return keeper.late();
        }
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        self.ask(Job::ReadLate(sender));
        pieces
    }

    /// The record of an AoR.
    ///
    /// # Errors
    /// When the store cannot be read, or there is none.
    pub async fn get(&self, aor: String) -> Result<Option<Vec<u8>>> {
        if let Keeping::Engine(keeper) = &self.keeper {
            return keeper.get(aor).await;
        }
        let (sender, answer) = oneshot::channel();
        self.ask(Job::Get(aor, sender));
        answer.await.context(NO_STORE)?
    }

    fn ask(&self, job: Job) {
        match (&self.keeper, job) {
            (Keeping::Disk(jobs), job) => {
                let is_asked = jobs.send(job).is_ok();
                debug_assert!(is_asked, "the keeper ends after the last handle");
            }
            // Nothing is kept back for what nobody keeps.
            (_, Job::Commit(commit) | Job::Restore(commit)) => (commit.confirm)(),
            (_, Job::Read(_) | Job::ReadLate(_) | Job::Get(..)) => {}
        }
    }
}

struct Keeper {
    directory: PathBuf,
    /// Open, if only for reading.
    store: Option<Store>,
    was_open: bool,
    queue: Receiver<Job>,
    /// Changes that are not stored, oldest first. The data plane has a bounded number on their way.
    pending: Vec<Commit>,
    restores: Vec<Commit>,
    /// Who waits until it can be read.
    late: Vec<mpsc::Sender<Piece>>,
    state: watch::Sender<StoreState>,
    /// The store is ill, and is to be opened anew at this time.
    retry: Option<Instant>,
    pause: Duration,
}

impl Keeper {
    fn run(mut self) {
        loop {
            if self.retry.is_some_and(|at| at <= Instant::now()) {
                self.open();
            }
            self.commit();
            self.restore();
            let next = match self.retry {
                None => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.queue.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes a job and, behind it, all commits that wait, up to a bound. A job of another kind waits for the
    /// commits before it.
    fn take(&mut self, job: Job) {
        let mut next = Some(job);
        while let Some(job) = next {
            match job {
                Job::Commit(commit) => self.pending.push(commit),
                Job::Restore(commit) => self.restores.push(commit),
                Job::Read(pieces) => {
                    self.commit();
                    self.read(pieces);
                }
                Job::ReadLate(pieces) => {
                    self.late.push(pieces);
                    self.read_late();
                }
                Job::Get(aor, answer) => {
                    self.commit();
                    let _ = answer.send(self.get(&aor));
                }
            }
            next = (self.pending.len() < GROUP_MAX).then(|| self.queue.try_recv().ok()).flatten();
        }
    }

    /// Opens the store anew and stores what waits.
    fn open(&mut self) {
        self.store = None; // Its lock goes with it.
        match self.open_or_begin() {
            Ok(store) => {
                (self.store, self.was_open, self.retry) = (Some(store), true, None);
                self.read_late();
                self.commit();
                self.restore();
            }
            Err(error) => self.fall_ill(&error),
        }
        if self.retry.is_none() {
            self.pause = STORE_RETRY_FIRST;
            let set_aside = aside::newest(&self.directory).map(|place| place.display().to_string());
            let before = self.state.send_replace(StoreState { trouble: None, set_aside });
            if before.trouble.is_some() {
                info!("the location store is well again");
            }
        }
    }

    fn open_or_begin(&self) -> Result<Store> {
        let directory = &self.directory;
        if self.was_open && !directory.exists() {
            return Err(anyhow!(
                "the store {} is gone: mount its disk, or start control again to begin a new one",
                directory.display()
            ));
        }
        match Store::open(directory) {
            Err(error @ OpenError::Unreadable(..)) => {
                let place = aside::put_aside(directory).map_err(|_| anyhow!("{error}"))?;
                error!(
                    "{error}: it is kept as {}, and a new one is begun: users are unknown to it until they \
                     register again",
                    place.display()
                );
                Ok(Store::open(directory)?)
            }
            opened => Ok(opened?),
        }
    }

    /// Stores all that waits, unless the store is ill.
    fn commit(&mut self) {
        let (Some(store), None) = (&self.store, self.retry) else { return };
        if self.pending.is_empty() {
            return;
        }
        match store.commit(self.pending.iter().map(|commit| commit.records.as_slice())) {
            Ok(()) => self.pending.drain(..).for_each(|commit| (commit.confirm)()),
            Err(error) => self.fall_ill(&error),
        }
    }

    /// Stores what is restored, unless the store is ill.
    fn restore(&mut self) {
        while let (Some(store), None) = (&self.store, self.retry)
            && let Some(Commit { records, .. }) = self.restores.last()
        {
            match store.merged(records) {
                Ok(records) => {
                    let restored = self.restores.pop();
                    self.pending.extend(restored.map(|commit| Commit { records, ..commit }));
                    self.commit();
                }
                Err(error) => self.fall_ill(&error),
            }
        }
    }

    fn fall_ill(&mut self, error: &anyhow::Error) {
        let set_aside = self.state.borrow().set_aside.clone();
        let trouble = Some(format!("{error:#}"));
        if self.state.send_replace(StoreState { trouble, set_aside }).trouble.is_none() {
            error!("{error:#}: changes of bindings wait until it is well; free space or repair it");
        }
        self.retry = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(STORE_RETRY_MAX);
    }

    /// Reads for those who have waited for it, before anything else is stored.
    fn read_late(&mut self) {
        if self.store.is_some() {
            for pieces in std::mem::take(&mut self.late) {
                self.read(pieces);
            }
        }
    }

    fn get(&self, aor: &str) -> Result<Option<Vec<u8>>> {
        let store = self.store.as_ref();
        store.ok_or_else(|| anyhow::anyhow!("the store is not open"))?.get(aor)
    }

    /// Reads all records in a thread of its own: changes go on meanwhile. Behind them come the changes
    /// that could not be stored.
    fn read(&self, pieces: mpsc::Sender<Piece>) {
        let Some(store) = &self.store else { return };
        let pending: Vec<_> = self.pending.iter().map(|commit| commit.records.clone()).collect();
        // What is read is what is there now; as long as it is read, the store stays open.
        let (stored, open) = (store.pieces(RECORDS_MAX), store.clone());
        let read = move || {
            let _open = open;
            for piece in stored.chain(pending.into_iter().map(Ok)) {
                match piece {
                    Ok(piece) => {
                        if pieces.blocking_send(Piece::Records(piece)).is_err() {
                            return; // Nobody listens any more.
                        }
                    }
                    Err(error) => return error!("{error:#}"),
                }
            }
            let _ = pieces.blocking_send(Piece::End);
        };
        if let Err(error) = std::thread::Builder::new().name("location read".into()).spawn(read) {
            error!("the location store cannot be read: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Changes, KeeperHandle, Piece, Pieces};
    use crate::location::json::{AorLine, lines};
    use crate::location::store::Store;
    use tokio::sync::mpsc;

    fn record(aor: &str, cseq: u32) -> Vec<u8> {
        let text = format!(
            r#"{{"aor":"{aor}","bindings":[{{"uri":"sip:a@192.0.2.7","expires_unix_ms":1800000000000,
            "q":1000,"source":"192.0.2.7:5060","listen":"192.0.2.1:5060","is_flow":false,"cseq":{cseq},
            "call_id_hash":1}}]}}"#
        );
        let mut record = Vec::new();
        serde_json::from_str::<AorLine>(&text).unwrap().write(&mut record).unwrap();
        record
    }

    fn changes(records: Vec<u8>) -> Changes {
        Changes { records, replaced: 0 }
    }

    fn deletion(aor: &str) -> Vec<u8> {
        let mut record = Vec::new();
        AorLine { aor: aor.into(), bindings: vec![] }.write(&mut record).unwrap();
        record
    }

    async fn all(mut pieces: Pieces) -> Vec<(String, u32)> {
        let mut found = vec![];
        while let Piece::Records(piece) = pieces.recv().await.expect("it ends with a mark") {
            found.extend(lines(&piece).unwrap().into_iter().map(|l| (l.aor, l.bindings[0].cseq)));
        }
        found
    }

    #[tokio::test]
    async fn the_newest_record_of_an_aor_is_stored_and_a_forgotten_one_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let keeper = KeeperHandle::start(directory.path()).unwrap();
        let (confirm, mut confirmed) = mpsc::unbounded_channel();
        let batches = [
            [record("a@x", 1), record("b@x", 1)].concat(),
            [record("a@x", 2), record("c@x", 1), b"nonsense".to_vec()].concat(),
            [deletion("b@x"), record("a@x", 3)].concat(),
        ];
        for (number, batch) in (1..).zip(batches) {
            keeper.commit((7, number), changes(batch), confirm.clone());
        }
        for number in 1..=3 {
            assert_eq!(confirmed.recv().await, Some((7, number)));
        }
        let expected = [("a@x".to_owned(), 3), ("c@x".to_owned(), 1)];
        assert_eq!(all(keeper.read()).await, expected);
        assert!(keeper.get("b@x".into()).await.unwrap().is_none());
        drop(keeper);
        // The thread ends a moment later, and with it its hold on the store.
        let again = KeeperHandle::start(directory.path()).unwrap();
        let record = loop {
            if let Ok(record) = again.get("a@x".into()).await {
                break record.unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        assert_eq!(lines(&record).unwrap()[0].bindings[0].cseq, 3);
    }

    #[tokio::test]
    async fn without_a_store_nothing_waits_and_nothing_is_there() {
        let keeper = KeeperHandle::none();
        let (confirm, mut confirmed) = mpsc::unbounded_channel();
        keeper.commit((3, 1), changes(record("a@x", 1)), confirm);
        assert_eq!(confirmed.recv().await, Some((3, 1)));
        keeper.restore(record("a@x", 2)).await;
        assert_eq!(all(keeper.read()).await, []);
        let refused = keeper.get("a@x".into()).await.unwrap_err();
        assert!(format!("{refused:#}").contains("store = \"none\""), "{refused:#}");
    }

    #[tokio::test]
    async fn what_cannot_be_stored_waits_and_is_stored_when_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("location");
        let other = Store::open(&place).unwrap();
        other.commit([record("b@x", 1)].iter().map(Vec::as_slice)).unwrap();
        let keeper = KeeperHandle::start(&place).unwrap();
        let (confirm, mut confirmed) = mpsc::unbounded_channel();
        keeper.commit((0, 1), changes(record("a@x", 1)), confirm);
        let mut state = keeper.state.clone();
        state.wait_for(|state| state.trouble.is_some()).await.unwrap();
        assert!(confirmed.try_recv().is_err());
        assert!(keeper.read().recv().await.is_none(), "reading has failed");
        let late = keeper.read_late();
        drop(other);
        assert_eq!(confirmed.recv().await, Some((0, 1)));
        state.wait_for(|state| state.trouble.is_none()).await.unwrap();
        assert_eq!(all(late).await[0], ("b@x".to_owned(), 1));
        assert_eq!(all(keeper.read()).await, [("a@x".to_owned(), 1), ("b@x".to_owned(), 1)]);
    }

    #[tokio::test]
    async fn what_is_no_store_is_kept_and_a_new_one_is_begun() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("location");
        std::fs::write(&place, b"in the way").unwrap();
        let keeper = KeeperHandle::start(&place).unwrap();
        let mut state = keeper.state.clone();
        let said = state.wait_for(|state| state.set_aside.is_some()).await.unwrap().clone();
        assert_eq!(std::fs::read(said.set_aside.unwrap()).unwrap(), b"in the way");
        keeper.restore(record("a@x", 1)).await;
        assert_eq!(all(keeper.read()).await, [("a@x".to_owned(), 1)]);
    }
}
