//! `received` and `rport` of the topmost Via (RFC 3261 section 18.2.1, RFC 3581 section 4).

use core::fmt::{self, Write};
use core::net::{IpAddr, SocketAddr};

use crate::message::Span;
use crate::parse::uri::dotted;
use crate::parse::via::Via;
use crate::settings::Transport;

/// Tells `put` what the topmost Via must say so that the response goes back to where the request
/// came from: the part of the message to replace, and its new text in two pieces; in order. What the
/// client wrote there itself is replaced too. What came over a connection gets both: they name it, and the
/// response goes back over it (RFC 3261 section 18.2.2).
#[inline]
pub(super) fn mark(
    bytes: &[u8],
    via: &Via,
    (source, transport): (SocketAddr, Transport),
    mut put: impl FnMut(Span, &[u8], &[u8]),
) {
    let is_rport_first = via.rport.place.start() < via.received.place.start();
    if via.rport.exists() && is_rport_first {
        put_port(via.rport.place, source.port(), &mut put);
    }
    if via.received.exists() {
        put_address(via.received.place, b"=", source.ip(), &mut put);
    }
    if via.rport.exists() && !is_rport_first {
        put_port(via.rport.place, source.port(), &mut put);
    }
    // A host name is another than the source address, too.
    let is_connection = transport.is_connection();
    let is_needed = is_connection || via.rport.exists() || !via.is_at(bytes, source.ip());
    let end = Span::new(via.params_end(), via.params_end());
    if !via.received.exists() && is_needed {
        put_address(end, b";received=", source.ip(), &mut put);
    }
    if is_connection && !via.rport.exists() {
        put(end, b";rport", b"");
        put_port(end, source.port(), &mut put);
    }
}

/// `=5060`
#[inline(always)]
fn put_port(place: Span, port: u16, put: &mut impl FnMut(Span, &[u8], &[u8])) {
    let (mut text, mut length, mut left) = (0_u64, 0, port);
    loop {
        text = text << 8 | u64::from(b'0' + (left % 10) as u8);
        left /= 10;
        length += 1;
        if left == 0 {
            break;
        }
    }
    put(place, b"=", text.to_le_bytes().get(..length).unwrap_or_default());
}

/// The address without brackets, as it stands in `received`.
#[inline(always)]
fn put_address(
    place: Span,
    name: &[u8],
    address: IpAddr,
    put: &mut impl FnMut(Span, &[u8], &[u8]),
) {
    match address {
        IpAddr::V4(v4) => {
            let (text, length) = dotted(v4);
            put(place, name, text.get(..length).unwrap_or_default());
        }
        IpAddr::V6(v6) => {
            let mut text = Ipv6Text::default();
            let written = write!(text, "{v6}");
            debug_assert!(written.is_ok(), "an address fits");
            put(place, name, text.bytes.get(..text.length).unwrap_or_default());
        }
    }
}

/// The text of an IPv6 address: at most 45 bytes.
struct Ipv6Text {
    bytes: [u8; 48],
    length: usize,
}

impl Default for Ipv6Text {
    fn default() -> Self {
        Self { bytes: [0; 48], length: 0 }
    }
}

impl Write for Ipv6Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use core::net::Ipv4Addr;

    use super::*;

    #[test]
    fn every_octet_and_port_is_spelled_right() {
        for octet in 0..=255_u8 {
            for address in [[octet, 0, 10, 255], [255, 100, 9, octet]] {
                let address = Ipv4Addr::from(address);
                let (text, length) = dotted(address);
                assert_eq!(text[..length], *address.to_string().as_bytes());
            }
        }
        for port in [1, 9, 10, 80, 999, 5060, 10_000, 65_535] {
            let check = &mut |_, _: &[u8], text: &[u8]| {
                assert_eq!(text, port.to_string().as_bytes());
            };
            put_port(Span::default(), port, check);
        }
    }

    #[test]
    fn longest_ipv6_address_fits() {
        let address: IpAddr = "1111:2222:3333:4444:5555:6666:7777:8888".parse().unwrap();
        put_address(Span::default(), b"", address, &mut |_, _: &[u8], text: &[u8]| {
            assert_eq!(text, address.to_string().as_bytes());
        });
    }
}
