//! Frames made by hand, with right checksums.

use crate::checksum;
use core::net::{IpAddr, SocketAddr};

/// An Ethernet frame with one UDP datagram. Both addresses must be of one family.
///
/// # Panics
/// When an address does not parse or the families differ: a mistake in a test.
pub fn udp(source: &str, target: &str, payload: &[u8]) -> Vec<u8> {
    let source: SocketAddr = source.parse().expect("source address");
    let target: SocketAddr = target.parse().expect("target address");
    udp_between(source, target, payload)
}

/// As [`udp`], from addresses.
///
/// # Panics
/// When the families differ or the payload is over 65,000 bytes.
pub fn udp_between(source: SocketAddr, target: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let udp_len = u16::try_from(8 + payload.len()).expect("a payload that fits a datagram");
    let mut udp = Vec::with_capacity(usize::from(udp_len));
    udp.extend_from_slice(&source.port().to_be_bytes());
    udp.extend_from_slice(&target.port().to_be_bytes());
    udp.extend_from_slice(&udp_len.to_be_bytes());
    udp.extend_from_slice(&[0, 0]);
    udp.extend_from_slice(payload);
    let pseudo = checksum::pseudo_header(source.ip(), target.ip(), udp.len());
    let check = !checksum::fold(checksum::sum(pseudo, &udp));
    udp[6..8].copy_from_slice(&check.to_be_bytes());

    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8];
    match (source.ip(), target.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend_from_slice(&[0x08, 0x00, 0x45, 0]);
            frame.extend_from_slice(&(udp_len + 20).to_be_bytes());
            frame.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
            frame.extend_from_slice(&from.octets());
            frame.extend_from_slice(&to.octets());
            fix_ipv4_checksum(&mut frame);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend_from_slice(&udp_len.to_be_bytes());
            frame.extend_from_slice(&[17, 64]);
            frame.extend_from_slice(&from.octets());
            frame.extend_from_slice(&to.octets());
        }
        _ => panic!("the families of source and target differ"),
    }
    frame.extend_from_slice(&udp);
    frame
}

/// Writes the right header checksum into an untagged IPv4 frame without options.
pub fn fix_ipv4_checksum(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let check = !checksum::fold(checksum::sum(0, &frame[14..34]));
    frame[24..26].copy_from_slice(&check.to_be_bytes());
}
