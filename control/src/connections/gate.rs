//! The way into a thread: what wakes it, and by which sockets come to it from the acceptor.
//!
//! A connection thread has a table of file descriptors of its own (unshare(2) with `CLONE_FILES`), in which the
//! number of a socket of the acceptor means nothing: sockets travel as `SCM_RIGHTS` (unix(7)). A table by itself
//! takes no lock and no shared reference count to find a file in, and `RLIMIT_NOFILE` counts each by itself.
//!
//! Each packet says in one byte how many sockets are with it. Fewer may arrive, when the table is full or too many
//! are on their way; that is a loss which both ends have to be able to count.

use crate::limits::{GATE_BYTES, GATE_PAUSE, GATE_SOCKETS, GATE_TRIES};
use anyhow::{Context, Result};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sched::{CloneFlags, unshare};
use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, send, sendmsg, socketpair,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::thread::sleep;

/// The end of those who want something of the thread.
#[derive(Debug)]
pub(super) struct Way(OwnedFd);

/// The thread's end.
#[derive(Debug)]
pub(super) struct Gate(OwnedFd);

/// A way and the gate at its end.
pub(super) fn pair() -> Result<(Way, Gate)> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    let (way, gate) = socketpair(family, SocketType::SEQPACKET, flags, None)
        .context("no pair of sockets for a thread")?;
    rustix::net::sockopt::set_socket_send_buffer_size(&way, GATE_BYTES)?;
    Ok((Way(way), Gate(gate)))
}

impl Way {
    /// Makes the thread look; it may be over already.
    pub(super) fn wake(&self) {
        // A full one wakes it, too.
        let _ = send(&self.0, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }

    /// Gives sockets, at most [`GATE_SOCKETS`] of them, in this order. It waits while too many are on their way,
    /// and in the end gives their number alone.
    pub(super) fn give(&self, sockets: &[impl AsFd]) {
        let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
        for _ in 0..GATE_TRIES {
            match self.send(sockets.len(), &sockets) {
                // Of all processes of this user (unix(7)).
                Err(Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM) => sleep(GATE_PAUSE),
                Err(Errno::INTR) => {}
                // Done, or the thread is over.
                Ok(()) | Err(_) => return,
            }
        }
        let _ = self.send(sockets.len(), &[]);
    }

    fn send(&self, announced: usize, sockets: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let announced = [u8::try_from(announced).unwrap_or(u8::MAX)];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(GATE_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(sockets));
        }
        sendmsg(&self.0, &[IoSlice::new(&announced)], &mut control, SendFlags::NOSIGNAL).map(drop)
    }
}

impl Gate {
    /// Gives the calling thread a table of file descriptors of its own, with nothing in it but this gate, and
    /// standard input, output and error. Files that others close are closed then.
    ///
    /// # Errors
    /// When the kernel refuses; then nothing has changed.
    pub(super) fn move_out(&self) -> Result<()> {
        unshare(CloneFlags::CLONE_FILES)
            .context("the kernel refuses a connection thread its own file descriptors (unshare)")?;
        let listed = std::fs::read_dir("/proc/thread-self/fd").context("/proc/thread-self/fd")?;
        let number = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok()
        };
        let numbers: Vec<RawFd> = listed.filter_map(number).collect();
        for number in numbers.into_iter().filter(|&number| number > 2 && number != self.number()) {
            // That of the list itself is closed already.
            let _ = nix::unistd::close(number);
        }
        Ok(())
    }

    /// Its number, for [`forget`].
    pub(super) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Has a poll look at it.
    pub(super) fn register(&self, registry: &Registry, token: Token) -> std::io::Result<()> {
        registry.register(&mut SourceFd(&self.number()), token, Interest::READABLE)
    }

    /// Takes the next packet, appends its sockets, and gives how many were announced; none when there is nothing
    /// now.
    pub(super) fn take(&self, sockets: &mut impl Extend<OwnedFd>) -> Option<usize> {
        let mut announced = [0];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(GATE_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received =
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut announced)], &mut control, flags);
        if received.ok()?.bytes == 0 {
            return None;
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                sockets.extend(rights);
            }
        }
        Some(announced[0].into())
    }
}

/// Closes what has the number of a gate in this thread's table, once its thread has moved out with it.
pub(super) fn forget(number: RawFd) {
    let _ = nix::unistd::close(number);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::sync::mpsc::channel;
    use std::thread::spawn;

    #[test]
    fn sockets_arrive_in_another_table_and_nothing_stays_behind() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (way, gate) = pair().unwrap();
        let number = gate.number();
        let (moved, is_moved) = channel();
        let thread = spawn(move || {
            gate.move_out().unwrap();
            moved.send(()).unwrap();
            let mut sockets: Vec<OwnedFd> = Vec::new();
            while sockets.len() < 2 {
                let announced = gate.take(&mut sockets);
                assert!(matches!(announced, None | Some(0 | 2)), "{announced:?}");
            }
            for (socket, word) in sockets.into_iter().zip([b'1', b'2']) {
                TcpStream::from(socket).write_all(&[word]).unwrap();
            }
        });
        is_moved.recv().unwrap();
        forget(number);
        way.wake();
        let mut clients = [0; 2].map(|_| TcpStream::connect(address).unwrap());
        let servers = [0; 2].map(|_| listener.accept().unwrap().0);
        way.give(&servers);
        drop((servers, listener));
        for (client, word) in clients.iter_mut().zip([b'1', b'2']) {
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            assert_eq!(all, [word]);
        }
        TcpListener::bind(address).expect("nobody else has the listener");
        thread.join().unwrap();
        // Whose gate is gone is not waited for.
        way.give(&clients);
    }

    #[test]
    fn what_a_full_table_does_not_take_is_announced() {
        let (way, gate) = pair().unwrap();
        way.send(3, &[]).unwrap();
        let mut sockets: Vec<OwnedFd> = Vec::new();
        assert_eq!((gate.take(&mut sockets), sockets.len()), (Some(3), 0));
        assert_eq!(gate.take(&mut sockets), None);
    }
}
