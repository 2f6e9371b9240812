//! What a connection thread, or the acceptor, is told, and by whom it is reached.

use super::gate::{self, Gate, Way};
use super::places::Place;
use super::plan::Plan;
use super::report::ThreadReport;
use crate::config::Listen;
use anyhow::Result;
use mio::net::TcpStream;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What a connection thread is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Take this connection; its socket comes through the gate.
    Accepted(Accepted),
    /// Work by this configuration.
    Plan(Arc<Plan>),
    /// Say what there is; so many connections one by one.
    Report(usize, Sender<ThreadReport>),
    /// End.
    Stop,
}

/// A connection that came in.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) listen: Listen,
    pub(super) remote: SocketAddr,
    pub(super) place: Place,
}

/// How others reach a connection thread, or the acceptor.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    commands: Sender<Command>,
    way: Arc<Way>,
}

/// Where it hears them.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) commands: Receiver<Command>,
    pub(super) gate: Gate,
}

impl Handle {
    /// Both ends.
    pub(super) fn pair() -> Result<(Self, Inbox)> {
        let (sender, commands) = channel();
        let (way, gate) = gate::pair()?;
        Ok((Self { commands: sender, way: Arc::new(way) }, Inbox { commands, gate }))
    }

    /// Tells it something; it may be over already.
    pub(super) fn tell(&self, command: Command) {
        self.put(command);
        self.way.wake();
    }

    /// Says what will become of the next socket that is [given](Self::give).
    pub(super) fn put(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Gives sockets, in the order in which they were announced.
    pub(super) fn give(&self, sockets: &[TcpStream]) {
        self.way.give(sockets);
    }
}
