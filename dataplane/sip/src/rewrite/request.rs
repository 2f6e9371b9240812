//! The copy of a request that goes on (RFC 3261 section 16.6; the received Via: 18.2.1, RFC 3581).

use core::fmt::{self, Write};
use core::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use super::branch;
use super::edit::EditList;
use crate::message::{Arrival, Request, Span};
use crate::parse::uri;
use crate::parse::via::Via;
use crate::route::request::RequestRoute;
use crate::route::tables::Tables;
use crate::settings::ListenId;

/// Records the edits that turn `request` into the copy to forward; it leaves from listen point
/// `egress`, which the route to [`RequestRoute::next_hop`] decides. `edits` is cleared first.
#[inline]
pub fn rewrite_request(
    request: &Request<'_>,
    route: &RequestRoute,
    tables: &Tables,
    arrival: &Arrival,
    egress: ListenId,
    edits: &mut EditList,
) {
    edits.clear();
    let bytes = request.bytes;
    drop_leading_crlf(request.line, edits);
    if route.uri != request.uri {
        edits.replace(request.uri, &[route.uri.of(bytes)]);
    }
    let top = request.line.end() + 2;
    let branch = tables.keys.branch(bytes, &request.headers, &route.via, arrival.listen);
    edits.insert(
        top,
        &[
            tables.via_text(egress),
            &branch::hex2(arrival.listen.0),
            &branch::hex16(branch),
            b"\r\n",
        ],
    );
    if tables.records_route() && request.method.opens_dialog() {
        record_route(route.call, tables, arrival.listen, egress, top, edits);
    }
    match route.max_forwards {
        Some(left) => edits.set_number(request.headers.max_forwards, left),
        // RFC 3261 section 16.6 step 3
        None => edits.insert(top, &[b"Max-Forwards: 70\r\n"]),
    }
    match route.append {
        Some((last, Some(at))) => edits.insert(at, &[b", <", last.of(bytes), b">"]),
        Some((last, None)) => edits.insert(top, &[b"Route: <", last.of(bytes), b">\r\n"]),
        None => {}
    }
    for (place, text) in &received_marks(bytes, &route.via, arrival.source) {
        edits.replace(*place, &[text.bytes()]);
    }
    for &cut in &route.cuts {
        edits.delete(cut);
    }
}

/// Our Record-Route; two of them when the request leaves from another listen point than it came in
/// by, so that each side finds one that it can reach (RFC 5658 section 4).
#[inline]
fn record_route(
    call: u64,
    tables: &Tables,
    ingress: ListenId,
    egress: ListenId,
    top: usize,
    edits: &mut EditList,
) {
    let mut add = |listen: ListenId| {
        let mark = branch::hex16(branch::mark(call, listen));
        edits.insert(top, &[tables.record_route_text(listen), &mark, b">\r\n"]);
    };
    add(egress);
    if ingress != egress {
        add(ingress);
    }
}

/// What `received` and `rport` of the topmost Via must say, so that the response goes back to where
/// the request came from (RFC 3261 section 18.2.1, RFC 3581 section 4): texts for parts of the
/// message, in order. What the client wrote there itself is replaced.
#[inline]
pub(super) fn received_marks(
    bytes: &[u8],
    via: &Via,
    source: SocketAddr,
) -> SmallVec<[(Span, ShortText); 2]> {
    let mut marks = SmallVec::<[(Span, ShortText); 2]>::new();
    if let Some(rport) = via.rport {
        let port = ShortText::of(format_args!("={}", source.port()));
        marks.push((Span::new(rport.name.end(), rport.whole.end()), port));
    }
    match via.received {
        Some(received) => {
            let address = ShortText::of(format_args!("={}", source.ip()));
            let place = Span::new(received.name.end(), received.whole.end());
            let is_first = marks.first().is_some_and(|(rport, _)| place.start() < rport.start());
            marks.insert(if is_first { 0 } else { marks.len() }, (place, address));
        }
        None if via.rport.is_some() || differs(bytes, via, source.ip()) => {
            let address = ShortText::of(format_args!(";received={}", source.ip()));
            marks.push((Span::new(via.params_end, via.params_end), address));
        }
        None => {}
    }
    marks
}

/// Whether the host of sent-by is another than the source address, or a name.
#[inline]
fn differs(bytes: &[u8], via: &Via, source: IpAddr) -> bool {
    uri::ip_literal(via.host.of(bytes)) != Some(source)
}

/// CRLFs before the start line are not passed on.
#[inline]
pub(super) fn drop_leading_crlf(line: Span, edits: &mut EditList) {
    if line.start() > 0 {
        edits.delete(Span::new(0, line.start()));
    }
}

/// A short text on the stack: the longest is `;received=` and an IPv6 address, 49 bytes.
pub(super) struct ShortText {
    bytes: [u8; 64],
    length: usize,
}

impl ShortText {
    fn of(text: fmt::Arguments<'_>) -> Self {
        let mut own = Self { bytes: [0; 64], length: 0 };
        let fits = own.write_fmt(text).is_ok();
        debug_assert!(fits, "an address and a port fit");
        own
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}
