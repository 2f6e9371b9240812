//! What a connection thread says about itself and its connections.

use super::connection::{Connection, Stage};
use super::thread::Thread;
use control_api::operator::{ConnectionLine, ConnectionThread};
use std::collections::HashMap;
use std::net::IpAddr;

/// One thread, and a choice of its connections.
#[derive(Debug)]
pub(super) struct ThreadReport {
    pub(super) thread: ConnectionThread,
    /// Those with the most waiting bytes, and then the oldest.
    pub(super) list: Vec<ConnectionLine>,
    /// Connections by source.
    pub(super) sources: HashMap<IpAddr, u64>,
}

/// Looks at the whole table once.
pub(super) fn of(thread: &Thread, most: usize) -> ThreadReport {
    let mut sources: HashMap<IpAddr, u64> = HashMap::new();
    let mut waiting = 0;
    let mut all: Vec<&Connection> =
        Vec::with_capacity(if most > 0 { thread.connections.len() } else { 0 });
    for (_, connection) in &thread.connections {
        waiting += connection.outbox.waiting() as u64;
        if most > 0 {
            *sources.entry(connection.key.remote.ip()).or_default() += 1;
            all.push(connection);
        }
    }
    let rank = |one: &&Connection| (std::cmp::Reverse(one.outbox.waiting()), one.serial);
    if all.len() > most && most > 0 {
        all.select_nth_unstable_by_key(most - 1, rank);
        all.truncate(most);
    }
    all.sort_unstable_by_key(rank);
    let line = |one: &Connection| ConnectionLine {
        transport: one.key.transport.name().into(),
        local: one.key.local,
        remote: one.key.remote,
        stage: match one.stage {
            Stage::Connecting => "connecting",
            Stage::Open => "open",
            Stage::Ending => "ending",
        }
        .into(),
        age_ms: millis(thread.now - one.since),
        waiting_bytes: one.outbox.waiting() as u64,
    };
    ThreadReport {
        thread: ConnectionThread {
            is_linked: thread.link.is_there(),
            connections: thread.connections.len() as u64,
            waiting_bytes: waiting,
            link_waiting_bytes: thread.link.waiting() as u64,
        },
        list: all.into_iter().map(line).collect(),
        sources,
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
