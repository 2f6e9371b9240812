//! The connection channel: SIP messages of TCP, TLS and WebSocket connections on their way between
//! control, which has the connections, and the data plane, which decides.
//!
//! The data plane listens on a Unix `SOCK_SEQPACKET` socket, [`SOCKET_NAME`] in the run directory. Each
//! connection thread of control connects to it, says [`Hello`], and owns the connections whose
//! [`owner`] it is, so that neither side has to look one up in a table of the other's.
//!
//! ```text
//!   control, thread 0 of 2                 data plane
//!      │ ──────────── Hello ────────────► │
//!      │ ── Received, Received, Failed ─► │   a packet holds as many records as there are, up to
//!      │ ◄──── Send, Send, Send, Send ─── │   PACKET_MAX bytes; nobody waits for a packet to fill
//! ```
//!
//! A full socket buffer is the backpressure: control stops reading from its connections, and they from their
//! peers. A record is, in little endian:
//!
//! ```text
//!   length 4 │ kind 1 │ transport 1 │ local 18 │ remote 18 │ bytes …     length counts all that follows it
//! ```

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Name of the socket in the run directory.
pub const SOCKET_NAME: &str = "connections.sock";
/// Largest packet in bytes: a record with the largest message, and under Linux's default
/// `net.core.wmem_default`.
pub const PACKET_MAX: usize = 131_072;
/// `SO_SNDBUF` of both ends: what waits on the way. The kernel doubles it, and a packet must fit.
pub const SEND_BUFFER: usize = PACKET_MAX;
/// Bytes of a record beside the message.
pub const HEAD: usize = 4 + 2 + 18 + 18;
/// Most connection threads: a million connections at the 20,000 descriptors that some systems allow to each.
pub const THREADS_MAX: u8 = 64;

/// The first packet that control sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// [`crate::API_VERSION`] of the sender.
    pub api_version: u16,
    /// Index of the thread.
    pub thread: u8,
    /// How many threads there are.
    pub threads: u8,
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To the data plane: a message came in over the connection.
    Received,
    /// To the data plane: this message, of which the bytes are the beginning, could not be sent; RFC 3261
    /// section 18.4.
    Failed,
    /// To the data plane: the connection is no more. No bytes.
    Closed,
    /// To the data plane: what goes to this address, which the bytes spell as [`Record::local`] is spelt, may go over
    /// the connection, which is open and whose other end has proved that it is there (RFC 5923). Once for a
    /// connection, and again on a new link.
    Alias,
    /// To control: send this message to `remote`, over a connection that is there or, if there is none, over
    /// a new one.
    Send,
    /// To control: the same, but only over a connection that is there: a client behind NAT, or a response.
    SendOnFlow,
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is about.
    pub kind: Kind,
    /// Number of the transport, as `sip_core::Transport` counts them.
    pub transport: u8,
    /// The listen point: the connection came in there, or the message is to name it in its Via.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The message.
    pub bytes: &'a [u8],
}

/// A packet that is no packet of this channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPacket;

impl core::fmt::Display for BadPacket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a packet of another version or not ours on the connection channel")
    }
}

impl core::error::Error for BadPacket {}

/// The thread, of so many, that owns connections to this address.
pub fn owner(remote: SocketAddr, threads: u8) -> u8 {
    let bits = match remote.ip().to_canonical() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        #[expect(clippy::cast_possible_truncation, reason = "both halves count")]
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 ^ ip.to_bits() as u64,
    };
    // The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): as many
    // connections for each thread as chance would give it, since each has room for so many only.
    let mut mixed = (bits ^ u64::from(remote.port()) << 48).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let threads = u64::from(threads.max(1));
    #[expect(clippy::cast_possible_truncation, reason = "less than `threads`")]
    let owner = (((mixed >> 32) * threads) >> 32) as u8;
    owner
}

impl Hello {
    /// Its bytes.
    pub fn encode(self) -> [u8; 4] {
        let [low, high] = self.api_version.to_le_bytes();
        [low, high, self.thread, self.threads]
    }

    /// Reads the first packet.
    ///
    /// # Errors
    /// Anything else than a Hello with a thread below `threads`, at most [`THREADS_MAX`].
    pub fn decode(packet: &[u8]) -> Result<Self, BadPacket> {
        let &[low, high, thread, threads] = packet else { return Err(BadPacket) };
        if thread >= threads || threads > THREADS_MAX {
            return Err(BadPacket);
        }
        Ok(Self { api_version: u16::from_le_bytes([low, high]), thread, threads })
    }
}

impl Record<'_> {
    /// Its length in a packet.
    pub fn length(&self) -> usize {
        HEAD + self.bytes.len()
    }

    /// Appends it to a packet. The caller sees to it that the packet stays within [`PACKET_MAX`].
    pub fn push(&self, packet: &mut Vec<u8>) {
        let length = u32::try_from(self.length() - 4).unwrap_or(u32::MAX);
        packet.extend_from_slice(&length.to_le_bytes());
        packet.extend_from_slice(&[self.kind as u8, self.transport]);
        packet.extend_from_slice(&spelt(self.local));
        packet.extend_from_slice(&spelt(self.remote));
        packet.extend_from_slice(self.bytes);
    }
}

/// The records of a packet; after an error there are no more.
pub fn records(packet: &[u8]) -> impl Iterator<Item = Result<Record<'_>, BadPacket>> {
    let mut rest = packet;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((record, behind)) = read(rest) else {
            rest = &[];
            return Some(Err(BadPacket));
        };
        rest = behind;
        Some(Ok(record))
    })
}

fn read(packet: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (length, rest) = packet.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (record, behind) = rest.split_at_checked(length)?;
    let (&[kind, transport], record) = record.split_first_chunk::<2>()?;
    const KINDS: [Kind; 6] =
        [Kind::Received, Kind::Failed, Kind::Closed, Kind::Alias, Kind::Send, Kind::SendOnFlow];
    let kind = KINDS.get(usize::from(kind)).copied()?;
    let (local, record) = record.split_first_chunk::<18>()?;
    let (remote, bytes) = record.split_first_chunk::<18>()?;
    let (local, remote) = (address(local), address(remote));
    Some((Record { kind, transport, local, remote, bytes }, behind))
}

/// An address as records spell it: 16 bytes of IP address, IPv4 mapped into IPv6, and the port.
pub fn spelt(address: SocketAddr) -> [u8; 18] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut spelt = [0; 18];
    spelt[..16].copy_from_slice(&ip.octets());
    spelt[16..].copy_from_slice(&address.port().to_le_bytes());
    spelt
}

/// Reads what [`spelt`] gave.
///
/// # Errors
/// Another length.
pub fn read_spelt(bytes: &[u8]) -> Result<SocketAddr, BadPacket> {
    bytes.try_into().map(address).map_err(|_| BadPacket)
}

fn address(bytes: &[u8; 18]) -> SocketAddr {
    let (ip, port) = bytes.split_at(16);
    let ip = Ipv6Addr::from(<[u8; 16]>::try_from(ip).unwrap_or_default());
    let port = u16::from_le_bytes(<[u8; 2]>::try_from(port).unwrap_or_default());
    let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), |ip: Ipv4Addr| IpAddr::V4(ip));
    SocketAddr::new(ip, port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn what_is_written_is_read() {
        let mut packet = Vec::new();
        let largest = vec![7; 65_507];
        let texts = [b"one".as_slice(), b"", &largest];
        let kinds = [Kind::Received, Kind::Closed, Kind::SendOnFlow];
        let made: Vec<_> = kinds
            .into_iter()
            .zip(texts)
            .map(|(kind, bytes)| Record {
                kind,
                transport: 3,
                local: "10.77.1.1:5060".parse().unwrap(),
                remote: "[fd77:1::2]:40000".parse().unwrap(),
                bytes,
            })
            .collect();
        for record in &made {
            record.push(&mut packet);
        }
        assert_eq!(packet.len(), made.iter().map(Record::length).sum::<usize>());
        assert!(packet.len() <= PACKET_MAX);
        let read: Vec<_> = records(&packet).map(Result::unwrap).collect();
        assert_eq!(read, made);
        for end in 1..HEAD + 2 {
            assert!(records(&packet[..end]).any(|record| record == Err(BadPacket)), "{end}");
        }
    }

    #[test]
    fn a_hello_names_a_thread_that_there_is() {
        let hello = Hello { api_version: 5, thread: 1, threads: 2 };
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        for packet in [vec![5, 0, 2, 2], vec![5, 0, 0, 0], vec![5, 0, 0, 65], vec![5, 0]] {
            assert_eq!(Hello::decode(&packet), Err(BadPacket));
        }
    }

    #[test]
    fn connections_are_spread_over_all_threads() {
        let spread = |threads: u8, hosts: u8| {
            let mut counts = vec![0_u32; threads.into()];
            for host in 0..hosts {
                for port in 32_768..61_000 {
                    let remote = SocketAddr::new(Ipv4Addr::new(10, 77, 1, host).into(), port);
                    counts[usize::from(owner(remote, threads))] += 1;
                }
            }
            (*counts.iter().min().unwrap(), *counts.iter().max().unwrap())
        };
        // Five times the standard deviation of chance: 7,058 +- 364, and 17,645 +- 650.
        for ((least, most), range) in
            [(spread(4, 1), 6_694..7_422), (spread(24, 15), 16_995..18_295)]
        {
            assert!(range.contains(&least) && range.contains(&most), "{least} to {most}");
        }
        assert_eq!(owner("[::1]:5".parse().unwrap(), 1), 0);
    }
}
