//! Which rules a request meets, and where each of them stops fitting: for `trunkline where`.

use alloc::string::String;
use alloc::vec::Vec;

use super::{BAD_URI, Call, Path, RequestRoute, bad, member, subject};
use crate::message::{Arrival, Method, Request};
use crate::parse::error::ParseErrorKind;
use crate::parse::header::HeaderId;
use crate::parse::uri::{Scheme, Uri};
use crate::parse::via::Via;
use crate::rewrite::flow::Purpose;
use crate::route::choices::{Choices, Share};
use crate::route::hash_key;
use crate::route::outcome::Refusal;
use crate::route::rules::{CompiledAction, Subject};
use crate::route::tables::Tables;
use crate::settings::HashKey;

/// What decided about a request; [`route_request`](crate::route_request) says what was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether our mark proves that the request belongs to a dialog whose Record-Route we wrote, or our token
    /// that it is for a client which registered through us; then its next Route, its Request-URI or the flow of the
    /// client decides, and the rules are not asked.
    pub in_dialog: bool,
    /// User part of the Request-URI as the rules see it: behind our own Route values and `maddr`.
    pub user: String,
    /// Host of the same.
    pub host: String,
    /// The rules in their order, up to and with the one that decides; empty when none is asked, as
    /// for an OPTIONS to the appliance itself.
    pub rules: Vec<RuleFit>,
    /// What of the request is hashed when the deciding rule forwards to a destination set: the key of
    /// the set, or Call-ID when the request has no such thing.
    pub hash: Option<HashKey>,
}

/// How a rule fits a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleFit {
    /// It decides.
    Decides,
    /// This is the first of its criteria that the request does not meet.
    Misses(Criterion),
}

/// A criterion of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of a rule")]
pub enum Criterion {
    Methods,
    Domains,
    UserPrefixes,
    Sources,
    Headers,
    /// Its prefix table has no prefix of the user part.
    PrefixTable,
    /// It registers or locates, and the request has a way of its own: a Route, or another host.
    OwnWay,
    /// The member of its set is this appliance.
    OwnMember,
}

/// Explains how `request` meets the rules, without the memory of a worker: an ACK or CANCEL is
/// judged by its own headers.
///
/// # Errors
/// A request that is refused before the rules are asked.
pub fn explain_request(
    request: &Request<'_>,
    tables: &Tables,
    arrival: &Arrival,
) -> Result<Explanation, Refusal> {
    let bytes = request.bytes;
    let uri = Uri::parse(bytes, request.uri).ok_or(BAD_URI)?;
    let via = request.headers.value(HeaderId::Via);
    Via::parse(bytes, via.start(), via.end())
        .ok_or(bad(ParseErrorKind::Malformed(HeaderId::Via)))?;
    super::validate(request, &uri)?;
    let mut call = Call { keys: &tables.keys, id: request.call_id(), hash: None };
    let params = uri.params(bytes).ok_or(BAD_URI)?;
    let mut route = RequestRoute::default();
    let mut path = Path::new(request, uri, params, &mut route);
    let in_dialog = path.preprocess(tables, arrival, &mut call)?;
    let subject = subject(request, &path.uri, arrival);
    let is_ours = path.uri.scheme == Scheme::Tel
        || tables.is_ours(subject.host, path.uri.port(), arrival.listen);
    let has_way = !is_ours || path.routes.top()?.is_some();
    let by_flow = match path.flow {
        Some((_, Purpose::Path)) => true,
        Some((_, Purpose::Dialog)) => path.routes.top()?.is_none(),
        None => false,
    };
    let in_dialog = in_dialog && has_way || by_flow;
    let is_for_us = !has_way && request.method == Method::Options && subject.user.is_empty();
    let mut explanation = Explanation {
        in_dialog,
        user: text(subject.user),
        host: text(subject.host),
        rules: Vec::new(),
        hash: None,
    };
    if !in_dialog && !is_for_us {
        explanation.ask_rules(request, tables, &subject, &mut call, has_way);
    }
    Ok(explanation)
}

impl Explanation {
    fn ask_rules(
        &mut self,
        request: &Request<'_>,
        tables: &Tables,
        subject: &Subject<'_>,
        call: &mut Call<'_>,
        has_way: bool,
    ) {
        let mut choices = Choices::with_room(Share::default(), 1);
        for rule in &tables.fixed.rules {
            let mut miss = rule.first_miss(subject);
            if miss.is_none()
                && !rule.headers.is_empty()
                && !rule.headers_fit(request, || call.hash(), &mut choices)
            {
                miss = Some(Criterion::Headers);
            }
            let set = match rule.action {
                CompiledAction::Forward(set) => Some(set),
                CompiledAction::ForwardByPrefix(table) => {
                    let table = tables.fixed.prefix_tables.get(usize::from(table));
                    let set = table.and_then(|table| table.find(subject.scheme, subject.user));
                    miss = miss.or(set.is_none().then_some(Criterion::PrefixTable));
                    set
                }
                CompiledAction::Register | CompiledAction::Locate => {
                    let registers = matches!(rule.action, CompiledAction::Register);
                    let fits = registers == (request.method == Method::Register);
                    miss = miss.or((!fits).then_some(Criterion::Methods));
                    miss = miss.or(has_way.then_some(Criterion::OwnWay));
                    None
                }
                CompiledAction::RequestUri | CompiledAction::Reject { .. } => None,
            };
            if let (None, Some(set)) = (miss, set) {
                let member = member(request, tables, subject, set, call, &mut choices);
                miss = member.is_ok_and(|one| one.is_own).then_some(Criterion::OwnMember);
            }
            let Some(criterion) = miss else {
                self.rules.push(RuleFit::Decides);
                let set = set.and_then(|set| tables.sets.get(usize::from(set)));
                self.hash = set.map(|set| key_used(set.settings().hash, request, tables, subject));
                return;
            };
            self.rules.push(RuleFit::Misses(criterion));
        }
    }
}

/// What is hashed, where a set asks for `key`.
fn key_used(
    key: HashKey,
    request: &Request<'_>,
    tables: &Tables,
    subject: &Subject<'_>,
) -> HashKey {
    hash_key::of(key, request, subject, &tables.keys).map_or(HashKey::CallId, |_| key)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
