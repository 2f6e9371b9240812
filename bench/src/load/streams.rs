//! The wire over TCP connections from callers to their target: one for each caller that stays, or one for each
//! transaction (the transport modes of the 2008 study of SIP over TCP). Callees are reached by UDP.

use super::sockets::SocketWire;
use super::wire::{Local, NotTaken, Outbox, Outgoing, Wire};
use anyhow::{Context, Result};
use core::net::SocketAddr;
use memchr::memmem;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

/// Connections looked at in one go.
const EVENTS: usize = 256;
/// Bytes read at once: some ten responses.
const READ: usize = 16 << 10;
/// No answer to a message of a script is longer.
const MESSAGE_MAX: usize = 64 << 10;

/// Bytes that may wait at a connection before no call begins on it any more: what its socket does not take.
const UNSENT_MAX: usize = 64 << 10;

/// What the socket of a connection takes beyond what the target has room for. Left to itself the kernel takes a MiB and
/// more, behind which a BYE would wait for seconds.
const SEND_BUFFER: usize = 64 << 10;

/// Longest sleep between two looks at the connections, in nanoseconds.
const WAIT_MAX: u64 = 50_000;

/// How long a connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// As long as the run.
    Kept,
    /// From a request to its final response.
    EachTransaction,
}

/// The generator's connections.
pub(crate) struct StreamWire {
    poll: Poll,
    events: Events,
    connections: Slab<Connection>,
    /// The connection of each caller to each target, where they are kept.
    kept: HashMap<(Local, SocketAddr), usize>,
    reuse: Reuse,
    /// How many callers there are, and the sockets of the callees behind them.
    callers: usize,
    callees: SocketWire,
    to_callees: Outbox,
}

/// One of them.
struct Connection {
    stream: TcpStream,
    local: Local,
    to: SocketAddr,
    unsent: Vec<u8>,
    received: Vec<u8>,
}

/// What has become of a connection.
#[derive(PartialEq, Eq)]
enum State {
    Open,
    Over,
}

impl StreamWire {
    /// No connection yet: each is opened with the first message for it. Addresses behind the first `callers` are those
    /// of callees.
    ///
    /// # Errors
    /// When the system has no epoll instance for us, or no socket at these addresses.
    pub(crate) fn new(reuse: Reuse, addresses: &[SocketAddr], callers: usize) -> Result<Self> {
        Ok(Self {
            poll: Poll::new().context("epoll")?,
            events: Events::with_capacity(EVENTS),
            connections: Slab::new(),
            kept: HashMap::new(),
            reuse,
            callers,
            callees: SocketWire::bind(addresses.get(callers..).unwrap_or_default())?,
            to_callees: Outbox::default(),
        })
    }

    /// The connection that a message leaves by; none when the system has no more.
    fn towards(&mut self, datagram: &Outgoing) -> Option<usize> {
        let key = (datagram.from, datagram.to);
        let kept = self.kept.get(&key).copied();
        if let Some(slot) = kept.filter(|_| self.reuse == Reuse::Kept) {
            return Some(slot);
        }
        let mut stream = TcpStream::connect(datagram.to).ok()?;
        // A request must not wait for the answer to the one before (RFC 896).
        stream.set_nodelay(true).ok()?;
        socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER).ok()?;
        let entry = self.connections.vacant_entry();
        let slot = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(slot), interest).ok()?;
        let (local, to) = key;
        entry.insert(Connection { stream, local, to, unsent: Vec::new(), received: Vec::new() });
        self.kept.insert(key, slot);
        Some(slot)
    }

    fn close(&mut self, slot: usize) {
        let Some(connection) = self.connections.try_remove(slot) else { return };
        let key = (connection.local, connection.to);
        if self.kept.get(&key) == Some(&slot) {
            self.kept.remove(&key);
        }
    }

    /// Serves the connections that something has happened to.
    fn serve(&mut self, deliver: &mut dyn FnMut(Local, SocketAddr, &[u8])) -> usize {
        let ready: Vec<(usize, bool)> = self
            .events
            .iter()
            .map(|event: &Event| (event.token().0, event.is_writable()))
            .collect();
        let mut count = 0;
        for (slot, is_writable) in ready {
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            let mut state = State::Open;
            if is_writable {
                state = connection.flush();
            }
            let before = count;
            let read = connection.read(&mut |local, source, message| {
                count += 1;
                deliver(local, source, message);
            });
            let has_answer = self.reuse == Reuse::EachTransaction && count > before;
            if has_answer || state == State::Over || read == State::Over {
                self.close(slot);
            }
        }
        self.events.clear();
        count
    }
}

impl Connection {
    /// Sends what the system takes; the rest leaves when the socket is writable.
    fn flush(&mut self) -> State {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Not connected: not yet.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) =>
                {
                    break;
                }
                Err(_) => return State::Over,
            }
        }
        State::Open
    }

    /// Reads what has come, and gives each whole message to `deliver`.
    fn read(&mut self, deliver: &mut dyn FnMut(Local, SocketAddr, &[u8])) -> State {
        loop {
            let start = self.received.len();
            self.received.resize(start + READ, 0);
            let read = self.stream.read(&mut self.received[start..]);
            self.received.truncate(start + read.as_ref().map_or(0, |length| *length));
            match read {
                Ok(0) => return State::Over,
                Ok(_) => self.take_messages(deliver),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) =>
                {
                    return State::Open;
                }
                Err(_) => return State::Over,
            }
            if self.received.len() > MESSAGE_MAX {
                return State::Over;
            }
        }
    }

    fn take_messages(&mut self, deliver: &mut dyn FnMut(Local, SocketAddr, &[u8])) {
        let mut start = 0;
        while let Some(length) = message_length(&self.received[start..]) {
            deliver(self.local, self.to, &self.received[start..start + length]);
            start += length;
        }
        self.received.drain(..start);
    }
}

/// Length of the message at the beginning of `bytes` (RFC 3261 section 18.3); none while it is not whole.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let head = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let text = core::str::from_utf8(bytes.get(..head)?).ok()?;
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim();
        let is_length = name.eq_ignore_ascii_case("content-length") || name == "l";
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let length = head + value.unwrap_or(0);
    (length <= bytes.len()).then_some(length)
}

impl Wire for StreamWire {
    fn receive(&mut self, deliver: &mut dyn FnMut(Local, SocketAddr, &[u8])) -> Result<usize> {
        let callers = Local::try_from(self.callers).unwrap_or(Local::MAX);
        let at_callees = self.callees.receive(&mut |local, source, message| {
            deliver(local.saturating_add(callers), source, message);
        })?;
        if self.connections.is_empty() {
            return Ok(at_callees);
        }
        // Interrupted or not: what there is is served.
        let _ = self.poll.poll(&mut self.events, Some(Duration::ZERO));
        Ok(at_callees + self.serve(deliver))
    }

    fn send(&mut self, outbox: &Outbox) -> Result<NotTaken> {
        let mut not_taken = NotTaken::default();
        let mut touched = Vec::with_capacity(outbox.len());
        self.to_callees.clear();
        for (datagram, bytes) in outbox.iter() {
            if let Some(callee) = usize::from(datagram.from).checked_sub(self.callers) {
                let callee = Local::try_from(callee).unwrap_or(Local::MAX);
                self.to_callees.push(callee, datagram.to, |all| all.extend_from_slice(bytes));
                continue;
            }
            let Some(slot) = self.towards(datagram) else {
                not_taken.by_system += 1;
                continue;
            };
            let unsent = &mut self.connections[slot].unsent;
            if unsent.len() > UNSENT_MAX && bytes.starts_with(b"INVITE ") {
                not_taken.by_target += 1;
                continue;
            }
            if unsent.is_empty() {
                touched.push(slot);
            }
            unsent.extend_from_slice(bytes);
        }
        for slot in touched {
            if self.connections[slot].flush() == State::Over {
                self.close(slot);
            }
        }
        not_taken.by_system += self.callees.send(&self.to_callees)?.by_system;
        Ok(not_taken)
    }

    fn wait(&mut self, nanoseconds: u64) {
        // epoll knows no shorter wait than a millisecond.
        std::thread::sleep(Duration::from_nanos(nanoseconds.min(WAIT_MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::{Reuse, StreamWire, message_length};
    use crate::load::wire::{NotTaken, Outbox, Wire};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    const ANSWER: &[u8] = b"SIP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nab";

    #[test]
    fn messages_are_cut_by_their_length() {
        assert_eq!(message_length(ANSWER), Some(ANSWER.len()));
        assert_eq!(message_length(&[ANSWER, b"SIP/2.0 1"].concat()), Some(ANSWER.len()));
        for end in [3, 20, ANSWER.len() - 1] {
            assert_eq!(message_length(&ANSWER[..end]), None, "{end}");
        }
        assert_eq!(message_length(b"SIP/2.0 200 OK\r\nl : 1\r\n\r\nx"), Some(26));
        assert_eq!(message_length(b"SIP/2.0 200 OK\r\n\r\nx"), Some(18));
    }

    /// Sends two requests to a server that answers each 64 bytes, in two pieces.
    fn exchange(reuse: Reuse) -> (usize, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut request = [0; 64];
                    while stream.read_exact(&mut request).is_ok() {
                        stream.write_all(&ANSWER[..7]).unwrap();
                        std::thread::sleep(Duration::from_millis(2));
                        stream.write_all(&ANSWER[7..]).unwrap();
                    }
                });
            }
        });
        let mut wire = StreamWire::new(reuse, &[], 1).unwrap();
        let (mut answers, mut most) = (0, 0);
        let begin = Instant::now();
        for wanted in [1, 2] {
            let mut outbox = Outbox::default();
            outbox.push(0, to, |bytes| bytes.extend_from_slice(&[b'x'; 64]));
            assert_eq!(wire.send(&outbox).unwrap(), NotTaken::default());
            while answers < wanted && begin.elapsed() < Duration::from_secs(10) {
                most = most.max(wire.connections.len());
                let mut deliver =
                    |_, from, message: &[u8]| assert_eq!((from, message), (to, ANSWER));
                answers += wire.receive(&mut deliver).unwrap();
                wire.wait(100_000);
            }
        }
        assert_eq!(most, 1);
        (answers, wire.connections.len())
    }

    #[test]
    fn connections_stay_or_end_with_their_transaction() {
        assert_eq!(exchange(Reuse::Kept), (2, 1));
        assert_eq!(exchange(Reuse::EachTransaction), (2, 0));
    }
}
