//! A client thread: some thousand phones, each with a connection of its own.
//!
//! It has a table of file descriptors of its own, as the connection threads of control have, so that
//! `RLIMIT_NOFILE` bounds each thread by itself; and a source address of its own, for the sake of ports.

use super::dialog::{Phone, response, user};
use super::peer::{Came, Peer};
use crate::network::Host;
use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use nix::sched::{CloneFlags, setns, unshare};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::HashMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Connects, registrations and keep-alives of a thread that wait for their end at a time.
const WINDOW: usize = 48;
/// Time in which something must get on.
const STALLED: Duration = Duration::from_secs(20);
/// How long a call may take.
const CALL_MAX: Duration = Duration::from_secs(10);
/// Time between two keep-alives of a connection while calls are made: RFC 5626 section 4.4.1 has a phone choose
/// it at random between 95 and 120 s.
const PING_EVERY: Duration = Duration::from_secs(108);
/// Requests on their way on a connection whose messages are pipelined.
const PIPELINED: usize = 16;
/// How often a thread without work looks whether there is some.
const IDLE: Duration = Duration::from_millis(100);

/// What a thread is to do next.
#[derive(Clone)]
pub(super) enum Order {
    /// Have so many connections in all, new ones to this address.
    Connect(usize, SocketAddrV4, Option<Arc<rustls::ClientConfig>>),
    /// Register whoever has not.
    Register,
    /// Ping on every connection, and wait for the answers.
    KeepAlive,
    /// Call users of all threads: so many calls a second, for so long.
    Call { rate: f64, length: Duration, threads: usize },
    /// Ask with OPTIONS on so many connections, on each a number of times before an answer is awaited, for so long.
    Pipeline(usize, Duration),
}

/// What all threads have done, for who watches.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) connected: AtomicU64,
    pub(super) registered: AtomicU64,
    pub(super) pongs: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) answers: AtomicU64,
    pub(super) stop: AtomicBool,
}

/// What became of an order.
pub(super) struct Outcome {
    /// INVITE sent to its 200, in microseconds.
    pub(super) times: Histogram<u64>,
    /// Calls that did not end with a 200 to BYE in time.
    pub(super) failed: u64,
    /// Most that a call began after it was due.
    pub(super) late: Duration,
}

/// A thread.
pub(super) struct Client {
    number: usize,
    from: Ipv4Addr,
    poll: Poll,
    peers: Vec<Peer>,
    registered: usize,
    calls: HashMap<u64, Call>,
    calls_begun: u64,
    /// Things of this order that have begun and not ended.
    pending: usize,
    last_progress: Instant,
    /// Until when an answer to OPTIONS is followed by another request.
    pipeline_until: Instant,
    outcome: Outcome,
    progress: Arc<Progress>,
    buffer: Vec<u8>,
    random: SmallRng,
}

/// A call that is going on.
struct Call {
    sent: Instant,
    is_answered: bool,
}

impl Client {
    /// Moves the calling thread to the generator's side, and works there until there are no more orders.
    pub(super) fn run(
        (number, from): (usize, Ipv4Addr),
        progress: Arc<Progress>,
        orders: &Receiver<Order>,
        done: &Sender<Result<Outcome>>,
    ) {
        let made = Self::new(number, from, progress);
        let mut client = match made {
            Ok(client) => client,
            Err(error) => return drop(done.send(Err(error))),
        };
        loop {
            let result = match orders.recv_timeout(IDLE) {
                Ok(order) => client.obey(&order),
                Err(RecvTimeoutError::Timeout) => match client.turn(Duration::ZERO) {
                    Ok(()) => continue,
                    error => error,
                },
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let outcome = std::mem::replace(&mut client.outcome, outcome());
            let error = result.err().map(|error| error.context(format!("client thread {number}")));
            let is_bad = error.is_some();
            if done.send(error.map_or(Ok(outcome), Err)).is_err() || is_bad {
                break;
            }
        }
        client.peers.into_iter().for_each(Peer::reset);
    }

    fn new(number: usize, from: Ipv4Addr, progress: Arc<Progress>) -> Result<Self> {
        setns(File::open(Host::Generator.file())?, CloneFlags::CLONE_NEWNET)?;
        unshare(CloneFlags::CLONE_FILES)?;
        Ok(Self {
            number,
            from,
            poll: Poll::new()?,
            peers: Vec::new(),
            registered: 0,
            calls: HashMap::new(),
            calls_begun: 0,
            pending: 0,
            last_progress: Instant::now(),
            pipeline_until: Instant::now(),
            outcome: outcome(),
            progress,
            buffer: vec![0; 64 << 10],
            random: SmallRng::seed_from_u64(number as u64),
        })
    }

    fn obey(&mut self, order: &Order) -> Result<()> {
        self.last_progress = Instant::now();
        match order {
            Order::Connect(count, to, tls) => {
                self.each(*count, self.peers.len(), |client, _| client.connect(*to, tls.as_ref()))
            }
            Order::Register => {
                let (from, to) = (self.registered, self.peers.len());
                self.registered = to;
                self.each(to, from, |client, index| {
                    let text = client.phone(index)?.register();
                    Ok(client.peers[index].send(text.as_bytes())?)
                })
            }
            Order::KeepAlive => self.each(self.peers.len(), 0, |client, index| {
                Ok(client.peers[index].send(b"\r\n\r\n")?)
            }),
            Order::Pipeline(count, length) => {
                self.pipeline_until = Instant::now() + *length;
                for index in 0..*count {
                    let text = self.phone(index)?.options().repeat(PIPELINED);
                    self.peers[index].send(text.as_bytes())?;
                }
                self.pending = PIPELINED * count;
                self.each(0, 0, |_, _| Ok(()))
            }
            Order::Call { rate, length, threads } => self.call_for(*rate, *length, *threads),
        }
    }

    /// Begins something for each of `from..to`, a window of them at a time, and waits for their ends.
    fn each(
        &mut self,
        to: usize,
        from: usize,
        mut begin: impl FnMut(&mut Self, usize) -> Result<()>,
    ) -> Result<()> {
        let mut next = from;
        while next < to || self.pending > 0 {
            while next < to && self.pending < WINDOW {
                begin(self, next)?;
                self.pending += 1;
                next += 1;
            }
            self.turn(Duration::from_secs(1))?;
            if self.last_progress.elapsed() > STALLED {
                let pending = self.pending;
                bail!("nothing came for {STALLED:?}: {next} of {to} begun, {pending} not done");
            }
        }
        Ok(())
    }

    /// Calls at even distances, each from and to somebody at random, while connections are kept alive.
    fn call_for(&mut self, rate: f64, length: Duration, threads: usize) -> Result<()> {
        let begin = Instant::now();
        let end = begin + length;
        let mut next_call = begin + Duration::from_secs_f64(self.random.random::<f64>() / rate);
        #[expect(clippy::cast_possible_truncation, reason = "some thousand connections")]
        let ping_every = PING_EVERY / (self.peers.len().max(1) as u32);
        let (mut next_ping, mut pinged) = (begin, 0);
        while Instant::now() < end || !self.calls.is_empty() {
            let now = Instant::now();
            if now > end + CALL_MAX {
                break;
            }
            while now >= next_call && next_call < end {
                self.outcome.late = self.outcome.late.max(now - next_call);
                self.call(threads)?;
                next_call += Duration::from_secs_f64(1.0 / rate);
            }
            while now >= next_ping && next_ping < end {
                self.peers[pinged].send(b"\r\n\r\n")?;
                pinged = (pinged + 1) % self.peers.len();
                next_ping += ping_every;
            }
            let next = if now < end { next_call.min(next_ping).min(end) } else { now + IDLE };
            self.turn(next.saturating_duration_since(Instant::now()))?;
        }
        self.outcome.failed += self.calls.len() as u64;
        self.calls.clear();
        Ok(())
    }

    fn call(&mut self, threads: usize) -> Result<()> {
        let index = self.random.random_range(0..self.registered);
        let (thread, other) =
            (self.random.random_range(0..threads), self.random.random_range(0..self.registered));
        let number = self.calls_begun;
        self.calls_begun += 1;
        let text = self.phone(index)?.invite(number, &user(thread, other));
        self.calls.insert(number, Call { sent: Instant::now(), is_answered: false });
        Ok(self.peers[index].send(text.as_bytes())?)
    }

    fn connect(&mut self, to: SocketAddrV4, tls: Option<&Arc<rustls::ClientConfig>>) -> Result<()> {
        let mut peer = Peer::connect(self.from, to, tls)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut peer.socket, Token(self.peers.len()), interest)?;
        self.peers.push(peer);
        Ok(())
    }

    fn phone(&self, index: usize) -> Result<Phone> {
        let peer = &self.peers[index];
        let address = peer.address.context("a connection that is not there")?;
        Ok(Phone { thread: self.number, index, address, is_secure: peer.session.is_some() })
    }

    /// Does what there is to do with sockets, or waits that long for something.
    fn turn(&mut self, patience: Duration) -> Result<()> {
        if self.progress.stop.load(Relaxed) {
            bail!("stopped");
        }
        let mut events = Events::with_capacity(256);
        if let Err(error) = self.poll.poll(&mut events, Some(patience))
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &events {
            let Token(index) = event.token();
            if event.is_writable() || self.peers[index].address.is_none() {
                if self.peers[index].establish()? {
                    self.advance();
                    self.progress.connected.fetch_add(1, Relaxed);
                }
                if self.peers[index].address.is_none() {
                    continue;
                }
                self.peers[index].flush()?;
            }
            self.read(index)?;
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<()> {
        let phone = self.phone(index)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut messages: Vec<Vec<u8>> = Vec::new();
        let mut pongs = 0;
        let read = self.peers[index].read(&mut buffer, |came| match came {
            Came::LineBreaks(count) => pongs += count,
            Came::Message(message) => messages.push(message.to_vec()),
        });
        self.buffer = buffer;
        read?;
        for _ in 0..pongs {
            self.advance();
            self.progress.pongs.fetch_add(1, Relaxed);
        }
        let mut replies = String::new();
        for message in messages {
            let reply = match response(&message) {
                None => phone.answer(&message),
                Some((status, method, number)) => {
                    self.heard(&phone, &message, (status, method, number))?
                }
            };
            replies.push_str(&reply.unwrap_or_default());
        }
        if !replies.is_empty() {
            self.peers[index].send(replies.as_bytes())?;
        }
        Ok(())
    }

    /// A response; gives what is to be sent for it.
    fn heard(
        &mut self,
        phone: &Phone,
        message: &[u8],
        (status, method, number): (u16, &str, Option<u64>),
    ) -> Result<Option<String>> {
        match (method, status) {
            (_, ..200) => {}
            ("REGISTER", 200) => {
                self.advance();
                self.progress.registered.fetch_add(1, Relaxed);
            }
            // Control has not found the data plane yet.
            ("REGISTER", 503) => return Ok(Some(phone.register())),
            ("INVITE", 200) => {
                let number = number.context("a response to no call")?;
                let Some(call) = self.calls.get_mut(&number).filter(|call| !call.is_answered)
                else {
                    return Ok(None);
                };
                call.is_answered = true;
                let time = u64::try_from(call.sent.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.outcome.times.saturating_record(time);
                return Ok(phone.acknowledge_and_end(number, message));
            }
            ("OPTIONS", 200) => {
                self.progress.answers.fetch_add(1, Relaxed);
                self.last_progress = Instant::now();
                if self.last_progress < self.pipeline_until {
                    return Ok(Some(phone.options()));
                }
                self.advance();
            }
            ("BYE", 200) => {
                if number.and_then(|number| self.calls.remove(&number)).is_some() {
                    self.progress.calls.fetch_add(1, Relaxed);
                }
            }
            ("INVITE" | "BYE", _) => {
                if number.and_then(|number| self.calls.remove(&number)).is_some() {
                    self.outcome.failed += 1;
                }
            }
            _ => bail!("{method} was answered with {status}"),
        }
        Ok(None)
    }

    fn advance(&mut self) {
        self.pending = self.pending.saturating_sub(1);
        self.last_progress = Instant::now();
    }
}

fn outcome() -> Outcome {
    let times = Histogram::new_with_bounds(1, 60_000_000, 3).expect("three digits up to a minute");
    Outcome { times, failed: 0, late: Duration::ZERO }
}
