//! Messages that go through the kernel, on their way between a worker and the service core.
//!
//! The kernel puts fragments together and makes fragments; a worker decides. What lies between
//! them is a parcel: a buffer for the largest message there is.
//!
//! ```text
//!             Received                       Send                    Sent
//! service core ─────► worker: parse … rewrite ────► service core: send ────► worker: count
//!      ▲                                                                       │ goes home
//!      └──────────────────────────────── Empty ────────────────────────────────┘
//!
//!             Received                   HandOver                   HandedIn
//! service core ─────► worker: not mine ──────────► service core ──────────► its owner: as above
//! ```
//!
//! Parcels are made at the start and never freed: each belongs to the service core or to one
//! worker, and comes home when its errand is done. Both rings hold all parcels there are, so they
//! are never full; who has no parcel left waits (the service core) or drops (a worker).

use crate::encode::Egress;
use crate::limits::{PARCELS_BEHIND, SERVICE_PARCELS, SMALL_PARCEL, SMALL_PARCELS, WORKER_PARCELS};
use crate::ring::Ring;
use crate::stats::{QueueCounters, Sent};
use control_api::DropReason;
use core::net::{Ipv4Addr, SocketAddr};
use core::ops::Range;
use crossbeam::queue::ArrayQueue;
use sip_core::Transport;
use std::sync::Arc;

/// Largest UDP payload over either family in bytes: RFC 791's total length less both headers.
pub const PAYLOAD_MAX: usize = 65_507;
/// Room before a received message, for all that the edits of one message can add.
const HEADROOM: usize = 4_096;
const _: () = assert!(sip_core::limits::EDIT_TEXT_MAX <= HEADROOM);
/// Room for a received message, and one byte more, so that one that is too long shows.
const ROOM: usize = 1 << 16;

/// What is to be done with a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// It holds a message that the kernel received: the worker takes it through the stages.
    Received,
    /// It holds such a message, which belongs to a transaction of this other worker.
    HandOver(u8),
    /// It holds a message that another worker has handed over to this one.
    HandedIn,
    /// It holds a message to be sent from `source` to `target`.
    Send(Origin),
    /// The service core has done that, or the kernel has refused.
    Sent(Origin, bool),
    /// Nothing: it is at home, or on the way there.
    Empty,
}

/// Where a message came from, and which counter it moves when it has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index of the port; the first index after the ports for the kernel.
    pub port: u8,
    /// What it counts as.
    pub sent: Sent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    ServiceCore,
    Worker,
    /// Among those of [`SMALL_PARCEL`] bytes.
    WorkerSmall,
}

/// A buffer with one message in it, large for any message but for [the small ones](SMALL_PARCEL) of workers.
#[derive(Debug)]
pub struct Parcel {
    buffer: Box<[u8]>,
    /// Where a message begins that was not made longer.
    headroom: usize,
    message: Range<usize>,
    home: Home,
    /// Where the message came from, or the listen point that it leaves from.
    pub source: SocketAddr,
    /// The listen point where it arrived, or where it goes.
    pub target: SocketAddr,
    /// What it came over, or goes over.
    pub transport: Transport,
    /// It goes over a connection that is there, or not at all.
    pub is_on_flow: bool,
    /// What is to be done with it.
    pub errand: Errand,
}

impl Parcel {
    fn new(home: Home) -> Self {
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let (headroom, room) =
            if home == Home::WorkerSmall { (0, SMALL_PARCEL) } else { (HEADROOM, ROOM) };
        Self {
            buffer: vec![0; headroom + room].into_boxed_slice(),
            headroom,
            message: headroom..headroom,
            home,
            source: nowhere,
            target: nowhere,
            transport: Transport::Udp,
            is_on_flow: false,
            errand: Errand::Empty,
        }
    }

    /// The message.
    pub fn message(&self) -> &[u8] {
        &self.buffer[self.message.clone()]
    }

    /// The message, to be changed in place.
    pub fn message_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.message.clone()]
    }

    /// Where a message is received into; then [`Self::set_received`].
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.headroom..]
    }

    /// Declares the first `length` bytes of the room to be a message that came this way.
    pub fn set_received(
        &mut self,
        length: usize,
        source: SocketAddr,
        target: SocketAddr,
        transport: Transport,
    ) {
        self.message = self.headroom..self.headroom + length;
        (self.source, self.target, self.errand) = (source, target, Errand::Received);
        self.transport = transport;
    }

    /// Says where it goes.
    pub fn set_egress(&mut self, egress: &Egress) {
        (self.source, self.target) = (egress.source, egress.target);
        (self.transport, self.is_on_flow) = (egress.transport, egress.is_on_flow);
    }

    /// Makes the message `beginning` and, behind it, the bytes `kept` of the message that was there,
    /// which stay where they lie. Gives false, and changes nothing, when the beginning grows by more
    /// than edits can make it.
    #[must_use]
    pub fn begin_anew(&mut self, beginning: &[u8], kept: Range<usize>) -> bool {
        let kept = self.message.start + kept.start..self.message.start + kept.end;
        let Some(start) = kept.start.checked_sub(beginning.len()) else { return false };
        self.buffer[start..kept.start].copy_from_slice(beginning);
        self.message = start..kept.end;
        true
    }

    /// Makes the message these two parts. Gives false, and changes nothing, when there is no room.
    #[must_use]
    pub fn fill(&mut self, beginning: &[u8], rest: &[u8]) -> bool {
        let length = beginning.len() + rest.len();
        let Some(room) = self.room().get_mut(..length) else { return false };
        let (first, second) = room.split_at_mut(beginning.len());
        first.copy_from_slice(beginning);
        second.copy_from_slice(rest);
        self.message = self.headroom..self.headroom + length;
        true
    }
}

/// Two rings, and the items that belong to this end and are at home. The rings hold all the items there
/// are, of both ends, so that they are never full.
#[derive(Debug)]
pub struct Shuttle<R: Ring> {
    /// From the other end.
    incoming: Arc<R>,
    /// To the other end.
    outgoing: Arc<R>,
    free: Vec<R::Item>,
}

/// The worker's end.
#[derive(Debug)]
pub struct WorkerParcels {
    shuttle: Shuttle<ArrayQueue<Parcel>>,
    /// Small ones that are at home.
    small: Vec<Parcel>,
    counters: Arc<QueueCounters>,
}

/// The service core's end towards one worker.
#[derive(Clone, Debug)]
pub struct ServiceParcels {
    to_worker: Arc<ArrayQueue<Parcel>>,
    from_worker: Arc<ArrayQueue<Parcel>>,
    counters: Arc<QueueCounters>,
}

/// Makes the two ends of one worker's rings, with the parcels of the worker.
pub(crate) fn rings() -> (WorkerParcels, ServiceParcels) {
    let ring = || Arc::new(ArrayQueue::new(SERVICE_PARCELS + WORKER_PARCELS + SMALL_PARCELS));
    let (down, up, counters): (_, _, Arc<QueueCounters>) = (ring(), ring(), Arc::default());
    let parcels = (0..WORKER_PARCELS).map(|_| Parcel::new(Home::Worker)).collect();
    let worker = WorkerParcels {
        shuttle: Shuttle::new(Arc::clone(&down), Arc::clone(&up), parcels),
        small: (0..SMALL_PARCELS).map(|_| Parcel::new(Home::WorkerSmall)).collect(),
        counters: Arc::clone(&counters),
    };
    (worker, ServiceParcels { to_worker: down, from_worker: up, counters })
}

/// The parcels of the service core, for all workers together.
pub fn service_parcels() -> Vec<Parcel> {
    (0..SERVICE_PARCELS).map(|_| Parcel::new(Home::ServiceCore)).collect()
}

impl<R: Ring> Shuttle<R> {
    /// An end with these items.
    pub fn new(incoming: Arc<R>, outgoing: Arc<R>, free: Vec<R::Item>) -> Self {
        Self { incoming, outgoing, free }
    }

    /// The next item from the other end.
    #[inline]
    pub fn next(&self) -> Option<R::Item> {
        // Nearly always there is none, and `is_empty` says so without a fence.
        if self.incoming.is_empty() { None } else { self.incoming.pop() }
    }

    /// An item that is at home.
    pub fn take_free(&mut self) -> Option<R::Item> {
        self.free.pop()
    }

    /// Sends an item to the other end.
    pub fn send(&self, item: R::Item) {
        let is_sent = self.outgoing.push(item).is_ok();
        debug_assert!(is_sent, "the ring holds all items there are");
    }

    /// Sends an item home, which is here or at the other end.
    pub fn send_home(&mut self, item: R::Item, is_ours: bool) {
        if is_ours { self.free.push(item) } else { self.send(item) }
    }
}

impl WorkerParcels {
    /// The next parcel from the service core.
    #[inline]
    pub fn next(&self) -> Option<Parcel> {
        self.shuttle.next()
    }

    /// A parcel of this worker with a message of these two parts, which is to leave through the kernel.
    ///
    /// # Errors
    /// There is none left, or none is so large.
    pub fn load(
        &mut self,
        egress: &Egress,
        beginning: &[u8],
        rest: &[u8],
    ) -> Result<Parcel, DropReason> {
        let is_small = beginning.len() + rest.len() <= SMALL_PARCEL;
        let small = if is_small { self.small.pop() } else { None };
        let mut parcel = small.or_else(|| self.take_free()).ok_or(DropReason::KernelBuffers)?;
        parcel.set_egress(egress);
        if parcel.fill(beginning, rest) {
            return Ok(parcel);
        }
        self.send_home(parcel);
        Err(DropReason::EgressTooLarge)
    }

    /// An empty parcel for any message.
    pub fn take_free(&mut self) -> Option<Parcel> {
        self.shuttle.take_free()
    }

    /// Sends a parcel with an errand to the service core.
    pub fn send(&self, parcel: Parcel) {
        self.shuttle.send(parcel);
    }

    /// Sends a parcel home.
    pub fn send_home(&mut self, mut parcel: Parcel) {
        parcel.errand = Errand::Empty;
        match parcel.home {
            Home::WorkerSmall => self.small.push(parcel),
            home => self.shuttle.send_home(parcel, home == Home::Worker),
        }
    }

    /// The counters of what this worker gets from the kernel and gives to it.
    pub fn counters(&self) -> &QueueCounters {
        &self.counters
    }
}

impl ServiceParcels {
    /// The next parcel from the worker.
    pub fn next(&self) -> Option<Parcel> {
        self.from_worker.pop()
    }

    /// Whether so many wait, on the way to the worker or from it, that it should get no more work.
    pub fn is_behind(&self) -> bool {
        self.from_worker.len().max(self.to_worker.len()) > PARCELS_BEHIND
    }

    /// Sends a parcel with an errand to the worker.
    pub fn send(&self, parcel: Parcel) {
        let is_sent = self.to_worker.push(parcel).is_ok();
        debug_assert!(is_sent, "the ring holds all parcels there are");
    }

    /// The counters of what this worker gets from the kernel and gives to it.
    pub fn counters(&self) -> &Arc<QueueCounters> {
        &self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::{Errand, HEADROOM, Origin, ROOM, rings, service_parcels};
    use crate::limits::WORKER_PARCELS;
    use crate::stats::Sent;
    use sip_core::Transport;

    #[test]
    fn a_new_beginning_takes_the_room_before_the_message() {
        let mut parcel = service_parcels().pop().unwrap();
        parcel.room()[..8].copy_from_slice(b"old+rest");
        let here = "192.0.2.1:5060".parse().unwrap();
        parcel.set_received(8, here, here, Transport::Udp);
        assert!(parcel.begin_anew(b"a new one+", 4..8));
        assert_eq!(parcel.message(), b"a new one+rest");
        assert!(!parcel.begin_anew(&vec![b'x'; HEADROOM + 1], 0..4));
        assert_eq!(parcel.message(), b"a new one+rest");
        assert!(parcel.fill(b"whole ", b"message") && !parcel.fill(b"x", &vec![b'y'; ROOM]));
        assert_eq!(parcel.message(), b"whole message");
    }

    #[test]
    fn parcels_come_home() {
        let (mut worker, service) = rings();
        let ours = service_parcels().pop().unwrap();
        service.send(ours);
        let parcel = worker.next().unwrap();
        worker.send_home(parcel);
        assert_eq!(service.next().unwrap().errand, Errand::Empty);

        let origin = Origin { port: 0, sent: Sent::Forwarded };
        for _ in 0..WORKER_PARCELS {
            let mut parcel = worker.take_free().unwrap();
            parcel.errand = Errand::Send(origin);
            worker.send(parcel);
        }
        assert!(worker.take_free().is_none());
        let parcel = service.next().unwrap();
        assert_eq!(parcel.errand, Errand::Send(origin));
        service.send(parcel);
        let parcel = worker.next().unwrap();
        worker.send_home(parcel);
        assert!(worker.take_free().is_some());
    }
}
