//! The Internet checksum (RFC 1071), in software.

use core::net::IpAddr;

/// Adds `bytes` to a running sum of 16-bit words in network order.
///
/// Only the last piece of a message may have an odd length.
pub fn sum(start: u64, bytes: &[u8]) -> u64 {
    // Adding 32-bit words in native order and swapping once at the end is what lets the compiler
    // use wide registers (RFC 1071 section 2, "byte order independence").
    let (words, rest) = bytes.as_chunks::<4>();
    let whole: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let last = match *rest {
        [] => 0,
        [a] => u32::from_ne_bytes([a, 0, 0, 0]),
        [a, b] => u32::from_ne_bytes([a, b, 0, 0]),
        [a, b, c, ..] => u32::from_ne_bytes([a, b, c, 0]),
    };
    let native = whole + u64::from(last);
    start + u64::from(u16::from_be(fold(native)))
}

/// Folds a running sum to 16 bits. The checksum is its complement; a correct header folds to 0xffff.
pub fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "two folds leave 16 bits")]
    let folded = sum as u16;
    folded
}

/// The sum over the pseudo header of a UDP datagram of `udp_len` bytes, header included
/// (RFC 768; RFC 8200 8.1).
pub fn pseudo_header(source: IpAddr, target: IpAddr, udp_len: usize) -> u64 {
    address(source) + address(target) + 17 + udp_len as u64
}

/// The sum of an address's 16-bit words.
#[inline]
fn address(address: IpAddr) -> u64 {
    let halves = |word: u32| u64::from(word >> 16) + u64::from(word & 0xffff);
    match address {
        IpAddr::V4(address) => halves(address.to_bits()),
        IpAddr::V6(address) => address.segments().iter().map(|word| u64::from(*word)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::{fold, sum};

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(0, &bytes)), 0xddf2);
    }

    #[test]
    fn every_length_agrees_with_the_plain_definition() {
        let bytes: Vec<u8> = (0..=255).map(|i: u8| i.wrapping_mul(89)).collect();
        for length in 0..bytes.len() {
            let plain: u64 = bytes[..length]
                .chunks(2)
                .map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)))
                .sum();
            assert_eq!(fold(sum(0, &bytes[..length])), fold(plain), "length {length}");
        }
    }
}
