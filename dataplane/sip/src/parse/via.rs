//! `via-parm = sent-protocol LWS sent-by *( SEMI via-params )`, several of them in a comma list.

use core::net::{IpAddr, SocketAddr};

use super::params::{Param, Params};
use super::{digits, scan, uri};
use crate::message::Span;

/// One Via value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Via {
    /// Host of sent-by, the brackets of an IPv6 reference included.
    host: Span,
    /// Digits of the port of sent-by; empty when it has none.
    port: Span,
    /// The port of sent-by, 5060 when it has none.
    port_number: u32,
    /// Value of the branch parameter; empty when there is none.
    pub(crate) branch: Span,
    pub(crate) received: Mark,
    pub(crate) rport: Mark,
    /// Value of the maddr parameter, or its name when it has none; empty when there is none.
    pub(crate) maddr: Span,
    /// From the end of the last parameter, where new ones go, to the comma behind the value or the
    /// end of the header value.
    rest: Span,
}

/// A parameter that servers add or complete.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    /// From the end of its name to its end: what to replace.
    pub(crate) place: Span,
    /// Its value; empty when it has none.
    pub(crate) value: Span,
}

impl Mark {
    /// Whether the parameter is there.
    #[inline]
    pub(crate) fn exists(self) -> bool {
        self.place.end() > 0
    }

    /// Two of them would let the neighbours disagree about where the response goes.
    #[inline]
    fn set_once(&mut self, param: Param) -> Option<()> {
        let is_new = !self.exists();
        self.place = Span::new(param.name.end(), param.whole.end());
        self.value = param.value;
        is_new.then_some(())
    }
}

impl Via {
    /// Parses the value at `start`, up to a comma or `end`.
    #[inline(always)]
    pub(crate) fn parse(bytes: &[u8], start: usize, end: usize) -> Option<Self> {
        Self::parse_sent_by(bytes, sent_protocol(bytes, start, end)?, end)
    }

    /// For replies to what does not parse: any SIP version, and a value without its parameters when
    /// they are broken. Its end is then the first semicolon or comma.
    #[cold]
    pub(crate) fn parse_patiently(bytes: &[u8], start: usize, end: usize) -> Option<Self> {
        let host_at = spaced_sent_protocol(bytes, start, end, None)?;
        let host_at = scan::skip_lws(bytes, host_at, end);
        Self::parse_sent_by(bytes, host_at, end).or_else(|| {
            let stop = bytes.get(host_at..end)?.iter().position(|b| matches!(b, b';' | b','))?;
            Self::parse_sent_by(bytes, host_at, host_at + stop)
        })
    }

    #[inline(always)]
    fn parse_sent_by(bytes: &[u8], host_at: usize, end: usize) -> Option<Self> {
        let host = uri::host(bytes, host_at, end)?;
        // sent-by = host [ COLON port ], and COLON may have white space around it
        let mut at = host.end();
        let mut port = Span::default();
        let mut port_number = 5060;
        let colon = scan::skip_lws(bytes, at, end);
        if colon < end && bytes.get(colon) == Some(&b':') {
            let port_at = scan::skip_lws(bytes, colon + 1, end);
            let (number, stop) = digits::port(bytes, port_at, end)?;
            (port, port_number) = (Span::new(port_at, stop), number.into());
            at = stop;
        }
        let mut via = Self {
            host,
            port,
            port_number,
            branch: Span::default(),
            received: Mark::default(),
            rport: Mark::default(),
            maddr: Span::default(),
            rest: Span::new(at, end),
        };
        via.read_params(bytes, at, end)?;
        Some(via)
    }

    #[inline(always)]
    fn read_params(&mut self, bytes: &[u8], mut at: usize, end: usize) -> Option<()> {
        let mut params = Params::new(bytes, at, end);
        if let Some(branch) = params.usual_branch() {
            (self.branch, at) = (branch, branch.end());
        }
        while let Some(param) = params.next_param().ok()? {
            at = param.whole.end();
            match param.name.len() {
                6 if scan::is_name(bytes, param.name, b"branch") => {
                    // Two branches would let the neighbours disagree about the transaction.
                    if !self.branch.is_empty() || param.value.is_empty() {
                        return None;
                    }
                    self.branch = param.value;
                }
                5 if scan::is_name(bytes, param.name, b"rport") => self.rport.set_once(param)?,
                5 if scan::is_name(bytes, param.name, b"maddr") => {
                    self.maddr = if param.value.is_empty() { param.name } else { param.value };
                }
                8 if scan::is_name(bytes, param.name, b"received") => {
                    self.received.set_once(param)?;
                }
                _ => {}
            }
        }
        self.rest = Span::new(at, params.at());
        Some(())
    }

    /// Where the last parameter ends: new ones go here.
    #[inline]
    pub(crate) fn params_end(&self) -> usize {
        self.rest.start()
    }

    /// Position of the comma behind the value, or where the header value ends.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.rest.end()
    }

    /// sent-by as it was written.
    #[inline]
    pub(crate) fn sent_by_span(&self) -> Span {
        Span::new(self.host.start(), self.port.end().max(self.host.end()))
    }

    /// sent-by as an address, if its host is an IP literal.
    #[inline]
    pub(crate) fn sent_by(&self, bytes: &[u8]) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address(bytes)?, self.port()))
    }

    /// Whether the host of sent-by spells this address. An IPv4 address has one spelling, so that
    /// writing it is enough, and quicker than reading.
    #[inline(always)]
    pub(crate) fn is_at(&self, bytes: &[u8], address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let (text, length) = uri::dotted(v4);
                self.host.len() == length
                    && match scan::chunk(bytes, self.host.start()) {
                        Some(found) => {
                            let differ = u128::from_le_bytes(*found) ^ u128::from_le_bytes(text);
                            differ << (128 - 8 * length) == 0
                        }
                        None => self.host.of(bytes) == &text[..length],
                    }
            }
            IpAddr::V6(_) => self.address(bytes) == Some(address),
        }
    }

    /// The address that the host of sent-by spells, if it is no name.
    #[inline(always)]
    pub(crate) fn address(&self, bytes: &[u8]) -> Option<IpAddr> {
        uri::ip_literal(self.host.of(bytes))
    }

    /// The port of sent-by, 5060 when it has none.
    #[inline]
    pub(crate) fn port(&self) -> u16 {
        u16::try_from(self.port_number).unwrap_or(5060)
    }

    /// The port of sent-by, if it has one.
    pub(crate) fn written_port(&self) -> Option<u16> {
        if self.port.is_empty() { None } else { Some(self.port()) }
    }

    /// Whether it has an maddr parameter.
    #[inline]
    pub(crate) fn has_maddr(&self) -> bool {
        !self.maddr.is_empty()
    }
}

/// `sent-protocol = "SIP" SLASH "2.0" SLASH transport`; returns where sent-by begins. The transport
/// is not judged: the datagram came over UDP whatever it says.
#[inline]
fn sent_protocol(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    const USUAL: &[u8; 12] = b"SIP/2.0/UDP ";
    let at = match bytes.get(start..end)?.first_chunk::<12>() {
        Some(begin) if begin == USUAL => start + USUAL.len(),
        _ => spaced_sent_protocol(bytes, start, end, Some(b"2.0"))?,
    };
    Some(scan::skip_lws(bytes, at, end))
}

/// The same for any case, for white space around the slashes, and for any version if none is given.
#[inline(never)]
fn spaced_sent_protocol(
    bytes: &[u8],
    start: usize,
    end: usize,
    version: Option<&[u8]>,
) -> Option<usize> {
    let mut at = scan::skip_lws(bytes, start, end);
    for (index, wanted) in [Some(&b"SIP"[..]), version, None].into_iter().enumerate() {
        if index > 0 {
            at = scan::skip_lws(bytes, at, end);
            if at >= end || bytes.get(at) != Some(&b'/') {
                return None;
            }
            at = scan::skip_lws(bytes, at + 1, end);
        }
        let rest = bytes.get(at..end)?;
        let len = rest.iter().position(|&b| !scan::is_token_byte(b)).unwrap_or(rest.len());
        let word = rest.get(..len)?;
        if word.is_empty() || wanted.is_some_and(|wanted| !word.eq_ignore_ascii_case(wanted)) {
            return None;
        }
        at += len;
    }
    // LWS must part the transport from sent-by.
    (at < end && bytes.get(at).copied().is_some_and(scan::is_lws)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Option<Via> {
        Via::parse(text.as_bytes(), 0, text.len())
    }

    #[test]
    fn usual_value() {
        let text = b"SIP/2.0/UDP 10.77.1.2:5060;branch=z9hG4bK-1-1-0;rport";
        let via = Via::parse(text, 0, text.len()).unwrap();
        assert_eq!(via.host.of(text), b"10.77.1.2");
        assert_eq!(via.branch.of(text), b"z9hG4bK-1-1-0");
        assert!(via.rport.exists() && via.rport.value.is_empty());
        assert_eq!(via.sent_by(text), Some("10.77.1.2:5060".parse().unwrap()));
        assert_eq!((via.params_end(), via.end()), (text.len(), text.len()));
    }

    #[test]
    fn lists_white_space_and_folds() {
        let text =
            b"SIP  / 2.0\r\n /UDP\r\n  192.0.2.2 : 5061 ; branch = x ;a=\"b,c\" , SIP/2.0/UDP b";
        let first = Via::parse(text, 0, text.len()).unwrap();
        assert_eq!(first.sent_by(text), Some("192.0.2.2:5061".parse().unwrap()));
        assert_eq!(text[first.end()], b',');
        let second = Via::parse(text, first.end() + 2, text.len()).unwrap();
        assert_eq!((second.host.of(text), second.sent_by(text)), (&b"b"[..], None));
    }

    #[test]
    fn ipv6_reference() {
        let text = b"SIP/2.0/UDP [fd77:1::2];branch=z9hG4bKx";
        let via = Via::parse(text, 0, text.len()).unwrap();
        assert_eq!(via.sent_by(text), Some("[fd77:1::2]:5060".parse().unwrap()));
    }

    #[test]
    fn broken_values_are_refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0/UDP ;branch=x",
            "SIP/2.0 host",
            "SIP/1.0/UDP host",
            "SIP/2.0/UDP host:",
            "SIP/2.0/UDP host:0",
            "SIP/2.0/UDP host:70000",
            "SIP/2.0/UDP [::1;branch=x",
            "SIP/2.0/UDP host;branch",
            "SIP/2.0/UDP host;branch=a;branch=b",
            "SIP/2.0/UDP host;rport;rport",
            "SIP/2.0/UDP ho(st",
        ] {
            assert!(via(text).is_none(), "{text}");
        }
    }
}
