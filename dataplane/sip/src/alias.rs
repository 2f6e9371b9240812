//! Connections that may be used in both directions (RFC 5923).

use crate::limits::MESSAGE_MAX;
use crate::parse::header::{HeaderId, HeaderLines};
use crate::parse::params::Params;
use crate::parse::via::Via;
use crate::parse::{scan, start_line};
use core::net::IpAddr;

/// Port of a sent-by without one, over TLS (RFC 3261 section 19.1.2).
const TLS_PORT: u16 = 5061;

/// Where a client says that it also listens: the advertised address of RFC 5923.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The host of its sent-by; none when that is a name.
    pub address: Option<IpAddr>,
    /// The port of its sent-by, 5061 when it has none.
    pub port: u16,
}

/// What the topmost Via of a request advertises, when its `alias` parameter allows that requests are sent back
/// over the connection by which it came (RFC 5923 sections 5 and 8.2). `message` came over TLS; whether the client
/// is who it says is the caller's to check.
pub fn alias(message: &[u8]) -> Option<Alias> {
    let message = message.get(..MESSAGE_MAX).unwrap_or(message);
    if start_line::is_status_line(message) {
        return None;
    }
    let mut lines = HeaderLines::new(message, 0);
    let value = loop {
        let line = lines.next_line()?;
        if line.id == HeaderId::Via {
            break line.value;
        }
    };
    let via = Via::parse(message, value.start(), value.end())?;
    let sent_by = via.sent_by_span();
    let mut params = Params::new(message, sent_by.end(), via.end());
    while let Some(param) = params.next_param().ok()? {
        if scan::is_name(message, param.name, b"alias") {
            let port = via.written_port().unwrap_or(TLS_PORT);
            return Some(Alias { address: via.address(message), port });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(via: &str) -> Option<Alias> {
        alias(format!("OPTIONS sip:a@b SIP/2.0\r\nMax-Forwards: 70\r\n{via}\r\n\r\n").as_bytes())
    }

    #[test]
    fn rfc5923_the_alias_parameter_of_the_topmost_via_names_where_the_client_listens() {
        let address = Some([192, 0, 2, 1].into());
        for (via, expected) in [
            ("Via: SIP/2.0/TLS 192.0.2.1:5071;branch=z9hG4bK1;alias", Some((address, 5071))),
            ("v: SIP/2.0/TLS 192.0.2.1;Alias;branch=z9hG4bK1", Some((address, 5061))),
            ("Via: SIP/2.0/TLS proxy.example.com;alias", Some((None, 5061))),
            ("Via: SIP/2.0/TLS 192.0.2.1;branch=alias", None),
            ("Via: SIP/2.0/TLS 192.0.2.1;branch=z, SIP/2.0/TLS 192.0.2.2;alias", None),
            ("Via: SIP/2.0/TLS 192.0.2.1\r\nVia: SIP/2.0/TLS 192.0.2.2;alias", None),
            ("Via: nonsense;alias", None),
            ("To: <sip:a@b>", None),
        ] {
            assert_eq!(of(via), expected.map(|(address, port)| Alias { address, port }), "{via}");
        }
        assert_eq!(alias(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS 192.0.2.1;alias\r\n\r\n"), None);
        assert_eq!(alias(b""), None);
    }
}
