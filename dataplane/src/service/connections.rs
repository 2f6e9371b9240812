//! The way between the workers and the connections, which control has: the socket of
//! [`control_api::connection`].
//!
//! Each connection thread of control has a link. What it brings becomes parcels for the workers, as many as
//! there are: with none free, nothing is read, and the thread stops reading from its connections. What workers
//! send is collected in packets, which leave as fast as the thread reads; a link that is too far behind takes no
//! more, and the worker counts a message that the kernel did not take. Long before that nothing more is taken from
//! the thread: work that is begun must be able to end.

use super::aliases::Aliases;
use super::kernel_sockets::KernelSockets;
use super::link;
use crate::limits::{CONNECTION_LINK_BEHIND, CONNECTION_LINK_BYTES, CONNECTION_PACKETS_KEPT};
use crate::mailbox::Command;
use crate::parcel::Parcel;
use anyhow::{Context, Result, bail, ensure};
use control_api::API_VERSION;
use control_api::connection::{
    self, HEAD, Hello, Kind, PACKET_MAX, Record, SEND_BUFFER, THREADS_MAX, owner, read_spelt,
};
use sip_core::{Transport, quoted_branch};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio_seqpacket::{UnixSeqpacket, UnixSeqpacketListener};

/// The links to all connection threads.
#[derive(Default)]
pub(super) struct Connections {
    links: RefCell<Vec<Option<Rc<Link>>>>,
    aliases: RefCell<Aliases>,
}

/// The way to one connection thread.
#[derive(Default)]
struct Link {
    packets: RefCell<Packets>,
    news: Notify,
    /// It is not far behind any more.
    caught_up: Notify,
}

/// Packets on their way, the last of them still growing; and empty ones.
#[derive(Default)]
struct Packets {
    waiting: VecDeque<Vec<u8>>,
    free: Vec<Vec<u8>>,
    bytes: usize,
}

impl Connections {
    /// Gives a message to the thread that owns its connection. False when there is no such thread, or
    /// it is too far behind.
    pub(super) fn send(&self, parcel: &Parcel) -> bool {
        let links = self.links.borrow();
        let threads = u8::try_from(links.len()).unwrap_or(THREADS_MAX);
        let at = (parcel.transport, parcel.source, parcel.target);
        let alias = if parcel.is_on_flow { None } else { self.aliases.borrow().find(at) };
        let remote = alias.unwrap_or(parcel.target);
        let link = links.get(usize::from(owner(remote, threads))).and_then(Option::as_ref);
        link.is_some_and(|link| {
            let is_taken = link.packets.borrow_mut().push(&Record {
                // Nobody listens at the other end of a connection that came in.
                kind: if parcel.is_on_flow || alias.is_some() {
                    Kind::SendOnFlow
                } else {
                    Kind::Send
                },
                transport: parcel.transport.number(),
                local: parcel.source,
                remote,
                bytes: parcel.message(),
            });
            link.news.notify_one();
            is_taken
        })
    }

    /// Notes that a connection goes by another address, too.
    fn learn(&self, record: &Record<'_>) -> Result<()> {
        let transport = transport_of(record)?;
        let advertised = read_spelt(record.bytes)?;
        self.aliases.borrow_mut().learn((transport, record.local, advertised), record.remote);
        Ok(())
    }

    fn unlearn(&self, record: &Record<'_>) -> Result<()> {
        let connection = (transport_of(record)?, record.local, record.remote);
        self.aliases.borrow_mut().forget(connection);
        Ok(())
    }

    fn attach(&self, hello: Hello) -> Rc<Link> {
        let mut links = self.links.borrow_mut();
        if links.len() != usize::from(hello.threads) {
            self.aliases.borrow_mut().forget_all(|_| true);
            links.clear();
            links.resize_with(usize::from(hello.threads), || None);
        }
        let link = Rc::<Link>::default();
        if let Some(old) = links[usize::from(hello.thread)].replace(Rc::clone(&link)) {
            old.news.notify_one(); // It finds that it has been replaced.
        }
        link
    }

    fn detach(&self, link: &Rc<Link>) {
        let mut links = self.links.borrow_mut();
        let threads = u8::try_from(links.len()).unwrap_or(THREADS_MAX);
        let is_it =
            |place: &Option<Rc<Link>>| place.as_ref().is_some_and(|one| Rc::ptr_eq(one, link));
        if let Some(thread) = links.iter().position(is_it) {
            links[thread] = None;
            let is_gone = |remote| usize::from(owner(remote, threads)) == thread;
            self.aliases.borrow_mut().forget_all(is_gone);
        }
    }
}

impl Packets {
    fn push(&mut self, record: &Record<'_>) -> bool {
        let length = record.length();
        if length > PACKET_MAX || self.bytes + length > CONNECTION_LINK_BYTES {
            return false;
        }
        let fits = |packet: &Vec<u8>| packet.len() + length <= PACKET_MAX;
        if !self.waiting.back().is_some_and(fits) {
            let packet = self.free.pop().unwrap_or_else(|| Vec::with_capacity(PACKET_MAX));
            self.waiting.push_back(packet);
        }
        if let Some(packet) = self.waiting.back_mut() {
            record.push(packet);
        }
        self.bytes += length;
        true
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let packet = self.waiting.pop_front()?;
        self.bytes -= packet.len();
        Some(packet)
    }

    fn give_back(&mut self, mut packet: Vec<u8>) {
        if self.free.len() < CONNECTION_PACKETS_KEPT {
            packet.clear();
            self.free.push(packet);
        }
    }
}

impl Link {
    fn is_behind(&self) -> bool {
        self.packets.borrow().bytes > CONNECTION_LINK_BEHIND
    }

    /// Sends what there is, for ever.
    async fn speak(&self, socket: &UnixSeqpacket) -> Result<()> {
        loop {
            let next = self.packets.borrow_mut().next();
            let Some(packet) = next else {
                self.news.notified().await;
                continue;
            };
            socket.send(&packet).await?;
            self.packets.borrow_mut().give_back(packet);
            if !self.is_behind() {
                self.caught_up.notify_one();
            }
        }
    }
}

impl KernelSockets {
    /// Accepts connection threads of control for ever, on a socket in `folder`.
    ///
    /// # Errors
    /// When the socket itself fails.
    pub(super) async fn serve_connections(self: Rc<Self>, folder: &Path) -> Result<()> {
        let mut listener = link::bind(&folder.join(connection::SOCKET_NAME))?;
        self.accept(&mut listener).await
    }

    async fn accept(self: Rc<Self>, listener: &mut UnixSeqpacketListener) -> Result<()> {
        loop {
            let socket = listener.accept().await.context("the connection channel failed")?;
            let sockets = Rc::clone(&self);
            spawn_local(async move {
                if let Err(error) = sockets.serve_thread(&socket).await {
                    tracing::warn!("a connection thread of control is gone: {error:#}");
                }
            });
        }
    }

    async fn serve_thread(&self, socket: &UnixSeqpacket) -> Result<()> {
        let mut packet = vec![0; PACKET_MAX];
        let length = socket.recv(&mut packet).await?.bytes_read();
        let hello = Hello::decode(&packet[..length])?;
        ensure!(
            hello.api_version == API_VERSION,
            "it speaks API version {}, this data plane {API_VERSION}: install both from one release",
            hello.api_version
        );
        rustix::net::sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER)?;
        let link = self.connections.attach(hello);
        let ended = tokio::select! {
            ended = link.speak(socket) => ended,
            ended = self.listen(socket, &link, &mut packet) => ended,
        };
        self.connections.detach(&link);
        ended
    }

    /// Takes what control has for the workers.
    async fn listen(&self, socket: &UnixSeqpacket, link: &Link, packet: &mut [u8]) -> Result<()> {
        loop {
            while link.is_behind() {
                link.caught_up.notified().await;
            }
            let length = socket.recv(packet).await?.bytes_read();
            if length == 0 {
                return Ok(());
            }
            for record in connection::records(&packet[..length]) {
                let record = record?;
                match record.kind {
                    Kind::Received => self.deliver(&record).await?,
                    Kind::Failed => self.tell_failed(record.bytes),
                    Kind::Alias => self.connections.learn(&record)?,
                    // Its bindings go with their time, or when a request finds them dead.
                    Kind::Closed => self.connections.unlearn(&record)?,
                    Kind::Send | Kind::SendOnFlow => bail!("a record that only we send"),
                }
            }
        }
    }

    /// Hands a message to a worker, messages of a connection always to the same one.
    async fn deliver(&self, record: &Record<'_>) -> Result<()> {
        let transport = transport_of(record)?;
        ensure!(record.length() - HEAD <= crate::parcel::PAYLOAD_MAX, "a message too large");
        let mut parcel = loop {
            match self.take_free_for(record.remote) {
                Some(parcel) => break parcel,
                None => self.home.notified().await,
            }
        };
        let length = record.bytes.len();
        parcel.room()[..length].copy_from_slice(record.bytes);
        parcel.set_received(length, record.remote, record.local, transport);
        self.give(parcel);
        Ok(())
    }

    /// RFC 3261 section 18.4: a request that could not be sent counts as answered with 503.
    fn tell_failed(&self, message: &[u8]) {
        if let Some(quoted) = quoted_branch(message) {
            // When it is not taken, a timer finds out.
            let _ = self.offer(quoted.worker(), Command::Unreachable(quoted));
        }
    }
}

fn transport_of(record: &Record<'_>) -> Result<Transport> {
    Transport::of_number(record.transport)
        .filter(|transport| transport.is_connection())
        .context("a transport that there is not")
}

#[cfg(test)]
mod tests {
    use super::Packets;
    use crate::limits::CONNECTION_LINK_BYTES;
    use control_api::connection::{Kind, PACKET_MAX, Record, records};

    #[test]
    fn packets_fill_up_and_the_link_does_not_grow_for_ever() {
        let mut packets = Packets::default();
        let bytes = vec![b'x'; 50_000];
        let address = "192.0.2.1:5060".parse().unwrap();
        let (kind, transport) = (Kind::Send, 1);
        let record = Record { kind, transport, local: address, remote: address, bytes: &bytes };
        let mut taken = 0;
        while packets.push(&record) {
            taken += 1;
        }
        assert_eq!(taken, CONNECTION_LINK_BYTES / record.length());
        let mut found = 0;
        while let Some(packet) = packets.next() {
            assert!(packet.len() <= PACKET_MAX);
            found += records(&packet).filter(|one| *one == Ok(record)).count();
            packets.give_back(packet);
        }
        assert_eq!((found, packets.bytes), (taken, 0));
        assert!(packets.push(&record));
    }
}
