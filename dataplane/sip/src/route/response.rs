//! Where a response goes: back along the Via header (RFC 3261 sections 16.7, 18.1.2 and 18.2.2).

use core::net::SocketAddr;

use super::outcome::SipDrop;
use super::tables::Tables;
use super::target;
use crate::message::{Response, Span};
use crate::parse::header::{HeaderId, HeaderLines};
use crate::parse::via::Via;
use crate::parse::{scan, uri};
use crate::rewrite::branch;
use crate::settings::ListenId;

/// A response that is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseRoute {
    /// Where it goes.
    pub next_hop: SocketAddr,
    /// The listen point at which the request came in: the response should leave from there. `None`
    /// when the listen points have changed since.
    pub leave_from: Option<ListenId>,
    /// Our Via value, with its comma or its line.
    pub(crate) cut: Span,
}

/// Decides where `response` goes. Our Via proves by its branch that we forwarded the request.
pub fn route_response(response: &Response<'_>, tables: &Tables) -> Result<ResponseRoute, SipDrop> {
    let (bytes, headers) = (response.bytes, &response.headers);
    let line = headers.value(HeaderId::Via);
    let ours = Via::parse(bytes, line.start(), line.end()).ok_or(SipDrop::ResponseMalformed)?;
    let sent_by = ours.sent_by(bytes).ok_or(SipDrop::ResponseNotOurs)?;
    tables.listen_id(sent_by).ok_or(SipDrop::ResponseNotOurs)?;
    let (ingress, check) =
        branch::read_branch(ours.branch.of(bytes)).ok_or(SipDrop::ResponseForged)?;
    let (next, cut) = second_via(response, &ours)?;
    if tables.keys.branch(bytes, headers, &next, ingress) != check {
        return Err(SipDrop::ResponseForged);
    }
    let is_known = usize::from(ingress.0) < tables.listen_points();
    let leave_from = is_known.then_some(ingress);
    Ok(ResponseRoute { next_hop: destination(bytes, &next)?, leave_from, cut })
}

/// The Via beneath ours, and what to delete to make it the topmost.
#[inline]
fn second_via(response: &Response<'_>, ours: &Via) -> Result<(Via, Span), SipDrop> {
    let (bytes, first) = (response.bytes, response.headers.place(HeaderId::Via));
    if ours.end() < first.value.end() {
        let start = scan::skip_lws(bytes, ours.end() + 1, first.value.end());
        let via = Via::parse(bytes, start, first.value.end()).ok_or(SipDrop::ResponseMalformed)?;
        return Ok((via, Span::new(first.value.start(), start)));
    }
    let mut lines = HeaderLines::new(bytes, first.line.end());
    while let Ok(Some(found)) = lines.next_line() {
        if found.id == HeaderId::Via {
            let value = found.value;
            let via = Via::parse(bytes, value.start(), value.end());
            return Ok((via.ok_or(SipDrop::ResponseMalformed)?, first.line));
        }
    }
    Err(SipDrop::ResponseNoVia)
}

/// RFC 3261 section 18.2.2 and RFC 3581 section 4, for unreliable transports. `maddr` would send
/// responses to wherever a client pleases, so it is not honoured.
#[inline]
fn destination(bytes: &[u8], via: &Via) -> Result<SocketAddr, SipDrop> {
    if via.has_maddr() {
        return Err(SipDrop::ResponseUnroutable);
    }
    let address = if via.received.exists() {
        uri::ip_literal_or_bare(via.received.value.of(bytes))
    } else {
        via.address(bytes)
    };
    let address = address.ok_or(SipDrop::ResponseUnroutable)?;
    let port = if via.rport.value.is_empty() {
        via.port()
    } else {
        scan::port(via.rport.value.of(bytes)).ok_or(SipDrop::ResponseMalformed)?
    };
    if !target::is_one_host(address) {
        return Err(SipDrop::ResponseUnroutable);
    }
    Ok(SocketAddr::new(address, port))
}
