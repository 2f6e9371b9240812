//! What the generator sends over and receives from.

use anyhow::Result;
use core::net::SocketAddr;
use core::ops::Range;

/// Datagrams handed over at once: what one `sendmmsg` or `recvmmsg` takes.
pub(crate) const BATCH: usize = 64;

/// Largest datagram the generator takes.
pub(crate) const DATAGRAM_MAX: usize = 4_096;

/// One of the generator's own addresses, by its index: callers first, then callees.
pub(crate) type Local = u16;

/// Datagrams that wait to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<Outgoing>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// Which of our addresses sends it.
    pub(crate) from: Local,
    /// Where it goes.
    pub(crate) to: SocketAddr,
    range: Range<usize>,
}

impl Outbox {
    /// Adds what `write` appends.
    pub(crate) fn push(&mut self, from: Local, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.datagrams.push(Outgoing { from, to, range: start..self.bytes.len() });
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Outgoing, &[u8])> {
        self.datagrams.iter().map(|datagram| (datagram, &self.bytes[datagram.range.clone()]))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }
}

/// Messages that were not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NotTaken {
    /// By our own operating system.
    pub(crate) by_system: u64,
    /// By the target, which reads its connection more slowly than we write: requests that begin a call.
    pub(crate) by_target: u64,
}

/// Sends and receives datagrams without ever blocking for long.
pub(crate) trait Wire {
    /// Gives what has arrived to `deliver` (our address, the sender's, the datagram), at most a few
    /// batches. Gives how many there were.
    fn receive(&mut self, deliver: &mut dyn FnMut(Local, SocketAddr, &[u8])) -> Result<usize>;

    /// Sends everything; gives how many were not taken.
    fn send(&mut self, outbox: &Outbox) -> Result<NotTaken>;

    /// Waits until something arrives, for `nanoseconds` at most.
    fn wait(&mut self, nanoseconds: u64);
}
