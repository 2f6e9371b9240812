//! How connections come into a thread's table and leave it, and what is sent over them.

use super::connection::{Connection, Key, Stage};
use super::counters::{End, Refusal, count};
use super::inbox::Accepted;
use super::stream::Stream;
use super::thread::Thread;
use super::websocket;
use crate::limits::{
    FAILED_MAX, KEEPALIVE_AFTER, KEEPALIVE_EVERY, KEEPALIVE_TRIES, LINGER, UNACKNOWLEDGED_MAX,
};
use control_api::connection::{Kind, records};
use mio::net::TcpStream;
use sip_core::Transport;
use socket2::{SockRef, TcpKeepalive};
use std::io::ErrorKind;
use std::time::Duration;

impl Thread {
    /// Takes a connection that came in.
    pub(super) fn accept(&mut self, socket: TcpStream, accepted: Accepted) {
        let Accepted { listen, remote, place } = accepted;
        self.set_options(&socket);
        let transport = listen.transport;
        let stream = if transport.is_secure() {
            let Some(session) = self.plan.tls.as_ref().and_then(super::tls::TlsSetup::accept)
            else {
                return self.counters.refused(Refusal::Certificate);
            };
            Stream::Tls(socket, session)
        } else {
            Stream::Tcp(socket)
        };
        let key = Key { transport, local: listen.address, remote };
        // Its peer has forgotten it, or the new one could not have its address.
        if let Some(&old) = self.by_key.get(&key) {
            self.end(old, End::Replaced);
        }
        self.serial += 1;
        let patience = seconds(self.plan.settings.message_seconds);
        let when = (self.now, patience);
        let connection = Connection::new(key, stream, Stage::Open, place, self.serial, when);
        let counters = self.counters.of(transport);
        count(&counters.accepted);
        count(&counters.open);
        if self.insert(connection).is_none() {
            self.counters.ended(transport, End::Broken);
        }
    }

    /// Does what the data plane says.
    pub(super) fn hear(&mut self, packet: &[u8]) {
        for record in records(packet) {
            let Ok(record) = record else {
                tracing::error!("connections: the data plane speaks another language");
                return self.lose_link();
            };
            let Some(transport) = Transport::of_number(record.transport) else { continue };
            let key = Key { transport, local: record.local, remote: record.remote };
            match record.kind {
                Kind::Send => self.send(key, record.bytes, true),
                Kind::SendOnFlow => self.send(key, record.bytes, false),
                Kind::Received | Kind::Failed | Kind::Closed | Kind::Alias => {}
            }
        }
    }

    fn send(&mut self, key: Key, message: &[u8], may_open: bool) {
        let index = match self.by_key.get(&key) {
            Some(&index) => Some(index),
            None if may_open => self.open(key),
            None => None,
        };
        let Some(index) = index else { return self.report_failed(key, message) };
        self.connections[index].push(message, true);
        self.make_dirty(index);
        self.bound(index);
    }

    /// Ends a connection for which more waits than may.
    pub(super) fn bound(&mut self, index: usize) {
        let most = self.plan.settings.write_buffer as usize;
        let is_slow = |one: &Connection| one.stage != Stage::Ending && one.outbox.waiting() > most;
        if !self.connections.get(index).is_some_and(is_slow) {
            return;
        }
        // What the socket takes now does not wait.
        self.write(index);
        if self.connections.get(index).is_some_and(is_slow) {
            self.end(index, End::SlowReader);
        }
    }

    /// Opens a connection; none when that is impossible at once.
    fn open(&mut self, key: Key) -> Option<usize> {
        let place = self.places.take(None, &self.plan.settings);
        let place = place.inspect_err(|refusal| self.counters.refused(*refusal)).ok()?;
        let socket = match key.transport {
            Transport::Tcp | Transport::Tls => TcpStream::connect(key.remote).ok()?,
            Transport::Udp | Transport::Ws | Transport::Wss => return None,
        };
        self.set_options(&socket);
        let stream = if key.transport == Transport::Tls {
            Stream::Tls(socket, self.plan.tls.as_ref()?.connect(key.remote.ip())?)
        } else {
            Stream::Tcp(socket)
        };
        self.serial += 1;
        let when = (self.now, seconds(self.plan.settings.connect_seconds));
        let connection = Connection::new(key, stream, Stage::Connecting, place, self.serial, when);
        let index = self.insert(connection)?;
        let counters = self.counters.of(key.transport);
        count(&counters.opened);
        count(&counters.open);
        Some(index)
    }

    /// A socket takes more, or a connect has come to its end.
    pub(super) fn writable(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        if connection.stage == Stage::Connecting {
            let socket = connection.stream.socket();
            if !matches!(socket.take_error(), Ok(None)) {
                return self.end(index, End::Connect);
            }
            match socket.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotConnected => return,
                Err(_) => return self.end(index, End::Connect),
            }
            connection.established(self.now + seconds(self.plan.settings.message_seconds));
            self.make_ready(index);
        }
        self.make_dirty(index);
    }

    pub(super) fn write(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        match connection.flush(&self.counters) {
            Ok(true) if connection.stage == Stage::Ending => connection.stream.end(),
            Ok(_) => {}
            Err(end) => self.end(index, end),
        }
    }

    /// Ends a connection. Who broke a rule is told so, and gets some time to read that.
    pub(super) fn end(&mut self, index: usize, end: End) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let (key, stage) = (connection.key, connection.stage);
        if stage == Stage::Ending {
            self.connections.remove(index);
            return;
        }
        if self.by_key.get(&key) == Some(&index) {
            self.by_key.remove(&key);
        }
        self.counters.ended(key.transport, end);
        if stage == Stage::Open {
            self.link.report(&key.record(Kind::Closed, &[]));
        }
        if self.connections[index].has_last_words(end) {
            let connection = &mut self.connections[index];
            connection.begin_end(self.now + LINGER);
            self.arm(index);
            self.make_dirty(index);
            self.make_ready(index);
            return;
        }
        let mut connection = self.connections.remove(index);
        if matches!(end, End::Idle | End::Late | End::Stopped) && connection.outbox.is_empty() {
            if matches!(key.transport, Transport::Ws | Transport::Wss) {
                connection.outbox.push(&websocket::going_away(), None);
                let _ = connection.flush(&self.counters);
            }
            connection.stream.end();
        }
        for message in connection.outbox.unsent() {
            self.report_failed(key, message);
        }
    }

    /// Messages leave at once, a peer that has gone without a word is noticed, and not much waits unread.
    fn set_options(&self, socket: &TcpStream) {
        let reference = SockRef::from(socket);
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_AFTER)
            .with_interval(KEEPALIVE_EVERY)
            .with_retries(KEEPALIVE_TRIES);
        // A connection without one of these works too.
        let _ = reference.set_tcp_nodelay(true);
        let _ = reference.set_tcp_keepalive(&keepalive);
        let _ = reference.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
        let _ = reference.set_recv_buffer_size(self.plan.settings.receive_buffer as usize);
    }

    /// The data plane gets back the beginning of what could not be sent.
    fn report_failed(&mut self, key: Key, message: &[u8]) {
        let head = message.get(..FAILED_MAX).unwrap_or(message);
        self.link.report(&key.record(Kind::Failed, head));
        self.lost(1);
    }
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}
