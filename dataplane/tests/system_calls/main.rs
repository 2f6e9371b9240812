//! A poll-mode worker under load makes no system call: no futex, hence no lock that it waits for.
//!
//! Two workers on DPDK ports, as capsule runs them, play calls with transactions: each gets the responses
//! to the requests of the other, so that all of them are handed over; every millisecond a service core
//! beside them swaps epochs and routes and brings large messages. The kernel kills the process (seccomp) at
//! the first system call from a worker's thread. That it would is shown by a worker that takes a lock.
//!
//! Nothing that a worker does after the filter stands may need the kernel, not even the end of its thread: so
//! each run is a process of its own.

mod calls;
mod service;

use anyhow::{Context as _, Result, ensure};
use capsule::batch::Pipeline;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use dataplane::decode::DecodeRules;
use dataplane::handoff::Handoff;
use dataplane::mailbox::mailbox;
use dataplane::mbuf::DpdkQueues;
use dataplane::poll_loop::PollLoop;
use dataplane::probe::NoProbe;
use dataplane::stats::QueueCounters;
use dataplane::testing::lcore::run_pipelines;
use dataplane::worker::{Worker, WorkerPort};
use nic_config::machine::Machine;
use nic_config::plan::{NicPlan, Rss};
use nic_config::settings::{Idle, NicSettings};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// Workers, each on an lcore of its own.
const WORKERS: usize = 2;
/// The signal that a forbidden system call raises.
const SIGSYS: i32 = 31;
/// The number of `epoll_wait`.
const EPOLL_WAIT: i64 = nix::libc::SYS_epoll_wait;

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("--work") => work(false),
        Some("--lock") => work(true),
        _ => supervise(),
    }
}

/// Runs both kinds of process and judges how they end.
fn supervise() -> Result<()> {
    if std::thread::available_parallelism()?.get() < WORKERS {
        println!("test no_system_call_under_load ... ignored, for it needs {WORKERS} cores");
        return Ok(());
    }
    let run =
        |kind| -> Result<_> { Ok(Command::new(std::env::current_exe()?).arg(kind).status()?) };
    let status = run("--work")?;
    ensure!(status.success(), "a worker made a system call, or did not work at all: {status}");
    println!("test no_system_call_under_load ... ok");
    let status = run("--lock")?;
    ensure!(status.signal() == Some(SIGSYS), "a worker that takes a lock went on: {status}");
    println!("test a_lock_would_be_noticed ... ok");
    Ok(())
}

/// Both workers under load; ends the process when enough was done.
fn work(with_lock: bool) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let load = calls::write(folder.path())?;
    let plan = plan(folder.path())?;
    let mut ends = vec![];
    let mut services = vec![];
    for handoff in Handoff::for_workers(WORKERS) {
        let (worker, service) = mailbox();
        let counters: Arc<QueueCounters> = Arc::default();
        ends.push(Some((worker, handoff, Arc::clone(&counters))));
        services.push((service, counters));
    }
    let (ends, clock) = (Mutex::new(ends), quanta::Clock::new());
    std::thread::spawn(move || service::run(&services, &load));
    run_pipelines(&plan, Path::new(""), move |index, queues| {
        let mut ends = ends.lock().expect("nobody has panicked");
        let (mailbox, handoff, counters) = ends[index].take().expect("each worker starts once");
        let rules = DecodeRules { verify_checksums: true };
        let ports = vec![WorkerPort { rules, counters }];
        let number = u8::try_from(index).expect("few workers");
        let worker = Worker::new(queues, ports, mailbox, clock.clone(), NoProbe)
            .beside(handoff)
            .with_transactions(calls::SIZES, number, calls::BOOT)
            .counting_flows(calls::BOOT);
        Confined { inner: PollLoop::new(worker, Idle::Poll), turn: 0, with_lock }
    })
}

/// One port, whose queue each worker polls; it plays the worker's capture for ever.
fn plan(folder: &Path) -> Result<NicPlan> {
    let capture = |worker| format!(",rx_pcap={}", calls::capture(folder, worker).display());
    let captures: String = (0..WORKERS).map(capture).collect();
    let text = format!(
        "[[ports]]\nname = \"calls\"\nqueues = {WORKERS}\n\
         vdev = \"net_pcap0{captures},infinite_rx=1\"\n\
         [lcores]\nworkers = [0, 1]\nservice = 0\n"
    );
    let settings = NicSettings::from_toml(&text)?;
    let mut plan = nic_config::plan::plan(&settings, &Machine::probe()?)?;
    plan.ports[0].rss = Rss::Off;
    Ok(plan)
}

/// A worker that may not call the kernel from its first turn on the executor.
struct Confined {
    inner: PollLoop<DpdkQueues, NoProbe>,
    turn: u32,
    /// Whether it waits for a lock in its second turn.
    with_lock: bool,
}

impl Future for Confined {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.turn = self.turn.saturating_add(1);
        match self.turn {
            1 => forbid_system_calls().expect("the kernel has seccomp"),
            2 if self.with_lock => std::thread::park_timeout(Duration::from_millis(1)),
            _ => {}
        }
        Pin::new(&mut self.inner).poll(context)
    }
}

impl Pipeline for Confined {
    fn name(&self) -> &'static str {
        "confined"
    }

    fn run_once(&mut self) {}
}

/// From now on any system call of the calling thread ends the process, but one: where a worker shares EAL's
/// main thread, capsule asks there for signals, once in thousands of rounds and without waiting.
fn forbid_system_calls() -> Result<()> {
    let architecture = std::env::consts::ARCH.try_into().context("no seccomp here")?;
    let (allow, trap) = (SeccompAction::Allow, SeccompAction::Trap);
    let allowed = BTreeMap::from([(EPOLL_WAIT, vec![])]);
    let filter = SeccompFilter::new(allowed, trap, allow, architecture)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)?;
    std::mem::forget(program); // To give memory back may take a call.
    Ok(())
}
