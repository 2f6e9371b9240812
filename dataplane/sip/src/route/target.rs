//! From a URI to an address: the part of RFC 3263 that needs no DNS.

use core::net::{IpAddr, SocketAddr};

use super::outcome::Reply;
use super::tables::Tables;
use crate::parse::error::ParseErrorKind;
use crate::parse::uri::{self, Scheme, Uri, UriParams};
use crate::parse::via::Via;

/// Where a request to `uri` goes. `port` and `transport` are honoured, `maddr` as the settings say;
/// only UDP is available, and a host name would need DNS. `malformed` is what to say of an IPv6
/// reference that holds no address.
#[inline]
pub(crate) fn next_hop(
    bytes: &[u8],
    uri: &Uri,
    params: &UriParams,
    tables: &Tables,
    malformed: ParseErrorKind,
) -> Result<SocketAddr, Reply> {
    if uri.scheme == Scheme::Sips {
        return Err(Reply::SipsNotAllowed);
    }
    if !is_udp(bytes, params) {
        return Err(Reply::Transport);
    }
    if params.maddr.exists() && !tables.honours_maddr() {
        return Err(Reply::MaddrRefused);
    }
    let host = if params.maddr.exists() { params.maddr.value } else { uri.host }.of(bytes);
    let address = uri::ip_literal(host).ok_or_else(|| match host.first() {
        Some(b'[') => Reply::Parse(malformed),
        _ => Reply::NextHopName,
    })?;
    if !is_one_host(address) {
        return Err(Reply::Forbidden);
    }
    Ok(SocketAddr::new(address, uri.port()))
}

/// Where a Via with `maddr` wants its responses: there, at the port of sent-by (RFC 3261 18.2.2).
#[cold]
pub(crate) fn of_maddr(bytes: &[u8], via: &Via) -> Option<SocketAddr> {
    let address = uri::ip_literal(via.maddr.of(bytes)).filter(|&address| is_one_host(address))?;
    Some(SocketAddr::new(address, via.port()))
}

/// Whether the URI asks for UDP, or for nothing.
#[inline]
pub(super) fn is_udp(bytes: &[u8], params: &UriParams) -> bool {
    let transport = params.transport;
    !transport.exists() || transport.value.of(bytes).eq_ignore_ascii_case(b"udp")
}

/// Whether the address is that of one host, so that nobody can make us send to a whole network.
#[inline]
pub(super) fn is_one_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !is_broadcast
}
