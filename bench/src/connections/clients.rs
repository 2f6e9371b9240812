//! All client threads, told and waited for together.

use super::client::{Client, Order, Outcome, Progress};
use crate::interrupt::Interrupt;
use anyhow::{Context, Result, anyhow, bail};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two lines about what goes on.
const PROGRESS: Duration = Duration::from_secs(5);

/// The threads. They end, and their connections with them, when this is dropped.
pub(super) struct Clients {
    threads: Vec<Thread>,
    progress: Arc<Progress>,
    interrupt: Interrupt,
}

struct Thread {
    orders: Option<Sender<Order>>,
    done: Receiver<Result<Outcome>>,
    handle: Option<JoinHandle<()>>,
}

impl Clients {
    /// Starts so many.
    ///
    /// # Errors
    /// When the kernel has no threads left.
    pub(super) fn start(count: usize, interrupt: Interrupt) -> Result<Self> {
        let progress = Arc::<Progress>::default();
        let mut clients = Self { threads: Vec::new(), progress, interrupt };
        for number in 0..count {
            let ((orders, ordered), (sender, done)) = (channel(), channel());
            let progress = Arc::clone(&clients.progress);
            let body = move || Client::run((number, address(number)), progress, &ordered, &sender);
            let handle =
                std::thread::Builder::new().name(format!("clients-{number}")).spawn(body)?;
            clients.threads.push(Thread { orders: Some(orders), done, handle: Some(handle) });
        }
        Ok(clients)
    }

    /// Connections that there are.
    pub(super) fn connected(&self) -> usize {
        usize::try_from(self.progress.connected.load(Relaxed)).unwrap_or(usize::MAX)
    }

    /// Answers to OPTIONS that have come.
    pub(super) fn answers(&self) -> usize {
        usize::try_from(self.progress.answers.load(Relaxed)).unwrap_or(usize::MAX)
    }

    /// Has all of them obey an order, and waits until they have.
    ///
    /// # Errors
    /// The first of theirs; the user's wish to end.
    pub(super) fn all(&mut self, what: &str, order: &Order) -> Result<Outcome> {
        let begin = Instant::now();
        for thread in &self.threads {
            let orders = thread.orders.as_ref().context("it has ended")?;
            orders.send(order.clone()).map_err(|_| anyhow!("a client thread has ended"))?;
        }
        let (mut sum, mut next_line) = (None::<Outcome>, begin + PROGRESS);
        for thread in &self.threads {
            let outcome = loop {
                match thread.done.recv_timeout(Duration::from_millis(100)) {
                    Ok(outcome) => break outcome?,
                    Err(RecvTimeoutError::Disconnected) => bail!("a client thread panicked"),
                    Err(RecvTimeoutError::Timeout) if self.interrupt.is_set() => {
                        bail!("interrupted")
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                }
                if Instant::now() >= next_line {
                    next_line += PROGRESS;
                    self.say(what, begin.elapsed());
                }
            };
            sum = Some(match sum {
                None => outcome,
                Some(mut sum) => {
                    sum.times.add(&outcome.times)?;
                    sum.failed += outcome.failed;
                    sum.late = sum.late.max(outcome.late);
                    sum
                }
            });
        }
        self.say(what, begin.elapsed());
        sum.context("no client threads")
    }

    fn say(&self, what: &str, since: Duration) {
        let Progress { connected, registered, pongs, calls, .. } = &*self.progress;
        let [connected, registered, pongs, calls] =
            [connected, registered, pongs, calls].map(|counter| counter.load(Relaxed));
        eprintln!(
            "connections: {:5.1} s  {what:<10}  {connected:7} connected  {registered:7} registered  {pongs:8} kept \
             alive  {calls:6} calls",
            since.as_secs_f64()
        );
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.progress.stop.store(true, Relaxed);
        for thread in &mut self.threads {
            thread.orders = None;
        }
        for thread in &mut self.threads {
            // Its error has been told.
            let _ = thread.handle.take().map(JoinHandle::join);
        }
    }
}

/// The source address of a thread.
pub(super) fn address(number: usize) -> Ipv4Addr {
    let first = u32::from(crate::network::CLIENTS_ADDRESS);
    Ipv4Addr::from(first + 1 + u32::try_from(number).unwrap_or(0))
}
