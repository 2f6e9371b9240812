//! One thread's connection to the data plane: records in packets, and what waits when it takes no more.

use crate::limits::{
    LINK_PACKET, LINK_REPORTS_MAX, LINK_WAITING_MAX, RECONNECT_FIRST, RECONNECT_MAX,
};
use control_api::API_VERSION;
use control_api::connection::{Hello, PACKET_MAX, Record, SEND_BUFFER};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use sip_core::Class;
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The channel of one connection thread.
///
/// While the data plane keeps up, records go in the order in which they came. When it does not, those of work
/// that was begun go before those of new work, and [`Link::has_room`] says when no more may come.
#[derive(Debug)]
pub(super) struct Link {
    path: PathBuf,
    hello: Hello,
    socket: Option<Socket>,
    /// When it is tried again, and how long after that.
    retry: (Instant, Duration),
    /// Packets of responses and of requests that belong to work that was begun; only while it is full.
    begun: VecDeque<Vec<u8>>,
    /// All other packets.
    queue: VecDeque<Vec<u8>>,
    /// How many packets `queue` has ever had, and how many of them have gone.
    queued: u64,
    gone: u64,
    waiting: usize,
    is_full: bool,
    /// Whether there may be something to read.
    pub(super) is_readable: bool,
}

impl Link {
    pub(super) fn new(path: PathBuf, thread: u8, threads: u8) -> Self {
        Self {
            path,
            hello: Hello { api_version: API_VERSION, thread, threads },
            socket: None,
            retry: (Instant::now(), RECONNECT_FIRST),
            begun: VecDeque::new(),
            queue: VecDeque::new(),
            queued: 0,
            gone: 0,
            waiting: 0,
            is_full: false,
            is_readable: false,
        }
    }

    /// Whether the data plane is there.
    pub(super) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// When the next attempt to connect is due.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.socket.is_none().then_some(self.retry.0)
    }

    /// Connects when that is due; true when the data plane is there now and was not before.
    pub(super) fn connect(&mut self, registry: &Registry, token: Token, now: Instant) -> bool {
        if self.socket.is_some() || now < self.retry.0 {
            return false;
        }
        if let Ok(socket) = self.open(registry, token) {
            self.socket = Some(socket);
            self.is_readable = true;
            self.retry.1 = RECONNECT_FIRST;
            return true;
        }
        self.retry.0 = now + self.retry.1;
        self.retry.1 = (self.retry.1 * 2).min(RECONNECT_MAX);
        false
    }

    fn open(&self, registry: &Registry, token: Token) -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET.nonblocking(), None)?;
        socket.connect(&SockAddr::unix(&self.path)?)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        (&socket).write_all(&self.hello.encode())?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token, interest)?;
        Ok(socket)
    }

    /// The data plane has gone; gives how many bytes were lost with it.
    pub(super) fn lose(&mut self, now: Instant) -> usize {
        self.socket = None;
        self.retry = (now + RECONNECT_FIRST, RECONNECT_FIRST * 2);
        self.begun.clear();
        self.queue.clear();
        self.gone = self.queued;
        self.is_full = false;
        self.is_readable = false;
        std::mem::take(&mut self.waiting)
    }

    /// Bytes that wait for the data plane.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether connections may be read.
    pub(super) fn has_room(&self) -> bool {
        self.waiting < LINK_WAITING_MAX
    }

    /// Takes a message in. `last` is the packet in which the last one of the same connection went that may
    /// begin something: CANCEL must not overtake it.
    pub(super) fn push(
        &mut self,
        record: &Record<'_>,
        class: impl FnOnce() -> Class,
        last: &mut u64,
    ) {
        self.waiting += record.length();
        let is_first = self.is_full
            && match class() {
                Class::Response | Class::Begun => true,
                Class::Cancel => *last <= self.gone,
                Class::New => false,
            };
        if is_first {
            append(&mut self.begun, record);
            return;
        }
        self.queued += u64::from(append(&mut self.queue, record));
        *last = self.queued;
    }

    /// Takes in what the data plane must know before the message that comes next; without one it is told later.
    pub(super) fn announce(&mut self, record: &Record<'_>) {
        if self.is_there() {
            self.push(record, || Class::Response, &mut 0);
        }
    }

    /// Takes a report in, of a message that was not sent or of a connection that ended; false when too
    /// many wait.
    pub(super) fn report(&mut self, record: &Record<'_>) -> bool {
        let has_room = self.is_there() && self.waiting < LINK_REPORTS_MAX;
        if has_room {
            self.push(record, || Class::Response, &mut 0);
        }
        has_room
    }

    /// Sends what waits, as far as the data plane takes it.
    ///
    /// # Errors
    /// The data plane has gone.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        loop {
            let is_begun = !self.begun.is_empty();
            let queue = if is_begun { &mut self.begun } else { &mut self.queue };
            let Some(packet) = queue.front() else { break };
            match (&*socket).write(packet) {
                Ok(_) => {
                    self.waiting -= packet.len();
                    queue.pop_front();
                    self.gone += u64::from(!is_begun);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_full = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.is_full = false;
        Ok(())
    }

    /// The length of the next packet, once read into `packet`; none when there is none now.
    ///
    /// # Errors
    /// The data plane has gone.
    pub(super) fn receive(&mut self, packet: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(socket) = &self.socket else { return Ok(None) };
        loop {
            match (&*socket).read(packet) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => return Ok(Some(length)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Appends to the last packet, or to a new one; true when it is new.
fn append(queue: &mut VecDeque<Vec<u8>>, record: &Record<'_>) -> bool {
    let fits = |packet: &Vec<u8>| {
        packet.len() < LINK_PACKET && packet.len() + record.length() <= PACKET_MAX
    };
    let is_new = !queue.back().is_some_and(fits);
    if is_new {
        queue.push_back(Vec::with_capacity(record.length()));
    }
    if let Some(packet) = queue.back_mut() {
        record.push(packet);
    }
    is_new
}
