//! Requests that concern our own users: who sends them, where they are, and REGISTER itself.
//!
//! ```text
//!  routed ──► owner of the AoR? ──┬─ another worker: hand it off
//!                                 └─ here ──► credentials? ──┬─ 401, 407
//!                                                            ├─ REGISTER: bindings changed, 200
//!                                                            └─ others: bindings found, sent on
//! ```

use super::{Outgoing, Refused, Scratch, Way, sip_drop};
use crate::awaiting::{Awaited, Patience};
use crate::probe::{Probe, Stage};
use crate::verdict::Verdict;
use control_api::DropReason;
use sip_core::limits::{BINDING_TEXT_MAX, CONTACTS_MAX};
use sip_core::{
    AorOwner, AorUri, Arrival, Authenticated, Blocked, Demand, Durability, HeaderId, Located,
    Method, NoAor, ParseErrorKind, RealmId, Registered, Reply, Request, RequestRoute, Span,
    consume_credentials, route_otherwise,
};

/// Longest answer to a REGISTER that can wait for the store: with as many bindings as an AoR can have,
/// each with all the text that it can have.
const REPLY_MAX: usize = CONTACTS_MAX * BINDING_TEXT_MAX + 4096;

impl Way<'_> {
    /// Whether requests may be for our own users, or need credentials.
    #[inline]
    pub(super) fn is_home(&self) -> bool {
        self.tables.has_location() || self.tables.has_realms()
    }

    /// What a routed request needs before it goes on: credentials, and the bindings that it goes to. Gives what is to
    /// be sent when it goes no further.
    pub(super) fn at_home(
        &self,
        request: &Request,
        arrival: &Arrival,
        route: &mut RequestRoute,
        scratch: &mut Scratch,
        probe: &mut impl Probe,
    ) -> Result<Option<Outgoing>, Refused> {
        let located = route.located();
        if located.is_some() || route.registers() {
            self.check_owner(request, arrival, located.as_ref(), scratch)?;
        }
        let mut user = None;
        if let Some(realm) = self.tables.realm(request.method(), route.reason) {
            let checked = self.authenticate(request, arrival, route, realm, scratch);
            probe.end(Stage::Digest);
            match checked? {
                Proved::User(name) => user = Some(name),
                Proved::Answer(outgoing) => return Ok(Some(outgoing)),
            }
            if !route.registers() {
                consume_credentials(request, self.tables, route);
            }
        } else if request.method() == Method::Ack {
            consume_credentials(request, self.tables, route);
        }
        if route.registers() {
            let answer = self.register(request, arrival, route, user, scratch);
            probe.end(Stage::Location);
            return answer.map(Some);
        }
        if let Some(uri) = located {
            let found = self.locate(request, arrival, &uri, route, scratch);
            probe.end(Stage::Location);
            found?;
        }
        Ok(None)
    }

    fn check_owner(
        &self,
        request: &Request,
        arrival: &Arrival,
        located: Option<&AorUri>,
        scratch: &mut Scratch,
    ) -> Result<(), Refused> {
        let location = &mut scratch.location;
        let owner = match located {
            Some(uri) => location.owner_of_uri(request, uri, self.tables),
            None => location.owner_of_to(request, self.tables, arrival),
        };
        match owner {
            AorOwner::Here => Ok(()),
            AorOwner::Worker(worker) => Err(Refused::Verdict(Verdict::Handoff(worker))),
            AorOwner::Nobody(NoAor::NotFound) => Err(Refused::Reply(Reply::NotFound)),
            AorOwner::Nobody(NoAor::Malformed) => Err(Refused::Reply(match located {
                Some(_) => Reply::Parse(ParseErrorKind::RequestUri),
                None => Reply::Parse(ParseErrorKind::Malformed(HeaderId::To)),
            })),
        }
    }

    /// RFC 3261 section 22: who sends the request.
    fn authenticate(
        &self,
        request: &Request,
        arrival: &Arrival,
        route: &RequestRoute,
        realm: RealmId,
        scratch: &mut Scratch,
    ) -> Result<Proved, Refused> {
        let tables = self.tables;
        let Some(credentials) = self.credentials else {
            return Err(Refused::Reply(Reply::Unavailable));
        };
        let demand = Demand { request, route, realm, credentials, tables, arrival };
        let stale = match scratch.digest.check(&demand) {
            Authenticated::User(user) => return Ok(Proved::User(user)),
            Authenticated::Challenge { stale } => stale,
            Authenticated::Limited => {
                return Err(match tables.auth().blocked {
                    Blocked::Drop => Refused::Verdict(Verdict::Drop(DropReason::AuthBlocked)),
                    Blocked::Forbid => Refused::Reply(Reply::Forbidden),
                });
            }
            Authenticated::Bad => {
                let (code, reason) = (400, "Bad Credentials");
                return Err(Refused::Reply(Reply::Other { code, reason }));
            }
            Authenticated::Unready => return Err(Refused::Reply(Reply::Unavailable)),
        };
        let target = scratch
            .digest
            .write_challenge(&demand, stale, &mut scratch.prefix)
            .map_err(|reason| Refused::Verdict(sip_drop(reason)))?;
        let back = self.find_way_back(target, Some(arrival.listen), scratch);
        back.map_err(Refused::Verdict)?;
        self.leave_from(arrival.listen, scratch);
        Ok(Proved::Answer(Outgoing::Reply))
    }

    /// RFC 3261 section 10.3.
    fn register(
        &self,
        request: &Request,
        arrival: &Arrival,
        route: &RequestRoute,
        user: Option<Span>,
        scratch: &mut Scratch,
    ) -> Result<Outgoing, Refused> {
        // Before anything is changed: an answer that waits for the store cannot wait for its neighbour, too.
        let back = self.find_way_back(arrival.source, Some(arrival.listen), scratch);
        back.map_err(Refused::Verdict)?;
        let Scratch { location, held, prefix, .. } = scratch;
        let user = user.map(|name| request.text(name));
        let must_wait =
            self.tables.registrar().durability == Durability::Flushed && !held.is_degraded();
        // Once a change is made it cannot be refused any more.
        if must_wait && !held.may_hold(REPLY_MAX) {
            held.refused += 1;
            return Err(Refused::Reply(Reply::Unavailable));
        }
        let target = match location.register(request, route, self.tables, arrival, user, prefix) {
            Registered::Changed(target) if must_wait => {
                let (position, from) = (location.position(), arrival.listen);
                if held.hold(position, target, from, prefix.bytes()) {
                    return Err(Refused::Verdict(Verdict::Held));
                }
                target
            }
            Registered::Reply(target) | Registered::Changed(target) => target,
            Registered::Drop(reason) => return Err(Refused::Verdict(sip_drop(reason))),
        };
        if target != arrival.source {
            let back = self.find_way_back(target, Some(arrival.listen), scratch);
            back.map_err(Refused::Verdict)?;
        }
        self.leave_from(arrival.listen, scratch);
        Ok(Outgoing::Reply)
    }

    /// RFC 3261 section 16.5: the bindings of the user are the target set.
    fn locate(
        &self,
        request: &Request,
        arrival: &Arrival,
        uri: &AorUri,
        route: &mut RequestRoute,
        scratch: &mut Scratch,
    ) -> Result<(), Refused> {
        match request.method() {
            // It belongs to no transaction of ours, so it acknowledges an answer that we gave without one.
            Method::Ack => {
                return Err(Refused::Verdict(Verdict::Drop(DropReason::AckUnanswerable)));
            }
            // RFC 3261 section 9.2.
            Method::Cancel => return Err(Refused::Reply(Reply::NoTransaction)),
            // RFC 6665 section 4.2.1: nobody is told of registrations (RFC 3680) here.
            Method::Subscribe if request.event().eq_ignore_ascii_case(b"reg") => {
                return Err(Refused::Reply(Reply::BadEvent));
            }
            _ => {}
        }
        let Scratch { location, targets, .. } = scratch;
        match location.locate(request, uri, self.tables, targets) {
            Located::Found => {
                targets.aim(route);
                Ok(())
            }
            Located::NotRegistered => self.not_here(request, arrival, uri, route, scratch),
            Located::Unknown => Err(Refused::Reply(Reply::NotFound)),
            Located::Loading => Err(Refused::Reply(Reply::Unavailable)),
        }
    }

    /// No binding of the user is here. Appliances that share users ask the engine, which has all there are: a share moves
    /// while phones go on calling. What is left may be at the member that has the user.
    #[cold]
    fn not_here(
        &self,
        request: &Request,
        arrival: &Arrival,
        uri: &AorUri,
        route: &mut RequestRoute,
        scratch: &mut Scratch,
    ) -> Result<(), Refused> {
        let Scratch { location, choices, patience, .. } = scratch;
        let asks = location.asks();
        if asks && *patience == Patience::All && location.ask(request, uri, self.tables) {
            return Err(Refused::Verdict(Verdict::Await(Awaited::User)));
        }
        match route_otherwise(request, self.tables, arrival, choices, route) {
            Ok(true) => Ok(()),
            // Nobody could say it, so that it is not said that there is none.
            Ok(false) if asks && *patience == Patience::Nothing => {
                Err(Refused::Reply(Reply::Unavailable))
            }
            Ok(false) => Err(Refused::Reply(Reply::NotRegistered)),
            Err(reply) => Err(Refused::Reply(reply)),
        }
    }
}

/// What came of asking who sends a request.
enum Proved {
    /// The user whose name stands here.
    User(Span),
    /// He is asked first.
    Answer(Outgoing),
}
