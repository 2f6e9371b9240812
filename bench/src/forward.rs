//! `trunkline-bench forward`: the least that a SIP proxy on kernel sockets has to do.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{
    AddressFamily, MsgFlags, MultiHeaders, SockFlag, SockType, SockaddrIn, bind, recvmmsg,
    sendmmsg, setsockopt, socket, sockopt,
};
use nix::unistd::Pid;
use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};

/// Datagrams per system call.
const BURST: usize = 32;
/// Largest datagram; the wire carries 1,500 bytes.
const DATAGRAM_MAX: usize = 2_048;
/// Socket buffers in bytes, as much as the peers get.
const BUFFER: usize = 4 << 20;
/// The Via of the sender, by its most common spelling; see RFC 3261 section 18.1.1.
const VIA: &[u8] = b"Via: SIP/2.0/UDP ";

/// Forward datagrams as they are, as fast as kernel sockets allow
///
/// The floor of a comparison: what any SIP proxy on kernel sockets has to do at least, with the best
/// system calls for it (recvmmsg and sendmmsg of 32, a thread and a SO_REUSEPORT socket per core). It is no
/// SIP proxy: nothing is checked, counted or added.
#[derive(clap::Args)]
#[command(after_help = "\
A datagram from the address of --to is an answer and goes to the host and port of its first line that
begins with \"Via: SIP/2.0/UDP\"; that is all that is read. Any other goes to the address of --to. Nothing
is added: callees see the caller's Via alone, and answer to where the datagram came from.

Examples:
  trunkline-bench forward --listen 10.78.1.1:5060 --to 10.78.1.2:7000 --cores 1
  trunkline-bench forward --listen 127.0.0.1:5060 --to 127.0.0.1:7000 --cores 0,1

It runs until it is killed.")]
pub(crate) struct Arguments {
    /// Where datagrams are taken
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddrV4,
    /// The callee
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: SocketAddrV4,
    /// Cores, one thread on each
    #[arg(long, value_name = "CORE,...", value_delimiter = ',', default_value = "0")]
    cores: Vec<u16>,
}

/// Forwards until the process is killed.
///
/// # Errors
/// An address that cannot be bound; a core that is not there.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let sockets: Vec<OwnedFd> =
        arguments.cores.iter().map(|_| open(arguments.listen)).collect::<Result<_>>()?;
    std::thread::scope(|scope| {
        let start = |(socket, core): (OwnedFd, u16)| {
            scope.spawn(move || pin(core).and_then(|()| forward(&socket, arguments.to)))
        };
        let cores = arguments.cores.iter().copied();
        let threads: Vec<_> = sockets.into_iter().zip(cores).map(start).collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
    })
}

fn open(listen: SocketAddrV4) -> Result<OwnedFd> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None)?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    // As root beyond the limit of net.core.rmem_max, else up to it.
    if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &BUFFER)?;
    }
    bind(socket.as_raw_fd(), &SockaddrIn::from(listen))
        .with_context(|| format!("UDP {listen} cannot be bound: does another process use it?"))?;
    Ok(socket)
}

fn pin(core: u16) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core.into())?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("there is no core {core}"))
}

fn forward(socket: &OwnedFd, callee: SocketAddrV4) -> Result<()> {
    let socket = socket.as_raw_fd();
    let callee = SockaddrIn::from(callee);
    let mut buffers = vec![[0_u8; DATAGRAM_MAX]; BURST];
    let mut receive = MultiHeaders::<SockaddrIn>::preallocate(BURST, None);
    let mut send = MultiHeaders::<SockaddrIn>::preallocate(BURST, None);
    let mut arrived = [(0_usize, None); BURST];
    let mut targets = [None; BURST];
    loop {
        let mut slices: Vec<_> = buffers.iter_mut().map(|b| [IoSliceMut::new(b)]).collect();
        let results = recvmmsg(socket, &mut receive, &mut slices, MsgFlags::MSG_WAITFORONE, None)
            .context("recvmmsg")?;
        let mut count = 0;
        for (message, place) in results.zip(&mut arrived) {
            *place = (message.bytes, message.address);
            count += 1;
        }
        let datagrams = buffers.iter().zip(&arrived[..count]);
        for ((buffer, (length, source)), target) in datagrams.zip(&mut targets) {
            let is_answer = *source == Some(callee);
            *target = if is_answer { sent_by(&buffer[..*length]) } else { Some(callee) };
        }
        transmit(socket, &mut send, &buffers, &arrived[..count], &targets[..count]);
    }
}

/// Sends each datagram to its target; one without is dropped.
fn transmit(
    socket: i32,
    headers: &mut MultiHeaders<SockaddrIn>,
    buffers: &[[u8; DATAGRAM_MAX]],
    arrived: &[(usize, Option<SockaddrIn>)],
    targets: &[Option<SockaddrIn>],
) {
    let datagrams = buffers.iter().zip(arrived).zip(targets).filter(|(_, target)| target.is_some());
    let (slices, targets): (Vec<_>, Vec<_>) = datagrams
        .map(|((buffer, (length, _)), target)| ([IoSlice::new(&buffer[..*length])], *target))
        .unzip();
    let mut sent = 0;
    while sent < slices.len() {
        let rest = &slices[sent..];
        let result = sendmmsg(socket, headers, rest, &targets[sent..], [], MsgFlags::empty());
        // One that cannot be sent, such as to a port that was closed, is lost as on any network.
        sent += result.map_or(1, |messages| messages.count().max(1));
    }
}

/// Host and port of the first Via; none when there is no such line, or no IPv4 address in it.
fn sent_by(datagram: &[u8]) -> Option<SockaddrIn> {
    let rest = &datagram[memchr::memmem::find(datagram, VIA)? + VIA.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b';' | b'\r' | b' ' | b','))?;
    let address: SocketAddrV4 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some(address.into())
}

#[cfg(test)]
mod tests {
    use super::sent_by;
    use nix::sys::socket::SockaddrIn;

    #[test]
    fn answers_go_to_the_first_via() {
        let answer = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.78.1.2:6003;branch=z9hG4bK1\r\n\
                       Via: SIP/2.0/UDP 10.0.0.1:5060\r\n\r\n";
        assert_eq!(sent_by(answer), Some(SockaddrIn::new(10, 78, 1, 2, 6_003)));
        assert_eq!(sent_by(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP host:1;x\r\n"), None);
        assert_eq!(sent_by(b"Via: SIP/2.0/UDP 10.78.1.2:6003"), None);
        assert_eq!(sent_by(b""), None);
    }
}
