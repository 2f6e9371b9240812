//! Searching bytes: the next byte that ends something, and the small byte classes.

use wide::u8x16;

use crate::message::Span;

/// `N` bytes from `at` on, which is a position in a message; cast down and up again it tells the
/// compiler that adding to it cannot overflow.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "positions in a message fit `u16`")]
pub(crate) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    let at = at as u32 as usize;
    bytes.get(at..at + N)?.first_chunk()
}

/// The eight bytes from `at` on as a word, the first lowest; zeros behind the end of the message.
#[inline(always)]
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    match chunk(bytes, at) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => last_word(bytes, at),
    }
}

/// Whether two parts of a message hold the same bytes; quick when they are short.
#[inline(always)]
pub(crate) fn is_same(bytes: &[u8], one: Span, other: Span) -> bool {
    let length = one.len();
    if length != other.len() || length.wrapping_sub(1) >= 8 {
        return one.of(bytes) == other.of(bytes);
    }
    let differ = word(bytes, one.start()) ^ word(bytes, other.start());
    differ << (64 - 8 * length) == 0
}

#[inline(never)]
fn last_word(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The first position in `at..end` of a byte up to SP or of one of `stops`; `end` if there is none.
#[inline(always)]
pub(crate) fn find_stop<const N: usize>(
    bytes: &[u8],
    mut at: usize,
    end: usize,
    stops: [u8; N],
) -> usize {
    while let Some(&sixteen) = chunk(bytes, at) {
        let sixteen = u8x16::new(sixteen);
        let mut found = sixteen.min(u8x16::splat(b' ')).simd_eq(sixteen);
        for stop in stops {
            found |= sixteen.simd_eq(u8x16::splat(stop));
        }
        let found = found.to_bitmask();
        if found != 0 {
            return end.min(at + found.trailing_zeros() as usize);
        }
        at += 16;
        if at >= end {
            return end;
        }
    }
    let is_stop = |byte: &u8| *byte <= b' ' || stops.contains(byte);
    let rest = bytes.get(at..end).unwrap_or_default();
    rest.iter().position(is_stop).map_or(end, |offset| at + offset)
}

/// The first position in `at..end` of a byte that is in no host name or IPv4 address; `end` if there
/// is none. The underscore is no host name byte, but it is in use.
#[inline(always)]
pub(crate) fn host_end(bytes: &[u8], mut at: usize, end: usize) -> usize {
    while let Some(&sixteen) = chunk(bytes, at) {
        let sixteen = u8x16::new(sixteen);
        let is_in = |from: u8x16, first: u8, count: u8| {
            let offset = from - u8x16::splat(first);
            offset.min(u8x16::splat(count - 1)).simd_eq(offset)
        };
        let letters = is_in(sixteen | u8x16::splat(0x20), b'a', 26);
        // "-", "." and the digits follow each other but for the slash.
        let others = is_in(sixteen, b'-', 13) & !sixteen.simd_eq(u8x16::splat(b'/'));
        let host = letters | others | sixteen.simd_eq(u8x16::splat(b'_'));
        let stop = !host.to_bitmask() & 0xffff;
        if stop != 0 {
            return end.min(at + stop.trailing_zeros() as usize);
        }
        at += 16;
        if at >= end {
            return end;
        }
    }
    let rest = bytes.get(at..end).unwrap_or_default();
    rest.iter().position(|&byte| !is_host_byte(byte)).map_or(end, |offset| at + offset)
}

/// Whether `byte` may stand in a host name or IPv4 address.
#[inline]
pub(crate) fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

/// Whether the bytes of `span` are `name`, which is in lower case, in any case.
#[inline(always)]
pub(crate) fn is_name<const N: usize>(bytes: &[u8], span: Span, name: &[u8; N]) -> bool {
    const { assert!(N > 0 && N <= 16) };
    // Of the bytes that are a letter once 0x20 is set, all are letters; of those that are a digit,
    // the others lie below SP and end every value that is compared here.
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let is_part = |at: usize, length: usize| {
        let wanted = name[at..at + length].iter().rev();
        let wanted = wanted.fold(0, |word, &byte| word << 8 | u64::from(byte));
        let found = word(bytes, span.start() + at) | SMALL;
        (found ^ wanted) << (64 - 8 * length) == 0
    };
    span.len() == N && is_part(0, N.min(8)) && (N <= 8 || is_part(N - 8, 8))
}

/// White space inside a folded value: `LWS = [*WSP CRLF] 1*WSP`.
#[inline]
pub(crate) fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The first position at or behind `at` that is not white space.
#[inline]
pub(crate) fn skip_lws(bytes: &[u8], mut at: usize, end: usize) -> usize {
    while at < end && bytes.get(at).copied().is_some_and(is_lws) {
        at += 1;
    }
    at
}

/// `start..end` without white space at its end.
#[inline]
pub(crate) fn trim_end(bytes: &[u8], start: usize, mut end: usize) -> usize {
    while end > start && bytes.get(end - 1).copied().is_some_and(is_lws) {
        end -= 1;
    }
    end
}

/// `token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~")`
#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Whether `text` is a token.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

static TOKEN: [bool; 256] = table(b"-.!%*_+`'~");

/// A table that holds letters, digits and the bytes of `others`.
pub(crate) const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    let mut i = 0;
    while i < others.len() {
        table[others[i] as usize] = true;
        i += 1;
    }
    table
}

/// The end of the quoted string whose opening quote stands at `at`: one past the closing quote.
/// `quoted-pair` hides a quote (RFC 3261 section 25.1).
pub(crate) fn quoted_string(bytes: &[u8], at: usize, end: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at = find_stop(bytes, at, end, [b'"', b'\\']);
        match bytes.get(at).filter(|_| at < end)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    #[test]
    fn stops_are_found_at_every_distance() {
        for length in 0..50 {
            for after in ["", ";", " ", "\0", ";tail of some length"] {
                let text = format!("{}{after}", "x".repeat(length));
                assert_eq!(find_stop(text.as_bytes(), 0, text.len(), [b';']), length, "{text}");
                assert_eq!(find_stop(text.as_bytes(), 0, length / 2, [b';']), length / 2);
            }
        }
    }

    #[test]
    fn hosts_end_at_the_first_other_byte() {
        for byte in 0..=255_u8 {
            for length in [0, 1, 15, 16, 17, 40] {
                let mut text = b"a-Z.0_9".repeat(6)[..length].to_vec();
                text.push(byte);
                let expected = length + usize::from(is_host_byte(byte));
                assert_eq!(host_end(&text, 0, text.len()), expected, "{byte} {length}");
                text.extend([b'/'; 20]);
                assert_eq!(host_end(&text, 0, text.len()), expected, "{byte} {length}");
                assert_eq!(host_end(&text, 0, length / 2), length / 2);
            }
        }
    }

    #[test]
    fn names_are_the_same_in_any_case_and_no_others() {
        let is = |text: &str| is_name(text.as_bytes(), Span::new(0, text.len()), b"transport");
        assert!(is("transport") && is("TransPORT"));
        assert!(!is("transpor") && !is("transports") && !is("transporT\0") && !is("xransport"));
        for at in 0..5 {
            for byte in 0..=255_u8 {
                let mut name = *b"maddr";
                name[at] = byte;
                let expected = name.eq_ignore_ascii_case(b"maddr");
                assert_eq!(is_name(&name, Span::new(0, 5), b"maddr"), expected, "{name:?}");
            }
        }
    }

    #[test]
    fn quoted_pairs_hide_quotes() {
        let text = br#""a\"b\\" <sip:x>"#;
        assert_eq!(quoted_string(text, 0, text.len()), Some(8));
        assert_eq!(quoted_string(br#""a\""#, 0, 4), None);
    }
}
