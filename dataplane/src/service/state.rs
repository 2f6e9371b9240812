//! What the service core knows and does; [`super::link`] is how it is asked.

use super::bans::Bans;
use super::flows::FlowBook;
use super::kernel_sockets::KernelSockets;
use super::location::{LocationRelay, RecordOwner};
use super::names::NameRelay;
use super::pace::IDLE_PAUSE;
use super::rss::RssEntry;
use crate::fib::{Fib, PathMtus};
use crate::load_counters::load_of;
use crate::mailbox::{Command, Epoch, Event, Question, ServiceEnd};
use crate::stats::QueueCounters;
use control_api::operator::MemberState;
use control_api::status::{
    MemberLoadStatus, PortStatus, QueueStatus, SpillStatus, Status, WorkerStatus,
};
use control_api::{BannedSource, DropReason, MemberStatus, UnreachableHost, UnreachableSign};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use sd_notify::NotifyState;
use sip_core::limits::TRANSACTION_SECONDS_MAX;
use sip_core::{Action, ListenPoint, MemberChange, Settings, SourceNet, Tables};
use std::cell::{Cell, RefCell, RefMut};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

/// How long workers may take to acknowledge an epoch; they look into their mailbox every few
/// thousand polls, so only a dead one takes this long.
const APPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long workers go on after new messages stopped coming: time for what is in the queues.
const DRAIN_TIME: Duration = Duration::from_millis(200);
/// Time for the workers to see that they are to stop.
const STOP_TIME: Duration = Duration::from_millis(50);

/// Tells the kernel which SIP messages of one port are ours. On drop all of them are the kernel's again.
pub trait PortFilter {
    /// Makes exactly these listen points ours.
    ///
    /// # Errors
    /// What the kernel refused.
    fn set(&mut self, listen: &[SocketAddr]) -> anyhow::Result<()>;
}

/// One queue pair, for `Status`.
#[derive(Clone, Debug)]
pub struct QueueInfo {
    /// Name of the port.
    pub port: String,
    /// Index of the queue pair.
    pub queue: u16,
    /// The lcore that polls it.
    pub lcore: u16,
    /// Its counters.
    pub counters: Arc<QueueCounters>,
}

/// What the service core is made from.
pub struct ServiceParts {
    /// The mailbox of each worker.
    pub workers: Vec<ServiceEnd>,
    /// The lcore of each worker.
    pub lcores: Vec<u16>,
    /// Every queue pair.
    pub queues: Vec<QueueInfo>,
    /// One for each port that shares its interface with the kernel.
    pub filters: Vec<Box<dyn PortFilter + Send>>,
    /// The RSS of each port.
    pub rss: Vec<RssEntry>,
    /// Whether EAL found hugepages.
    pub hugepages: bool,
    /// What each port was granted.
    pub ports: Vec<PortStatus>,
    /// Mbufs of all mempools.
    pub mbufs_total: u32,
    /// Whether operators may make a worker panic.
    pub allow_faults: bool,
    /// Random, and of this process only.
    pub secret: [u8; 16],
    /// Which worker owns a stored record.
    pub record_owner: RecordOwner,
    /// Where a signal handler asks for the end.
    pub drain: Arc<Drain>,
}

/// The way from the signal handler to the service core and back.
#[derive(Debug, Default)]
pub struct Drain {
    request: Notify,
    is_done: AtomicBool,
}

impl Drain {
    /// Asks the service core to let the queues run empty; false, because that takes a while. Safe
    /// from any thread.
    pub fn request(&self) -> bool {
        self.request.notify_one();
        false
    }

    /// Whether the workers have stopped.
    pub fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }
}

/// The service core's state. Tasks of its one thread share it.
pub struct Service {
    parts: ServiceParts,
    filters: RefCell<Vec<Box<dyn PortFilter + Send>>>,
    rss: RefCell<Vec<RssEntry>>,
    epoch: Cell<u64>,
    /// Credentials that came, modulo 256.
    credentials: Cell<u8>,
    /// What the workers run on, from which the next epoch takes what stays the same.
    current: RefCell<Option<Arc<Epoch>>>,
    clock: quanta::Clock,
    /// Workers that run.
    started: Cell<usize>,
    start: Notify,
    acknowledged: RefCell<Vec<u64>>,
    acknowledgement: Notify,
    /// The sets have changed.
    change: Notify,
    kernel: Rc<KernelSockets>,
    location: LocationRelay,
    names: NameRelay,
    bans: Bans,
    flows: FlowBook,
    /// Only one epoch is on its way at a time.
    applying: tokio::sync::Mutex<()>,
}

impl Service {
    /// A service core for these workers.
    pub fn new(mut parts: ServiceParts) -> Rc<Self> {
        let filters = RefCell::new(std::mem::take(&mut parts.filters));
        let rss = RefCell::new(std::mem::take(&mut parts.rss));
        let acknowledged = RefCell::new(vec![0; parts.workers.len()]);
        let kernel = KernelSockets::new(parts.workers.clone());
        let owner = std::mem::replace(&mut parts.record_owner, Box::new(|_| None));
        let location = LocationRelay::new(parts.workers.clone(), owner);
        let names = NameRelay::new(parts.workers.clone());
        Rc::new(Self {
            parts,
            filters,
            rss,
            epoch: Cell::new(0),
            credentials: Cell::new(0),
            current: RefCell::default(),
            clock: quanta::Clock::new(),
            started: Cell::new(0),
            start: Notify::new(),
            acknowledged,
            acknowledgement: Notify::new(),
            change: Notify::new(),
            kernel,
            location,
            names,
            bans: Bans::default(),
            flows: FlowBook::default(),
            applying: tokio::sync::Mutex::new(()),
        })
    }

    /// The epoch in force.
    pub fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// What it knows of bindings.
    pub(super) fn location(&self) -> &LocationRelay {
        &self.location
    }

    /// The RSS of each port.
    pub(super) fn rss_ports(&self) -> RefMut<'_, Vec<RssEntry>> {
        self.rss.borrow_mut()
    }

    /// What comes over which flow.
    pub(super) fn flows(&self) -> &FlowBook {
        &self.flows
    }

    /// What it knows of names.
    pub(super) fn names(&self) -> &NameRelay {
        &self.names
    }

    /// Gives every worker a command; one that does not look into its mailbox goes without.
    pub(super) async fn tell_workers(&self, command: impl Fn() -> Command) {
        for worker in &self.parts.workers {
            if !self.deliver(worker, command(), Instant::now() + APPLY_TIMEOUT).await {
                tracing::warn!("a worker takes no commands");
            }
        }
    }

    /// Takes the workers' events for ever. `resolve` asks the kernel for a neighbour.
    pub async fn serve_workers(&self, resolve: impl Fn(crate::fib::NextHop)) -> ! {
        loop {
            let mut has_found = false;
            for (index, worker) in self.parts.workers.iter().enumerate() {
                while let Some(event) = worker.next() {
                    self.take_event(index, event, &resolve);
                }
                has_found |= self.kernel.take_parcels(index);
                self.location.take_batches(index);
                self.take_questions(index, worker);
                self.flows.give_waiting(index, worker);
            }
            self.names.deliver();
            self.kernel.pace.pause(has_found).await;
        }
    }

    /// Serves the connection threads of control for ever, on a socket in `folder`, as soon as all workers run.
    ///
    /// # Errors
    /// When the socket itself fails.
    pub(super) async fn serve_connections(&self, folder: &Path) -> anyhow::Result<()> {
        self.all_started().await;
        Rc::clone(&self.kernel).serve_connections(folder).await
    }

    /// Waits until every worker runs: filling gigabytes with room for transactions takes seconds.
    pub(super) async fn all_started(&self) {
        loop {
            let next = self.start.notified();
            if self.started.get() >= self.parts.workers.len() {
                return;
            }
            next.await;
        }
    }

    /// Tells systemd that the workers run, and then that they still do, for ever. While one of them hangs nothing is
    /// told, and systemd starts the process again.
    pub(super) async fn tell_systemd(&self) -> ! {
        self.all_started().await;
        // Where systemd did not ask, nobody listens.
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        let patience = sd_notify::watchdog_enabled().unwrap_or(Duration::from_mins(1));
        let beats = || -> Vec<u64> {
            self.parts.workers.iter().map(|worker| worker.counters.beats.get()).collect()
        };
        let mut before = beats();
        loop {
            sleep(patience / 3).await;
            let now = beats();
            if now.iter().zip(&before).all(|(now, before)| now != before) {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            } else {
                tracing::error!(?now, ?before, "a worker hangs");
            }
            before = now;
        }
    }

    fn take_questions(&self, worker: usize, end: &ServiceEnd) {
        while let Some(question) = end.questions.pop() {
            match question {
                Question::Name(question) => self.names.ask(worker, &question),
                Question::User(question) => self.location.ask(worker, &question),
            }
        }
    }

    fn take_event(&self, worker: usize, event: Event, resolve: &impl Fn(crate::fib::NextHop)) {
        match event {
            Event::Started => {
                self.started.set(self.started.get() + 1);
                self.start.notify_waiters();
            }
            Event::Resolve(next_hop) => resolve(next_hop),
            Event::Unreachable(target) => {
                self.kernel.note_unreachable(target, UnreachableSign::Neighbour);
            }
            Event::Applied { number, retired } => {
                drop(retired); // The last of them frees the tables: here, not on a poll-mode core.
                self.acknowledged.borrow_mut()[worker] = number;
                self.acknowledgement.notify_waiters();
            }
            Event::Banned(ban) => self.bans.note(worker, ban, self.now_ns()),
            Event::Retired(fib) => drop(fib),
            Event::RetiredCredentials(credentials) => drop(credentials),
            Event::RetiredName(answer) => drop(answer),
            Event::Flows(table) => {
                let end = &self.parts.workers[worker];
                self.flows.take(worker, end, table, self.now_ns());
            }
        }
    }

    /// Hands a new picture of routes and neighbours to every worker.
    pub async fn publish_fib(&self, fib: Arc<Fib>) {
        self.kernel.set_fib(Arc::clone(&fib));
        self.command_all(|| Command::Fib(Arc::clone(&fib))).await;
    }

    /// Sends a command to every worker, one after the other, as soon as each has room for it.
    pub(super) async fn command_all(&self, command: impl Fn() -> Command) {
        for worker in &self.parts.workers {
            self.deliver(worker, command(), Instant::now() + APPLY_TIMEOUT).await;
        }
    }

    /// The key of the next credentials, and the number that makes it another one than before.
    pub(super) fn next_credentials(&self) -> ([u8; 16], u8) {
        let generation = self.credentials.get().wrapping_add(1);
        self.credentials.set(generation);
        (self.parts.secret, generation)
    }

    /// Hands every change of what is known of paths to `publish`, for ever.
    pub async fn follow_path_mtus(&self, publish: impl Fn(Arc<PathMtus>)) -> ! {
        self.kernel.follow_path_mtus(publish).await
    }

    /// Whether requests may have a transaction, or some have one still.
    pub(super) fn has_transactions(&self) -> bool {
        let current = self.current.borrow();
        let alive = |worker: &ServiceEnd| worker.counters.transactions.status().alive > 0;
        current.as_ref().is_some_and(|epoch| epoch.tables.has_transactions())
            || self.parts.workers.iter().any(alive)
    }

    /// Whether the queues of this number had run empty when their worker was last heard of, 64 rounds ago at most.
    pub(super) fn is_empty(&self, queue: u16) -> bool {
        let worker = self.parts.workers.get(usize::from(queue));
        worker.is_none_or(|worker| worker.counters.overload.status().stands_us == 0)
    }

    /// Waits for room in a worker's mailbox. Gives false when there was none until `deadline`.
    async fn deliver(&self, worker: &ServiceEnd, command: Command, deadline: Instant) -> bool {
        let mut command = command;
        loop {
            match worker.send(command) {
                Ok(()) => return true,
                Err(_) if Instant::now() >= deadline => return false,
                Err(back) => command = back,
            }
            sleep(IDLE_PAUSE).await;
        }
    }

    /// Puts a configuration epoch into force on every worker.
    ///
    /// # Errors
    /// The setting that is wrong, or the worker that does not answer; the old epoch stays in force
    /// unless a worker had already taken the new one.
    pub async fn apply(&self, number: u64, settings: &Settings) -> Result<(), String> {
        let _turn = self.applying.lock().await;
        let before = self.current.borrow().clone();
        let tables = match &before {
            Some(before) => Tables::build_after(settings, &before.tables, self.now_ms()),
            None => Tables::build(settings),
        };
        let tables = tables.map_err(|error| error.to_string())?;
        let epoch = Arc::new(Epoch { number, tables, oversize: settings.oversize });
        self.publish_epoch(epoch).await?;
        let is_udp = |point: &&ListenPoint| !point.transport.is_connection();
        let listen = settings.listen.iter().filter(is_udp);
        let listen: Vec<SocketAddr> = listen.map(|point| point.address).collect();
        // Before the filters: what they leave to the kernel is to find us there.
        self.kernel.listen_on(&listen);
        self.set_filters(&listen).map_err(|error| format!("{error:#}"))?;
        self.epoch.set(number);
        let is_used = settings.rules.iter().any(|rule| rule.action == Action::Register);
        self.set_patience(is_used, &settings.registrar);
        self.change.notify_one();
        tracing::info!(epoch = number, listen_points = listen.len(), "epoch in force");
        Ok(())
    }

    /// Puts new states of members into force: an epoch of the same settings.
    ///
    /// # Errors
    /// Before the first epoch; a worker that does not answer.
    pub async fn apply_states(&self, number: u64, members: &[MemberStatus]) -> Result<(), String> {
        let _turn = self.applying.lock().await;
        let Some(before) = self.current.borrow().clone() else {
            return Err("there is no epoch whose members could change".to_owned());
        };
        let changes: Vec<_> = members.iter().copied().map(member_change).collect();
        let tables = before.tables.with_member_states(&changes, self.now_ms());
        let epoch = Epoch { number, tables, oversize: before.oversize };
        self.publish_epoch(Arc::new(epoch)).await?;
        self.epoch.set(number);
        self.change.notify_one();
        tracing::info!(epoch = number, members = changes.len(), "states of members in force");
        Ok(())
    }

    /// For ever: when no transaction can be left that began before the last change, lets the
    /// destination sets forget how they chose, which makes choosing plain again.
    pub async fn forget_in_time(&self) -> ! {
        let life = Duration::from_secs(TRANSACTION_SECONDS_MAX + 1);
        loop {
            self.change.notified().await;
            while timeout(life, self.change.notified()).await.is_ok() {}
            let _turn = self.applying.lock().await;
            let current = self.current.borrow().clone();
            if let Some(current) = current.as_deref() {
                let tables = current.tables.with_member_states(&[], self.now_ms());
                let Epoch { number, oversize, .. } = *current;
                let epoch = Arc::new(Epoch { number, tables, oversize });
                if let Err(error) = self.publish_epoch(epoch).await {
                    tracing::warn!("{error}: it goes on remembering choices");
                }
            }
        }
    }

    /// Has every worker run on this epoch.
    async fn publish_epoch(&self, epoch: Arc<Epoch>) -> Result<(), String> {
        let number = epoch.number;
        let deadline = Instant::now() + APPLY_TIMEOUT;
        for worker in &self.parts.workers {
            if !self.deliver(worker, Command::Epoch(Arc::clone(&epoch)), deadline).await {
                return Err("a worker takes no commands".to_owned());
            }
        }
        if timeout(APPLY_TIMEOUT, self.all_acknowledged(number)).await.is_err() {
            return Err(format!("a worker did not acknowledge epoch {number} within 5 s"));
        }
        self.current.replace(Some(epoch));
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.now_ns() / 1_000_000
    }

    /// The time as workers tell it: quanta calibrates once for the process.
    pub(super) fn now_ns(&self) -> u64 {
        self.clock.delta_as_nanos(0, self.clock.raw())
    }

    /// Who is banned, after the ban of `unban` has ended.
    pub(super) async fn sources(&self, unban: Option<IpAddr>) -> Vec<BannedSource> {
        if let Some(source) = unban.map(SourceNet::of) {
            self.tell_workers(|| Command::Unban(source)).await;
            self.bans.lift(source);
        }
        self.bans.current(self.now_ns())
    }

    async fn all_acknowledged(&self, number: u64) {
        loop {
            let next = self.acknowledgement.notified();
            if self.acknowledged.borrow().iter().all(|seen| *seen == number) {
                return;
            }
            next.await;
        }
    }

    fn set_filters(&self, listen: &[SocketAddr]) -> anyhow::Result<()> {
        self.filters.borrow_mut().iter_mut().try_for_each(|filter| filter.set(listen))
    }

    /// Makes a worker panic, where that is allowed.
    ///
    /// # Errors
    /// Where it is not, or there is no such worker.
    pub fn panic_worker(&self, worker: u16) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.parts.allow_faults,
            "faults are refused: the data plane was started without --allow-faults"
        );
        let worker = self.parts.workers.get(usize::from(worker));
        let mailbox = worker.ok_or_else(|| anyhow::anyhow!("there is no such worker"))?;
        mailbox.send(Command::Panic).map_err(|_| anyhow::anyhow!("the worker takes no commands"))
    }

    /// Waits until the end is asked for; then leaves new messages to the kernel, gives the workers
    /// time for what they have, and stops them.
    pub async fn drain(&self) {
        self.parts.drain.request.notified().await;
        tracing::info!("draining: new messages are left to the kernel");
        if let Err(error) = self.set_filters(&[]) {
            tracing::warn!("cannot leave new messages to the kernel: {error:#}");
        }
        sleep(DRAIN_TIME).await;
        for worker in &self.parts.workers {
            self.deliver(worker, Command::Stop, Instant::now() + DRAIN_TIME).await;
        }
        sleep(STOP_TIME).await;
        self.parts.drain.is_done.store(true, Ordering::Release);
    }

    /// The signs of unreachable hosts since the last call.
    pub fn take_unreachable(&self) -> Vec<UnreachableHost> {
        self.kernel.take_unreachable()
    }

    /// A reading of all counters.
    pub fn status(&self) -> Status {
        let queues = self.parts.queues.iter();
        let queues: Vec<_> = queues.map(|q| q.counters.status(&q.port, q.queue, q.lcore)).collect();
        let workers = self.parts.workers.iter().zip(&self.parts.lcores);
        Status {
            pid: std::process::id(),
            epoch: self.epoch(),
            is_leaving: self
                .current
                .borrow()
                .as_ref()
                .is_some_and(|epoch| epoch.tables.is_leaving()),
            hugepages: self.parts.hugepages,
            workers: workers.map(|(end, lcore)| worker_status(*lcore, end, &queues)).collect(),
            spills: spills(&self.parts.workers, &self.parts.lcores),
            queues,
            mbufs_in_use: mbufs_in_use(),
            mbufs_total: self.parts.mbufs_total,
            kernel: self.kernel.status(),
            rebalances: self.rebalances(),
            store: self.location.status(),
            banned_sources: self.bans.count(self.now_ns()),
            member_loads: self.member_loads(),
            ports: self.parts.ports.clone(),
        }
    }

    /// What members of destination sets that are asked have said of their load.
    fn member_loads(&self) -> Vec<MemberLoadStatus> {
        let (now_ms, current) = (self.now_ms(), self.current.borrow());
        let workers = || self.parts.workers.iter().map(|worker| &worker.counters.loads);
        let members = current.iter().flat_map(|epoch| epoch.tables.asked_members());
        members.map(|(place, member)| load_of(member, place, now_ms, workers())).collect()
    }
}

fn worker_status(lcore: u16, worker: &ServiceEnd, queues: &[QueueStatus]) -> WorkerStatus {
    let sum = |count: fn(&QueueStatus) -> u64| {
        queues.iter().filter(|queue| queue.lcore == lcore).map(count).sum()
    };
    WorkerStatus {
        lcore,
        handed_off: sum(|queue| queue.handed_off),
        handed_in: sum(|queue| queue.handed_in),
        handoff_full: sum(|queue| queue.dropped_for(DropReason::HandoffFull)),
        spilled: worker.counters.spill.given().sum(),
        spilled_in: worker.counters.spill.taken(),
        transactions: worker.counters.transactions.status(),
        location: worker.counters.location.status(),
        auth: worker.counters.auth.status(),
        names: worker.counters.names.status(),
        stages: worker.counters.stages.status(),
        overload: worker.counters.overload.status(),
    }
}

/// Who has spilled how much to whom; a worker's lanes lead to those behind it.
fn spills(workers: &[ServiceEnd], lcores: &[u16]) -> Vec<SpillStatus> {
    let pairs = workers.iter().zip(lcores).enumerate().flat_map(|(index, (worker, from))| {
        let behind = lcores.iter().cycle().skip(index + 1);
        worker.counters.spill.given().zip(behind).map(|(messages, to)| (*from, *to, messages))
    });
    let spilled = pairs.filter(|(_, _, messages)| *messages > 0);
    spilled.map(|(from, to, messages)| SpillStatus { from, to, messages }).collect()
}

fn member_change(status: MemberStatus) -> MemberChange {
    let state = match status.state {
        MemberState::Up => sip_core::MemberState::Up,
        MemberState::Probing => sip_core::MemberState::Probing,
        MemberState::Draining => sip_core::MemberState::Draining,
        MemberState::Down => sip_core::MemberState::Down,
    };
    MemberChange { set: status.set, member: status.member, state }
}

/// Over all mempools, which capsule names by number, one for each NUMA socket.
fn mbufs_in_use() -> u32 {
    let pools = (0..).map_while(|number| capsule_ffi::mempool_in_use(&format!("mempool{number}")));
    u32::try_from(pools.sum::<usize>()).unwrap_or(u32::MAX)
}
