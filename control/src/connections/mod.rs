//! Connections: TCP, TLS and WebSocket, for the data plane, which decides what becomes of their messages.
//!
//! ```text
//!   acceptor ──► thread 0 ──► connections ◄──► peers
//!            └─► thread 1      │ messages, whole
//!                              ▼
//!                           data plane, by connections.sock
//! ```
//!
//! A thread owns connections by the address of their other end, so that threads share nothing but the number
//! of places: each has [a table of file descriptors of its own](gate). It never waits for anybody: a peer that does not read is closed when too much waits for it, and
//! when the data plane takes no more nothing is read.

mod acceptor;
mod alias;
mod connection;
mod counters;
mod gate;
mod inbox;
mod link;
mod outbox;
mod places;
mod plan;
mod report;
mod stream;
mod table;
mod thread;
mod timers;
mod tls;
mod websocket;

#[cfg(test)]
mod tests;

use crate::config::{self as settings, Config, Tls};
use crate::limits::DESCRIPTORS_BESIDE;
use acceptor::Acceptor;
use anyhow::{Context, Result};
use control_api::connection::THREADS_MAX;
use control_api::operator::{ConnectionsStatus, SourceLine};
use counters::Counters;
use inbox::{Command, Handle};
use places::Places;
use plan::Plan;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use thread::Thread;
use tracing::warn;

/// How long a thread may take to say what it has: it looks at some hundred thousand connections.
const REPORT_MAX: Duration = Duration::from_secs(2);
/// Sources that a report names.
const SOURCES_MAX: usize = 20;

/// The connections of this process.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Mutex<Option<Running>>>);

/// The threads, and how they are reached.
#[derive(Debug)]
struct Running {
    acceptor: Handle,
    owners: Vec<Handle>,
    counters: Vec<Arc<Counters>>,
    threads: Vec<JoinHandle<()>>,
    /// What takes effect only at the start.
    fixed: (u8, Vec<u16>),
}

/// Reads the files of certificates that a configuration names.
///
/// # Errors
/// The setting, the file and what is wrong with it.
pub fn check_tls(settings: &Tls) -> Result<()> {
    tls::TlsSetup::read(settings).map(drop)
}

impl Connections {
    /// Works by this configuration from now on; the threads begin when there is something to listen on.
    ///
    /// # Errors
    /// Certificates that cannot be read; then nothing has changed.
    pub fn configure(&self, config: &Config, secret: [u8; 16]) -> Result<()> {
        let plan = Arc::new(Plan::new(config, secret)?);
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        raise_descriptors(&plan.settings);
        match running.as_ref() {
            None if plan.listen.is_empty() => {}
            None => *running = Some(Running::start(plan)?),
            Some(running) => {
                if running.fixed != (plan.settings.threads, plan.settings.cores.clone()) {
                    warn!(
                        "connections.threads and connections.cores change at the next start only"
                    );
                }
                for handle in running.owners.iter().chain([&running.acceptor]) {
                    handle.tell(Command::Plan(Arc::clone(&plan)));
                }
            }
        }
        Ok(())
    }

    /// Ends all connections and threads.
    pub fn stop(&self) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return };
        for handle in [&running.acceptor].into_iter().chain(&running.owners) {
            handle.tell(Command::Stop);
        }
        for thread in running.threads {
            // One that panicked has ended the process.
            let _ = thread.join();
        }
    }

    /// What there is, with so many connections one by one. It waits for all threads.
    pub fn status(&self, most: usize) -> ConnectionsStatus {
        let mut status = ConnectionsStatus::default();
        let mut answers = Vec::new();
        if let Some(running) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            running.counters.iter().for_each(|counters| counters.report(&mut status));
            for handle in &running.owners {
                let (sender, receiver) = channel();
                handle.tell(Command::Report(most, sender));
                answers.push(receiver);
            }
        }
        let mut sources: HashMap<IpAddr, u64> = HashMap::new();
        for answer in answers {
            let Ok(mut report) = answer.recv_timeout(REPORT_MAX) else { continue };
            status.threads.push(report.thread);
            status.list.append(&mut report.list);
            for (source, count) in report.sources {
                *sources.entry(source).or_default() += count;
            }
        }
        status.list.sort_by_key(|one| std::cmp::Reverse((one.waiting_bytes, one.age_ms)));
        status.list.truncate(most);
        status.sources =
            sources.into_iter().map(|(address, count)| SourceLine { address, count }).collect();
        status.sources.sort_by_key(|one| (std::cmp::Reverse(one.count), one.address));
        status.sources.truncate(SOURCES_MAX);
        status
    }
}

impl Running {
    fn start(plan: Arc<Plan>) -> Result<Self> {
        let places = Arc::<Places>::default();
        let fixed = (plan.settings.threads, plan.settings.cores.clone());
        let (mut owners, mut counters, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..fixed.0 {
            let (handle, inbox) = Handle::pair()?;
            let gate = inbox.gate.number();
            let core = fixed.1.get(usize::from(index) % fixed.1.len().max(1)).copied();
            let own = Arc::<Counters>::default();
            let parts = (Arc::clone(&plan), Arc::clone(&places), Arc::clone(&own));
            let numbers = (index, fixed.0);
            let (started, is_started) = channel();
            let body = move || {
                pin(core);
                let made = inbox.gate.move_out().and_then(|()| Thread::new(inbox, parts, numbers));
                match made {
                    Ok(thread) if started.send(Ok(())).is_ok() => thread.run(),
                    Ok(_) => {}
                    // Whoever started it is told why.
                    Err(error) => drop(started.send(Err(error))),
                }
            };
            threads.push(spawn(&format!("connections-{index}"), body)?);
            is_started.recv().context("a connection thread ended at once")??;
            gate::forget(gate);
            owners.push(handle);
            counters.push(own);
        }
        let (acceptor, handle) = Acceptor::new(plan, places, &owners)?;
        counters.push(Arc::clone(&acceptor.counters));
        threads.push(spawn("acceptor", move || acceptor.run())?);
        Ok(Self { acceptor: handle, owners, counters, threads, fixed })
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.with_context(|| format!("thread {name} cannot be started"))
}

fn pin(core: Option<u16>) {
    let Some(core) = core else { return };
    let mut set = CpuSet::new();
    set.set(usize::from(core));
    if let Err(error) = sched_setaffinity(None, &set) {
        warn!("connections.cores: a thread cannot be pinned to core {core}: {error}");
    }
}

/// Each connection is a file descriptor in the table of its thread.
fn raise_descriptors(settings: &settings::Connections) {
    let wanted = descriptors(settings.connections, settings.threads);
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let maximum = Some(now.maximum.map_or(wanted, |maximum| maximum.max(wanted)));
    if setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
        return;
    }
    let most = now.maximum.unwrap_or(wanted).min(wanted);
    let limit = Rlimit { current: Some(most), maximum: now.maximum };
    if setrlimit(Resource::Nofile, limit).is_err() || most < wanted {
        let settings::Connections { connections, threads, .. } = settings;
        let enough = (1..=THREADS_MAX).find(|&threads| descriptors(*connections, threads) <= most);
        let advice = enough.map_or_else(String::new, |enough| {
            format!("set connections.threads = {enough} or more, or ")
        });
        warn!(
            "connections.connections = {connections} with connections.threads = {threads} needs {wanted} file \
             descriptors for each thread, and each may have {most}: {advice}raise LimitNOFILE of the service and \
             fs.nr_open"
        );
    }
}

/// File descriptors that each thread needs: of several none has just its share.
fn descriptors(connections: u32, threads: u8) -> u64 {
    let share = u64::from(connections.div_ceil(threads.into()));
    let uneven = if threads > 1 { share / 16 } else { 0 };
    share + uneven + DESCRIPTORS_BESIDE
}

#[cfg(test)]
mod limits {
    use super::descriptors;

    #[test]
    fn a_thread_has_its_share_and_some_room() {
        assert_eq!(descriptors(450_000, 1), 450_512);
        assert_eq!(descriptors(440_000, 24), 18_334 + 1_145 + 512);
    }
}
