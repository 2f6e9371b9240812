//! UDP, IP and Ethernet headers around a rewritten SIP message.
//!
//! The message's body stays where it lies in the buffer. Its new beginning and the headers are
//! written in front of it; only where the headroom is too short does the body move.

use crate::checksum;
use crate::decode::{
    ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, IPV4_LEN, IPV6_LEN, PROTOCOL_UDP,
    UDP_LEN, VLAN_LEN,
};
use crate::fib::Adjacency;
use crate::packet::PacketBuf;
use control_api::DropReason;
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use nic_config::limits::PORTS_MAX;
use sip_core::Transport;

/// Time to live of what we send (RFC 1700's recommended default).
const HOP_LIMIT: u8 = 64;
/// IPv4 flags: don't fragment, so that the identification may stay zero (RFC 6864 4.1).
const DONT_FRAGMENT: [u8; 2] = [0x40, 0x00];

/// The ports whose NIC computes UDP checksums; none of them to begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChecksumPorts(u8);

impl ChecksumPorts {
    /// Every port.
    pub const ALL: Self = Self(u8::MAX);

    /// The same with one port more.
    #[must_use]
    pub const fn with(self, port: u8) -> Self {
        Self(self.0 | 1 << port)
    }

    const fn has(self, port: u8) -> bool {
        self.0 & 1 << port != 0
    }
}

const _: () = assert!(PORTS_MAX <= u8::BITS as usize, "each port has a bit");

/// Where a message goes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Egress {
    /// Address and port of the listen point that it leaves from.
    pub source: SocketAddr,
    /// Address and port of the next hop of SIP.
    pub target: SocketAddr,
    /// What the message goes over. Only datagrams become frames here.
    pub transport: Transport,
    /// It goes over a connection that is there, or not at all.
    pub is_on_flow: bool,
    /// Link, MAC addresses and MTU towards it.
    pub adjacency: Adjacency,
}

impl Egress {
    /// What a place for an egress holds before the first message.
    pub const NOWHERE: Self = Self {
        source: SocketAddr::new(Adjacency::NOWHERE.source, 0),
        target: SocketAddr::new(Adjacency::NOWHERE.source, 0),
        transport: Transport::Udp,
        is_on_flow: false,
        adjacency: Adjacency::NOWHERE,
    };

    /// One for frames.
    pub const fn over_udp(source: SocketAddr, target: SocketAddr, adjacency: Adjacency) -> Self {
        Self { source, target, transport: Transport::Udp, is_on_flow: false, adjacency }
    }

    fn ip_len(&self) -> usize {
        if self.target.is_ipv4() { IPV4_LEN } else { IPV6_LEN }
    }

    fn link_len(&self) -> usize {
        ETHERNET_LEN + if self.adjacency.vlan.is_some() { VLAN_LEN } else { 0 }
    }

    /// Whether the NIC computes the UDP checksum. Where routers may fragment, the identification is taken from the checksum,
    /// so it must be known here.
    fn leaves_checksum(&self, ports: ChecksumPorts) -> bool {
        ports.has(self.adjacency.port) && !self.adjacency.may_fragment
    }

    /// Largest SIP message in bytes that fits the link's MTU.
    pub fn message_max(&self) -> usize {
        usize::from(self.adjacency.mtu).saturating_sub(self.ip_len() + UDP_LEN)
    }
}

/// Builds the outgoing frame in the buffer of the incoming one.
///
/// The message is `prefix` followed by the bytes `kept` of the frame (an empty range for a message
/// that is all prefix). The UDP checksum is left to the NICs of `checksums`.
///
/// # Errors
/// [`DropReason::EgressTooLarge`] when the message does not fit the MTU or the buffer; the frame is
/// as it was.
pub fn encode<P: PacketBuf>(
    packet: &mut P,
    prefix: &[u8],
    kept: Range<usize>,
    egress: &Egress,
    checksums: ChecksumPorts,
) -> Result<(), DropReason> {
    let message_len = prefix.len() + kept.len();
    if message_len > egress.message_max() {
        return Err(DropReason::EgressTooLarge);
    }
    let headers_len = egress.link_len() + egress.ip_len() + UDP_LEN;
    let (buffer, frame) = packet.buffer();
    let body = frame.start + kept.start..frame.start + kept.end;
    let before_body = headers_len + prefix.len();
    let body_start = body.start.max(before_body);
    let window = body_start - before_body..body_start + body.len();
    if window.end > buffer.len() {
        return Err(DropReason::EgressTooLarge);
    }
    if body_start != body.start {
        buffer.copy_within(body, body_start);
    }
    let (headers, message) = buffer[window.clone()].split_at_mut(headers_len);
    message[..prefix.len()].copy_from_slice(prefix);
    let is_left = egress.leaves_checksum(checksums);
    write_headers(headers, message, egress, is_left);
    packet.set_window(window);
    if is_left {
        packet.leave_checksum(egress.link_len(), egress.ip_len());
    }
    Ok(())
}

fn write_headers(headers: &mut [u8], message: &[u8], egress: &Egress, is_left: bool) {
    let (link, rest) = headers.split_at_mut(egress.link_len());
    let (ip, udp) = rest.split_at_mut(egress.ip_len());
    write_ethernet(link, egress);
    // message_max keeps the lengths under 65,536.
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the MTU, a u16")]
    let udp_len = (UDP_LEN + message.len()) as u16;
    write_udp(udp, message, udp_len, egress, is_left);
    match (egress.source.ip(), egress.target.ip()) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            // Two different messages have different checksums, but for one pair in 65,536 (RFC 6864 5.2).
            let identification = egress.adjacency.may_fragment.then(|| [udp[6], udp[7]]);
            write_ipv4(ip, udp_len, source.octets(), target.octets(), identification);
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            write_ipv6(ip, udp_len, source.octets(), target.octets());
        }
        _ => unreachable!("the listen point was chosen for the family of the next hop"),
    }
}

fn write_ethernet(link: &mut [u8], egress: &Egress) {
    let adjacency = &egress.adjacency;
    link[..6].copy_from_slice(&adjacency.target_mac);
    link[6..12].copy_from_slice(&adjacency.source_mac);
    let mut at = 12;
    if let Some(vlan) = adjacency.vlan {
        link[12..14].copy_from_slice(&ETHERTYPE_VLAN.to_be_bytes());
        link[14..16].copy_from_slice(&vlan.to_be_bytes());
        at = 16;
    }
    let ethertype = if egress.target.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
    link[at..at + 2].copy_from_slice(&ethertype.to_be_bytes());
}

/// With an identification, routers may fragment the packet.
fn write_ipv4(
    ip: &mut [u8],
    udp_len: u16,
    source: [u8; 4],
    target: [u8; 4],
    identification: Option<[u8; 2]>,
) {
    const IPV4_LEN_U16: u16 = 20;
    ip[..2].copy_from_slice(&[0x45, 0]);
    ip[2..4].copy_from_slice(&(udp_len + IPV4_LEN_U16).to_be_bytes());
    ip[4..6].copy_from_slice(&identification.unwrap_or_default());
    ip[6..8].copy_from_slice(if identification.is_some() { &[0; 2] } else { &DONT_FRAGMENT });
    ip[8..12].copy_from_slice(&[HOP_LIMIT, PROTOCOL_UDP, 0, 0]);
    ip[12..16].copy_from_slice(&source);
    ip[16..20].copy_from_slice(&target);
    let check = !checksum::fold(checksum::sum(0, ip));
    ip[10..12].copy_from_slice(&check.to_be_bytes());
}

fn write_ipv6(ip: &mut [u8], udp_len: u16, source: [u8; 16], target: [u8; 16]) {
    ip[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    ip[4..6].copy_from_slice(&udp_len.to_be_bytes());
    ip[6..8].copy_from_slice(&[PROTOCOL_UDP, HOP_LIMIT]);
    ip[8..24].copy_from_slice(&source);
    ip[24..40].copy_from_slice(&target);
}

/// With `is_left`, only the pseudo header is summed up, for the NIC to go on from.
fn write_udp(udp: &mut [u8], message: &[u8], udp_len: u16, egress: &Egress, is_left: bool) {
    udp[..2].copy_from_slice(&egress.source.port().to_be_bytes());
    udp[2..4].copy_from_slice(&egress.target.port().to_be_bytes());
    udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
    udp[6..8].fill(0);
    let pseudo =
        checksum::pseudo_header(egress.source.ip(), egress.target.ip(), usize::from(udp_len));
    if is_left {
        udp[6..8].copy_from_slice(&checksum::fold(pseudo).to_be_bytes());
        return;
    }
    let ports = u64::from(egress.source.port()) + u64::from(egress.target.port());
    let check = !checksum::fold(checksum::sum(pseudo + ports + u64::from(udp_len), message));
    // Zero means "no checksum"; a sum of zero goes out as all ones (RFC 768).
    let check = if check == 0 { 0xffff } else { check };
    udp[6..8].copy_from_slice(&check.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::{ChecksumPorts, Egress};
    use crate::decode::{DecodeRules, decode};
    use crate::fib::Adjacency;
    use crate::packet::{MemoryPacket, PacketBuf};
    use crate::testing::frames;
    use control_api::DropReason;

    /// With checksums in software.
    fn encode(
        packet: &mut MemoryPacket,
        prefix: &[u8],
        kept: core::ops::Range<usize>,
        egress: &Egress,
    ) -> Result<(), DropReason> {
        super::encode(packet, prefix, kept, egress, ChecksumPorts::default())
    }

    fn egress(source: &str, target: &str, vlan: Option<u16>) -> Egress {
        let source: core::net::SocketAddr = source.parse().unwrap();
        Egress {
            source,
            target: target.parse().unwrap(),
            transport: sip_core::Transport::Udp,
            is_on_flow: false,
            adjacency: Adjacency {
                port: 0,
                vlan,
                source_mac: [2, 0, 0, 0, 0, 1],
                target_mac: [2, 0, 0, 0, 0, 2],
                source: source.ip(),
                mtu: 1500,
                may_fragment: false,
            },
        }
    }

    #[test]
    fn what_is_encoded_decodes_again_in_both_families_and_with_a_tag() {
        let body = b"the body of the message stays where it is";
        for (from, to) in [("10.0.0.1:5060", "10.0.0.2:5070"), ("[fd00::1]:5060", "[fd00::2]:5070")]
        {
            for vlan in [None, Some(7)] {
                for prefix_len in [0, 10, 90, 700] {
                    let mut packet =
                        MemoryPacket::new(&frames::udp("10.9.0.1:5060", "10.9.0.2:5060", body));
                    let prefix = vec![b'p'; prefix_len];
                    encode(&mut packet, &prefix, 42 + 4..42 + body.len(), &egress(from, to, vlan))
                        .unwrap();
                    let seen =
                        decode(packet.frame(), DecodeRules { verify_checksums: true }).unwrap();
                    assert_eq!(seen.source.to_string(), from);
                    assert_eq!(seen.target.to_string(), to);
                    let message = &packet.frame()[seen.payload];
                    assert_eq!(message, [&prefix[..], &body[4..]].concat());
                }
            }
        }
    }

    #[test]
    fn a_new_packet_takes_a_message_as_large_as_the_mtu() {
        for len in [1, 300, 1_472] {
            let mut packet = MemoryPacket::new(&[]);
            let egress = egress("10.0.0.1:5060", "10.0.0.2:5060", Some(7));
            encode(&mut packet, &vec![b'm'; len], 0..0, &egress).unwrap();
            let seen = decode(packet.frame(), DecodeRules { verify_checksums: true }).unwrap();
            assert_eq!(packet.frame()[seen.payload], vec![b'm'; len]);
        }
    }

    #[test]
    fn a_nic_completes_to_the_same_bytes() {
        for (from, to) in [("10.0.0.1:5060", "10.0.0.2:5070"), ("[fd00::1]:5060", "[fd00::2]:5070")]
        {
            for (vlan, len) in
                [(None, 0), (None, 1), (Some(7), 300), (None, 1_301), (Some(7), 1_400)]
            {
                let message: Vec<u8> =
                    (0..len).map(|i: u32| i.wrapping_mul(37).to_le_bytes()[0]).collect();
                let egress = egress(from, to, vlan);
                let [mut soft, mut hard] = [MemoryPacket::new(&[]), MemoryPacket::new(&[])];
                encode(&mut soft, &message, 0..0, &egress).unwrap();
                super::encode(&mut hard, &message, 0..0, &egress, ChecksumPorts::ALL).unwrap();
                assert_ne!(hard.frame(), soft.frame(), "the checksum is left");
                hard.complete_checksum();
                assert_eq!(hard.frame(), soft.frame());
                // Another port's NIC cannot.
                super::encode(&mut hard, &message, 0..0, &egress, ChecksumPorts::default().with(1))
                    .unwrap();
                assert_eq!(hard.frame(), soft.frame());
            }
        }
    }

    #[test]
    fn only_a_narrow_path_lets_routers_fragment() {
        let mut egress = egress("10.0.0.1:5060", "10.0.0.2:5060", None);
        for may_fragment in [false, true] {
            egress.adjacency.may_fragment = may_fragment;
            let mut packet = MemoryPacket::new(&frames::udp("10.9.0.1:1", "10.9.0.2:2", b"body"));
            encode(&mut packet, b"a ", 42..46, &egress).unwrap();
            decode(packet.frame(), DecodeRules { verify_checksums: true }).unwrap();
            let (identification, flags) = (&packet.frame()[18..20], &packet.frame()[20..22]);
            if may_fragment {
                assert!(identification != [0, 0] && flags == [0, 0]);
            } else {
                assert!(identification == [0, 0] && flags == [0x40, 0]);
            }
        }
    }

    #[test]
    fn a_message_larger_than_the_mtu_is_refused_and_the_frame_left_alone() {
        let mut packet = MemoryPacket::new(&frames::udp("10.9.0.1:5060", "10.9.0.2:5060", b"body"));
        let before = packet.clone();
        let egress = egress("10.0.0.1:5060", "10.0.0.2:5060", None);
        assert_eq!(egress.message_max(), 1472);
        let refused = encode(&mut packet, &[b'x'; 1470], 42..46, &egress);
        assert_eq!(refused, Err(DropReason::EgressTooLarge));
        assert_eq!(packet.frame(), before.frame());
        assert_eq!(encode(&mut packet, &[b'x'; 1468], 42..46, &egress), Ok(()));
    }
}
