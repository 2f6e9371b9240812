//! One connection of a client.

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use sip_core::{Frame, Framer};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

/// A connection.
pub(super) struct Peer {
    pub(super) socket: TcpStream,
    pub(super) session: Option<Box<ClientConnection>>,
    /// Our end, once it is connected.
    pub(super) address: Option<SocketAddr>,
    framer: Framer,
    partial: Vec<u8>,
    unsent: Vec<u8>,
}

/// What came.
pub(super) enum Came<'a> {
    /// So many line breaks: answers to keep-alives.
    LineBreaks(usize),
    /// A message.
    Message(&'a [u8]),
}

impl Peer {
    /// Begins to connect from this address, from any port.
    pub(super) fn connect(
        from: Ipv4Addr,
        to: SocketAddrV4,
        tls: Option<&Arc<rustls::ClientConfig>>,
    ) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))
            .context("no socket: file descriptors")?;
        // The port is chosen with the other end known, so that all of an address can be used for each.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddrV4::new(from, 0).into())?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => {
                return Err(error).with_context(|| format!("no connection from {from} to {to}"));
            }
            _ => {}
        }
        socket.set_tcp_nodelay(true)?;
        let session = tls.map(|config| -> Result<_> {
            let name = ServerName::IpAddress((*to.ip()).into());
            Ok(Box::new(ClientConnection::new(Arc::clone(config), name)?))
        });
        Ok(Self {
            socket: TcpStream::from_std(socket.into()),
            session: session.transpose()?,
            address: None,
            framer: Framer::default(),
            partial: Vec::new(),
            unsent: Vec::new(),
        })
    }

    /// Whether it has just become usable. Goes on with a connect and a handshake.
    ///
    /// # Errors
    /// When they failed.
    pub(super) fn establish(&mut self) -> Result<bool> {
        if self.address.is_some() {
            return Ok(false);
        }
        if let Some(error) = self.socket.take_error()? {
            return Err(error).context("a connect failed");
        }
        if self.socket.peer_addr().is_err() {
            return Ok(false);
        }
        if let Some(session) = &mut self.session {
            while session.is_handshaking() {
                match session.complete_io(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error).context("a TLS handshake failed"),
                }
            }
        }
        self.address = Some(self.socket.local_addr()?);
        Ok(true)
    }

    /// Sends, or keeps what the socket does not take.
    ///
    /// # Errors
    /// A connection that is broken.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(session) = &mut self.session {
            session.writer().write_all(bytes)?;
        } else if self.unsent.is_empty() {
            match self.socket.write(bytes) {
                Ok(length) => self.unsent.extend_from_slice(&bytes[length..]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(bytes);
                }
                Err(error) => return Err(error),
            }
            return Ok(());
        } else {
            self.unsent.extend_from_slice(bytes);
        }
        self.flush()
    }

    /// Goes on with what the socket did not take.
    ///
    /// # Errors
    /// A connection that is broken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let again = |error: io::Error| match error.kind() {
            ErrorKind::WouldBlock => Ok(()),
            _ => Err(error),
        };
        if let Some(session) = &mut self.session {
            while session.wants_write() {
                if let Err(error) = session.write_tls(&mut self.socket) {
                    return again(error);
                }
            }
        }
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) => return again(error),
            }
        }
        self.unsent = Vec::new();
        Ok(())
    }

    /// Reads all that there is.
    ///
    /// # Errors
    /// A connection that has ended, or what is no SIP.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut came: impl FnMut(Came<'_>)) -> Result<()> {
        loop {
            let read = match &mut self.session {
                None => self.socket.read(buffer),
                Some(session) => read_tls(session, &mut self.socket, buffer),
            };
            let length = match read {
                Ok(0) => bail!("the appliance closed a connection"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("a connection broke"),
            };
            let mut all = std::mem::take(&mut self.partial);
            let bytes = if all.is_empty() {
                &buffer[..length]
            } else {
                all.extend_from_slice(&buffer[..length]);
                &all
            };
            let mut at = 0;
            while at < bytes.len() {
                at += match self.framer.next(&bytes[at..]) {
                    Frame::Incomplete => break,
                    Frame::LineBreaks(length) | Frame::Ping(length) => {
                        came(Came::LineBreaks(length / 2));
                        length
                    }
                    Frame::Message(length) => {
                        came(Came::Message(&bytes[at..at + length]));
                        length
                    }
                    Frame::Bad(error) => bail!("the appliance sent what is no SIP: {error:?}"),
                };
            }
            self.partial = bytes[at..].to_vec();
        }
    }

    /// Closes it without a word, so that nothing of it stays in the kernel.
    pub(super) fn reset(self) {
        // At worst it stays for a minute.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }
}

fn read_tls(
    session: &mut ClientConnection,
    socket: &mut TcpStream,
    buffer: &mut [u8],
) -> io::Result<usize> {
    loop {
        match session.reader().read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => return result,
        }
        if session.read_tls(socket)? == 0 {
            return Ok(0);
        }
        session
            .process_new_packets()
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    }
}
