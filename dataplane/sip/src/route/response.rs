//! Where a response goes: back along the Via header (RFC 3261 sections 16.7, 18.1.2 and 18.2.2).

use core::net::SocketAddr;

use super::outcome::SipDrop;
use super::tables::Tables;
use super::target;
use crate::message::{Response, Span};
use crate::parse::header::HeaderId;
use crate::parse::via::Via;
use crate::parse::{digits, scan, uri};
use crate::rewrite::branch::{self, BRANCH_LENGTH, STATEFUL_LENGTH, STATEFUL_PREFIX};
use crate::rewrite::told::ASK;
use crate::settings::{ListenId, Transport};

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
    let (bytes, headers) = (response.bytes, response.headers);
    let ours = Ours::of(response, tables)?;
    let (ingress, check) =
        branch::read_branch(ours.branch.of(bytes)).ok_or(SipDrop::ResponseForged)?;
    let (next, cut) = ours.next(response)?;
    let next = Via::parse(bytes, next.start(), next.end()).ok_or(SipDrop::ResponseMalformed)?;
    if branch::hex16(tables.keys.branch(bytes, headers, &next, ingress)) != check {
        return Err(SipDrop::ResponseForged);
    }
    let is_known = usize::from(ingress.0) < tables.listen_points();
    let leave_from = is_known.then_some(ingress);
    let transport = leave_from.map_or(Transport::Udp, |listen| tables.transport_of(listen));
    let next_hop = destination(bytes, &next, transport, tables)?;
    Ok(ResponseRoute { next_hop, leave_from, cut })
}

/// Our own Via on top of a response.
pub(crate) struct Ours {
    pub(crate) branch: Span,
    /// Position of the comma behind it, or where the header value ends.
    end: usize,
}

impl Ours {
    #[inline(always)]
    pub(crate) fn of(response: &Response<'_>, tables: &Tables) -> Result<Self, SipDrop> {
        let (bytes, line) = (response.bytes, response.headers.value(HeaderId::Via));
        match Self::as_written(bytes, line, tables) {
            Some(ours) => Ok(ours),
            None => Self::parse(bytes, line, tables),
        }
    }

    /// Most often it comes back just as we wrote it, and then needs no parsing.
    #[inline(always)]
    fn as_written(bytes: &[u8], line: Span, tables: &Tables) -> Option<Self> {
        let value = line.of(bytes);
        let rest = value.strip_prefix(b"SIP/2.0/UDP ").or_else(|| after_transport(value))?;
        let sent_by_end = scan::find_stop(bytes, line.end() - rest.len(), line.end(), [b';']);
        let sent_by = bytes.get(line.end() - rest.len()..sent_by_end)?;
        let start = sent_by_end + b";branch=".len();
        let is_stateful = bytes.get(start + STATEFUL_PREFIX.len() - 1) == Some(&b'2');
        let end = start + if is_stateful { STATEFUL_LENGTH } else { BRANCH_LENGTH };
        let branch = Span::new(start, end);
        let end = match bytes.get(end..line.end())? {
            [] | [b',', ..] => end,
            params => end + asked(params)?,
        };
        let is_ours =
            bytes.get(sent_by_end..start) == Some(b";branch=") && tables.writes_sent_by(sent_by);
        is_ours.then_some(Self { branch, end })
    }

    #[inline(never)]
    fn parse(bytes: &[u8], line: Span, tables: &Tables) -> Result<Self, SipDrop> {
        let via = Via::parse(bytes, line.start(), line.end()).ok_or(SipDrop::ResponseMalformed)?;
        let sent_by = via.sent_by(bytes).ok_or(SipDrop::ResponseNotOurs)?;
        if !tables.is_listen_address(sent_by) {
            return Err(SipDrop::ResponseNotOurs);
        }
        Ok(Self { branch: via.branch, end: via.end() })
    }

    /// The Via value beneath it, up to the end of its line, and what to delete to make that the topmost.
    #[inline(always)]
    pub(crate) fn next(&self, response: &Response<'_>) -> Result<(Span, Span), SipDrop> {
        let (bytes, headers) = (response.bytes, response.headers);
        let first = headers.place(HeaderId::Via);
        let (value, cut) = if self.end < first.value.end() {
            let start = scan::skip_lws(bytes, self.end + 1, first.value.end());
            let cut = Span::new(first.value.start(), start);
            (Span::new(start, first.value.end()), cut)
        } else {
            (headers.second_via, first.line)
        };
        if value.is_empty() {
            return Err(SipDrop::ResponseNoVia);
        }
        Ok((value, cut))
    }
}

/// The length of what asks for the load in our Via, when nothing else follows on the branch there.
#[cold]
fn asked(params: &[u8]) -> Option<usize> {
    let rest = params.strip_prefix(ASK)?;
    matches!(rest, [] | [b',', ..]).then_some(ASK.len())
}

/// What stands behind the name of a transport with connections.
#[cold]
fn after_transport(via: &[u8]) -> Option<&[u8]> {
    let rest = via.strip_prefix(b"SIP/2.0/")?;
    let end = rest.iter().position(|&byte| byte == b' ')?;
    Transport::of_name(rest.get(..end)?)?;
    rest.get(end + 1..)
}

/// RFC 3261 section 18.2.2 and RFC 3581 section 4. Over a connection, `received` and `rport` are ours.
#[inline]
fn destination(
    bytes: &[u8],
    via: &Via,
    transport: Transport,
    tables: &Tables,
) -> Result<SocketAddr, SipDrop> {
    if via.has_maddr() && !transport.is_connection() {
        let to = target::of_maddr(bytes, via).filter(|_| tables.honours_maddr());
        return to.ok_or(SipDrop::ResponseUnroutable);
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
        let value = via.rport.value;
        match digits::port(bytes, value.start(), value.end()) {
            Some((port, end)) if end == value.end() => port,
            _ => return Err(SipDrop::ResponseMalformed),
        }
    };
    if !target::is_one_host(address) {
        return Err(SipDrop::ResponseUnroutable);
    }
    Ok(SocketAddr::new(address, port))
}
