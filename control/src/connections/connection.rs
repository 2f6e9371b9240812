//! One connection: bytes in, messages out, and the other way round.

use super::alias::Also;
use super::counters::{Counters, End, add, count};
use super::link::Link;
use super::outbox::Outbox;
use super::places::Place;
use super::plan::Plan;
use super::stream::Stream;
use super::websocket::{Over, Upgrade, WebSocket, framed, upgrade};
use control_api::connection::{Kind, Record};
use sip_core::{
    Arrival, Frame, FrameError, Framer, ListenId, Output, Reply, Transport, class, write_reply,
};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What tells connections apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) transport: Transport,
    /// The listen point.
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

impl Key {
    /// A record about the connection.
    pub(super) fn record<'a>(&self, kind: Kind, bytes: &'a [u8]) -> Record<'a> {
        let transport = self.transport.number();
        Record { kind, transport, local: self.local, remote: self.remote, bytes }
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// We are opening it.
    Connecting,
    /// It is there.
    Open,
    /// Nothing that comes counts any more; our last words are on their way.
    Ending,
}

/// A connection. An idle one holds no buffer.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each can be true without the others")]
pub(super) struct Connection {
    pub(super) key: Key,
    pub(super) serial: u64,
    pub(super) stage: Stage,
    pub(super) stream: Stream,
    websocket: Option<Box<WebSocket>>,
    framer: Framer,
    /// The beginning of what is not whole yet.
    partial: Vec<u8>,
    pub(super) outbox: Outbox,
    /// When what has begun must be whole: a message, a handshake, a connect, or the end.
    begun: Option<Instant>,
    /// When a byte came last.
    used: Instant,
    pub(super) since: Instant,
    /// Packet of the link in which the last message went; see [`Link::push`].
    last_packet: u64,
    pub(super) also: Also,
    pub(super) has_timer: bool,
    pub(super) is_ready: bool,
    pub(super) is_dirty: bool,
    /// Whether the other side has said that it sends no more: there may be a last read to do.
    pub(super) is_read_closed: bool,
    _place: Place,
}

/// What a connection needs beside itself to read.
pub(super) struct Intake<'a> {
    pub(super) link: &'a mut Link,
    pub(super) counters: &'a Counters,
    pub(super) plan: &'a Plan,
    pub(super) reply: &'a mut Output,
    /// Messages that have become whole.
    pub(super) messages: u64,
    pub(super) now: Instant,
}

impl Connection {
    pub(super) fn new(
        key: Key,
        stream: Stream,
        stage: Stage,
        place: Place,
        serial: u64,
        (now, patience): (Instant, Duration),
    ) -> Self {
        // A client that opens a plain connection owes us nothing yet; one that wants TLS or WebSocket does.
        let is_handshake = stage == Stage::Connecting || key.transport != Transport::Tcp;
        Self {
            key,
            serial,
            stage,
            stream,
            websocket: None,
            framer: Framer::default(),
            partial: Vec::new(),
            outbox: Outbox::default(),
            begun: is_handshake.then_some(now + patience),
            used: now,
            since: now,
            last_packet: 0,
            also: Also::default(),
            has_timer: false,
            is_ready: false,
            is_dirty: false,
            is_read_closed: false,
            _place: place,
        }
    }

    /// Reads once and passes on what has become whole; true when there may be more to read.
    pub(super) fn read(&mut self, buffer: &mut [u8], intake: &mut Intake<'_>) -> Result<bool, End> {
        let length = match self.stream.read(buffer) {
            Ok(0) => return Err(End::Peer),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.note_progress(false, intake);
                return Ok(false);
            }
            Err(_) if self.stream.is_handshaking() => return Err(End::Handshake),
            Err(error) if error.kind() == ErrorKind::InvalidData => return Err(End::Malformed),
            Err(_) => return Err(End::Broken),
        };
        self.used = intake.now;
        let counters = intake.counters.of(self.key.transport);
        add(&counters.received_bytes, length as u64);
        if self.stage == Stage::Ending {
            return Ok(true);
        }
        let before = intake.messages;
        self.take(&buffer[..length], intake)?;
        self.note_progress(intake.messages != before, intake);
        // A short read has emptied a plain socket (epoll(7)), and another event will come.
        let is_plain = matches!(self.stream, Stream::Tcp(_));
        Ok(length == buffer.len() || self.is_read_closed || !is_plain)
    }

    /// What has begun has its time; it begins anew with every message that becomes whole.
    fn note_progress(&mut self, is_message_done: bool, intake: &Intake<'_>) {
        if self.stage != Stage::Open {
            return;
        }
        let is_upgrading = self.is_websocket() && self.websocket.is_none();
        let is_within = self.websocket.as_ref().is_some_and(|socket| socket.is_within_message());
        let is_begun = !self.partial.is_empty()
            || is_upgrading
            || is_within
            || self.stream.is_handshaking()
            || self.stream.is_within_record();
        if !is_begun {
            self.begun = None;
        } else if is_message_done || self.begun.is_none() {
            let patience = Duration::from_secs(intake.plan.settings.message_seconds.into());
            self.begun = Some(intake.now + patience);
        }
    }

    fn is_websocket(&self) -> bool {
        matches!(self.key.transport, Transport::Ws | Transport::Wss)
    }

    fn take(&mut self, bytes: &[u8], intake: &mut Intake<'_>) -> Result<(), End> {
        if self.partial.is_empty() {
            let used = self.walk(bytes, intake)?;
            self.partial = bytes[used..].to_vec();
            return Ok(());
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(bytes);
        let used = self.walk(&partial, intake)?;
        if used < partial.len() {
            partial.drain(..used);
            self.partial = partial;
        }
        Ok(())
    }

    /// Passes on all that is whole; gives its length.
    fn walk(&mut self, bytes: &[u8], intake: &mut Intake<'_>) -> Result<usize, End> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let used = match (self.is_websocket(), self.websocket.is_some()) {
                (false, _) => self.walk_stream(rest, intake)?,
                (true, true) => self.walk_websocket(rest, intake)?,
                (true, false) => self.walk_upgrade(rest)?,
            };
            if used == 0 {
                break;
            }
            at += used;
        }
        Ok(at)
    }

    fn walk_stream(&mut self, bytes: &[u8], intake: &mut Intake<'_>) -> Result<usize, End> {
        Ok(match self.framer.next(bytes) {
            Frame::Incomplete => 0,
            Frame::LineBreaks(length) => length,
            Frame::Ping(length) => {
                count(&intake.counters.pings);
                self.outbox.push(b"\r\n", None);
                length
            }
            Frame::Message(length) => {
                self.message(&bytes[..length], intake);
                length
            }
            Frame::Bad(error) => {
                self.refuse(bytes, error, intake);
                return Err(End::Malformed);
            }
        })
    }

    fn walk_upgrade(&mut self, bytes: &[u8]) -> Result<usize, End> {
        match upgrade(bytes) {
            Upgrade::Incomplete => Ok(0),
            Upgrade::Agreed(response, used) => {
                self.outbox.push(&response, None);
                self.websocket = Some(WebSocket::new());
                Ok(used)
            }
            Upgrade::Refused(response) => {
                self.outbox.push(&response, None);
                Err(End::Handshake)
            }
        }
    }

    fn walk_websocket(&mut self, bytes: &[u8], intake: &mut Intake<'_>) -> Result<usize, End> {
        let Some(socket) = &mut self.websocket else { return Ok(0) };
        let mut answer = Vec::new();
        let taken = match socket.frame(bytes) {
            Ok(None) => return Ok(0),
            Ok(Some(length)) => {
                socket.take(&bytes[..length], &mut answer).map(|message| (length, message))
            }
            Err(over) => Err(over),
        };
        let (length, message) = match taken {
            Ok(taken) => taken,
            Err(Over(last_words, end)) => {
                self.outbox.push(&last_words, None);
                return Err(end);
            }
        };
        if !answer.is_empty() {
            self.outbox.push(&answer, None);
        }
        match message.map(tungstenite::Message::into_data) {
            None => {}
            // RFC 7118 section 6: pings are those of RFC 5626, of which a lone CRLF is the answer.
            Some(text) if text.starts_with(b"\r\n\r\n") && is_blank(&text) => {
                count(&intake.counters.pings);
                self.push(b"\r\n", false);
            }
            Some(text) if is_blank(&text) => {}
            Some(message) => self.message(&message, intake),
        }
        Ok(length)
    }

    /// Passes a message on to the data plane, or answers it while that is away.
    fn message(&mut self, message: &[u8], intake: &mut Intake<'_>) {
        let (counters, key) = (intake.counters, self.key);
        count(&counters.of(key.transport).received);
        intake.messages += 1;
        self.look_for_alias(message, intake);
        if intake.link.is_there() {
            let record = key.record(Kind::Received, message);
            intake.link.push(&record, || class(message), &mut self.last_packet);
            return;
        }
        if self.reply(message, Reply::Unavailable, intake) {
            count(&counters.unavailable);
        } else {
            count(&counters.dropped);
        }
    }

    /// Answers what cannot be told from what comes behind it.
    fn refuse(&mut self, message: &[u8], error: FrameError, intake: &mut Intake<'_>) {
        if let Some(reply) = error.reply() {
            self.reply(message, reply, intake);
        }
    }

    fn reply(&mut self, message: &[u8], reply: Reply, intake: &mut Intake<'_>) -> bool {
        let arrival = Arrival { source: self.key.remote, listen: ListenId(0) };
        let tables = &intake.plan.tables;
        let is_written = write_reply(message, reply, tables, &arrival, intake.reply).is_ok();
        if is_written {
            self.push(intake.reply.bytes(), true);
        }
        is_written
    }

    /// Puts a message into the outbox, in the frame of a WebSocket if it goes over one.
    pub(super) fn push(&mut self, message: &[u8], is_message: bool) {
        let frame = self.is_websocket().then(|| framed(message));
        let (bytes, at) =
            frame.as_ref().map_or((message, 0), |(bytes, at)| (bytes.as_slice(), *at));
        let at = is_message.then(|| u16::try_from(at).unwrap_or_default());
        self.outbox.push(bytes, at);
    }

    /// Whether the other side waits for our last words: it broke a rule, or it closed a WebSocket.
    pub(super) fn has_last_words(&self, end: End) -> bool {
        let is_awaited = match end {
            End::Malformed | End::Handshake => true,
            End::Peer => self.is_websocket() && !self.is_read_closed,
            _ => false,
        };
        is_awaited && !self.outbox.is_empty()
    }

    /// Writes what waits; true when nothing is left.
    pub(super) fn flush(&mut self, counters: &Counters) -> Result<bool, End> {
        if self.stage == Stage::Connecting {
            return Ok(false);
        }
        let counters = counters.of(self.key.transport);
        let written = self.outbox.flush(&mut self.stream, |bytes, messages| {
            add(&counters.sent_bytes, bytes as u64);
            add(&counters.sent, messages);
        });
        written.map_err(|_| End::Broken)
    }

    /// The connect is done: what comes next has its own time.
    pub(super) fn established(&mut self, deadline: Instant) {
        self.stage = Stage::Open;
        self.begun = self.stream.is_handshaking().then_some(deadline);
    }

    /// Begins to end: what still comes is not looked at.
    pub(super) fn begin_end(&mut self, deadline: Instant) {
        self.stage = Stage::Ending;
        self.partial = Vec::new();
        self.websocket = None;
        self.begun = Some(deadline);
    }

    /// When it wants to be looked at; none when it may stand for ever.
    pub(super) fn due(&self, idle_seconds: u32) -> Option<Instant> {
        let idle = (idle_seconds > 0).then(|| self.used + Duration::from_secs(idle_seconds.into()));
        self.begun.or(idle)
    }

    /// Why it ends when it is due.
    pub(super) fn end_when_due(&self) -> End {
        let is_upgrading = self.is_websocket() && self.websocket.is_none();
        match self.stage {
            Stage::Connecting => End::Connect,
            _ if self.begun.is_none() => End::Idle,
            _ if self.stream.is_handshaking() || is_upgrading => End::Handshake,
            _ => End::Late,
        }
    }
}

/// Whether there is nothing but line breaks.
fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}
