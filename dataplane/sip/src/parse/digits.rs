//! Decimal numbers, eight digits at a time in a word.

use super::scan::word;
use crate::message::Span;

/// Reads the unsigned decimal that `span` holds, of at most ten digits and below 2^32; nothing else
/// may stand there.
#[inline(always)]
pub(crate) fn decimal(bytes: &[u8], span: Span) -> Option<u32> {
    let length = span.len();
    if length.wrapping_sub(1) >= 8 {
        return long_decimal(span.of(bytes));
    }
    let missing = 64 - 8 * length;
    let digits = word(bytes, span.start()) << missing ^ ZEROS << missing;
    (not_digits(digits) == 0).then(|| value_of(digits))
}

#[inline(never)]
fn long_decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = text.iter().fold(0, |value, &byte| value * 10 + u64::from(byte - b'0'));
    u32::try_from(value).ok()
}

/// Eight times the digit zero.
pub(crate) const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The highest bit of each byte that is no digit, once [`ZEROS`] are taken away.
#[inline(always)]
pub(crate) fn not_digits(digits: u64) -> u64 {
    (((digits & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080
}

/// The value of eight digits, the first in the lowest byte: pairs, then fours, then all.
#[inline(always)]
pub(crate) fn value_of(digits: u64) -> u32 {
    let pairs = digits.wrapping_mul((10 << 8) + 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul((100 << 16) + 1) >> 16 & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul((10_000 << 32) + 1) >> 32) as u32
}

/// Reads the port, 1 to 65535, that begins at `at`, and gives the position behind its digits.
#[inline(always)]
pub(crate) fn port(bytes: &[u8], at: usize, end: usize) -> Option<(u16, usize)> {
    let digits = word(bytes, at) ^ ZEROS;
    let length = (not_digits(digits).trailing_zeros() / 8) as usize;
    let length = length.min(end.saturating_sub(at));
    if length.wrapping_sub(1) >= 5 {
        return None;
    }
    let port = u16::try_from(value_of(digits << (64 - 8 * length))).ok()?;
    (port != 0).then_some((port, at + length))
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    #[test]
    fn numbers_are_whole_and_bounded() {
        let decimal = |text: &str| decimal(text.as_bytes(), Span::new(0, text.len()));
        for number in [0_u32, 7, 42, 999, 1_000, 65_535, 12_345_678, 99_999_999, 100_000_000] {
            assert_eq!(decimal(&number.to_string()), Some(number));
            assert_eq!(decimal(&format!("00{number}")), (number < 100_000_000).then_some(number));
        }
        assert_eq!(decimal("4294967295"), Some(u32::MAX));
        assert_eq!(decimal("4294967296"), None);
        assert_eq!(decimal("00000000001"), None);
        assert_eq!(decimal(""), None);
        for byte in (0..=255_u8).filter(|byte| !byte.is_ascii_digit()) {
            assert_eq!(super::decimal(&[b'1', byte], Span::new(0, 2)), None, "{byte}");
            assert_eq!(super::decimal(&[byte, b'1', b'2'], Span::new(0, 3)), None, "{byte}");
        }
        let port = |text: &str| port(text.as_bytes(), 0, text.len());
        assert_eq!(port("5060"), Some((5060, 4)));
        assert_eq!(port("7;branch"), Some((7, 1)));
        assert_eq!(port("65535 "), Some((65_535, 5)));
        assert_eq!(super::port(b"50600", 0, 4), Some((5060, 4)));
        for text in ["0", "65536", "", "x", ";", "005060", "123456789"] {
            assert_eq!(port(text), None, "{text}");
        }
    }
}
