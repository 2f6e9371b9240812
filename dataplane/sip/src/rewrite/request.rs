//! The copy of a request that goes on (RFC 3261 section 16.6; the received Via: 18.2.1, RFC 3581).

use core::fmt::{self, Write};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use smallvec::SmallVec;

use super::branch;
use super::edit::EditList;
use crate::message::{Arrival, Request, Span};
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
        edits.replace(request.uri, route.uri.of(bytes));
    }
    let new = edits.begin();
    let branch = tables.keys.branch(bytes, &request.headers, &route.via, arrival.listen);
    edits.push(tables.via_text(egress));
    edits.fill(20, &branch::hex2(arrival.listen.0));
    edits.fill(18, &branch::hex16(branch));
    if tables.records_route() && request.method.opens_dialog() {
        // Two of them when the request leaves from another listen point than it came in by, so that
        // each side finds one that it can reach (RFC 5658 section 4).
        record_route(route.call, tables, egress, edits);
        if egress != arrival.listen {
            record_route(route.call, tables, arrival.listen, edits);
        }
    }
    match route.max_forwards {
        Some(left) => edits.set_number(request.headers.max_forwards, left),
        // RFC 3261 section 16.6 step 3
        None => edits.push(b"Max-Forwards: 70\r\n"),
    }
    if let Some((last, None)) = route.append {
        push_all(edits, &[b"Route: <", last.of(bytes), b">\r\n"]);
    }
    let top = request.line.end() + 2;
    edits.finish(Span::new(top, top), new);
    if let Some((last, Some(at))) = route.append {
        let new = edits.begin();
        push_all(edits, &[b", <", last.of(bytes), b">"]);
        edits.finish(Span::new(at, at), new);
    }
    for (place, text) in &received_marks(&route.via, arrival.source) {
        edits.replace(*place, text.bytes());
    }
    for &cut in &route.cuts {
        edits.delete(cut);
    }
}

fn push_all(edits: &mut EditList, parts: &[&[u8]]) {
    for part in parts {
        edits.push(part);
    }
}

/// Our Record-Route value for one listen point.
#[inline]
fn record_route(call: u64, tables: &Tables, listen: ListenId, edits: &mut EditList) {
    edits.push(tables.record_route_text(listen));
    edits.fill(19, &branch::hex16(branch::mark(call, listen)));
}

/// What `received` and `rport` of the topmost Via must say, so that the response goes back to where
/// the request came from (RFC 3261 section 18.2.1, RFC 3581 section 4): texts for parts of the
/// message, in order. What the client wrote there itself is replaced.
#[inline]
pub(super) fn received_marks(via: &Via, source: SocketAddr) -> SmallVec<[(Span, ShortText); 2]> {
    let mut marks = SmallVec::<[(Span, ShortText); 2]>::new();
    if let Some(rport) = via.rport {
        let port = ShortText::new(b"=").number(source.port());
        marks.push((Span::new(rport.name.end(), rport.whole.end()), port));
    }
    match via.received {
        Some(received) => {
            let address = ShortText::new(b"=").address(source.ip());
            let place = Span::new(received.name.end(), received.whole.end());
            let is_first = marks.first().is_some_and(|(rport, _)| place.start() < rport.start());
            marks.insert(if is_first { 0 } else { marks.len() }, (place, address));
        }
        // A host name is another than the source address, too.
        None if via.rport.is_some() || via.address != Some(source.ip()) => {
            let address = ShortText::new(b";received=").address(source.ip());
            marks.push((Span::new(via.params_end, via.params_end), address));
        }
        None => {}
    }
    marks
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
    #[inline]
    fn new(text: &[u8]) -> Self {
        let mut own = Self { bytes: [0; 64], length: 0 };
        own.push(text);
        own
    }

    #[inline]
    fn push(&mut self, text: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + text.len()) {
            room.copy_from_slice(text);
            self.length += text.len();
        }
    }

    /// Adds `value` in decimal digits.
    #[inline]
    fn number(mut self, value: u16) -> Self {
        let mut digits = [0; 5];
        let mut left = value;
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        self.push(digits.get(first..).unwrap_or_default());
        self
    }

    /// Adds an address as it stands in `received`: without brackets.
    #[inline]
    fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                let rest = self.number(a.into());
                [b, c, d].into_iter().fold(rest, |mut text, octet| {
                    text.push(b".");
                    text.number(octet.into())
                })
            }
            IpAddr::V6(v6) => self.display(v6),
        }
    }

    fn display(mut self, address: Ipv6Addr) -> Self {
        let written = write!(self, "{address}");
        debug_assert!(written.is_ok(), "an address fits");
        self
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}
