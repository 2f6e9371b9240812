//! The bytes of one connection, whether they go through TLS or not. Nothing here blocks.

use super::tls::Session;
use mio::net::TcpStream;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::IpAddr;

/// A socket, and the TLS session on it if there is one.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(TcpStream, Box<Session>),
}

impl Stream {
    /// The socket, to be registered with a poll.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Tcp(socket) | Self::Tls(socket, _) => socket,
        }
    }

    /// Whether the TLS handshake is not over.
    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self, Self::Tls(_, session) if session.is_handshaking())
    }

    /// Whether the other side has begun a TLS record of which nothing could be read yet.
    pub(super) fn is_within_record(&self) -> bool {
        matches!(self, Self::Tls(_, session) if session.is_within_record())
    }

    /// Whether the other side has connected to us and has proved by TLS that it is this address.
    pub(super) fn is_named(&self, address: IpAddr) -> bool {
        matches!(self, Self::Tls(_, session) if session.is_named(address))
    }

    /// Reads as [`Read::read`] does; `WouldBlock` when there is nothing now.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Self::Tcp(socket) => socket.read(buffer),
                Self::Tls(socket, session) => session.read(socket, buffer),
            };
            match result {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Writes as [`Write::write_vectored`] does; `WouldBlock` when nothing can be taken now.
    pub(super) fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write_vectored(pieces),
            Self::Tls(socket, session) => session.write_vectored(socket, pieces),
        }
    }

    /// Passes on what TLS has made of what was written; true when nothing is left.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(_) => Ok(true),
            Self::Tls(socket, session) => session.flush(socket),
        }
    }

    /// Says that nothing more will come from us.
    pub(super) fn end(&mut self) {
        if let Self::Tls(socket, session) = self {
            session.end(socket);
        }
        // It may be gone already.
        let _ = self.socket().shutdown(std::net::Shutdown::Write);
    }
}
