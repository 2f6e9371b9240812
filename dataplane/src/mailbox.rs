//! The bounded rings between a worker and the service core.
//!
//! New tables come as `Arc`s and the old ones go back, so that nothing is allocated or freed on a
//! poll-mode core. A worker takes a command only while there is room for its answer.

use crate::fib::{Fib, NextHop};
use crate::flows::FlowTable;
use crate::limits::{EVENTS_MAX, MAILBOX_MAX, QUESTIONS_MAX};
use crate::location_log::{self, LocationLog, ServiceLog};
use crate::parcel::{self, ServiceParcels, WorkerParcels};
use crate::ring::Ring;
use crate::stats::WorkerCounters;
use core::net::SocketAddr;
use crossbeam::queue::ArrayQueue;
use sip_core::{
    AorQuestion, Ban, Credentials, NameAnswer, NameQuestion, Oversize, QuotedBranch, SourceNet,
    Tables,
};
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
    /// Swap to these users and what they prove to know.
    Credentials(Arc<Credentials>),
    /// An ICMP error quotes this branch of a request of the worker's.
    Unreachable(QuotedBranch),
    /// Where a host name leads.
    Name(Arc<NameAnswer>),
    /// Answer for location: all that was stored is loaded.
    LocationReady,
    /// Ask for bindings that are not here, because other appliances may have them; or do so no more.
    AskForUsers(bool),
    /// Answer REGISTER from memory, because the store does not confirm; or wait for it again.
    FromMemory(bool),
    /// End the ban of a source.
    Unban(SourceNet),
    /// An empty table for counts of flows.
    Flows(Box<FlowTable>),
    /// End: the queues have run empty.
    Stop,
    /// Panic, to see what becomes of the process.
    Panic,
}

/// What a worker has control asked.
#[derive(Clone, Copy, Debug)]
pub enum Question {
    /// Where a host name leads.
    Name(NameQuestion),
    /// Which bindings a user has.
    User(AorQuestion),
}

/// From a worker to the service core.
#[derive(Debug)]
pub enum Event {
    /// The worker has all its memory and looks into its mailbox.
    Started,
    /// Ask the kernel for this neighbour.
    Resolve(NextHop),
    /// A message to this host was dropped, because the next hop on the way there does not answer.
    Unreachable(SocketAddr),
    /// The worker has banned a source.
    Banned(Ban),
    /// The worker runs on this epoch; the one before, if any, is handed back to be freed.
    Applied {
        /// Number of the epoch now in force.
        number: u64,
        /// The epoch before.
        retired: Option<Arc<Epoch>>,
    },
    /// Routes and neighbours that the worker no longer uses.
    Retired(Arc<Fib>),
    /// The worker has new credentials; those before, if any, are handed back to be freed.
    RetiredCredentials(Option<Arc<Credentials>>),
    /// What the worker has counted of flows.
    Flows(Box<FlowTable>),
    /// An answer that the worker no longer needs.
    RetiredName(Arc<NameAnswer>),
}

/// A worker's end of two rings: what it takes is answered, and there is always room for the answer.
#[derive(Debug)]
pub struct Post<C, E> {
    commands: Arc<C>,
    events: Arc<E>,
}

/// The worker's end.
#[derive(Debug)]
pub struct WorkerEnd {
    post: Post<ArrayQueue<Command>, ArrayQueue<Event>>,
    /// The way of large messages.
    pub parcels: WorkerParcels,
    /// The way of changed bindings.
    pub log: LocationLog,
    /// What its requests wait for.
    pub questions: Arc<ArrayQueue<Question>>,
    /// What the worker says of itself beside its queues.
    pub counters: Arc<WorkerCounters>,
}

/// The service core's end.
#[derive(Clone, Debug)]
pub struct ServiceEnd {
    commands: Arc<ArrayQueue<Command>>,
    events: Arc<ArrayQueue<Event>>,
    /// The way of large messages.
    pub parcels: ServiceParcels,
    /// The way of changed bindings.
    pub log: ServiceLog,
    /// What its requests wait for.
    pub questions: Arc<ArrayQueue<Question>>,
    /// What the worker says of itself beside its queues.
    pub counters: Arc<WorkerCounters>,
}

/// Makes the two ends of one worker's mailbox.
pub fn mailbox() -> (WorkerEnd, ServiceEnd) {
    let commands = Arc::new(ArrayQueue::new(MAILBOX_MAX));
    let events = Arc::new(ArrayQueue::new(EVENTS_MAX));
    let (to_service, parcels) = parcel::rings();
    let (log, service_log) = location_log::rings();
    let counters: Arc<WorkerCounters> = Arc::default();
    let questions = Arc::new(ArrayQueue::new(QUESTIONS_MAX));
    let worker = WorkerEnd {
        post: Post::new(Arc::clone(&commands), Arc::clone(&events)),
        parcels: to_service,
        log,
        questions: Arc::clone(&questions),
        counters: Arc::clone(&counters),
    };
    (worker, ServiceEnd { commands, events, parcels, log: service_log, questions, counters })
}

impl WorkerEnd {
    /// The next command, unless the service core is so far behind that its answer would not fit.
    pub fn next(&self) -> Option<Command> {
        self.post.next()
    }

    /// Whether an event fits; it will until one is sent.
    pub fn has_room(&self) -> bool {
        self.post.has_room()
    }

    /// Sends an event; false when the ring is full.
    pub fn send(&self, event: Event) -> bool {
        self.post.send(event).is_ok()
    }
}

impl<C: Ring, E: Ring> Post<C, E> {
    /// The worker's end of these rings.
    pub fn new(commands: Arc<C>, events: Arc<E>) -> Self {
        Self { commands, events }
    }

    /// The next command, unless its answer would not fit.
    pub fn next(&self) -> Option<C::Item> {
        if self.has_room() { self.commands.pop() } else { None }
    }

    /// Whether an event fits: only we push to `events`, so that the room that we see stays until we use it.
    pub fn has_room(&self) -> bool {
        !self.events.is_full()
    }

    /// Sends an event.
    ///
    /// # Errors
    /// The event, when the ring is full.
    pub fn send(&self, event: E::Item) -> Result<(), E::Item> {
        self.events.push(event)
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

    /// Sends a command that matters less than others: false when half of the ring is full.
    pub fn offer(&self, command: Command) -> bool {
        self.commands.len() < MAILBOX_MAX / 2 && self.commands.push(command).is_ok()
    }

    /// The next event of the worker.
    pub fn next(&self) -> Option<Event> {
        self.events.pop()
    }
}
