//! Stored records on their way to the workers that own them.

use super::{LocationRelay, Service};
use crate::limits::LOAD_BATCHES;
use crate::location_log::{Batch, Errand};
use crate::mailbox::Command;
use control_api::location::ANSWERS_MAX;
use sip_core::{LoadCounts, record};

impl Service {
    /// Waits until the workers have taken all that was sent to them; then they answer for location.
    pub(super) async fn finish_load(&self) -> LoadCounts {
        let relay = self.location();
        relay.send_filling();
        relay.all_home().await;
        relay.has_begun_without.set(false);
        self.location_ready().await;
        relay.counts.get()
    }

    /// Lets all workers answer for location without what is stored, unless they have it.
    pub(super) async fn begin_without(&self) {
        let relay = self.location();
        if !relay.is_loaded.get() {
            relay.has_begun_without.set(true);
            relay.send_filling();
            self.location_ready().await;
        }
    }

    async fn location_ready(&self) {
        if !self.location().is_loaded.replace(true) {
            self.tell_workers(|| Command::LocationReady).await;
        }
    }
}

impl LocationRelay {
    /// Sends records to the workers that own them; waits while these have too many.
    pub(super) async fn load(&self, records: &[u8]) {
        for record in record::records(records) {
            let bytes = record.as_ref().map(record::Record::bytes);
            let owner = bytes.ok().and_then(&self.owner).map(usize::from);
            match (bytes, owner.filter(|owner| *owner < self.workers.len())) {
                (Ok(record), Some(owner)) => self.load_one(owner, record).await,
                _ => self.count_loaded(LoadCounts { refused: 1, ..LoadCounts::default() }),
            }
        }
        if self.is_loaded.get() {
            self.send_filling();
        }
    }

    /// Sends the replacement of this number to all workers, with the records that each owns: those of one message
    /// fit one batch.
    pub(super) async fn replace(&self, number: u64, records: &[u8]) {
        self.send_filling();
        let mut batches = Vec::with_capacity(self.workers.len());
        for worker in 0..self.workers.len() {
            let mut batch = self.free_batch(worker).await;
            batch.errand = Errand::Replace { number };
            batches.push(batch);
        }
        for record in record::records(records).flatten().map(|record| record.bytes()) {
            let owner = (self.owner)(record).map(usize::from);
            if let Some(batch) = owner.and_then(|owner| batches.get_mut(owner)) {
                batch.records.extend_from_slice(record);
            }
        }
        for (worker, batch) in self.workers.iter().zip(batches) {
            worker.log.send(batch);
        }
    }

    /// Tells a worker that these questions have been answered, behind all that was sent to it before.
    pub(super) async fn answered(&self, worker: u16, numbers: &[u64]) {
        let worker = usize::from(worker);
        let Some(end) = self.workers.get(worker) else { return };
        for numbers in numbers.chunks(ANSWERS_MAX) {
            let mut batch = self.free_batch(worker).await;
            batch.errand = Errand::Answered;
            batch.records.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
            end.log.send(batch);
        }
    }

    async fn load_one(&self, owner: usize, record: &[u8]) {
        loop {
            let filling = self.ways.borrow_mut()[owner].filling.take();
            let mut batch = match filling {
                Some(batch) => batch,
                None => self.free_batch(owner).await,
            };
            let has_room = batch.records.len() + record.len() <= batch.records.capacity();
            if has_room {
                batch.records.extend_from_slice(record);
                self.ways.borrow_mut()[owner].filling = Some(batch);
                return;
            }
            self.workers[owner].log.send(batch);
        }
    }

    fn send_filling(&self) {
        for (way, worker) in self.ways.borrow_mut().iter_mut().zip(&self.workers) {
            if let Some(batch) = way.filling.take() {
                worker.log.send(batch);
            }
        }
    }

    async fn free_batch(&self, worker: usize) -> Batch {
        loop {
            let free = self.ways.borrow_mut()[worker].free.pop();
            if let Some(mut batch) = free {
                batch.records.clear();
                batch.errand = Errand::Load;
                return batch;
            }
            self.has_room.notified().await;
        }
    }

    async fn all_home(&self) {
        while self.ways.borrow().iter().any(|way| way.free.len() < LOAD_BATCHES) {
            self.has_room.notified().await;
        }
    }
}
