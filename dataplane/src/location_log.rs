//! Changed bindings on their way from a worker to the service core, and stored ones on their way back.
//!
//! What lies between the two are batches: buffers for records. They are made at the start and never freed;
//! each belongs to the worker or to the service core, and comes home when its errand is done. A batch of changes
//! stays with the service core until control has confirmed it, so that its coming home *is* the confirmation,
//! and a store that is slow or dead leaves the worker without free batches: then changes wait where they
//! are, at most one for each AoR, and the worker has nothing to do.
//!
//! ```text
//!           Changes                      to control, again and again until it confirms
//! worker ────────────► service core ────────────────────────────────────────────────►
//!    ▲     Flushed          │
//!    └──────────────────────┘
//!                Load                          Loaded
//! service core ────────► worker: into its tables ────────► service core
//! ```
//!
//! `Replace` and `Answered` go the way of `Load`, behind each other, and come home as `Replaced` and `Heard`: a worker that
//! is told of an answer has what it was answered with.
//!
//! Nothing here waits, locks, allocates or calls the kernel.

use crate::limits::{LOAD_BATCHES, LOG_BATCHES};
use crate::parcel::Shuttle;
use control_api::location::RECORDS_MAX;
use crossbeam::queue::ArrayQueue;
use sip_core::LoadCounts;
use std::sync::Arc;

/// What the log asks of a worker's tables.
pub trait Bindings {
    /// Whether an AoR has changed since it was last drained.
    fn has_changes(&self) -> bool;

    /// Appends changed AoRs to `records`, in the order of their changes, as long as its capacity lasts.
    /// Gives the position up to which no change waits any more; none when there was nothing.
    fn drain(&mut self, records: &mut Vec<u8>) -> Option<u64>;

    /// Takes stored records.
    fn load(&mut self, records: &[u8]) -> LoadCounts;

    /// Takes records that another appliance has changed.
    fn replace(&mut self, records: &[u8]);

    /// Takes the numbers of questions, eight bytes each, that have been answered by what came before.
    fn answered(&mut self, numbers: &[u8]);
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// It holds changes. It is number `number` of its worker, and nothing that changed up to `position`
    /// waits behind it.
    Changes {
        /// Counts from 1.
        number: u64,
        /// In the worker's count of changes.
        position: u64,
        /// Number of the last replacement that the worker had seen.
        replaced: u64,
    },
    /// These changes are on stable storage.
    Flushed {
        /// In the worker's count of changes.
        position: u64,
    },
    /// It holds stored records for the worker.
    Load,
    /// The worker has taken them.
    Loaded(LoadCounts),
    /// It holds records that another appliance has changed, if any.
    Replace {
        /// Number of this replacement; they rise.
        number: u64,
    },
    /// The worker has seen them.
    Replaced,
    /// It holds the numbers of questions of the worker, which have been answered.
    Answered,
    /// The worker has seen them.
    Heard,
}

/// A buffer for records. Its capacity never changes.
#[derive(Debug)]
pub struct Batch {
    /// Whole records, one behind the other.
    pub records: Vec<u8>,
    /// What is to be done with it.
    pub errand: Errand,
}

impl Batch {
    fn new(errand: Errand) -> Self {
        Self { records: Vec::with_capacity(RECORDS_MAX), errand }
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct LocationLog {
    shuttle: Shuttle<ArrayQueue<Batch>>,
    /// Number of the last batch of changes.
    number: u64,
    /// Changes up to this position are on stable storage.
    flushed_to: u64,
    /// Number of the last replacement.
    replaced: u64,
    /// The last look found stored records: more are on their way.
    is_loading: bool,
}

/// The service core's end towards one worker.
#[derive(Clone, Debug)]
pub struct ServiceLog {
    to_worker: Arc<ArrayQueue<Batch>>,
    from_worker: Arc<ArrayQueue<Batch>>,
}

/// Makes the two ends of one worker's rings, with the batches of the worker.
pub(crate) fn rings() -> (LocationLog, ServiceLog) {
    let ring = || Arc::new(ArrayQueue::new(LOG_BATCHES + LOAD_BATCHES));
    let (down, up) = (ring(), ring());
    let ours = (0..LOG_BATCHES).map(|_| Batch::new(Errand::Flushed { position: 0 })).collect();
    let worker = LocationLog {
        shuttle: Shuttle::new(Arc::clone(&down), Arc::clone(&up), ours),
        number: 0,
        flushed_to: 0,
        replaced: 0,
        is_loading: false,
    };
    (worker, ServiceLog { to_worker: down, from_worker: up })
}

/// The batches of the service core for one worker.
pub(crate) fn load_batches() -> Vec<Batch> {
    (0..LOAD_BATCHES).map(|_| Batch::new(Errand::Load)).collect()
}

impl LocationLog {
    /// Takes what the service core has sent, at most one batch of stored records, and sends changes, at
    /// most one batch. Gives whether there was anything to do.
    #[inline]
    pub fn run(&mut self, bindings: &mut impl Bindings) -> bool {
        let has_taken = self.take(bindings);
        let has_sent = bindings.has_changes() && self.send_changes(bindings);
        has_taken || has_sent
    }

    /// Whether it is worth while to look again soon, because stored records are coming.
    #[inline]
    pub fn is_loading(&self) -> bool {
        self.is_loading
    }

    /// Changes up to this position are on stable storage.
    #[inline]
    pub fn flushed_to(&self) -> u64 {
        self.flushed_to
    }

    fn take(&mut self, bindings: &mut impl Bindings) -> bool {
        let mut has_taken = false;
        self.is_loading = false;
        while let Some(mut batch) = self.shuttle.next() {
            has_taken = true;
            match batch.errand {
                Errand::Flushed { position } => {
                    self.flushed_to = self.flushed_to.max(position);
                    self.shuttle.send_home(batch, true);
                }
                Errand::Load => {
                    self.is_loading = true;
                    batch.errand = Errand::Loaded(bindings.load(&batch.records));
                    self.shuttle.send_home(batch, false);
                    break; // Each costs as much as several bursts.
                }
                Errand::Replace { number } => {
                    self.is_loading = true;
                    bindings.replace(&batch.records);
                    (self.replaced, batch.errand) = (number, Errand::Replaced);
                    self.shuttle.send_home(batch, false);
                    break; // As above.
                }
                Errand::Answered => {
                    bindings.answered(&batch.records);
                    batch.errand = Errand::Heard;
                    self.shuttle.send_home(batch, false);
                }
                Errand::Changes { .. } | Errand::Loaded(_) | Errand::Replaced | Errand::Heard => {
                    debug_assert!(false, "only workers send these");
                    self.shuttle.send_home(batch, false);
                }
            }
        }
        has_taken
    }

    fn send_changes(&mut self, bindings: &mut impl Bindings) -> bool {
        let Some(mut batch) = self.shuttle.take_free() else { return false };
        batch.records.clear();
        let Some(position) = bindings.drain(&mut batch.records) else {
            self.shuttle.send_home(batch, true);
            return false;
        };
        self.number += 1;
        let replaced = self.replaced;
        batch.errand = Errand::Changes { number: self.number, position, replaced };
        self.shuttle.send(batch);
        true
    }
}

impl ServiceLog {
    /// The next batch from the worker.
    pub fn next(&self) -> Option<Batch> {
        self.from_worker.pop()
    }

    /// Sends a batch with an errand to the worker.
    pub fn send(&self, batch: Batch) {
        let is_sent = self.to_worker.push(batch).is_ok();
        debug_assert!(is_sent, "the ring holds all batches there are");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Batch, Bindings, Errand, load_batches, rings};
    use crate::limits::LOG_BATCHES;
    use sip_core::LoadCounts;

    /// Tables whose records are eight bytes, the position of the change.
    #[derive(Default)]
    pub(crate) struct Stub {
        pub(crate) changed: u64,
        pub(crate) drained: u64,
        pub(crate) loaded: Vec<u8>,
        pub(crate) answered: Vec<u8>,
    }

    impl Bindings for Stub {
        fn has_changes(&self) -> bool {
            self.drained < self.changed
        }

        fn drain(&mut self, records: &mut Vec<u8>) -> Option<u64> {
            let before = self.drained;
            while self.drained < self.changed && records.len() + 8 <= records.capacity() {
                self.drained += 1;
                records.extend(self.drained.to_be_bytes());
            }
            (self.drained > before).then_some(self.drained)
        }

        fn load(&mut self, records: &[u8]) -> LoadCounts {
            self.loaded.extend(records);
            LoadCounts { aors: records.len() as u64 / 8, ..LoadCounts::default() }
        }

        fn replace(&mut self, records: &[u8]) {
            self.loaded.clear();
            self.loaded.extend(records);
        }

        fn answered(&mut self, numbers: &[u8]) {
            self.answered.extend(numbers);
        }
    }

    fn confirmed(mut batch: Batch) -> Batch {
        let Errand::Changes { position, .. } = batch.errand else { panic!("{batch:?}") };
        batch.errand = Errand::Flushed { position };
        batch
    }

    #[test]
    fn changes_wait_while_no_batch_comes_home_and_are_all_there_in_the_end() {
        let (mut log, service) = rings();
        let mut tables = Stub::default();
        for _ in 0..LOG_BATCHES {
            tables.changed += 1;
            assert!(log.run(&mut tables));
        }
        tables.changed += 100_000;
        assert!(!log.run(&mut tables), "no batch is free");
        let (mut seen, mut number) = (vec![], 0);
        while let Some(batch) = service.next() {
            assert_eq!(batch.records.capacity(), control_api::location::RECORDS_MAX);
            let Errand::Changes { number: this, position, .. } = batch.errand else { panic!() };
            assert_eq!(this, number + 1);
            number = this;
            seen.extend_from_slice(&batch.records);
            service.send(confirmed(batch));
            log.run(&mut tables);
            assert_eq!(log.flushed_to(), position);
        }
        let expected: Vec<u8> = (1..=tables.changed).flat_map(u64::to_be_bytes).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn stored_records_reach_the_tables_and_the_batch_goes_back() {
        let (mut log, service) = rings();
        let mut tables = Stub::default();
        for (mut batch, byte) in load_batches().into_iter().zip(0..) {
            batch.records.extend([byte; 16]);
            service.send(batch);
            assert!(log.run(&mut tables));
            let back = service.next().unwrap();
            let counts = LoadCounts { aors: 2, ..LoadCounts::default() };
            assert_eq!(back.errand, Errand::Loaded(counts));
        }
        assert_eq!(tables.loaded.len(), 16 * crate::limits::LOAD_BATCHES);
        assert!(!log.run(&mut tables));
    }

    #[test]
    fn changes_say_which_replacement_was_seen_before_them() {
        let (mut log, service) = rings();
        let mut tables = Stub { loaded: vec![1], ..Stub::default() };
        for (mut batch, number) in load_batches().into_iter().zip([0, 7]) {
            if number > 0 {
                batch.records.extend([9; 8]);
                batch.errand = Errand::Replace { number };
                service.send(batch);
            }
            tables.changed += 1;
            log.run(&mut tables);
            let changes = std::iter::from_fn(|| service.next()).last().unwrap();
            let Errand::Changes { replaced, .. } = changes.errand else { panic!("{changes:?}") };
            assert_eq!(replaced, number);
        }
        assert_eq!(tables.loaded, [9; 8]);
    }

    #[test]
    fn the_tables_have_what_was_asked_for_when_they_hear_of_the_answer() {
        let (mut log, service) = rings();
        let mut tables = Stub::default();
        for (mut batch, errand) in
            load_batches().into_iter().zip([Errand::Replace { number: 1 }, Errand::Answered])
        {
            batch.records.extend([3; 8]);
            batch.errand = errand;
            service.send(batch);
        }
        assert!(log.run(&mut tables));
        assert_eq!((tables.loaded.len(), tables.answered.len()), (8, 0));
        assert!(log.run(&mut tables));
        assert_eq!(tables.answered, [3; 8]);
        let back: Vec<_> =
            std::iter::from_fn(|| service.next()).map(|batch| batch.errand).collect();
        assert_eq!(back, [Errand::Replaced, Errand::Heard]);
    }

    #[test]
    fn nothing_is_allocated() {
        let (mut log, service) = rings();
        let mut tables = Stub::default();
        let info = allocation_counter::measure(|| {
            for _ in 0..1_000 {
                tables.changed += 300;
                log.run(&mut tables);
                while let Some(batch) = service.next() {
                    service.send(confirmed(batch));
                }
            }
        });
        assert_eq!(info.count_total, 0);
    }
}
