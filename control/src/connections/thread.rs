//! A connection thread: one loop over the sockets that are ready, the data plane, and what is due.

use super::connection::{Connection, Intake, Key, Stage};
use super::counters::{Counters, End, Refusal, add, count};
use super::inbox::{Accepted, Command, Inbox};
use super::link::Link;
use super::places::Places;
use super::plan::Plan;
use super::report;
use super::timers::Timers;
use crate::config::Listen;
use crate::limits::{EVENTS_MAX, GATE_TURN, LINK_TURN, READ_MAX};
use anyhow::{Context, Result};
use control_api::connection::PACKET_MAX;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use sip_core::Output;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What comes through the gate of a thread.
pub(super) const GATE: Token = Token(usize::MAX);
const LINK: Token = Token(usize::MAX - 1);
/// How much later a connection is looked at that is due while nobody reads.
const LATER: Duration = Duration::from_secs(1);

/// A connection thread with all that it owns.
#[derive(Debug)]
pub(super) struct Thread {
    poll: Poll,
    inbox: Inbox,
    /// Connections whose sockets are on their way, and sockets that have come.
    expected: VecDeque<Accepted>,
    arrived: VecDeque<OwnedFd>,
    pub(super) plan: Arc<Plan>,
    pub(super) places: Arc<Places>,
    pub(super) counters: Arc<Counters>,
    pub(super) link: Link,
    pub(super) connections: Slab<Connection>,
    pub(super) by_key: HashMap<Key, usize>,
    /// Whether something may have come through the gate.
    is_called: bool,
    /// Connections with something to read.
    ready: VecDeque<usize>,
    /// Connections with something to write.
    pub(super) dirty: Vec<usize>,
    timers: Timers,
    /// Serial number of the newest connection.
    pub(super) serial: u64,
    buffer: Vec<u8>,
    pub(super) packet: Vec<u8>,
    reply: Box<Output>,
    pub(super) now: Instant,
}

impl Thread {
    /// Makes the loop of the calling thread.
    pub(super) fn new(
        inbox: Inbox,
        (plan, places, counters): (Arc<Plan>, Arc<Places>, Arc<Counters>),
        (index, threads): (u8, u8),
    ) -> Result<Self> {
        let poll = Poll::new().context("a connection thread has no poll")?;
        inbox.gate.register(poll.registry(), GATE)?;
        let link = Link::new(plan.link.clone(), index, threads);
        Ok(Self {
            poll,
            inbox,
            expected: VecDeque::new(),
            arrived: VecDeque::new(),
            plan,
            places,
            counters,
            link,
            connections: Slab::new(),
            by_key: HashMap::new(),
            is_called: false,
            ready: VecDeque::new(),
            dirty: Vec::new(),
            timers: Timers::default(),
            serial: 0,
            buffer: vec![0; READ_MAX],
            packet: vec![0; PACKET_MAX],
            reply: Box::new(Output::new()),
            now: Instant::now(),
        })
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            // An interruption is as good as a timeout.
            let _ = self.poll.poll(&mut events, self.patience());
            self.now = Instant::now();
            for event in &events {
                match event.token() {
                    GATE => self.is_called = true,
                    LINK => self.link.is_readable = true,
                    Token(index) => self.note_event(index, event),
                }
            }
            if self.is_called && !self.answer() {
                return;
            }
            self.talk();
            self.read_ready();
            self.fire();
            self.write_dirty();
            if self.link.flush().is_err() {
                self.lose_link();
            }
        }
    }

    /// How long there is nothing to do but to wait for events.
    fn patience(&self) -> Option<Duration> {
        if self.is_called || self.link.is_readable || !self.ready.is_empty() && self.link.has_room()
        {
            return Some(Duration::ZERO);
        }
        let next = [self.timers.next_at(), self.link.retry_at()].into_iter().flatten().min()?;
        // Rounded up: epoll counts milliseconds.
        Some(next.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }

    fn note_event(&mut self, index: usize, event: &mio::event::Event) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.is_read_closed |= event.is_read_closed() || event.is_error();
        if event.is_writable() || event.is_error() {
            self.writable(index);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.make_ready(index);
        }
    }

    pub(super) fn make_ready(&mut self, index: usize) {
        if let Some(connection) = self.connections.get_mut(index)
            && !connection.is_ready
        {
            connection.is_ready = true;
            self.ready.push_back(index);
        }
    }

    pub(super) fn make_dirty(&mut self, index: usize) {
        if let Some(connection) = self.connections.get_mut(index)
            && !connection.is_dirty
        {
            connection.is_dirty = true;
            self.dirty.push(index);
        }
    }

    /// Takes what has come through the gate; false when it is told to stop.
    fn answer(&mut self) -> bool {
        for _ in 0..GATE_TURN {
            let Some(announced) = self.inbox.gate.take(&mut self.arrived) else {
                self.is_called = false;
                return true;
            };
            if !self.listen() {
                return false;
            }
            let announced = announced.min(self.expected.len());
            for accepted in self.expected.drain(..announced).collect::<Vec<_>>() {
                match self.arrived.pop_front().map(std::net::TcpStream::from) {
                    Some(socket) => self.accept(TcpStream::from_std(socket), accepted),
                    None => self.counters.refused(Refusal::Descriptors),
                }
            }
        }
        true
    }

    /// Does what it was told; false when that is to stop.
    fn listen(&mut self) -> bool {
        while let Ok(command) = self.inbox.commands.try_recv() {
            match command {
                Command::Accepted(accepted) => self.expected.push_back(accepted),
                Command::Plan(plan) => self.follow(plan),
                Command::Report(most, to) => {
                    // Who asked may have gone.
                    let _ = to.send(report::of(self, most));
                }
                Command::Stop => {
                    self.end_all(|_| true);
                    // Whoever is away already needs no reports.
                    let _ = self.link.flush();
                    return false;
                }
            }
        }
        true
    }

    fn follow(&mut self, plan: Arc<Plan>) {
        self.plan = plan;
        let plan = Arc::clone(&self.plan);
        self.end_all(|key| !plan.listens(Listen { transport: key.transport, address: key.local }));
    }

    fn end_all(&mut self, which: impl Fn(&Key) -> bool) {
        let found: Vec<usize> =
            self.connections.iter().filter(|(_, one)| which(&one.key)).map(|(i, _)| i).collect();
        for index in found {
            self.end(index, End::Stopped);
        }
        // Those who were told why get their time only while the thread goes on.
        self.write_dirty();
    }

    /// Puts a connection into the table and under the poll.
    pub(super) fn insert(&mut self, mut connection: Connection) -> Option<usize> {
        let entry = self.connections.vacant_entry();
        let index = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(connection.stream.socket(), Token(index), interest).ok()?;
        self.by_key.insert(connection.key, index);
        entry.insert(connection);
        self.arm(index);
        Some(index)
    }

    /// Sees to it that the connection is looked at when it is due.
    pub(super) fn arm(&mut self, index: usize) {
        let idle = self.plan.settings.idle_seconds;
        if let Some(connection) = self.connections.get_mut(index)
            && !connection.has_timer
            && let Some(due) = connection.due(idle)
        {
            connection.has_timer = true;
            // A message may begin while the connection waits for the end of its idle time.
            let soon = self.now + Duration::from_secs(self.plan.settings.message_seconds.into());
            self.timers.at(due.min(soon), (index, connection.serial));
        }
    }

    /// Hears what the data plane says, or tries to reach it.
    fn talk(&mut self) {
        if self.link.connect(self.poll.registry(), LINK, self.now) {
            tracing::info!("connections: the data plane is there");
            self.announce_aliases();
        }
        for _ in 0..LINK_TURN {
            if !self.link.is_readable {
                return;
            }
            let mut packet = std::mem::take(&mut self.packet);
            let received = self.link.receive(&mut packet);
            if let Ok(Some(length)) = received {
                self.hear(&packet[..length]);
            }
            self.packet = packet;
            if received.is_err() {
                self.lose_link();
            }
        }
    }

    pub(super) fn lose_link(&mut self) {
        let bytes = self.link.lose(self.now);
        tracing::warn!(bytes, "connections: the data plane is away: requests get 503");
    }

    fn read_ready(&mut self) {
        for _ in 0..self.ready.len() {
            if !self.link.has_room() {
                count(&self.counters.congestions);
                return;
            }
            let Some(index) = self.ready.pop_front() else { return };
            self.read(index);
            // What fills a packet leaves at once.
            if self.link.waiting() > READ_MAX && self.link.flush().is_err() {
                self.lose_link();
            }
        }
    }

    fn read(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.is_ready = false;
        if connection.stage == Stage::Connecting {
            return;
        }
        let mut intake = Intake {
            link: &mut self.link,
            counters: &self.counters,
            plan: &self.plan,
            reply: &mut self.reply,
            messages: 0,
            now: self.now,
        };
        let result = connection.read(&mut self.buffer, &mut intake);
        if !connection.outbox.is_empty() {
            self.make_dirty(index);
        }
        match result {
            Ok(is_more) => {
                if is_more {
                    self.make_ready(index);
                }
                self.arm(index);
                // Keep-alives are answered, but not for ever to a peer that does not read.
                self.bound(index);
            }
            Err(end) => self.end(index, end),
        }
    }

    fn fire(&mut self) {
        let idle = self.plan.settings.idle_seconds;
        while let Some((index, serial)) = self.timers.next(self.now) {
            let Some(connection) = self.connections.get_mut(index) else { continue };
            if connection.serial != serial {
                continue;
            }
            connection.has_timer = false;
            match connection.due(idle) {
                None => {}
                Some(due) if due > self.now => self.arm(index),
                // Nobody is late whom we do not read.
                Some(_) if connection.is_ready && connection.stage == Stage::Open => {
                    connection.has_timer = true;
                    self.timers.at(self.now + LATER, (index, serial));
                }
                Some(_) => {
                    let end = connection.end_when_due();
                    self.end(index, end);
                }
            }
        }
    }

    fn write_dirty(&mut self) {
        for index in std::mem::take(&mut self.dirty) {
            if let Some(connection) = self.connections.get_mut(index) {
                connection.is_dirty = false;
                self.write(index);
            }
        }
    }

    pub(super) fn lost(&mut self, messages: u64) {
        add(&self.counters.failed, messages);
    }
}
