//! ICMP errors that a kernel socket collects (`IP_RECVERR`, ip(7)).
//!
//! The kernel hands an error to the socket that is bound to the source address and port of the
//! datagram which caused it, so errors of datagrams that workers sent past the kernel arrive here, too.

use crate::limits::QUOTED_MAX;
use control_api::UnreachableSign;
use core::net::SocketAddr;
use nix::cmsg_space;
use nix::libc::{sock_extended_err, sockaddr_in6};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use sip_core::{QuotedBranch, quoted_branch};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};

/// An ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Where the datagram was sent that caused it.
    pub(super) host: SocketAddr,
    /// What it says.
    pub(super) error: IcmpError,
    /// The branch of a transaction of ours in what it quotes.
    pub(super) quoted: Option<QuotedBranch>,
}

/// What an error says about the datagrams to one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IcmpError {
    /// They do not arrive.
    Unreachable(UnreachableSign),
    /// They are larger than this many bytes, which is what the path takes; 0 when a router older than
    /// RFC 1191 does not say.
    TooBig(u32),
    /// Nothing that we could act on.
    Other,
}

/// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6` of linux/errqueue.h.
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// The oldest error that the socket holds.
///
/// # Errors
/// `WouldBlock` when there is none.
pub(super) fn next_error(socket: BorrowedFd<'_>) -> io::Result<Option<Told>> {
    let mut datagram = [0; QUOTED_MAX];
    let mut parts = [IoSliceMut::new(&mut datagram)];
    let mut control = cmsg_space!(sock_extended_err, sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let error = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
            Some(of(error.ee_origin, error.ee_type, error.ee_code, error.ee_info))
        }
        _ => None,
    });
    let (host, length) = (message.address.as_ref().and_then(address), message.bytes);
    Ok(host.zip(error).map(|(host, error)| {
        // The quotation alone proves nothing; a branch of ours in it carries its own proof.
        let quoted = datagram.get(..length).and_then(quoted_branch);
        Told { host, error, quoted }
    }))
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = || storage.as_sockaddr_in().map(|v4| SocketAddr::new(v4.ip().into(), v4.port()));
    let v6 = || storage.as_sockaddr_in6().map(|v6| SocketAddr::new(v6.ip().into(), v6.port()));
    v4().or_else(v6)
}

/// RFC 792, RFC 1122 3.2.2.1 and RFC 1812 5.2.7.1; RFC 4443 section 3.
fn of(origin: u8, kind: u8, code: u8, info: u32) -> IcmpError {
    use IcmpError::{Other, TooBig, Unreachable};
    match (origin, kind, code) {
        (ORIGIN_ICMP, 3, 3) | (ORIGIN_ICMP6, 1, 4) => Unreachable(UnreachableSign::Port),
        (ORIGIN_ICMP, 3, 4) | (ORIGIN_ICMP6, 2, _) => TooBig(info),
        (ORIGIN_ICMP, 3, 0 | 1 | 5..=13) | (ORIGIN_ICMP6, 1, 0..=3 | 5 | 6) => {
            Unreachable(UnreachableSign::Host)
        }
        _ => Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{IcmpError, next_error, of};
    use control_api::UnreachableSign::{Host, Port};
    use nix::sys::socket::{setsockopt, sockopt};
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn types_and_codes() {
        assert_eq!(of(2, 3, 3, 0), IcmpError::Unreachable(Port));
        assert_eq!(of(2, 3, 1, 0), IcmpError::Unreachable(Host));
        assert_eq!(of(2, 3, 4, 1_400), IcmpError::TooBig(1_400));
        assert_eq!(of(2, 11, 0, 0), IcmpError::Other, "time exceeded");
        assert_eq!(of(3, 1, 4, 0), IcmpError::Unreachable(Port));
        assert_eq!(of(3, 1, 0, 0), IcmpError::Unreachable(Host));
        assert_eq!(of(3, 2, 0, 1_300), IcmpError::TooBig(1_300));
        assert_eq!(of(1, 0, 0, 0), IcmpError::Other, "an error of this host's own");
    }

    #[test]
    fn a_closed_port_is_told_with_its_address() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(host).unwrap();
            if host.starts_with('[') {
                setsockopt(&socket, sockopt::Ipv6RecvErr, &true).unwrap();
            } else {
                setsockopt(&socket, sockopt::Ipv4RecvErr, &true).unwrap();
            }
            let closed = UdpSocket::bind(host).unwrap().local_addr().unwrap();
            let line = "x".repeat(200);
            let branch = "z9hG4bK-tl202000000000000010000000000000000";
            let ours =
                format!("INVITE sip:{line} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch={branch}\r\n");
            for (message, worker) in [("anybody?", None), (&ours, Some(2))] {
                socket.send_to(message.as_bytes(), closed).unwrap();
                let told = next_error(socket.as_fd()).unwrap().expect("an error");
                assert_eq!((told.host, told.error), (closed, IcmpError::Unreachable(Port)));
                assert_eq!(told.quoted.map(|quoted| quoted.worker()), worker);
            }
            let none = next_error(socket.as_fd()).unwrap_err();
            assert_eq!(none.kind(), std::io::ErrorKind::WouldBlock);
        }
    }
}
