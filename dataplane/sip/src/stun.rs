//! STUN Binding on the SIP port: the keep-alive of SIP over UDP (RFC 5626 sections 3.5.2 and 4.4.2),
//! by which a client behind a NAT keeps its binding and learns when it has changed.
//!
//! A basic server (RFC 8489 section 12): no credentials, and short answers to where the request came
//! from. Double CRLF is answered with CRLF on connections only (RFC 5626 section 3.5.1); over UDP it
//! is counted and no more.

use core::net::{IpAddr, SocketAddr};

use crc32fast::Hasher;
use smallvec::SmallVec;

use crate::limits::{STUN_MAX, STUN_UNKNOWN_MAX};
use crate::rewrite::output::{Full, Output};

/// RFC 8489 section 5. Its second byte stands in no SIP message before the first line has ended.
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Type, length, cookie and transaction id.
const HEADER_LENGTH: usize = 20;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_INDICATION: u16 = 0x0011;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;

/// What the CRC-32 of a fingerprint is XORed with (RFC 8489 section 14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Why a STUN datagram is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StunDrop {
    /// It breaks RFC 8489, its fingerprint is wrong, or it is no Binding request.
    Malformed,
    /// A Binding indication, which wants no answer: it keeps the NAT's binding alive.
    Indication,
    /// The answer does not fit the output.
    ReplyTooLarge,
}

impl From<Full> for StunDrop {
    fn from(_: Full) -> Self {
        Self::ReplyTooLarge
    }
}

/// Whether the datagram is STUN and not SIP: its first two bits are zero, and it bears the cookie
/// (RFC 8489 section 5).
#[inline]
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|&first| first < 0x40)
        && datagram.get(4..8).is_some_and(|cookie| cookie == MAGIC_COOKIE)
}

/// Writes the answer to the STUN message `datagram`, which came from `source`, into `out`, which is
/// cleared first. It is to be sent to `source`, from where the request was received.
pub fn answer(datagram: &[u8], source: SocketAddr, out: &mut Output) -> Result<(), StunDrop> {
    out.clear();
    let request = Request::read(datagram)?;
    if request.unknown.is_empty() {
        success(datagram, source, &request, out)?;
    } else {
        unknown_attributes(datagram, &request, out)?;
    }
    if request.has_fingerprint {
        let crc = fingerprint(out.bytes());
        push_attribute(FINGERPRINT, &crc.to_be_bytes(), out)?;
    }
    Ok(())
}

/// What the answer depends on.
struct Request {
    has_fingerprint: bool,
    /// Attributes that must be understood and are not.
    unknown: SmallVec<[u16; STUN_UNKNOWN_MAX]>,
}

impl Request {
    /// RFC 8489 section 6.3: what is wrong is dropped in silence.
    fn read(datagram: &[u8]) -> Result<Self, StunDrop> {
        let kind = word(datagram, 0).ok_or(StunDrop::Malformed)?;
        let length = word(datagram, 2).ok_or(StunDrop::Malformed)?;
        let is_whole = usize::from(length) + HEADER_LENGTH == datagram.len();
        if !is_stun(datagram) || !is_whole || length % 4 != 0 || datagram.len() > STUN_MAX {
            return Err(StunDrop::Malformed);
        }
        let mut request = Self { has_fingerprint: false, unknown: SmallVec::new() };
        request.read_attributes(datagram)?;
        match kind {
            BINDING_REQUEST => Ok(request),
            BINDING_INDICATION => Err(StunDrop::Indication),
            _ => Err(StunDrop::Malformed),
        }
    }

    fn read_attributes(&mut self, datagram: &[u8]) -> Result<(), StunDrop> {
        let (mut at, mut is_signed) = (HEADER_LENGTH, false);
        while at < datagram.len() {
            let kind = word(datagram, at).ok_or(StunDrop::Malformed)?;
            let length = usize::from(word(datagram, at + 2).ok_or(StunDrop::Malformed)?);
            let value = at + 4..at + 4 + length;
            let next = value.end.next_multiple_of(4);
            let value = datagram.get(value).ok_or(StunDrop::Malformed)?;
            match kind {
                FINGERPRINT => {
                    // The last one, over all that stands before it.
                    let crc = fingerprint(datagram.get(..at).unwrap_or_default());
                    if next != datagram.len() || value != crc.to_be_bytes() {
                        return Err(StunDrop::Malformed);
                    }
                    self.has_fingerprint = true;
                }
                // Nobody gave us a key, so it says nothing; what follows it does not count.
                MESSAGE_INTEGRITY | MESSAGE_INTEGRITY_SHA256 => is_signed = true,
                _ if is_signed || is_understood(kind) => {}
                _ if self.unknown.len() == STUN_UNKNOWN_MAX => {}
                _ => self.unknown.push(kind),
            }
            at = next;
        }
        if at == datagram.len() { Ok(()) } else { Err(StunDrop::Malformed) }
    }
}

/// Whether an attribute may stand in a request: those of RFC 8489 section 18.3, and any above 0x7fff,
/// which need not be understood. The ones of the first STUN (RFC 3489), such as CHANGE-REQUEST, and
/// those of ICE do need to be.
fn is_understood(kind: u16) -> bool {
    matches!(kind, 0x0001 | 0x0006 | 0x0009 | 0x000a | 0x0014 | 0x0015 | 0x001d | 0x001e | 0x0020)
        || kind > 0x7fff
}

/// XOR-MAPPED-ADDRESS (RFC 8489 section 14.2).
fn success(
    datagram: &[u8],
    source: SocketAddr,
    request: &Request,
    out: &mut Output,
) -> Result<(), Full> {
    // Cookie and transaction id.
    let mask = datagram.get(4..HEADER_LENGTH).unwrap_or_default();
    let mut value = [0; 20];
    let octets = match source.ip() {
        IpAddr::V4(ip) => {
            value[1] = 1;
            value[4..8].copy_from_slice(&ip.octets());
            4
        }
        IpAddr::V6(ip) => {
            value[1] = 2;
            value[4..].copy_from_slice(&ip.octets());
            16
        }
    };
    value[2..4].copy_from_slice(&source.port().to_be_bytes());
    for at in 0..2 {
        value[2 + at] ^= MAGIC_COOKIE[at];
    }
    for (byte, mask) in value[4..].iter_mut().zip(mask) {
        *byte ^= mask;
    }
    push_header(BINDING_SUCCESS, 4 + 4 + octets, datagram, request, out)?;
    push_attribute(XOR_MAPPED_ADDRESS, &value[..4 + octets], out)
}

/// 420 with the list (RFC 8489 sections 6.3.1, 14.8, 14.9).
fn unknown_attributes(datagram: &[u8], request: &Request, out: &mut Output) -> Result<(), Full> {
    const ERROR: &[u8] = b"\0\0\x04\x14Unknown Attribute";
    let list = 2 * request.unknown.len();
    let body = 4 + ERROR.len().next_multiple_of(4) + 4 + list.next_multiple_of(4);
    push_header(BINDING_ERROR, body, datagram, request, out)?;
    push_attribute(ERROR_CODE, ERROR, out)?;
    let mut types = [0; 2 * STUN_UNKNOWN_MAX];
    for (to, kind) in types.chunks_exact_mut(2).zip(&request.unknown) {
        to.copy_from_slice(&kind.to_be_bytes());
    }
    push_attribute(UNKNOWN_ATTRIBUTES, &types[..list], out)
}

/// The header of an answer with `body` bytes of attributes, and a fingerprint if one is wanted.
fn push_header(
    kind: u16,
    body: usize,
    datagram: &[u8],
    request: &Request,
    out: &mut Output,
) -> Result<(), Full> {
    let length = body + if request.has_fingerprint { 8 } else { 0 };
    out.push(&kind.to_be_bytes())?;
    out.push(&u16::try_from(length).unwrap_or(0).to_be_bytes())?;
    out.push(datagram.get(4..HEADER_LENGTH).unwrap_or_default())
}

fn push_attribute(kind: u16, value: &[u8], out: &mut Output) -> Result<(), Full> {
    out.push(&kind.to_be_bytes())?;
    out.push(&u16::try_from(value.len()).unwrap_or(0).to_be_bytes())?;
    out.push(value)?;
    let padding = value.len().next_multiple_of(4) - value.len();
    out.push(&[0; 4][..padding])
}

/// The fingerprint of a message of which `before` is all but that attribute.
fn fingerprint(before: &[u8]) -> u32 {
    let mut crc = Hasher::new();
    crc.update(before);
    crc.finalize() ^ FINGERPRINT_XOR
}

/// The 16-bit number at `at`.
fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    const TRANSACTION: [u8; 12] =
        [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    /// A message of this type with attributes, and a fingerprint if wanted.
    fn message(kind: u16, attributes: &[u8], with_fingerprint: bool) -> Vec<u8> {
        let length = attributes.len() + if with_fingerprint { 8 } else { 0 };
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        bytes.extend(MAGIC_COOKIE);
        bytes.extend(TRANSACTION);
        bytes.extend(attributes);
        if with_fingerprint {
            let crc = fingerprint(&bytes);
            bytes.extend([0x80, 0x28, 0, 4]);
            bytes.extend(crc.to_be_bytes());
        }
        bytes
    }

    fn answered(datagram: &[u8], source: &str) -> Result<Vec<u8>, StunDrop> {
        let mut out = Output::new();
        answer(datagram, source.parse().unwrap(), &mut out)?;
        Ok(out.bytes().to_vec())
    }

    #[test]
    fn rfc_5769_mapped_addresses() {
        let request = message(BINDING_REQUEST, b"", false);
        let mapped = b"\0\x20\0\x08\0\x01\xa1\x47\xe1\x12\xa6\x43";
        let expected = message(BINDING_SUCCESS, mapped, false);
        assert_eq!(answered(&request, "192.0.2.1:32853").unwrap(), expected);
        let mapped = b"\0\x20\0\x14\0\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\
                       \xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";
        let expected = message(BINDING_SUCCESS, mapped, false);
        let source = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
        assert_eq!(answered(&request, source).unwrap(), expected);
    }

    /// RFC 5769 section 2.1: a request of ICE, whose PRIORITY a basic server must not accept.
    #[test]
    fn rfc_5769_request_with_fingerprint() {
        let attributes = b"\x80\x22\0\x10STUN test client\0\x24\0\x04\x6e\0\x01\xff\
            \x80\x29\0\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\0\x06\0\x09evtj:h6vY   \
            \0\x08\0\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\
            \xc1\xb5\x71\xa2\x80\x28\0\x04\xe5\x7a\x3b\xcf";
        let request = message(BINDING_REQUEST, attributes, false);
        let error = b"\0\x09\0\x15\0\0\x04\x14Unknown Attribute\0\0\0\0\x0a\0\x02\0\x24\0\0";
        let expected = message(BINDING_ERROR, error, true);
        assert_eq!(answered(&request, "192.0.2.1:32853").unwrap(), expected);
        let mut damaged = request;
        damaged[24] ^= 1;
        assert_eq!(answered(&damaged, "192.0.2.1:32853"), Err(StunDrop::Malformed));
    }

    #[test]
    fn fingerprint_is_given_when_asked_with_one() {
        let request = message(BINDING_REQUEST, b"", true);
        let mapped = b"\0\x20\0\x08\0\x01\xa1\x47\xe1\x12\xa6\x43";
        let expected = message(BINDING_SUCCESS, mapped, true);
        assert_eq!(answered(&request, "192.0.2.1:32853").unwrap(), expected);
    }

    #[test]
    fn unknown_attributes_are_listed_and_bounded() {
        let many = b"\0\x03\0\x04\0\0\0\x06".repeat(100);
        let reply = answered(&message(BINDING_REQUEST, &many, false), "192.0.2.1:1").unwrap();
        assert_eq!(reply.len(), 20 + 4 + 24 + 4 + 2 * STUN_UNKNOWN_MAX);
        // What need not be understood, and what is known, passes.
        let known = b"\x80\x22\0\x01x\0\0\0\0\x06\0\x01u\0\0\0\0\x08\0\0\0\x24\0\0";
        let reply = answered(&message(BINDING_REQUEST, known, false), "192.0.2.1:1").unwrap();
        assert_eq!(reply[..2], [1, 1]);
    }

    #[test]
    fn what_is_no_binding_request_is_dropped() {
        let good = message(BINDING_REQUEST, b"\x80\x22\0\x01x\0\0\0", true);
        assert!(answered(&good, "192.0.2.1:1").is_ok());
        for end in 0..good.len() {
            assert_eq!(answered(&good[..end], "192.0.2.1:1"), Err(StunDrop::Malformed), "{end}");
        }
        let dropped = |kind, attributes: &[u8]| {
            answered(&message(kind, attributes, false), "192.0.2.1:1").unwrap_err()
        };
        assert_eq!(dropped(BINDING_INDICATION, b""), StunDrop::Indication);
        assert_eq!(dropped(BINDING_SUCCESS, b""), StunDrop::Malformed);
        assert_eq!(dropped(BINDING_ERROR, b""), StunDrop::Malformed);
        assert_eq!(dropped(0x0003, b""), StunDrop::Malformed); // Allocate (RFC 8656)
        assert_eq!(dropped(BINDING_REQUEST, b"\0\x06\0\x09abcd"), StunDrop::Malformed);
        assert_eq!(dropped(BINDING_REQUEST, b"\0\x06"), StunDrop::Malformed);
        let long = b"\x80\x22\0\0".repeat(STUN_MAX / 4);
        assert_eq!(dropped(BINDING_REQUEST, &long), StunDrop::Malformed);
        let inside = [&good[28..36], b"\x80\x22\0\0"].concat();
        assert_eq!(dropped(BINDING_REQUEST, &inside), StunDrop::Malformed);
    }

    #[test]
    fn sip_is_no_stun() {
        for text in [&b"OPTIONS sip:a SIP/2.0\r\n"[..], b"!x\r\n", b"", b"\r\n\r\n", b"\0\0\0\0"] {
            assert!(!is_stun(text));
        }
        assert!(is_stun(&message(BINDING_REQUEST, b"", false)));
    }
}
