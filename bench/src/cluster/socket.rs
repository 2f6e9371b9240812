//! Where phones and callers are: sockets in the namespaces of the lab.

use super::message::Message;
use anyhow::{Context as _, Result, anyhow};
use control::lab::topology::Node;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{setsockopt, sockopt};
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;

/// Where the phones are, at `tl-uas`, and the callers, at `tl-uac`.
const PORT: u16 = 7_000;
/// Room in bytes for what comes while the generator does something else.
const BUFFER: usize = 4 << 20;

/// A UDP socket at a host of the lab.
pub(super) struct Socket {
    socket: UdpSocket,
    /// Its address.
    pub(super) at: SocketAddr,
}

impl Socket {
    /// A socket at this host of the lab.
    pub(super) fn at(host: &[Node]) -> Result<Self> {
        let host = *host.first().context("no generator in this topology")?;
        let at = SocketAddr::from((host.v4(), PORT));
        // A socket stays in the namespace it was made in; the thread that went there ends.
        let bind = move || -> Result<UdpSocket> {
            let namespace = Path::new("/run/netns").join(host.namespace());
            setns(File::open(namespace)?, CloneFlags::CLONE_NEWNET)?;
            Ok(UdpSocket::bind(at)?)
        };
        let made = std::thread::spawn(bind).join().map_err(|_| anyhow!("a thread panicked"))?;
        let socket = made.with_context(|| format!("UDP {at} in {}", host.namespace()))?;
        socket.set_nonblocking(true)?;
        // The lab needs root, so that the limit of net.core.rmem_max is none.
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
        Ok(Self { socket, at })
    }

    /// Sends; a host that cannot be reached is the network's matter.
    pub(super) fn send(&self, text: &str, to: SocketAddr) -> Result<()> {
        match self.socket.send_to(text.as_bytes(), to) {
            Ok(_) => Ok(()),
            Err(error) if is_of_the_network(&error) => Ok(()),
            Err(error) => Err(error).context("a socket of the generator"),
        }
    }

    /// The next message that is SIP.
    pub(super) fn hear(&self) -> Result<Option<Message>> {
        let mut buffer = [0; 8_192];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    if text.contains("SIP/2.0") {
                        return Ok(Some(Message { text, from }));
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if is_of_the_network(&error) => {}
                Err(error) => return Err(error).context("a socket of the generator"),
            }
        }
    }
}

/// What a network that is broken on purpose says.
fn is_of_the_network(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, WouldBlock};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | WouldBlock)
}
