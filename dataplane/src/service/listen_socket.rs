//! The kernel socket of a listen point, with all the options that it needs.

use crate::limits::{BIND_RETRY, SOCKET_BUFFER};
use core::net::SocketAddr;
use nix::sys::socket::{setsockopt, sockopt as option};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};
use std::io;
use tokio::net::UdpSocket;
use tokio::time::sleep;

/// Tries until the address is there and free.
pub(super) async fn bind_patiently(address: SocketAddr) -> UdpSocket {
    let mut has_complained = false;
    loop {
        match open(address) {
            Ok(socket) => return socket,
            Err(error) if !has_complained => {
                has_complained = true;
                tracing::warn!(
                    %address,
                    "no kernel socket, so no fragments on this listen point: {error}; trying on"
                );
            }
            Err(_) => {}
        }
        sleep(BIND_RETRY).await;
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))?;
    // Control may still answer on this address; the socket that was bound last receives.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // Fragments of the size that the path takes, and ICMP errors of all that leaves from here.
    if address.is_ipv4() {
        sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::WANT)?;
        setsockopt(&socket, option::Ipv4RecvErr, &true)?;
    } else {
        sockopt::set_ipv6_v6only(&socket, true)?;
        sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::WANT)?;
        setsockopt(&socket, option::Ipv6RecvErr, &true)?;
    }
    // Beyond what `net.core.rmem_max` allows everybody; without the privilege, up to there.
    if sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER)?;
    }
    if sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER).is_err() {
        sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER)?;
    }
    bind(&socket, &address)?;
    UdpSocket::from_std(socket.into())
}
