//! What each lcore does: the last has the flow on its queue, the others have nothing of their own.

use super::super::lcore::{Rate, cpu_seconds, poll, worker};
use super::order::{Order, OrderReport};
use super::source::{Ends, Flow};
use core::sync::atomic::{AtomicBool, Ordering};
use dataplane::mbuf::{DpdkQueues, Frame};
use dataplane::probe::NoProbe;
use dataplane::spill::Spill;
use dataplane::stats::QueueCounters;
use dataplane::worker::Worker;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

/// Pairs of runs, of which the median counts.
pub(super) const RUNS: usize = 5;
/// Before the clock of a run starts.
const WARM_UP: Duration = Duration::from_millis(50);
/// Rounds of a sibling between two looks at whether the run is over.
const ROUNDS: u32 = 256;

/// What all lcores are told.
pub(super) struct Task {
    length: Duration,
    meeting: Barrier,
    /// One for each pair, and one with the order checked.
    together: Vec<Together>,
    order: Arc<Order>,
    flow: Arc<Flow>,
}

/// A run with siblings.
struct Together {
    /// By lcore.
    spills: Vec<Mutex<Option<Spill<Frame>>>>,
    is_over: AtomicBool,
}

/// What an lcore found.
#[derive(Default)]
pub(super) struct Found {
    /// Without siblings: the others poll empty queues.
    pub(super) alone: Vec<Rate>,
    /// Beside the others.
    pub(super) together: Vec<Rate>,
    /// Beside the others.
    pub(super) allocations: u64,
    /// In all of these runs.
    pub(super) received: u64,
    pub(super) received_bytes: u64,
    pub(super) forwarded: u64,
    pub(super) dropped: u64,
    /// On the last lcore: what was seen of the order, and how many messages were spilled meanwhile.
    pub(super) order: Option<OrderReport>,
}

impl Task {
    /// A task for so many workers, of which the last gets all of this flow.
    pub(super) fn new(workers: usize, length: Duration, flow: Vec<Vec<u8>>) -> Self {
        let together = || {
            let spills = Spill::for_workers(workers).into_iter();
            let spills = spills.map(|spill| Mutex::new(Some(spill))).collect();
            Together { spills, is_over: AtomicBool::new(false) }
        };
        Self {
            length,
            meeting: Barrier::new(workers),
            together: (0..=RUNS).map(|_| together()).collect(),
            order: Arc::default(),
            flow: Arc::new(Flow::new(flow, workers)),
        }
    }
}

/// An lcore, with what stays its own from run to run.
struct Lcore<'t> {
    task: &'t Task,
    index: usize,
    is_owner: bool,
    clock: quanta::Clock,
    counters: Arc<QueueCounters>,
    /// Between two runs.
    ends: Option<Ends>,
}

/// Runs the measurements on the calling lcore.
pub(super) fn work(index: usize, queues: DpdkQueues, task: &Task) -> Found {
    let is_owner = index + 1 == task.together[RUNS].spills.len();
    let number = u8::try_from(index).expect("there are fewer than 256 lcores");
    let ends = Ends::new(queues, &task.flow, number, is_owner);
    let (clock, counters) = (quanta::Clock::new(), Arc::default());
    let mut lcore = Lcore { task, index, is_owner, clock, counters, ends: Some(ends) };
    let mut found = Found::default();
    for run in 0..RUNS {
        task.meeting.wait();
        found.alone.push(lcore.alone());
        task.meeting.wait();
        let (rate, allocations) = lcore.together(run);
        found.together.push(rate);
        found.allocations += allocations;
    }
    found.take_counts(&lcore.counters);
    task.meeting.wait();
    lcore.ends.as_mut().expect("between two runs").order = Some(Arc::clone(&task.order));
    let before = lcore.counters.handed_off.get();
    lcore.together(RUNS);
    task.meeting.wait();
    let spilled = lcore.counters.handed_off.get() - before;
    found.order = is_owner.then(|| task.order.report(spilled));
    found
}

impl Lcore<'_> {
    /// Has a worker on this lcore's queues do `work`.
    fn with_worker<R>(
        &mut self,
        spill: Spill<Frame>,
        work: impl FnOnce(&mut Worker<Ends, NoProbe>, &QueueCounters) -> R,
    ) -> R {
        let mut ends = self.ends.take().expect("they come back after each run");
        ends.fill();
        let mut worker = worker(ends, &self.counters, &self.clock, NoProbe).spilling(spill);
        poll(&mut worker, WARM_UP);
        let result = work(&mut worker, &self.counters);
        self.ends = Some(worker.into_io());
        result
    }

    fn alone(&mut self) -> Rate {
        let length = self.task.length;
        self.with_worker(Spill::default(), |worker, counters| {
            let since = Since::now(counters);
            poll(worker, length);
            since.rate(counters)
        })
    }

    /// Beside the others; gives the allocations that there were too.
    fn together(&mut self, run: usize) -> (Rate, u64) {
        let (task, is_owner) = (self.task, self.is_owner);
        let Together { spills, is_over } = &task.together[run];
        let spill = spills[self.index].lock().ok().and_then(|mut spill| spill.take());
        self.with_worker(spill.expect("a run happens once"), |worker, counters| {
            let since = Since::now(counters);
            let allocated = allocation_counter::measure(|| {
                if is_owner {
                    poll(worker, task.length);
                } else {
                    serve(worker, is_over);
                }
            });
            let rate = since.rate(counters);
            is_over.store(true, Ordering::Release);
            (rate, allocated.count_total)
        })
    }
}

/// A sibling works until the run is over and nothing is left.
fn serve(worker: &mut Worker<Ends, NoProbe>, is_over: &AtomicBool) {
    loop {
        let is_last = is_over.load(Ordering::Acquire);
        let is_busy = (0..ROUNDS).fold(false, |is_busy, _| worker.run_once() || is_busy);
        if is_last && !is_busy {
            return;
        }
    }
}

/// When a measurement began, and at what count.
struct Since {
    forwarded: u64,
    began: Instant,
    cpu: f64,
}

impl Since {
    fn now(counters: &QueueCounters) -> Self {
        Self { forwarded: counters.forwarded.get(), began: Instant::now(), cpu: cpu_seconds() }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate, not an account")]
    fn rate(&self, counters: &QueueCounters) -> Rate {
        let messages = (counters.forwarded.get() - self.forwarded) as f64;
        Rate {
            per_second: messages / self.began.elapsed().as_secs_f64(),
            per_cpu_second: messages / (cpu_seconds() - self.cpu),
        }
    }
}

impl Found {
    fn take_counts(&mut self, counters: &QueueCounters) {
        let status = counters.status("bench", 0, 0);
        (self.received, self.received_bytes) = (status.received, status.received_bytes);
        (self.forwarded, self.dropped) = (status.forwarded, status.dropped_total());
    }
}
