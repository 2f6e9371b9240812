//! The copy of a request that goes on (RFC 3261 section 16.6; the received Via: 18.2.1, RFC 3581).

use super::branch::Branch;
use super::edit::EditList;
use super::flow::{Flow, push_flow_route, push_path};
use super::received;
use crate::location::Targets;
use crate::message::{Arrival, Method, Request, Span};
use crate::parse::header::HeaderId;
use crate::registrar::is_first_hop_of_flow;
use crate::route::request::{RequestRoute, RouteReason};
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
    let uri = if route.uri == request.uri { &[] } else { route.uri.of(request.bytes) };
    rewrite(request, (route, uri, &[]), tables, arrival, egress, edits);
}

/// The same for a request that goes to the first of `targets`, with the lines `own` that
/// [`Targets::write_lines`] wrote.
#[inline]
#[expect(clippy::too_many_arguments, reason = "as rewrite_request, with what is located")]
pub fn rewrite_located(
    request: &Request<'_>,
    route: &RequestRoute,
    targets: &Targets,
    own: &[u8],
    tables: &Tables,
    arrival: &Arrival,
    egress: ListenId,
    edits: &mut EditList,
) {
    let uri = targets.get(0).map_or(&[][..], |first| targets.text(first.uri));
    rewrite(request, (route, uri, own), tables, arrival, egress, edits);
}

/// As [`rewrite_request`], with another Request-URI unless `uri` is empty, and `own` lines behind ours. There
/// is one copy of it, so that no second one has to come from far.
fn rewrite(
    request: &Request<'_>,
    (route, uri, own): (&RequestRoute, &[u8], &[u8]),
    tables: &Tables,
    arrival: &Arrival,
    egress: ListenId,
    edits: &mut EditList,
) {
    edits.clear();
    let bytes = request.bytes;
    drop_leading_crlf(request.line, edits);
    if !uri.is_empty() {
        edits.replace(request.uri, uri);
    }
    // Both hashes first: they do not depend on each other, so the CPU computes them side by side.
    let branch = route.branch.unwrap_or_else(|| {
        let check = tables.keys.branch(bytes, request.headers, &route.via, arrival.listen);
        Branch::Stateless(arrival.listen, check)
    });
    let call = if tables.records_route() && request.method.opens_dialog() {
        Some(route.call.unwrap_or_else(|| tables.keys.call(request.call_id())))
    } else {
        None
    };
    // Two Record-Routes when the request leaves from another listen point than it came in by, so
    // that each side finds one that it can reach (RFC 5658 section 4).
    let lines = tables.top_lines(egress, arrival.listen, call.is_some());
    let new = edits.begin();
    edits.push(lines.text(branch));
    lines.fill(edits.text_from(new), branch, call);
    edits.push(own);
    match route.max_forwards {
        Some(left) => edits.set_number(request.headers.value(HeaderId::MaxForwards), left),
        // RFC 3261 section 16.6 step 3
        None => edits.push(b"Max-Forwards: 70\r\n"),
    }
    if call.is_some() && (tables.keeps_flows() || tables.has_connections()) {
        push_flows(request, route, tables, arrival, edits);
    } else if request.method == Method::Register && tables.adds_path(route.reason) {
        let flow = Flow { address: arrival.source, listen: arrival.listen };
        let has_ob = is_first_hop_of_flow(request);
        edits.push_with(|out| push_path(flow, has_ob, egress, tables, out));
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
    let came = (arrival.source, tables.transport_of(arrival.listen));
    received::mark(bytes, &route.via, came, |place, name, value| {
        let new = edits.begin();
        edits.push(name);
        edits.push(value);
        edits.finish(place, new);
    });
    for &cut in &route.cuts {
        edits.delete(cut);
    }
}

/// Whether requests find back to the client only the way that this one came: through its NAT, or over its
/// connection.
#[inline]
fn needs_flow(
    request: &Request<'_>,
    route: &RequestRoute,
    tables: &Tables,
    arrival: &Arrival,
) -> bool {
    if tables.transport_of(arrival.listen).is_connection() {
        return request.headers.more_vias == 0;
    }
    tables.keeps_flows() && is_behind_nat(request, route, arrival)
}

/// Whether the client itself has sent the request, through a NAT: its Via names another address than
/// the one that it came from, or wants its answer at another port.
#[inline]
fn is_behind_nat(request: &Request<'_>, route: &RequestRoute, arrival: &Arrival) -> bool {
    let (via, source) = (&route.via, arrival.source);
    if request.headers.more_vias > 0 {
        return false;
    }
    let is_at_port = !via.rport.exists() || via.port() == source.port();
    !(is_at_port && via.is_at(request.bytes, source.ip())) && via.address(request.bytes).is_some()
}

/// The lines by which requests find back to clients that are reached by their flow (RFC 5626 section 5.3.2): the one
/// that the request goes to by our Path, and the one that it comes from.
#[inline]
fn push_flows(
    request: &Request<'_>,
    route: &RequestRoute,
    tables: &Tables,
    arrival: &Arrival,
    edits: &mut EditList,
) {
    if route.reason == RouteReason::Path
        && let Some(listen) = route.leave_from
    {
        let flow = Flow { address: route.next_hop, listen };
        edits.push_with(|out| push_flow_route(flow, arrival.listen, tables, out));
    }
    if needs_flow(request, route, tables, arrival) {
        let flow = Flow { address: arrival.source, listen: arrival.listen };
        edits.push_with(|out| push_flow_route(flow, arrival.listen, tables, out));
    }
}

fn push_all(edits: &mut EditList, parts: &[&[u8]]) {
    for part in parts {
        edits.push(part);
    }
}

/// CRLFs before the start line are not passed on.
#[inline]
pub(super) fn drop_leading_crlf(line: Span, edits: &mut EditList) {
    if line.start() > 0 {
        edits.delete(Span::new(0, line.start()));
    }
}
