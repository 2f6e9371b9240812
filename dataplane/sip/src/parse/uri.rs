//! `sip:`, `sips:` and `tel:` URIs (RFC 3261 section 19.1, RFC 3966), as far as routing needs them.

use alloc::format;
use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv4Addr};

use super::params::{Param, Params};
use super::{digits, scan};
use crate::message::Span;

/// Scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Sip,
    Sips,
    Tel,
    /// Well-formed, but nothing we route: 416.
    Other,
}

/// The parts of a URI, each in a word of its own: what is written in one piece and read in another
/// makes the reader wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uri {
    pub(crate) scheme: Scheme,
    /// User part without password, still escaped; the number of a `tel:` URI.
    pub(crate) user: Span,
    /// Host, the brackets of an IPv6 reference included; empty for `tel:`.
    pub(crate) host: Span,
    /// 0 when there is none.
    port_number: u32,
    /// The port with the colon before it; empty when there is none.
    pub(crate) port_span: Span,
    /// From the first semicolon of the parameters to their end.
    pub(crate) params: Span,
}

/// The URI parameters that routing looks at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UriParams {
    pub(crate) transport: Param,
    pub(crate) maddr: Param,
    /// Loose routing: the element takes its own name from Route (RFC 3261 section 19.1.1).
    pub(crate) lr: bool,
    /// Our own mark in a Record-Route; empty when there is none.
    pub(crate) mark: Span,
}

impl Uri {
    /// Parses the URI that `span` holds; `None` when it is none.
    #[inline(always)]
    pub(crate) fn parse(bytes: &[u8], span: Span) -> Option<Self> {
        let at = span.start() + 3;
        if bytes.get(at) == Some(&b':')
            && at < span.end()
            && scan::is_name(bytes, Span::new(span.start(), at), b"sip")
        {
            Self::parse_sip(bytes, Scheme::Sip, at + 1, span.end())
        } else {
            Self::parse_other(bytes, span)
        }
    }

    #[inline(never)]
    fn parse_other(bytes: &[u8], span: Span) -> Option<Self> {
        let text = span.of(bytes);
        let colon = text.iter().position(|&byte| byte == b':')?;
        let name = text.get(..colon)?;
        let at = span.start() + colon + 1;
        if name.eq_ignore_ascii_case(b"sips") {
            return Self::parse_sip(bytes, Scheme::Sips, at, span.end());
        }
        let is_scheme = name.first().is_some_and(u8::is_ascii_alphabetic)
            && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        let rest = bytes.get(at..span.end())?;
        if !is_scheme || rest.is_empty() {
            return None;
        }
        let is_tel = name.eq_ignore_ascii_case(b"tel");
        let number = rest.iter().position(|&byte| byte == b';').unwrap_or(rest.len());
        if is_tel && number == 0 {
            return None;
        }
        Some(Self {
            scheme: if is_tel { Scheme::Tel } else { Scheme::Other },
            user: Span::new(at, at + number),
            host: Span::default(),
            port_number: 0,
            port_span: Span::default(),
            params: Span::new(at + number, span.end()),
        })
    }

    /// `[ userinfo ] hostport uri-parameters [ headers ]`. An `@` stands unescaped nowhere but
    /// behind userinfo, which may itself hold `;` and `?`.
    #[inline(always)]
    fn parse_sip(bytes: &[u8], scheme: Scheme, start: usize, end: usize) -> Option<Self> {
        // Most users have no password, and most URIs without a user no port.
        let user_end = scan::find_stop(bytes, start, end, [b'@', b':']);
        let sign = match bytes.get(user_end) {
            Some(b':') if user_end < end => scan::find_stop(bytes, user_end, end, [b'@']),
            _ => user_end,
        };
        let (user, host_at) = if bytes.get(sign) == Some(&b'@') && sign < end {
            (Span::new(start, user_end), sign + 1)
        } else {
            (Span::default(), start)
        };
        let host = host(bytes, host_at, end)?;
        let mut at = host.end();
        let (mut port_number, mut port_span) = (0, Span::default());
        if at < end && bytes.get(at) == Some(&b':') {
            let (number, stop) = digits::port(bytes, at + 1, end)?;
            port_span = Span::new(at, stop);
            port_number = number.into();
            at = stop;
        }
        let params_end = match bytes.get(at..end)?.first() {
            None | Some(b'?') => at,
            Some(b';') => scan::find_stop(bytes, at, end, [b'?', b'@']),
            Some(_) => return None,
        };
        if sign == start || bytes.get(params_end..end)?.iter().any(|&b| b == b'@' || b <= b' ') {
            return None;
        }
        let params = Span::new(at, params_end);
        Some(Self { scheme, user, host, port_number, port_span, params })
    }

    /// The address that the host spells, if it is no name.
    #[inline(always)]
    pub(crate) fn address(&self, bytes: &[u8]) -> Option<IpAddr> {
        ip_literal(self.host.of(bytes))
    }

    /// The port, 5060 when there is none.
    #[inline(always)]
    pub(crate) fn port(&self) -> u16 {
        u16::try_from(self.port_number).ok().filter(|&port| port != 0).unwrap_or(5060)
    }

    /// Whether header fields follow the parameters; `span` is the whole URI.
    #[inline(always)]
    pub(crate) fn has_headers(&self, span: Span) -> bool {
        self.params.end() != span.end()
    }

    /// Takes the port away.
    pub(crate) fn drop_port(&mut self) {
        self.port_number = 0;
    }

    /// Reads the parameters that routing looks at; `None` when their grammar is broken.
    #[inline(always)]
    pub(crate) fn params(&self, bytes: &[u8]) -> Option<UriParams> {
        let mut found = UriParams::default();
        if self.params.is_empty() {
            return Some(found);
        }
        let mut params = Params::new(bytes, self.params.start(), self.params.end());
        while let Some(param) = params.next_param().ok()? {
            match param.name.len() {
                2 if scan::is_name(bytes, param.name, b"lr") => found.lr = true,
                2 if scan::is_name(bytes, param.name, b"tl") => found.mark = param.value,
                5 if scan::is_name(bytes, param.name, b"maddr") => found.maddr = param,
                9 if scan::is_name(bytes, param.name, b"transport") => found.transport = param,
                _ => {}
            }
        }
        Some(found)
    }
}

/// The host at `at`: a name or an address, not yet told apart.
#[inline(always)]
pub(crate) fn host(bytes: &[u8], at: usize, end: usize) -> Option<Span> {
    if bytes.get(at) == Some(&b'[') {
        return ipv6_reference(bytes, at, end);
    }
    let stop = scan::host_end(bytes, at, end);
    let is_whole = stop == end || matches!(bytes.get(stop)?, b':' | b';' | b',' | b'?' | 0..=b' ');
    (is_whole && stop > at).then(|| Span::new(at, stop))
}

#[inline(never)]
fn ipv6_reference(bytes: &[u8], at: usize, end: usize) -> Option<Span> {
    let text = bytes.get(at + 1..end)?;
    let length = text.iter().position(|&byte| byte == b']')?;
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let is_address = length > 1 && text.get(..length)?.iter().all(is_digit);
    is_address.then(|| Span::new(at, at + length + 2))
}

/// The address as the host of a URI: `192.0.2.1` or `[2001:db8::1]`.
pub(crate) fn host_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// The address that `host` spells: `192.0.2.1` or `[2001:db8::1]`.
#[inline(always)]
pub(crate) fn ip_literal(host: &[u8]) -> Option<IpAddr> {
    match host {
        [b'[', inside @ .., b']'] => ipv6(inside),
        [b'0'..=b'9', ..] => ipv4(host).map(IpAddr::V4),
        _ => None,
    }
}

/// The same for `received` and for settings, where an IPv6 address may stand without brackets
/// (RFC 3261 section 25.1, RFC 5118 section 4.5).
#[inline]
pub(crate) fn ip_literal_or_bare(host: &[u8]) -> Option<IpAddr> {
    ip_literal(host).or_else(|| ipv6(host))
}

#[inline(never)]
fn ipv6(text: &[u8]) -> Option<IpAddr> {
    core::str::from_utf8(text).ok()?.parse().ok().map(IpAddr::V6)
}

/// Four decimal octets without leading zeros, which some read as octal.
#[inline(always)]
fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    /// The smallest number of so many digits that has no leading zero.
    const SMALLEST: [u32; 4] = [u32::MAX, 0, 10, 100];
    let (mut bits, mut octet, mut digits, mut dots) = (0_u32, 0_u32, 0_usize, 0);
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            octet = (octet & 0xffff) * 10 + u32::from(digit);
            digits += 1;
        } else if byte == b'.' {
            if octet > 255 || octet < *SMALLEST.get(digits)? {
                return None;
            }
            bits = bits << 8 | octet;
            (octet, digits) = (0, 0);
            dots += 1;
        } else {
            return None;
        }
    }
    let is_whole = dots == 3 && octet <= 255 && octet >= *SMALLEST.get(digits)?;
    is_whole.then(|| Ipv4Addr::from_bits(bits << 8 | octet))
}

/// `192.0.2.1` and its length, put together in registers: bytes that are written one by one and read
/// together make the reader wait.
#[inline(always)]
pub(crate) fn dotted(address: Ipv4Addr) -> ([u8; 16], usize) {
    let (mut text, mut length) = (0_u128, 0);
    for octet in address.octets() {
        let (digits, digits_length) = OCTETS[usize::from(octet)];
        text |= u128::from(digits) << (8 * length);
        length += usize::from(digits_length);
    }
    // The dot behind the last octet does not count.
    (text.to_le_bytes(), length - 1)
}

/// The digits of each octet with a dot behind them, first byte lowest, and how many bytes that is.
static OCTETS: [(u32, u8); 256] = {
    let mut table = [(0, 0); 256];
    let mut octet = 0_u32;
    while octet < 256 {
        let (hundreds, tens, ones) = (octet / 100, octet / 10 % 10, octet % 10);
        let mut text = b'.' as u32;
        let mut length = 2;
        text = text << 8 | (b'0' as u32 + ones);
        if octet >= 10 {
            text = text << 8 | (b'0' as u32 + tens);
            length += 1;
        }
        if octet >= 100 {
            text = text << 8 | (b'0' as u32 + hundreds);
            length += 1;
        }
        table[octet as usize] = (text, length);
        octet += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Option<Uri> {
        Uri::parse(text.as_bytes(), Span::new(0, text.len()))
    }

    #[test]
    fn parts_of_a_sip_uri() {
        let text = b"SIP:al;day=x?y:secret@atlanta.example.com:5080;transport=udp;lr?To=x";
        let uri = Uri::parse(text, Span::new(0, text.len())).unwrap();
        assert_eq!(uri.user.of(text), b"al;day=x?y");
        assert_eq!(uri.host.of(text), b"atlanta.example.com");
        assert_eq!(uri.port(), 5080);
        let params = uri.params(text).unwrap();
        assert!(params.lr);
        assert_eq!(params.transport.value.of(text), b"udp");
    }

    #[test]
    fn schemes() {
        assert_eq!(uri("sips:a@b").unwrap().scheme, Scheme::Sips);
        assert_eq!(uri("tel:+1-201-555-0123;x=y").unwrap().user.len(), 15);
        assert_eq!(uri("nobodyKnowsThis:x").unwrap().scheme, Scheme::Other);
        assert_eq!(uri("http://x@y").unwrap().scheme, Scheme::Other);
    }

    #[test]
    fn broken_uris_are_refused() {
        for text in [
            "",
            "sip",
            "sip:",
            "sip:@h",
            "sip:u@",
            "sip:u@h:",
            "sip:u@h:0",
            "sip:u@h:99999",
            "sip:u@h@i",
            "<sip:u@h>",
            "sip:u@h>",
            "sip:[::1",
            "tel:",
            "1x:y",
            "sip:u@h,i",
            "sip:u@h;x@y",
        ] {
            assert!(uri(text).is_none(), "{text}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(ip_literal(b"192.0.2.1"), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(ip_literal(b"[2001:db8::1]"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(ip_literal(b"2001:db8::1"), None);
        assert_eq!(ip_literal_or_bare(b"2001:db8::1"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(ip_literal_or_bare(b"fe80::1"), Some("fe80::1".parse().unwrap()));
        for text in ["1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1..2.3", "1.2.3.", "", "a.b"] {
            assert_eq!(ip_literal(text.as_bytes()), None, "{text}");
        }
    }
}
