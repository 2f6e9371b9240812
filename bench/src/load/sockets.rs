//! The wire over kernel sockets: one UDP socket per address, `sendmmsg` and `recvmmsg`.

use super::wire::{BATCH, DATAGRAM_MAX, Local, NotTaken, Outbox, Wire};
use anyhow::{Context, Result, bail};
use core::net::SocketAddr;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, setsockopt, sockopt,
};
use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Bytes asked for in each socket's buffers: a tenth of a second at 100,000 messages/s.
const BUFFER: usize = 8 << 20;
/// Batches taken from one socket before another gets its turn.
const BATCHES_MAX: usize = 4;
/// Times that a full send buffer is waited for before datagrams are given up.
const SEND_ATTEMPTS_MAX: u32 = 20;

/// The generator's sockets.
pub(crate) struct SocketWire {
    sockets: Vec<UdpSocket>,
    /// For receiving, one for each socket: the kernel leaves the length of its family's addresses.
    arriving: Vec<MultiHeaders<SockaddrStorage>>,
    /// For sending: never used to receive, because it keeps pointers to addresses sent to.
    leaving: MultiHeaders<SockaddrStorage>,
    buffers: Vec<[u8; DATAGRAM_MAX]>,
}

impl SocketWire {
    /// Binds all addresses.
    ///
    /// # Errors
    /// The address that cannot be had, and why.
    pub(crate) fn bind(addresses: &[SocketAddr]) -> Result<Self> {
        let sockets = addresses.iter().map(|address| bind(*address)).collect::<Result<_>>()?;
        Ok(Self {
            sockets,
            arriving: addresses.iter().map(|_| MultiHeaders::preallocate(BATCH, None)).collect(),
            leaving: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; DATAGRAM_MAX]; BATCH],
        })
    }

    /// One batch from one socket.
    fn receive_batch(
        &mut self,
        local: usize,
        deliver: &mut dyn FnMut(Local, SocketAddr, &[u8]),
    ) -> Result<usize> {
        let fd = self.sockets[local].as_raw_fd();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let results = match recvmmsg(fd, &mut self.arriving[local], slices.iter_mut(), flags, None)
        {
            Ok(results) => results,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(0),
            Err(error) => return Err(error).context("recvmmsg"),
        };
        let mut count = 0;
        for message in results {
            count += 1;
            if let Some(source) = message.address.as_ref().and_then(address) {
                let bytes = message.iovs().next().unwrap_or_default();
                deliver(index(local), source, bytes);
            }
        }
        Ok(count)
    }

    /// Sends a batch from one socket; gives how many were not taken.
    fn send_batch(&mut self, local: Local, batch: &[(SocketAddr, &[u8])]) -> Result<u64> {
        let socket = &self.sockets[usize::from(local)];
        let mut rest = batch;
        for _ in 0..SEND_ATTEMPTS_MAX {
            let slices: Vec<[IoSlice<'_>; 1]> =
                rest.iter().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
            let targets: Vec<Option<SockaddrStorage>> =
                rest.iter().map(|(to, _)| Some(SockaddrStorage::from(*to))).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let fd = socket.as_raw_fd();
            match sendmmsg(fd, &mut self.leaving, slices.iter(), &targets, [], flags) {
                Ok(sent) => rest = &rest[sent.count()..],
                Err(Errno::EAGAIN | Errno::ENOBUFS) => writable(socket),
                Err(Errno::EINTR | Errno::ECONNREFUSED) => {}
                Err(error) => bail!("cannot send to {}: {}", rest[0].0, error.desc()),
            }
            if rest.is_empty() {
                break;
            }
        }
        Ok(rest.len() as u64)
    }
}

impl Wire for SocketWire {
    fn receive(&mut self, deliver: &mut dyn FnMut(Local, SocketAddr, &[u8])) -> Result<usize> {
        let mut total = 0;
        for local in 0..self.sockets.len() {
            for _ in 0..BATCHES_MAX {
                let count = self.receive_batch(local, deliver)?;
                total += count;
                if count < BATCH {
                    break;
                }
            }
        }
        Ok(total)
    }

    fn send(&mut self, outbox: &Outbox) -> Result<NotTaken> {
        let mut lost = 0;
        let mut batches: Vec<Vec<(SocketAddr, &[u8])>> = vec![Vec::new(); self.sockets.len()];
        for (datagram, bytes) in outbox.iter() {
            let batch = &mut batches[usize::from(datagram.from)];
            batch.push((datagram.to, bytes));
        }
        for (local, all) in batches.iter().enumerate() {
            for batch in all.chunks(BATCH) {
                lost += self.send_batch(index(local), batch)?;
            }
        }
        Ok(NotTaken { by_system: lost, by_target: 0 })
    }

    fn wait(&mut self, nanoseconds: u64) {
        let mut fds: Vec<PollFd<'_>> =
            self.sockets.iter().map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)).collect();
        let timeout = Duration::from_nanos(nanoseconds).into();
        // Interrupted or not: the caller looks at what there is.
        let _ = nix::poll::ppoll(&mut fds, Some(timeout), None);
    }
}

fn bind(address: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(address).with_context(|| {
        format!("cannot bind {address}: another program may use it; see --caller and --callee")
    })?;
    // Root may go beyond net.core.rmem_max; others get what there is.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)
        .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &BUFFER));
    let _ = setsockopt(&socket, sockopt::SndBuf, &BUFFER);
    Ok(socket)
}

fn writable(socket: &UdpSocket) {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    let _ = nix::poll::poll(&mut fds, PollTimeout::from(1_u8));
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

fn index(local: usize) -> Local {
    Local::try_from(local).unwrap_or(Local::MAX)
}
