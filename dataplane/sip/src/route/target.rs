//! From a URI to an address, or to a name that must be resolved: the part of RFC 3263 that needs no DNS.

use core::net::{IpAddr, SocketAddr};

use super::outcome::Reply;
use super::tables::Tables;
use crate::names::HostName;
use crate::parse::error::ParseErrorKind;
use crate::parse::params::Param;
use crate::parse::uri::{self, Scheme, Uri, UriParams};
use crate::parse::via::Via;
use crate::settings::Transport;

/// Where a request goes next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NextHop {
    /// To this address, and over what.
    Address(SocketAddr, Transport),
    /// To wherever this name leads.
    Name(HostName),
}

impl NextHop {
    /// The address, if it is no name.
    #[inline]
    pub(crate) fn address(self) -> Option<(SocketAddr, Transport)> {
        match self {
            Self::Address(address, transport) => Some((address, transport)),
            Self::Name(_) => None,
        }
    }
}

/// Where a request to `uri` goes, and over what. `port` and `transport` are honoured, `maddr` as the settings
/// say; a connection can be opened where we listen for such. `malformed`
/// is what to say of an IPv6 reference that holds no address.
#[inline]
pub(crate) fn next_hop(
    bytes: &[u8],
    uri: &Uri,
    params: &UriParams,
    tables: &Tables,
    malformed: ParseErrorKind,
) -> Result<NextHop, Reply> {
    if uri.scheme == Scheme::Sips {
        return Err(Reply::SipsNotAllowed);
    }
    let transport = transport(bytes, params).ok_or(Reply::Transport)?;
    if transport != Transport::Udp && !tables.connects_by(transport) {
        return Err(Reply::Transport);
    }
    if params.maddr.exists() && !tables.honours_maddr() {
        return Err(Reply::MaddrRefused);
    }
    let host = if params.maddr.exists() { params.maddr.value } else { uri.host };
    let Some(address) = uri::ip_literal(host.of(bytes)) else {
        if host.of(bytes).starts_with(b"[") {
            return Err(Reply::Parse(malformed));
        }
        // A tel URI in a Route header names no host.
        if uri.scheme != Scheme::Sip || host.of(bytes).is_empty() {
            return Err(Reply::NextHopName);
        }
        let transport = params.transport.exists().then_some(transport);
        let port = if uri.port_span.is_empty() { 0 } else { uri.port() };
        return Ok(NextHop::Name(HostName { host, port, transport }));
    };
    if !is_one_host(address) {
        return Err(Reply::Forbidden);
    }
    let port = if uri.port_span.is_empty() { transport.default_port() } else { uri.port() };
    Ok(NextHop::Address(SocketAddr::new(address, port), transport))
}

/// Where a Via with `maddr` wants its responses: there, at the port of sent-by (RFC 3261 18.2.2).
#[cold]
pub(crate) fn of_maddr(bytes: &[u8], via: &Via) -> Option<SocketAddr> {
    let address = uri::ip_literal(via.maddr.of(bytes)).filter(|&address| is_one_host(address))?;
    Some(SocketAddr::new(address, via.port()))
}

/// The transport that a URI asks for, UDP when it asks for none; `None` for one that we do not know.
#[inline]
pub(super) fn transport(bytes: &[u8], params: &UriParams) -> Option<Transport> {
    let Param { value, .. } = params.transport;
    if params.transport.exists() {
        Transport::of_name(value.of(bytes))
    } else {
        Some(Transport::Udp)
    }
}

/// Whether the address is that of one host, so that nobody can make us send to a whole network.
#[inline]
pub(crate) fn is_one_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !is_broadcast
}
