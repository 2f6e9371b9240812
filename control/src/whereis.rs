//! `trunkline where`: what the appliance would do with a message, and why. The tables, the rules and
//! the rewriting are those of the workers; only what a worker remembers is not here.

mod queues;
mod report;

pub use queues::{PortQueues, queues};
pub use report::{Answer, Fate, Member, RuleLine};

use crate::config::{Config, explain_routes};
use crate::health::Impaired;
use crate::health::states::set_states;
use anyhow::{Context, Result, bail, ensure};
use control_api::DropReason;
use sip_core::{
    Arrival, Choices, Criterion, EditList, Explanation, HashKey, Headers, ListenId, ListenPoint,
    Message, Output, Refusal, Request, RequestRoute, Response, RouteReason, RuleFit, Settings,
    SipDrop, Tables, Transport, explain_request, parse, rewrite_request, rewrite_response,
    route_request, route_response, write_reply,
};
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// The appliance as it would meet a message.
#[derive(Debug)]
pub struct Appliance<'a> {
    config: &'a Config,
    settings: Settings,
    tables: Tables,
}

impl<'a> Appliance<'a> {
    /// The appliance of `config` with its `secret`; `impaired` members are not simply in use.
    ///
    /// # Errors
    /// Settings that the router refuses.
    pub fn new(config: &'a Config, secret: [u8; 16], impaired: &[Impaired]) -> Result<Self> {
        let mut settings = config.to_settings(secret);
        set_states(&mut settings, impaired);
        let tables = Tables::build(&settings)?;
        Ok(Self { config, settings, tables })
    }

    /// The listen point that a message from `from` met over `transport`: `to` if it is one; without it the only one of
    /// the family, or the one that this machine's route to `from` leaves from.
    ///
    /// # Errors
    /// The listen points to choose from.
    pub fn listen(
        &self,
        transport: Transport,
        from: SocketAddr,
        to: Option<SocketAddr>,
    ) -> Result<ListenId> {
        let speaks = |point: &&ListenPoint| point.transport == transport;
        let listen = self.settings.listen.iter().filter(speaks);
        let all: Vec<_> = listen.map(|one| one.address).collect();
        ensure!(!all.is_empty(), "no listen point speaks {}", transport.via());
        let list =
            |of: &[SocketAddr]| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if let Some(to) = to {
            let id = self.tables.listen_id_of(transport, to);
            return id.with_context(|| format!("{to} is no listen point, but {}", list(&all)));
        }
        let family: Vec<_> =
            all.iter().copied().filter(|at| at.is_ipv4() == from.is_ipv4()).collect();
        match family.as_slice() {
            [only] => self.tables.listen_id_of(transport, *only).context("a listen point"),
            [] => bail!(
                "no listen point has the family of {from}: name one with --to, of {}",
                list(&all)
            ),
            some => {
                let source = source_of_route(from);
                let id = source.and_then(|source| self.tables.listen_for(transport, source, 5060));
                id.with_context(|| {
                    format!("which listen point did it come to? --to one of {}", list(some))
                })
            }
        }
    }

    /// What becomes of the message in `datagram`.
    pub fn ask(&self, datagram: &[u8], from: SocketAddr, listen: ListenId) -> Answer {
        let arrival = Arrival { source: from, listen };
        let ListenPoint { address: to, transport } = *self.tables.listen_point(listen);
        let mut answer = Answer { from, to, transport, ..Answer::default() };
        match &parse(datagram, &mut Headers::default()) {
            Ok(Message::Request(request)) => {
                self.ask_request(request, datagram, &arrival, &mut answer);
            }
            Ok(Message::Response(response)) => {
                self.ask_response(response, datagram, &mut answer);
            }
            Err(error) => {
                answer.message =
                    format!("no valid SIP: {} at byte {}", error.kind.phrase(), error.at);
                answer.fate = self.refused(datagram, error.refusal(), &arrival);
            }
        }
        answer
    }

    fn ask_request(
        &self,
        request: &Request<'_>,
        datagram: &[u8],
        arrival: &Arrival,
        answer: &mut Answer,
    ) {
        let (method, uri) = (text(request.method_name()), text(request.uri()));
        answer.message = format!("{method} {uri}, Call-ID {}", text(request.call_id()));
        let explained = explain_request(request, &self.tables, arrival);
        if let Ok(explanation) = &explained {
            self.explain(explanation, &method, arrival, answer);
        }
        let (mut route, mut choices) = (RequestRoute::default(), Choices::default());
        let routed = route_request(request, &self.tables, arrival, &mut choices, &mut route);
        if let Err(refusal) = routed {
            answer.fate = self.refused(datagram, refusal, arrival);
            return;
        }
        let realm = self.tables.realm(request.method(), route.reason);
        answer.realm =
            realm.and_then(|id| self.tables.auth().realms.get(usize::from(id.0)).cloned());
        if route.registers() {
            answer.fate = Fate::Registered;
            return;
        }
        if let Some(uri) = route.located() {
            answer.transaction = route.is_stateful();
            answer.fate = Fate::Located { uri: text(uri.span.of(datagram)) };
            return;
        }
        if let Some(question) = route.host_name().and_then(|name| name.question(datagram)) {
            answer.transaction = route.is_stateful();
            answer.fate = Fate::Named { name: text(question.name()) };
            return;
        }
        if let RouteReason::Member { set, member, .. } = route.reason {
            answer.member = self.member(set, member, explained.ok().and_then(|e| e.hash));
        }
        let source = source_of_route(route.next_hop);
        let port = self.tables.listen_point(arrival.listen).address.port();
        let onward =
            |source| self.tables.listen_onward(arrival.listen, route.transport, source, port);
        let egress = source.and_then(onward);
        let mut edits = EditList::new();
        let from = egress.unwrap_or(arrival.listen);
        rewrite_request(request, &route, &self.tables, arrival, from, &mut edits);
        answer.rewritten = applied(&edits, &datagram[..request.body_end()]);
        answer.transaction = route.is_stateful();
        if answer.transaction && self.tables.via_port(0).is_some() {
            let own = "it leaves from the port of the worker that has it (transactions.via_ports)";
            answer.notes.push(own.to_owned());
        }
        answer.fate = self.forwarded(route.transport, route.next_hop, egress, source);
    }

    fn ask_response(&self, response: &Response<'_>, datagram: &[u8], answer: &mut Answer) {
        let (status, call) = (response.status(), text(response.call_id()));
        answer.message = format!("response {status}, Call-ID {call}");
        match route_response(response, &self.tables) {
            Err(reason) => answer.fate = dropped(reason),
            Ok(route) => {
                let mut edits = EditList::new();
                rewrite_response(response, &route, &mut edits);
                answer.rewritten = applied(&edits, &datagram[..response.body_end()]);
                let source = source_of_route(route.next_hop);
                let transport = route
                    .leave_from
                    .map_or(Transport::Udp, |listen| self.tables.listen_point(listen).transport);
                answer.fate = self.forwarded(transport, route.next_hop, route.leave_from, source);
            }
        }
    }

    fn explain(
        &self,
        explanation: &Explanation,
        method: &str,
        arrival: &Arrival,
        answer: &mut Answer,
    ) {
        answer.in_dialog = explanation.in_dialog;
        let lines = explain_routes(self.config);
        let rules = explanation.rules.iter().zip(lines.lines()).map(|(fit, line)| RuleLine {
            rule: line.to_owned(),
            misses: match fit {
                RuleFit::Decides => None,
                RuleFit::Misses(criterion) => Some(match criterion {
                    Criterion::Methods => format!("methods: this is {method}"),
                    Criterion::Domains => format!("domains: this is for {}", explanation.host),
                    Criterion::UserPrefixes if explanation.user.is_empty() => {
                        "user_prefixes: the Request-URI has no user part".into()
                    }
                    Criterion::UserPrefixes => {
                        format!("user_prefixes: the user is {}", explanation.user)
                    }
                    Criterion::Sources => format!("sources: this is from {}", arrival.source.ip()),
                    Criterion::Headers => "headers: none of them fits".into(),
                    Criterion::PrefixTable => {
                        format!("its table has no prefix of the user {}", explanation.user)
                    }
                    Criterion::OwnMember => "the member of its set is this appliance".to_owned(),
                    Criterion::OwnWay => {
                        "the request has a Route, or is for a host that is not ours".into()
                    }
                }),
            },
        });
        answer.rules = rules.collect();
    }

    fn member(&self, set: u16, member: u16, hash: Option<HashKey>) -> Option<Member> {
        let set = self.settings.sets.get(usize::from(set))?;
        let chosen = set.members.get(usize::from(member))?;
        Some(Member {
            set: set.name.clone(),
            address: chosen.address,
            state: chosen.state.to_string(),
            of: set.members.len(),
            hashed: match hash {
                Some(HashKey::FromUser) => "user of From",
                Some(HashKey::ToUser) => "user of To",
                Some(HashKey::RequestUser) => "user of the Request-URI",
                Some(HashKey::Aor) => "user of To (REGISTER) or of the Request-URI",
                Some(HashKey::Source) => "source address",
                Some(HashKey::CallId) | None => "Call-ID",
            },
        })
    }

    fn forwarded(
        &self,
        transport: Transport,
        next_hop: SocketAddr,
        leaves: Option<ListenId>,
        source: Option<IpAddr>,
    ) -> Fate {
        Fate::Forwarded {
            transport,
            next_hop,
            leaves_from: leaves.map(|listen| self.tables.listen_point(listen).address),
            source,
        }
    }

    fn refused(&self, datagram: &[u8], refusal: Refusal, arrival: &Arrival) -> Fate {
        let reply = match refusal {
            Refusal::Drop(reason) => return dropped(reason),
            Refusal::Reply(reply) => reply,
        };
        let mut out = Output::new();
        match write_reply(datagram, reply, &self.tables, arrival, &mut out) {
            Ok(to) => {
                let response = text(out.bytes());
                let line = response.lines().next().unwrap_or_default().to_owned();
                Fate::Answered { with: line, to, response }
            }
            Err(reason) => dropped(reason),
        }
    }
}

/// The address that this machine's routes give to a datagram for `next_hop`; none without a route.
fn source_of_route(next_hop: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if next_hop.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Nothing is sent: connecting a UDP socket only asks for the route.
    socket.connect(next_hop).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The drop with the name under which `trunkline status` counts it.
fn dropped(reason: SipDrop) -> Fate {
    let mut name = String::new();
    for letter in format!("{reason:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    let known = DropReason::ALL.iter().find(|reason| reason.name() == name);
    let why = known.map_or("", |reason| reason.help());
    Fate::Dropped { reason: name, why: why.to_owned() }
}

/// The message with its edits; empty when it is larger than a datagram.
fn applied(edits: &EditList, message: &[u8]) -> String {
    let mut patched = message.to_vec();
    edits.patch(&mut patched);
    let mut out = Output::new();
    let whole = edits
        .emit_prefix(&patched, &mut out)
        .and_then(|replaced| out.push(patched.get(replaced..).unwrap_or_default()));
    if whole.is_ok() { text(out.bytes()) } else { String::new() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
