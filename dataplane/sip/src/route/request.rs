//! Where a request goes: validation (RFC 3261 16.3), Route preprocessing (16.4), target (16.5), and
//! what the copy that is forwarded must look like (16.6).

pub(crate) mod explain;
mod request_route;

pub use request_route::{RequestRoute, RouteReason};

use core::net::SocketAddr;

use super::choices::Choices;
use super::dispatch::Candidate;
use super::hash_key;
use super::loops;
use super::outcome::{Refusal, Reply, bad};
use super::route_set::{BadRoute, RouteSet};
use super::rules::{CompiledAction, Subject};
use super::set::Asked;
use super::tables::Tables;
use super::target::{self, NextHop};
use crate::limits::LOOP_PASSES_MAX;
use crate::location::AorUri;
use crate::message::{Arrival, Method, Request, Span};
use crate::parse::digits;
use crate::parse::error::ParseErrorKind;
use crate::parse::header::HeaderId;
use crate::parse::name_addr::NameAddr;
use crate::parse::params::Param;
use crate::parse::uri::{Scheme, Uri, UriParams};
use crate::parse::via::Via;
use crate::rewrite::branch::{self, Keys};
use crate::rewrite::flow::{self, Flow, Purpose};
use crate::settings::{HashKey, Transport};

/// Pops of our own Route values: a double Record-Route puts us in twice (RFC 5658).
const OWN_ROUTES_MAX: usize = 2;

/// Pops of those that have a flow of a client in them, one for each side (RFC 5626).
const FLOW_ROUTES_MAX: usize = 2;

const BAD_ROUTE: Refusal = bad(ParseErrorKind::Malformed(HeaderId::Route));
const BAD_URI: Refusal = bad(ParseErrorKind::RequestUri);

impl From<BadRoute> for Refusal {
    fn from(_: BadRoute) -> Self {
        BAD_ROUTE
    }
}

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// Decides where `request` goes, and writes that to `route`. The same request takes the same way
/// each time, and ACK and CANCEL take that of their INVITE (RFC 3261 section 16.11); only where no
/// hash can tell that way again it is remembered in `choices`, the same for all messages of a flow.
/// After an error `route` means nothing.
pub fn route_request(
    request: &Request<'_>,
    tables: &Tables,
    arrival: &Arrival,
    choices: &mut Choices,
    route: &mut RequestRoute,
) -> Result<(), Refusal> {
    begin_route(request, route)?;
    finish_route(request, tables, arrival, choices, route)
}

/// The first part of [`route_request`], which is enough to ask transactions whether they know the
/// request.
#[inline(always)]
pub fn begin_route(request: &Request<'_>, route: &mut RequestRoute) -> Result<(), Refusal> {
    let via = request.headers.value(HeaderId::Via);
    route.via = Via::parse(request.bytes, via.start(), via.end())
        .ok_or(bad(ParseErrorKind::Malformed(HeaderId::Via)))?;
    Ok(())
}

/// The second part of [`route_request`].
#[inline(always)]
pub fn finish_route(
    request: &Request<'_>,
    tables: &Tables,
    arrival: &Arrival,
    choices: &mut Choices,
    route: &mut RequestRoute,
) -> Result<(), Refusal> {
    let bytes = request.bytes;
    let uri = Uri::parse(bytes, request.uri).ok_or(BAD_URI)?;
    route.max_forwards = validate(request, &uri)?;
    if request.headers.more_vias >= LOOP_PASSES_MAX && loops::is_loop(request, tables) {
        return Err(Reply::LoopDetected.into());
    }
    let mut call = Call { keys: &tables.keys, id: request.call_id(), hash: None };
    let params = uri.params(bytes).ok_or(BAD_URI)?;
    let mut path = Path::new(request, uri, params, route);
    let in_dialog = path.preprocess(tables, arrival, &mut call)?;
    let (hop, reason) = path.target(request, tables, arrival, &mut call, choices, in_dialog)?;
    path.route.reason = reason;
    (path.route.branch, path.route.relay) = (None, tables.relay(request.method, reason));
    match hop {
        Hop::Member(member) => {
            path.route.next_hop = member.address;
            path.route.transport = member.transport_for(request.body_end());
        }
        Hop::Path => path.follow(tables)?,
        Hop::Flow(flow) => {
            path.route.next_hop = flow.address;
            path.route.leave_from = Some(flow.listen);
            path.route.transport = tables.transport_of(flow.listen);
        }
        Hop::Location => {
            path.route.aor_uri = Some(AorUri { span: path.uri_span, parts: path.uri });
        }
    }
    path.routes.finish(&mut path.route.cuts);
    path.route.call = call.hash;
    Ok(())
}

/// Sends a request whose user has no binding here to the set that its rule has for that. Gives whether there is somebody
/// else to ask: who is asked by another member asks none, so that two that take each other for the one who knows do not
/// ask each other for ever.
#[cold]
pub fn route_otherwise(
    request: &Request<'_>,
    tables: &Tables,
    arrival: &Arrival,
    choices: &mut Choices,
    route: &mut RequestRoute,
) -> Result<bool, Reply> {
    let Some((rule, set)) = tables.otherwise(route.reason) else { return Ok(false) };
    let Some(AorUri { parts: uri, .. }) = route.aor_uri else { return Ok(false) };
    if tables.is_member(set, arrival.source) {
        return Ok(false);
    }
    let mut call = Call { keys: &tables.keys, id: request.call_id(), hash: route.call };
    let subject = subject(request, &uri, arrival);
    let member = member(request, tables, &subject, set, &mut call, choices)?;
    if member.is_own {
        return Ok(false);
    }
    route.next_hop = member.address;
    route.transport = member.transport_for(request.body_end());
    route.reason = RouteReason::Member { rule, set, member: member.index };
    route.call = call.hash;
    Ok(true)
}

/// RFC 3261 section 16.3, steps 2, 3 and 5; gives Max-Forwards for the copy.
#[inline(always)]
fn validate(request: &Request<'_>, uri: &Uri) -> Result<Option<u8>, Refusal> {
    match uri.scheme {
        Scheme::Sip | Scheme::Tel => {}
        // Every hop of a sips: URI is over TLS (RFC 3261 section 26.2.2).
        Scheme::Sips => return Err(Reply::SipsNotAllowed.into()),
        Scheme::Other => return Err(Reply::UnsupportedUriScheme.into()),
    }
    // A Request-URI holds no header fields (RFC 3261 section 19.1.1): they would be a way to add
    // some behind our back.
    if uri.has_headers(request.uri) {
        return Err(BAD_URI);
    }
    let headers = request.headers;
    let max_forwards = headers.value(HeaderId::MaxForwards);
    let left = if max_forwards.is_empty() {
        None
    } else {
        let value = digits::decimal(request.bytes, max_forwards);
        let value = value.and_then(|value| u8::try_from(value).ok());
        match value.ok_or(bad(ParseErrorKind::Malformed(HeaderId::MaxForwards)))? {
            // RFC 3261 16.3 step 3, 11: so that OPTIONS can show the hops one by one.
            0 if request.method == Method::Options => return Err(Reply::Options.into()),
            0 => return Err(Reply::TooManyHops.into()),
            value => Some(value - 1),
        }
    };
    if !headers.value(HeaderId::ProxyRequire).is_empty() {
        return Err(Reply::BadExtension.into());
    }
    Ok(left)
}

/// The hash of the call, computed when something needs it.
struct Call<'a> {
    keys: &'a Keys,
    id: &'a [u8],
    hash: Option<u64>,
}

impl Call<'_> {
    #[inline]
    fn hash(&mut self) -> u64 {
        *self.hash.get_or_insert_with(|| self.keys.call(self.id))
    }
}

/// The way a request has yet to go: Request-URI and Route.
struct Path<'a, 'r> {
    bytes: &'a [u8],
    /// The Request-URI that is being routed.
    uri: Uri,
    uri_span: Span,
    params: UriParams,
    routes: RouteSet<'a>,
    /// The flow of the client that the request goes to.
    flow: Option<(Flow, Purpose)>,
    /// What becomes of it.
    route: &'r mut RequestRoute,
}

/// The outcome of the target step.
enum Hop<'t> {
    Member(&'t Candidate),
    /// To the topmost Route, or without one to the Request-URI.
    Path,
    /// To a client behind NAT.
    Flow(Flow),
    /// To nowhere, or to the bindings of its Request-URI.
    Location,
}

impl<'a, 'r> Path<'a, 'r> {
    #[inline(always)]
    fn new(
        request: &Request<'a>,
        uri: Uri,
        params: UriParams,
        route: &'r mut RequestRoute,
    ) -> Self {
        route.cuts.clear();
        (route.uri, route.append, route.leave_from) = (request.uri, None, None);
        (route.transport, route.name) = (Transport::Udp, None);
        let routes = RouteSet::new(request.bytes, request.headers.place(HeaderId::Route));
        Self { bytes: request.bytes, params, uri, uri_span: request.uri, routes, flow: None, route }
    }

    /// RFC 3261 section 16.4. Returns whether a mark proves that the request belongs to a dialog
    /// whose Record-Route we wrote.
    #[inline(always)]
    fn preprocess(
        &mut self,
        tables: &Tables,
        arrival: &Arrival,
        call: &mut Call<'_>,
    ) -> Result<bool, Refusal> {
        let mut in_dialog = false;
        // A strict router before us has put our own Record-Route value into the Request-URI.
        if !self.params.mark.is_empty()
            && self.is_marked(&self.uri, &self.params, tables, call)
            && let Some(last) = self.routes.pop_last(&mut self.route.cuts)?
        {
            in_dialog = true;
            (self.uri, self.params) = self.route_uri(&last)?;
            (self.uri_span, self.route.uri) = (last.uri, last.uri);
        } else if self.params.maddr.exists() {
            self.strip_own_maddr(tables, arrival);
        }
        let (mut own, mut flows) = (OWN_ROUTES_MAX, FLOW_ROUTES_MAX);
        while let Some(top) = self.routes.top()? {
            let (uri, params) = self.route_uri(&top)?;
            if !tables.is_ours(uri.host.of(self.bytes), uri.port(), arrival.listen) {
                break;
            }
            let left = if uri.user.is_empty() { &mut own } else { &mut flows };
            if *left == 0 {
                break;
            }
            *left -= 1;
            if uri.user.is_empty() {
                in_dialog |= self.is_marked(&uri, &params, tables, call);
            } else {
                self.take_flow(&uri, tables, arrival)?;
            }
            self.routes.pop(&top, &mut self.route.cuts)?;
        }
        Ok(in_dialog)
    }

    /// The user part of a Route of ours is a flow token, or means nothing. Of two flows the one counts
    /// that the request does not come from (RFC 5626 section 5.3.1).
    #[cold]
    fn take_flow(&mut self, uri: &Uri, tables: &Tables, arrival: &Arrival) -> Result<(), Refusal> {
        let user = uri.user.of(self.bytes);
        let found = flow::read_token(user, &tables.keys).map_err(|_| Reply::Forbidden)?;
        self.flow = found.filter(|(flow, _)| flow.address != arrival.source).or(self.flow);
        Ok(())
    }

    #[inline]
    fn route_uri(&self, route: &NameAddr) -> Result<(Uri, UriParams), Refusal> {
        let uri = Uri::parse(self.bytes, route.uri).ok_or(BAD_ROUTE)?;
        if uri.has_headers(route.uri) {
            return Err(BAD_ROUTE);
        }
        let params = uri.params(self.bytes).ok_or(BAD_ROUTE)?;
        Ok((uri, params))
    }

    /// Whether the URI is the one that we put into the Record-Route of this call.
    #[inline]
    fn is_marked(
        &self,
        uri: &Uri,
        params: &UriParams,
        tables: &Tables,
        call: &mut Call<'_>,
    ) -> bool {
        if params.mark.is_empty() {
            return false;
        }
        let address = uri.address(self.bytes).map(|ip| SocketAddr::new(ip, uri.port()));
        if !address.is_some_and(|address| tables.is_listen_address(address)) {
            return false;
        }
        branch::hex16(call.hash()).as_slice() == params.mark.of(self.bytes)
    }

    /// An `maddr` that names us is stripped, with port and transport, when the request came in by
    /// what they say (RFC 3261 section 16.4).
    fn strip_own_maddr(&mut self, tables: &Tables, arrival: &Arrival) {
        let UriParams { maddr, transport, .. } = self.params;
        let port = self.uri.port();
        let is_same = |transport| transport == tables.transport_of(arrival.listen);
        if !target::transport(self.bytes, &self.params).is_some_and(is_same)
            || tables.listen_point(arrival.listen).address.port() != port
            || !tables.is_ours(maddr.value.of(self.bytes), port, arrival.listen)
        {
            return;
        }
        self.route.cuts.push(maddr.whole);
        if transport.exists() {
            self.route.cuts.push(transport.whole);
        }
        if port != 5060 {
            self.route.cuts.push(self.uri.port_span);
            self.uri.drop_port();
        }
        (self.params.maddr, self.params.transport) = (Param::default(), Param::default());
    }

    /// RFC 3261 section 16.5: a dialog of ours goes its way, everything else asks the rules.
    #[inline(always)]
    fn target<'t>(
        &self,
        request: &Request<'_>,
        tables: &'t Tables,
        arrival: &Arrival,
        call: &mut Call<'_>,
        choices: &mut Choices,
        in_dialog: bool,
    ) -> Result<(Hop<'t>, RouteReason), Refusal> {
        let host = self.uri.host.of(self.bytes);
        // A telephone number belongs to no domain; whoever asks us for it means us.
        let is_ours =
            self.uri.scheme == Scheme::Tel || tables.is_ours(host, self.uri.port(), arrival.listen);
        let has_route = self.routes.top()?.is_some();
        match self.flow {
            // Whatever Routes are left are for those behind whom the client is.
            Some((flow, Purpose::Path)) => return Ok((Hop::Flow(flow), RouteReason::Path)),
            Some((flow, Purpose::Dialog)) if !has_route => {
                return Ok((Hop::Flow(flow), RouteReason::InDialog));
            }
            _ => {}
        }
        let has_way = !is_ours || has_route;
        if in_dialog && has_way {
            return Ok((Hop::Path, RouteReason::InDialog));
        }
        // A request for this server itself, not for a user of its domain (RFC 3261 section 11).
        if !has_way && request.method == Method::Options && self.uri.user.is_empty() {
            let is_leaving = tables.is_leaving();
            return Err(if is_leaving { Reply::Unavailable } else { Reply::Options }.into());
        }
        let subject = subject(request, &self.uri, arrival);
        let rule_index = &tables.fixed.rule_index;
        let candidates = rule_index.candidates(&subject);
        let mut at = 0;
        while let Some(index) = rule_index.next(&candidates, at) {
            at = index + 1;
            let Some(rule) = tables.fixed.rules.get(usize::from(index)) else { break };
            if !rule.matches(&subject)
                || !rule.headers.is_empty() && !rule.headers_fit(request, || call.hash(), choices)
            {
                continue;
            }
            let set = match rule.action {
                CompiledAction::Forward(set) => set,
                CompiledAction::ForwardByPrefix(table) => {
                    let table = tables.fixed.prefix_tables.get(usize::from(table));
                    let set = table.and_then(|table| table.find(subject.scheme, subject.user));
                    let Some(set) = set else { continue };
                    set
                }
                CompiledAction::RequestUri if has_way => {
                    return Ok((Hop::Path, RouteReason::RequestUri { rule: index }));
                }
                CompiledAction::RequestUri => return Err(Reply::NotFound.into()),
                CompiledAction::Register if !has_way && request.method == Method::Register => {
                    return Ok((Hop::Location, RouteReason::Register { rule: index }));
                }
                CompiledAction::Locate if !has_way && request.method != Method::Register => {
                    return Ok((Hop::Location, RouteReason::Locate { rule: index }));
                }
                CompiledAction::Register | CompiledAction::Locate => continue,
                CompiledAction::Reject { .. } => return Err(Reply::Rule(index).into()),
            };
            let member = member(request, tables, &subject, set, call, choices)?;
            if member.is_own {
                continue;
            }
            let reason = RouteReason::Member { rule: index, set, member: member.index };
            return Ok((Hop::Member(member), reason));
        }
        Err(if is_ours { Reply::NotFound } else { Reply::Forbidden }.into())
    }

    /// RFC 3261 section 16.6 steps 6 and 7: the topmost Route decides, and if it is a strict router
    /// it gets itself as Request-URI and finds the real one as last Route.
    #[inline]
    fn follow(&mut self, tables: &Tables) -> Result<(), Refusal> {
        let hop = match self.routes.top()? {
            None => {
                let malformed = ParseErrorKind::RequestUri;
                target::next_hop(self.bytes, &self.uri, &self.params, tables, malformed)?
            }
            Some(top) => {
                let (uri, params) = self.route_uri(&top)?;
                if !params.lr {
                    self.routes.pop(&top, &mut self.route.cuts)?;
                    self.route.uri = top.uri;
                    // The Request-URI goes on as Route, whole.
                    let own = self.uri_span;
                    let is_outside =
                        |cut: &mut Span| cut.start() < own.start() || cut.end() > own.end();
                    self.route.cuts.retain(is_outside);
                    self.route.append = Some((own, self.routes.append_at()?));
                }
                let malformed = ParseErrorKind::Malformed(HeaderId::Route);
                target::next_hop(self.bytes, &uri, &params, tables, malformed)?
            }
        };
        let (next_hop, transport) = match hop {
            NextHop::Address(address, transport) => (address, transport),
            NextHop::Name(name) => {
                self.route.name = Some(name);
                return Ok(());
            }
        };
        (self.route.next_hop, self.route.transport) = (next_hop, transport);
        // Three of our own Routes, or maddr. A member of a set is never a listen point.
        if tables.is_listen_address(self.route.next_hop) {
            return Err(Reply::LoopDetected.into());
        }
        Ok(())
    }
}

/// What the rules look at.
#[inline(always)]
fn subject<'s>(request: &'s Request<'_>, uri: &Uri, arrival: &Arrival) -> Subject<'s> {
    Subject {
        method: request.method,
        method_name: request.method_name(),
        scheme: uri.scheme,
        user: uri.user.of(request.bytes),
        host: uri.host.of(request.bytes),
        source: arrival.source.ip(),
    }
}

/// The member of a destination set that takes the request.
#[inline]
fn member<'t>(
    request: &Request<'_>,
    tables: &'t Tables,
    subject: &Subject<'_>,
    set: u16,
    call: &mut Call<'_>,
    choices: &mut Choices,
) -> Result<&'t Candidate, Reply> {
    let set = tables.sets.get(usize::from(set)).ok_or(Reply::NoDestination)?;
    let keys = call.keys;
    let mut call_hash = || call.hash();
    let mut key = |hash| match hash {
        HashKey::CallId => call_hash(),
        other => hash_key::of(other, request, subject, keys).unwrap_or_else(&mut call_hash),
    };
    if set.is_plain() {
        return set.choose(key).ok_or(Reply::NoDestination);
    }
    let asked = Asked::by(request, key(HashKey::CallId));
    set.choose_remembering(asked, key, choices)
}
