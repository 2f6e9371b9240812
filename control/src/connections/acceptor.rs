//! Takes connections in on all listen points and gives each to the thread that owns it.

use super::counters::{Counters, Refusal};
use super::inbox::{Accepted, Command, Handle, Inbox};
use super::places::Places;
use super::plan::Plan;
use super::thread::GATE;
use crate::config::Listen;
use crate::limits::{ACCEPT_PAUSE, ACCEPT_TURN, BACKLOG, BIND_RETRY, GATE_SOCKETS};
use anyhow::{Context, Result};
use control_api::connection::owner;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// The thread that accepts.
#[derive(Debug)]
pub(super) struct Acceptor {
    poll: Poll,
    inbox: Inbox,
    plan: Arc<Plan>,
    places: Arc<Places>,
    pub(super) counters: Arc<Counters>,
    owners: Vec<Owner>,
    slots: Vec<Slot>,
    /// Until when nothing is accepted, because there are no file descriptors.
    pause: Option<Instant>,
}

/// A connection thread, and the sockets that go to it next.
#[derive(Debug)]
struct Owner {
    handle: Handle,
    sockets: Vec<TcpStream>,
}

/// A listen point.
#[derive(Debug)]
struct Slot {
    listen: Listen,
    /// None while the kernel does not have the address.
    listener: Option<TcpListener>,
    has_complained: bool,
    is_ready: bool,
}

impl Acceptor {
    /// Makes the acceptor and the handle on it.
    pub(super) fn new(
        plan: Arc<Plan>,
        places: Arc<Places>,
        owners: &[Handle],
    ) -> Result<(Self, Handle)> {
        let poll = Poll::new().context("the acceptor has no poll")?;
        let (handle, inbox) = Handle::pair()?;
        inbox.gate.register(poll.registry(), GATE)?;
        let slots = slots(&plan, Vec::new());
        let counters = Arc::default();
        let owner = |handle: &Handle| Owner { handle: handle.clone(), sockets: Vec::new() };
        let owners = owners.iter().map(owner).collect();
        let acceptor = Self { poll, inbox, plan, places, counters, owners, slots, pause: None };
        Ok((acceptor, handle))
    }

    /// Accepts until it is told to stop.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(64);
        loop {
            self.bind_missing();
            // An interruption is as good as a timeout.
            let _ = self.poll.poll(&mut events, self.patience());
            let mut is_told = false;
            for event in &events {
                match event.token() {
                    GATE => is_told = true,
                    Token(index) => {
                        if let Some(slot) = self.slots.get_mut(index) {
                            slot.is_ready = true;
                        }
                    }
                }
            }
            if is_told && !self.listen() {
                return;
            }
            if self.pause.is_some_and(|until| Instant::now() >= until) {
                self.pause = None;
            }
            for index in 0..self.slots.len() {
                self.accept(index);
            }
            self.owners.iter_mut().for_each(Owner::give);
        }
    }

    fn patience(&self) -> Option<Duration> {
        if let Some(until) = self.pause {
            return Some(until.saturating_duration_since(Instant::now()));
        }
        if self.slots.iter().any(|slot| slot.is_ready) {
            return Some(Duration::ZERO);
        }
        self.slots.iter().any(|slot| slot.listener.is_none()).then_some(BIND_RETRY)
    }

    fn listen(&mut self) -> bool {
        while self.inbox.gate.take(&mut Vec::new()).is_some() {}
        while let Ok(command) = self.inbox.commands.try_recv() {
            match command {
                Command::Plan(plan) => {
                    let old = std::mem::take(&mut self.slots);
                    self.slots = slots(&plan, old);
                    for (index, slot) in self.slots.iter_mut().enumerate() {
                        let Some(listener) = &mut slot.listener else { continue };
                        let registry = self.poll.registry();
                        // Its place may have changed, and what is under its token with it.
                        if registry.reregister(listener, Token(index), Interest::READABLE).is_err()
                        {
                            slot.listener = None;
                        }
                        slot.is_ready = true;
                    }
                    self.plan = plan;
                }
                Command::Stop => return false,
                Command::Accepted(_) | Command::Report(..) => {}
            }
        }
        true
    }

    /// Opens the listen points that are not open, now or as soon as the kernel has their addresses.
    fn bind_missing(&mut self) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.listener.is_some() {
                continue;
            }
            let Listen { address, transport } = slot.listen;
            let opened = bind(address).and_then(|mut listener| {
                self.poll.registry().register(&mut listener, Token(index), Interest::READABLE)?;
                Ok(listener)
            });
            match opened {
                Ok(listener) => {
                    info!(%address, transport = transport.name(), "connections are accepted");
                    (slot.listener, slot.is_ready) = (Some(listener), true);
                }
                Err(error) if !slot.has_complained => {
                    slot.has_complained = true;
                    let transport = transport.name();
                    warn!(%address, transport, "cannot listen yet: {error}; trying on");
                }
                Err(_) => {}
            }
        }
    }

    fn accept(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let Some(listener) = slot.listener.as_ref().filter(|_| slot.is_ready) else { return };
        for _ in 0..ACCEPT_TURN {
            if self.pause.is_some() {
                return;
            }
            match listener.accept() {
                Ok((socket, remote)) => {
                    match self.places.take(Some(remote.ip()), &self.plan.settings) {
                        Ok(place) => {
                            let threads = u8::try_from(self.owners.len()).unwrap_or(u8::MAX);
                            let owner = usize::from(owner(remote, threads));
                            let accepted = Accepted { listen: slot.listen, remote, place };
                            self.owners[owner].take(socket, accepted);
                        }
                        Err(refusal) => self.counters.refused(refusal),
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    slot.is_ready = false;
                    return;
                }
                Err(error) if is_exhausted(&error) => {
                    self.counters.refused(Refusal::Descriptors);
                    self.pause = Some(Instant::now() + ACCEPT_PAUSE);
                }
                // One connection that went away again (accept(2)).
                Err(_) => {}
            }
        }
    }
}

impl Owner {
    fn take(&mut self, socket: TcpStream, accepted: Accepted) {
        self.handle.put(Command::Accepted(accepted));
        self.sockets.push(socket);
        if self.sockets.len() == GATE_SOCKETS {
            self.give();
        }
    }

    /// Gives it what is there.
    fn give(&mut self) {
        if !self.sockets.is_empty() {
            self.handle.give(&self.sockets);
            self.sockets.clear();
        }
    }
}

/// The listen points of a configuration; those that are open stay so.
fn slots(plan: &Plan, mut old: Vec<Slot>) -> Vec<Slot> {
    let slot = |&listen: &Listen| {
        let found = old.iter().position(|slot| slot.listen == listen);
        let fresh = Slot { listen, listener: None, has_complained: false, is_ready: false };
        found.map_or(fresh, |index| old.swap_remove(index))
    };
    plan.listen.iter().map(slot).collect()
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of before may still be closing.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Whether no file descriptor or memory is left.
fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let known = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| known.iter().any(|one| one.raw_os_error() == code))
}
