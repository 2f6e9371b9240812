//! The task that turns kernel events into pictures.

use std::sync::Arc;
use std::time::Duration;

use netlink_packet_route::AddressFamily;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::limits::{COALESCE, DUMP_PAUSE_FACTOR, DUMP_TIMEOUT, REOPEN_PAUSE};
use super::neighbours::{NeighbourTable, Outcome};
use super::sockets::{Event, Sockets};
use super::{KernelError, PortInterface, decode};
use crate::fib::{Fib, NextHop, PathMtus, Topology};

/// Owner of everything that the watch knows.
pub(super) struct Watcher {
    ports: Vec<PortInterface>,
    sockets: Sockets,
    requests: mpsc::Receiver<NextHop>,
    path_mtus: watch::Receiver<Arc<PathMtus>>,
    pictures: watch::Sender<Arc<Fib>>,
    generation: u64,
    topology: Arc<Topology>,
    neighbours: NeighbourTable,
    /// Links, addresses or routes are not what the last dump said.
    outdated: bool,
    /// When the next picture is to be made, if anything changed.
    due: Option<Instant>,
    /// No dump before this.
    rest_until: Instant,
}

impl Watcher {
    /// Opens the sockets and makes the first picture.
    pub(super) async fn start(
        ports: Vec<PortInterface>,
        requests: mpsc::Receiver<NextHop>,
        path_mtus: watch::Receiver<Arc<PathMtus>>,
    ) -> Result<(Self, watch::Receiver<Arc<Fib>>), KernelError> {
        let topology = Arc::new(Topology::default());
        let empty = Fib::new(1, Arc::clone(&topology), crate::fib::Neighbours::new());
        let (pictures, receiver) = watch::channel(Arc::new(empty));
        let mut watcher = Self {
            ports,
            sockets: Sockets::open()?,
            requests,
            path_mtus,
            pictures,
            generation: 1,
            topology,
            neighbours: NeighbourTable::default(),
            outdated: true,
            due: None,
            rest_until: Instant::now(),
        };
        watcher.dump().await?;
        let links = watcher.topology.links();
        let absent = watcher.ports.iter().find(|port| !links.iter().any(|l| l.port == port.port));
        if let Some(PortInterface { port, name }) = absent {
            return Err(KernelError::NoSuchInterface { port: *port, name: name.clone() });
        }
        watcher.publish();
        Ok((watcher, receiver))
    }

    /// Follows the kernel for ever.
    pub(super) async fn run(mut self) {
        loop {
            let error = self.follow().await;
            warn!(%error, "lost track of the kernel's routes and neighbours, beginning anew");
            sleep(REOPEN_PAUSE).await;
            match Sockets::open() {
                Ok(sockets) => self.sockets = sockets,
                Err(error) => warn!(%error, "still no netlink socket"),
            }
            self.outdated = true;
            self.due = Some(Instant::now());
        }
    }

    async fn follow(&mut self) -> KernelError {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.due;
            tokio::select! {
                event = self.sockets.next_event() => match event {
                    Some(event) => self.take(event).await,
                    None => return KernelError::Closed,
                },
                Some(next_hop) = self.requests.recv() => self.ask(next_hop).await,
                Ok(()) = self.path_mtus.changed() => {
                    self.due.get_or_insert(Instant::now() + COALESCE);
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Err(error) = self.renew().await {
                        return error;
                    }
                }
                _ = second.tick() => self.probe().await,
            }
        }
    }

    async fn take(&mut self, event: Event) {
        match event {
            Event::Neighbour(message, gone) => {
                match self.neighbours.note(&message, gone, Instant::now()) {
                    Outcome::Same => return,
                    Outcome::Changed => {}
                    Outcome::Lost(next_hop) => {
                        info!(?next_hop, "neighbour fell silent, asking for it anew");
                        self.ask(next_hop).await;
                    }
                }
            }
            Event::Topology => self.outdated = true,
            Event::Overrun => {
                warn!("the kernel had more events than the socket could hold, reading all again");
                self.outdated = true;
            }
        }
        let soon = Instant::now() + COALESCE;
        let earliest = if self.outdated { soon.max(self.rest_until) } else { soon };
        self.due.get_or_insert(earliest);
    }

    /// Makes a new picture of all that changed.
    async fn renew(&mut self) -> Result<(), KernelError> {
        self.due = None;
        if self.outdated {
            match self.dump().await {
                Ok(()) => {}
                // The last picture stays in force; the next change gives another try.
                Err(error @ KernelError::TooManyRoutes(_)) => warn!(%error, "keeping the old ones"),
                Err(error) => return Err(error),
            }
        }
        self.publish();
        Ok(())
    }

    /// Reads all tables. Links come first: their list waits for a change under way in the kernel,
    /// so that the routes which that change takes away without an event are gone when they are
    /// read.
    async fn dump(&mut self) -> Result<(), KernelError> {
        let start = Instant::now();
        self.outdated = false; // by what the event socket brings from here on, it may be again
        let result = timeout(DUMP_TIMEOUT, self.dump_all()).await;
        let took = start.elapsed();
        self.rest_until = Instant::now() + took * DUMP_PAUSE_FACTOR;
        debug!(?took, "read the kernel's tables");
        result.unwrap_or(Err(KernelError::DumpTimeout(DUMP_TIMEOUT.as_secs())))
    }

    async fn dump_all(&mut self) -> Result<(), KernelError> {
        let links = decode::links(&self.ports, &self.sockets.links().await?);
        let addresses = decode::addresses(&self.sockets.addresses().await?);
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let take = |message: &_| routes.extend(decode::route(message, &links));
            self.sockets.routes(family, take).await?;
        }
        let neighbours = self.sockets.neighbours().await?;
        self.neighbours.refill(&links, &neighbours, Instant::now());
        self.topology = Arc::new(Topology::new(links, &addresses, &routes));
        Ok(())
    }

    fn publish(&mut self) {
        self.generation += 1;
        let neighbours = self.neighbours.snapshot();
        let path_mtus = Arc::clone(&self.path_mtus.borrow_and_update());
        let fib = Fib::new(self.generation, Arc::clone(&self.topology), neighbours);
        self.pictures.send_replace(Arc::new(fib.with_path_mtus(path_mtus)));
    }

    async fn ask(&mut self, next_hop: NextHop) {
        if self.neighbours.may_ask(next_hop, Instant::now())
            && let Err(error) = self.sockets.ask(next_hop).await
        {
            debug!(?next_hop, %error, "the kernel would not ask for a neighbour");
        }
    }

    /// Once a second: see that silent changes of neighbours are noticed.
    async fn probe(&mut self) {
        let now = Instant::now();
        self.neighbours.expire(now);
        for next_hop in self.neighbours.take_due(now) {
            if let Err(error) = self.sockets.probe(next_hop).await {
                debug!(?next_hop, %error, "the kernel would not probe a neighbour");
            }
        }
    }
}
