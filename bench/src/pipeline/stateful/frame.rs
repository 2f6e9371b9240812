//! Frames of callers and callees, written over whatever lay in their buffers.

use crate::corpus::{CALLEE, CALLEE_SIDE, CALLER, CALLER_SIDE, FLOODER};
use core::net::SocketAddr;
use dataplane::checksum::{fold, pseudo_header, sum};
use dataplane::packet::{MemoryPacket, PacketBuf};
use dataplane::testing::frames::{fix_ipv4_checksum, udp_between};

/// Ethernet, IPv4 and UDP.
const HEADERS: usize = 42;
/// Where the UDP header begins.
const UDP: usize = 34;
/// Room before the frame, as a driver leaves it.
const HEADROOM: usize = MemoryPacket::HEADROOM;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Caller,
    Callee,
    /// Who floods, beside the caller.
    Flooder,
}

/// The headers of all sides.
pub(super) struct Frames([Vec<u8>; 3], [u64; 3]);

impl Frames {
    /// Headers between the hosts of the corpus.
    pub(super) fn new() -> Self {
        let address =
            |text: &str| -> SocketAddr { text.parse().expect("an address of the corpus") };
        let sides = [(CALLER, CALLER_SIDE), (CALLEE, CALLEE_SIDE), (FLOODER, CALLER_SIDE)];
        let sides = sides.map(|(from, to)| (address(from), address(to)));
        Self(
            sides.map(|(from, to)| udp_between(from, to, &[])),
            sides.map(|(from, to)| pseudo_header(from.ip(), to.ip(), 0)),
        )
    }

    /// Makes `packet` a frame of `side` with this message, checksums and all.
    pub(super) fn write(&self, packet: &mut impl PacketBuf, side: Side, message: &[u8]) {
        let Self(headers, pseudo) = self;
        let end = HEADROOM + HEADERS + message.len();
        let frame = &mut packet.buffer().0[HEADROOM..end];
        frame[..HEADERS].copy_from_slice(&headers[side as usize]);
        frame[HEADERS..].copy_from_slice(message);
        let length = u16::try_from(message.len() + 8).expect("it fits a datagram");
        frame[16..18].copy_from_slice(&(length + 20).to_be_bytes());
        fix_ipv4_checksum(frame);
        frame[UDP + 4..UDP + 6].copy_from_slice(&length.to_be_bytes());
        frame[UDP + 6..UDP + 8].fill(0);
        let check = sum(pseudo[side as usize] + u64::from(length), &frame[UDP..]);
        frame[UDP + 6..UDP + 8].copy_from_slice(&(!fold(check)).to_be_bytes());
        packet.set_window(HEADROOM..end);
    }
}

/// The message in a frame of the appliance.
pub(super) fn payload(frame: &[u8]) -> &[u8] {
    frame.get(HEADERS..).unwrap_or_default()
}
