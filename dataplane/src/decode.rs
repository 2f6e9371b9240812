//! Ethernet, VLAN, IPv4/IPv6 and UDP headers, read strictly: a frame whose lengths contradict each
//! other is dropped with its reason, and Ethernet padding never counts as payload.

use crate::checksum;
use control_api::DropReason;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ops::Range;

/// Length of an Ethernet header without tags.
pub const ETHERNET_LEN: usize = 14;
/// Length of one VLAN tag (IEEE 802.1Q).
pub const VLAN_LEN: usize = 4;
/// Length of an IPv4 header without options (RFC 791).
pub const IPV4_LEN: usize = 20;
/// Length of an IPv6 header (RFC 8200).
pub const IPV6_LEN: usize = 40;
/// Length of a UDP header (RFC 768).
pub const UDP_LEN: usize = 8;
/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of a customer VLAN tag (IEEE 802.1Q).
pub const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
/// IP protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
const NEXT_HEADER_HOP_BY_HOP: u8 = 0;
const NEXT_HEADER_ROUTING: u8 = 43;
const NEXT_HEADER_FRAGMENT: u8 = 44;
const NEXT_HEADER_DESTINATION: u8 = 60;

/// One UDP datagram inside a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where it came from.
    pub source: SocketAddr,
    /// Where it was sent to.
    pub target: SocketAddr,
    /// The UDP payload's place in the frame.
    pub payload: Range<usize>,
}

/// Which checks the port wants.
#[derive(Clone, Copy, Debug)]
pub struct DecodeRules {
    /// Verify UDP checksums. Off for veth, whose peers hand over partial sums.
    pub verify_checksums: bool,
}

/// Reads the headers of one frame, and verifies its checksums.
///
/// # Errors
/// The reason for which the frame is to be dropped.
pub fn decode(frame: &[u8], rules: DecodeRules) -> Result<Datagram, DropReason> {
    let datagram = locate(frame)?;
    verify(frame, &datagram, rules)?;
    Ok(datagram)
}

/// What a frame carries if it looks like nearly all do: an untagged IPv4 packet without options, with UDP. Nothing is
/// verified, and padding is not taken off.
#[inline]
pub fn usual_payload(frame: &[u8]) -> Option<&[u8]> {
    let (headers, payload) = frame.split_first_chunk::<{ ETHERNET_LEN + IPV4_LEN + UDP_LEN }>()?;
    let is_usual = headers[12..15] == [0x08, 0x00, 0x45] && headers[23] == PROTOCOL_UDP;
    is_usual.then_some(payload)
}

/// Reads the headers of one frame; what lies behind them is not looked at.
///
/// # Errors
/// The reason for which the frame is to be dropped.
#[inline]
pub fn locate(frame: &[u8]) -> Result<Datagram, DropReason> {
    let (ethertype, packet) = ethernet(frame)?;
    let (source, target, udp) = match ethertype {
        ETHERTYPE_IPV4 => ipv4(frame, packet)?,
        ETHERTYPE_IPV6 => ipv6(frame, packet)?,
        _ => return Err(DropReason::EtherType),
    };
    let (ports, payload) = self::udp(frame, udp)?;
    if ports[0] == 0 {
        return Err(DropReason::PortZero);
    }
    Ok(Datagram {
        source: SocketAddr::new(source, ports[0]),
        target: SocketAddr::new(target, ports[1]),
        payload,
    })
}

/// Verifies the UDP checksum of the datagram that was located in the frame, if the port wants that.
///
/// # Errors
/// That it is wrong.
#[inline]
pub fn verify(frame: &[u8], datagram: &Datagram, rules: DecodeRules) -> Result<(), DropReason> {
    if !rules.verify_checksums {
        return Ok(());
    }
    let udp = datagram.payload.start - UDP_LEN..datagram.payload.end;
    verify_udp(frame, udp, datagram.source.ip(), datagram.target.ip())
}

/// Gives the EtherType behind at most one VLAN tag, and where the packet starts.
fn ethernet(frame: &[u8]) -> Result<(u16, usize), DropReason> {
    let outer = be16(frame, 12)?;
    if !is_vlan(outer) {
        return Ok((outer, ETHERNET_LEN));
    }
    let inner = be16(frame, 16)?;
    if is_vlan(inner) {
        return Err(DropReason::VlanNested);
    }
    Ok((inner, ETHERNET_LEN + VLAN_LEN))
}

fn is_vlan(ethertype: u16) -> bool {
    ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN
}

type Addressed = (IpAddr, IpAddr, Range<usize>);

fn ipv4(frame: &[u8], start: usize) -> Result<Addressed, DropReason> {
    let header: &[u8; IPV4_LEN] =
        frame.get(start..).and_then(<[u8]>::first_chunk).ok_or(DropReason::FrameTruncated)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let end = start + total_len;
    if header[0] >> 4 != 4 || header_len < IPV4_LEN || total_len < header_len || end > frame.len() {
        return Err(DropReason::Ipv4Header);
    }
    if checksum::fold(checksum::sum(0, &frame[start..start + header_len])) != 0xffff {
        return Err(DropReason::Ipv4Checksum);
    }
    // More-fragments flag or an offset: only a whole datagram has neither (RFC 791 3.2).
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return Err(DropReason::Fragment);
    }
    if header[9] != PROTOCOL_UDP {
        return Err(DropReason::NotUdp);
    }
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let target = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    // RFC 1122 3.2.1.3: none of these may be a source address on the wire.
    if source.is_multicast()
        || source.is_broadcast()
        || source.is_loopback()
        || source.octets()[0] == 0
    {
        return Err(DropReason::SourceAddress);
    }
    Ok((IpAddr::V4(source), IpAddr::V4(target), start + header_len..end))
}

fn ipv6(frame: &[u8], start: usize) -> Result<Addressed, DropReason> {
    let header: &[u8; IPV6_LEN] =
        frame.get(start..).and_then(<[u8]>::first_chunk).ok_or(DropReason::FrameTruncated)?;
    let payload = start + IPV6_LEN;
    let end = payload + usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 || end > frame.len() {
        return Err(DropReason::Ipv6Header);
    }
    match header[6] {
        PROTOCOL_UDP => {}
        NEXT_HEADER_FRAGMENT => return Err(DropReason::Fragment),
        NEXT_HEADER_HOP_BY_HOP | NEXT_HEADER_ROUTING | NEXT_HEADER_DESTINATION => {
            return Err(DropReason::Ipv6Header);
        }
        _ => return Err(DropReason::NotUdp),
    }
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&header[at..at + 16]);
        Ipv6Addr::from(octets)
    };
    let (source, target) = (address(8), address(24));
    if source.is_multicast() || source.is_unspecified() || source.is_loopback() {
        return Err(DropReason::SourceAddress);
    }
    Ok((IpAddr::V6(source), IpAddr::V6(target), payload..end))
}

/// Gives source and target port, and the payload's place. The UDP length must be all of the IP payload.
fn udp(frame: &[u8], datagram: Range<usize>) -> Result<([u16; 2], Range<usize>), DropReason> {
    let header: &[u8; UDP_LEN] =
        frame[datagram.clone()].first_chunk().ok_or(DropReason::FrameTruncated)?;
    if usize::from(u16::from_be_bytes([header[4], header[5]])) != datagram.len() {
        return Err(DropReason::UdpLength);
    }
    let ports =
        [u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]])];
    Ok((ports, datagram.start + UDP_LEN..datagram.end))
}

fn verify_udp(
    frame: &[u8],
    datagram: Range<usize>,
    source: IpAddr,
    target: IpAddr,
) -> Result<(), DropReason> {
    let bytes = &frame[datagram];
    if bytes[6..8] == [0, 0] {
        // "No checksum" is legal over IPv4 (RFC 768) and not over IPv6 (RFC 8200 8.1).
        return if source.is_ipv4() { Ok(()) } else { Err(DropReason::UdpChecksum) };
    }
    let pseudo = checksum::pseudo_header(source, target, bytes.len());
    if checksum::fold(checksum::sum(pseudo, bytes)) == 0xffff {
        Ok(())
    } else {
        Err(DropReason::UdpChecksum)
    }
}

fn be16(frame: &[u8], at: usize) -> Result<u16, DropReason> {
    frame
        .get(at..at + 2)
        .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
        .ok_or(DropReason::FrameTruncated)
}

#[cfg(test)]
mod tests {
    use super::{DecodeRules, decode};
    use crate::testing::frames;
    use control_api::DropReason;

    const STRICT: DecodeRules = DecodeRules { verify_checksums: true };

    #[test]
    fn a_whole_datagram_is_found_behind_padding_and_a_vlan_tag() {
        for (from, to) in [("10.0.0.1:5060", "10.0.0.2:5070"), ("[fd00::1]:1", "[fd00::2]:5060")] {
            let mut frame = frames::udp(from, to, b"hello");
            frame.extend_from_slice(&[0xaa; 13]);
            let seen = decode(&frame, STRICT).unwrap();
            assert_eq!(seen.source.to_string(), from);
            assert_eq!(seen.target.to_string(), to);
            assert_eq!(&frame[seen.payload], b"hello");

            frame.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
            assert_eq!(&frame[decode(&frame, STRICT).unwrap().payload], b"hello");
            frame.splice(12..12, [0x88, 0xa8, 0x00, 0x07]);
            assert_eq!(decode(&frame, STRICT), Err(DropReason::VlanNested));
        }
    }

    #[test]
    fn each_contradiction_has_its_reason() {
        let good = frames::udp("10.0.0.1:5060", "10.0.0.2:5060", b"hello");
        let patched = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = good.clone();
            edit(&mut frame);
            frames::fix_ipv4_checksum(&mut frame);
            decode(&frame, STRICT).unwrap_err()
        };
        assert_eq!(patched(&|f| f[12] = 0x99), DropReason::EtherType);
        assert_eq!(patched(&|f| f[14] = 0x44), DropReason::Ipv4Header, "IHL of four words");
        assert_eq!(patched(&|f| f[14] = 0x65), DropReason::Ipv4Header, "version six");
        assert_eq!(patched(&|f| f[16] = 0xff), DropReason::Ipv4Header, "longer than the frame");
        assert_eq!(patched(&|f| f[20] = 0x20), DropReason::Fragment, "more fragments");
        assert_eq!(patched(&|f| f[21] = 0x01), DropReason::Fragment, "an offset");
        assert_eq!(patched(&|f| f[23] = 6), DropReason::NotUdp);
        assert_eq!(patched(&|f| f[26] = 224), DropReason::SourceAddress);
        assert_eq!(patched(&|f| f[39] = 9), DropReason::UdpLength);
        assert_eq!(patched(&|f| f[42] ^= 1), DropReason::UdpChecksum);
        assert_eq!(patched(&|f| f[34..42].fill(0)), DropReason::UdpLength);

        let mut frame = good.clone();
        frame[24] ^= 1;
        assert_eq!(decode(&frame, STRICT), Err(DropReason::Ipv4Checksum));
        let frame = frames::udp("10.0.0.1:0", "10.0.0.2:5060", b"x");
        assert_eq!(decode(&frame, STRICT), Err(DropReason::PortZero));
    }

    #[test]
    fn no_cut_makes_it_panic() {
        for to in ["10.0.0.2:5060", "[fd00::2]:5060"] {
            let from = if to.starts_with('[') { "[fd00::1]:9" } else { "10.0.0.1:9" };
            let frame = frames::udp(from, to, b"payload");
            for cut in 0..frame.len() {
                assert!(decode(&frame[..cut], STRICT).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn checksums_are_left_alone_where_the_port_says_so() {
        let mut frame = frames::udp("10.0.0.1:5060", "10.0.0.2:5060", b"hello");
        frame[40] ^= 0xff;
        assert_eq!(decode(&frame, STRICT), Err(DropReason::UdpChecksum));
        assert!(decode(&frame, DecodeRules { verify_checksums: false }).is_ok());
        let mut frame = frames::udp("[fd00::1]:5060", "[fd00::2]:5060", b"hello");
        frame[60..62].fill(0);
        assert_eq!(decode(&frame, STRICT), Err(DropReason::UdpChecksum));
    }
}
