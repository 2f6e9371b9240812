//! The service core's part in storing bindings: it takes batches of changes from the workers to control and
//! keeps them until control confirms them; it takes stored records to the workers that own them; and it
//! tells the workers when the store cannot be waited for.

mod link;
mod load;
mod watch;

use super::state::Service;
use crate::limits::LOG_BATCHES;
use crate::location_log::{Batch, Errand, load_batches};
use crate::mailbox::ServiceEnd;
use control_api::FromLocation;
use control_api::status::{Degraded, StoreStatus};
use sip_core::{AorQuestion, LoadCounts};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) use watch::Trouble;

/// Which worker owns the AoR of a record; none for one that cannot be read.
pub type RecordOwner = Box<dyn Fn(&[u8]) -> Option<u8> + Send>;

/// All that the service core knows of bindings.
pub(super) struct LocationRelay {
    workers: Vec<ServiceEnd>,
    owner: RecordOwner,
    ways: RefCell<Vec<Way>>,
    /// What control is to be told beside changes.
    answers: RefCell<VecDeque<FromLocation>>,
    /// There is something to be sent, or another connection has come.
    news: Notify,
    /// A batch of stored records has come back.
    has_room: Notify,
    /// Counts connections for location; the newest one counts.
    connection: Cell<u64>,
    counts: Cell<LoadCounts>,
    /// The workers answer for location.
    is_loaded: Cell<bool>,
    /// They have not got what is stored.
    has_begun_without: Cell<bool>,
    confirmed: Cell<u64>,
    trouble: RefCell<Trouble>,
}

/// The way from and to one worker.
struct Way {
    /// Changes that control has not confirmed, oldest first, and since when they are here.
    unconfirmed: VecDeque<(Batch, Instant)>,
    /// How many of them have been sent on this connection.
    sent: usize,
    /// Batches for stored records that are at home.
    free: Vec<Batch>,
    /// The one of them that is being filled. Here, so that it outlives a connection that ends meanwhile.
    filling: Option<Batch>,
}

impl LocationRelay {
    pub(super) fn new(workers: Vec<ServiceEnd>, owner: RecordOwner) -> Self {
        let way = |_: &ServiceEnd| Way {
            unconfirmed: VecDeque::with_capacity(LOG_BATCHES),
            sent: 0,
            free: load_batches(),
            filling: None,
        };
        Self {
            ways: RefCell::new(workers.iter().map(way).collect()),
            workers,
            owner,
            answers: RefCell::default(),
            news: Notify::new(),
            has_room: Notify::new(),
            connection: Cell::new(0),
            counts: Cell::default(),
            is_loaded: Cell::new(false),
            has_begun_without: Cell::new(false),
            confirmed: Cell::new(0),
            trouble: RefCell::new(Trouble::new()),
        }
    }

    /// Takes what a worker has sent.
    pub(super) fn take_batches(&self, worker: usize) {
        while let Some(batch) = self.workers[worker].log.next() {
            let way = &mut self.ways.borrow_mut()[worker];
            match batch.errand {
                Errand::Loaded(_) | Errand::Replaced | Errand::Heard => {
                    if let Errand::Loaded(counts) = batch.errand {
                        self.count_loaded(counts);
                    }
                    way.free.push(batch);
                    self.has_room.notify_one();
                }
                _ => {
                    way.unconfirmed.push_back((batch, Instant::now()));
                    self.news.notify_one();
                }
            }
        }
    }

    /// Takes a question of a worker to control. While nobody can be asked it is lost, and the request waits in vain.
    pub(super) fn ask(&self, worker: usize, question: &AorQuestion) {
        if let (true, Ok(worker)) = (self.trouble.borrow().is_connected(), u16::try_from(worker)) {
            let (number, aor) = (question.number(), question.aor().to_owned());
            self.answer(FromLocation::Asked { worker, number, aor });
        }
    }

    fn count_loaded(&self, counts: LoadCounts) {
        let mut sum = self.counts.get();
        sum += counts;
        self.counts.set(sum);
    }

    /// Control has all changes of `worker` up to `number` on stable storage: their batches go home.
    fn confirm(&self, worker: u16, number: u64) {
        let mut ways = self.ways.borrow_mut();
        let Some(way) = ways.get_mut(usize::from(worker)) else { return };
        while let Some((mut batch, since)) = way.unconfirmed.pop_front() {
            match batch.errand {
                Errand::Changes { number: this, position, .. } if this <= number => {
                    batch.errand = Errand::Flushed { position };
                    self.workers[usize::from(worker)].log.send(batch);
                    way.sent = way.sent.saturating_sub(1);
                    self.confirmed.set(self.confirmed.get() + 1);
                }
                _ => {
                    way.unconfirmed.push_front((batch, since));
                    break;
                }
            }
        }
    }

    /// For how long the oldest changes have waited for control.
    fn oldest(&self) -> Option<Instant> {
        let ways = self.ways.borrow();
        ways.iter().filter_map(|way| way.unconfirmed.front().map(|(_, since)| *since)).min()
    }

    pub(super) fn status(&self) -> StoreStatus {
        let counts = self.counts.get();
        let trouble = self.trouble.borrow();
        let unconfirmed = self.ways.borrow().iter().map(|way| way.unconfirmed.len() as u64).sum();
        StoreStatus {
            is_none: trouble.is_none,
            is_connected: trouble.is_connected(),
            is_loaded: self.is_loaded.get(),
            has_begun_without: self.has_begun_without.get(),
            set_aside: trouble.set_aside.clone().unwrap_or_default(),
            degraded: trouble.degraded.as_ref().map(|(reason, since)| Degraded {
                reason: reason.clone(),
                for_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            }),
            degradations: trouble.degradations,
            unconfirmed,
            confirmed: self.confirmed.get(),
            loaded: counts.aors,
            load_expired: counts.expired,
            load_refused: counts.refused + counts.foreign,
        }
    }
}
