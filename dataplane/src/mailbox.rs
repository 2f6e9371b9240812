//! The bounded rings between a worker and the service core.
//!
//! New tables come as `Arc`s and the old ones go back, so that nothing is allocated or freed on a
//! poll-mode core. A worker takes a command only while there is room for its answer.

use crate::fib::{Fib, NextHop};
use crate::limits::{EVENTS_MAX, MAILBOX_MAX};
use crate::parcel::{self, ServiceParcels, WorkerParcels};
use core::net::SocketAddr;
use crossbeam::queue::ArrayQueue;
use sip_core::{Oversize, Tables};
use std::sync::Arc;

/// A configuration epoch as the workers use it.
#[derive(Debug)]
pub struct Epoch {
    /// Its number; control counts them up.
    pub number: u64,
    /// The routing tables built from its settings.
    pub tables: Tables,
    /// What happens to messages that are larger than the MTU.
    pub oversize: Oversize,
}

/// From the service core to a worker.
#[derive(Debug)]
pub enum Command {
    /// Swap to this epoch.
    Epoch(Arc<Epoch>),
    /// Swap to these routes and neighbours.
    Fib(Arc<Fib>),
    /// End: the queues have run empty.
    Stop,
    /// Panic, to see what becomes of the process.
    Panic,
}

/// From a worker to the service core.
#[derive(Debug)]
pub enum Event {
    /// Ask the kernel for this neighbour.
    Resolve(NextHop),
    /// A message to this host was dropped, because the next hop on the way there does not answer.
    Unreachable(SocketAddr),
    /// The worker runs on this epoch; the one before, if any, is handed back to be freed.
    Applied {
        /// Number of the epoch now in force.
        number: u64,
        /// The epoch before.
        retired: Option<Arc<Epoch>>,
    },
    /// Routes and neighbours that the worker no longer uses.
    Retired(Arc<Fib>),
}

/// The worker's end.
#[derive(Debug)]
pub struct WorkerEnd {
    commands: Arc<ArrayQueue<Command>>,
    events: Arc<ArrayQueue<Event>>,
    /// The way of large messages.
    pub parcels: WorkerParcels,
}

/// The service core's end.
#[derive(Clone, Debug)]
pub struct ServiceEnd {
    commands: Arc<ArrayQueue<Command>>,
    events: Arc<ArrayQueue<Event>>,
    /// The way of large messages.
    pub parcels: ServiceParcels,
}

/// Makes the two ends of one worker's mailbox.
pub fn mailbox() -> (WorkerEnd, ServiceEnd) {
    let commands = Arc::new(ArrayQueue::new(MAILBOX_MAX));
    let events = Arc::new(ArrayQueue::new(EVENTS_MAX));
    let (to_service, parcels) = parcel::rings();
    let worker = WorkerEnd {
        commands: Arc::clone(&commands),
        events: Arc::clone(&events),
        parcels: to_service,
    };
    (worker, ServiceEnd { commands, events, parcels })
}

impl WorkerEnd {
    /// The next command, unless the service core is so far behind that its answer would not fit.
    pub fn next(&self) -> Option<Command> {
        if self.events.is_full() { None } else { self.commands.pop() }
    }

    /// Sends an event; false when the ring is full.
    pub fn send(&self, event: Event) -> bool {
        self.events.push(event).is_ok()
    }
}

impl ServiceEnd {
    /// Sends a command; gives it back when the worker is so far behind that its ring is full.
    ///
    /// # Errors
    /// The command that did not fit.
    pub fn send(&self, command: Command) -> Result<(), Command> {
        self.commands.push(command)
    }

    /// The next event of the worker.
    pub fn next(&self) -> Option<Event> {
        self.events.pop()
    }
}
