//! Destination sets and routes: what happens to a request.

use super::probe::{self, AllDown, Probe};
use super::value;
use serde::Deserialize;
use sip_core as sip;
use std::net::SocketAddr;

/// `[[destination_sets]]`: next hops that can stand in for each other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationSet {
    /// The name that routes use. Required; 1 to 64 letters, digits, `-`, `_`, `.`; unique.
    #[serde(deserialize_with = "value::name")]
    pub name: String,
    /// How a request finds its member. Default `rendezvous`.
    #[serde(default)]
    pub algorithm: sip::Algorithm,
    /// What of a request is hashed. Default `call-id`.
    #[serde(default)]
    pub hash: sip::HashKey,
    /// Whether requests with a transaction ask the members to say how much less they want (RFC 7339). Default false.
    #[serde(default)]
    pub overload_control: bool,
    /// The next hops. Required; 1 to 256.
    pub members: Vec<Member>,
    /// How members are probed with OPTIONS. Default on; `false` switches it off.
    #[serde(default = "probe::on", deserialize_with = "probe::probe")]
    pub probe: Option<Probe>,
    /// What happens when no member is in use any more. Default `keep`.
    #[serde(default)]
    pub all_down: AllDown,
}

/// One next hop of a destination set.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Address and port. Required.
    #[serde(deserialize_with = "value::address")]
    pub address: SocketAddr,
    /// What it is spoken to over: `udp` (default), `tcp` or `tls`.
    #[serde(default)]
    pub transport: sip::Transport,
    /// Requests that UDP would have to send in fragments go over TCP (RFC 3261 18.1.1). Default false.
    #[serde(default)]
    pub large_over_tcp: bool,
    /// Share relative to the other members. Default 1; 0 (out of service) to 65,535.
    #[serde(default = "one", deserialize_with = "value::weight")]
    pub weight: u16,
    /// Tier: members of the lowest number are used as long as one of them can be. Default 0; to 255.
    #[serde(default)]
    pub priority: u8,
    /// Used only while no other member can be. Default false.
    #[serde(default)]
    pub backup: bool,
    /// Requests per second that open dialogs, all workers together. Default 0, no limit; to 1,000,000.
    #[serde(default)]
    pub capacity: u32,
    /// It is this appliance: one of its listen points.
    #[serde(skip)]
    pub is_own: bool,
}

fn one() -> u16 {
    1
}

/// `[[routes]]`: a match and what happens to a request that it fits. Exactly one of `forward`,
/// `forward_by_prefix`, `relay`, `register`, `locate` and `reject` stands in the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RouteText")]
pub struct Route {
    /// `match = { ... }`; absent, the route takes every request.
    pub matching: RouteMatch,
    /// What happens.
    pub action: Action,
    /// `stateful = true` and `fork = "parallel"` or `"serial"`: whether a request that is sent on gets
    /// a transaction, and to how many members it goes. Default stateless, to one.
    pub relay: sip::Relay,
    /// `auth = "REALM"`: the realm of which a request must have credentials. Default none.
    pub auth: Option<String>,
    /// `path = true`: a REGISTER that is sent on gets our Path (RFC 3327). Default false.
    pub path: bool,
    /// `otherwise = "NAME"`, with `locate`: the destination set that a request goes to whose user has no binding here.
    /// Default none: 480.
    pub otherwise: Option<String>,
}

/// What a request must look like; every list that is given must fit, an absent one fits anything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteMatch {
    /// Methods, in capitals. ACK and CANCEL follow their INVITE. Default any; at most 256.
    pub methods: Vec<String>,
    /// Hosts of the Request-URI. Default any; at most 256.
    pub domains: Vec<String>,
    /// Beginnings of the user part of the Request-URI. Default any; at most 256 of 128 bytes.
    pub user_prefixes: Vec<String>,
    /// Networks the request comes from, such as `10.0.0.0/8`. Default any; at most 256.
    #[serde(deserialize_with = "value::networks")]
    pub sources: Vec<sip::Network>,
    /// Headers of the request, of which one is enough. Default any; at most 256.
    pub headers: Vec<Header>,
}

/// A header that a request must have: any value, or at most one of the three.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "HeaderText")]
pub struct Header(pub sip::HeaderMatch);

/// A header as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderText {
    name: String,
    is: Option<String>,
    begins_with: Option<String>,
    contains: Option<String>,
}

impl TryFrom<HeaderText> for Header {
    type Error = &'static str;

    fn try_from(text: HeaderText) -> Result<Self, Self::Error> {
        let test = match (text.is, text.begins_with, text.contains) {
            (None, None, None) => sip::HeaderTest::Present,
            (Some(value), None, None) => sip::HeaderTest::Is(value),
            (None, Some(begin), None) => sip::HeaderTest::BeginsWith(begin),
            (None, None, Some(part)) => sip::HeaderTest::Contains(part),
            _ => return Err("takes at most one of is, begins_with, contains"),
        };
        Ok(Self(sip::HeaderMatch { name: text.name, test }))
    }
}

/// What a route does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `forward = "NAME"`: to a member of this destination set; when that is this appliance, the next route is tried.
    Forward(String),
    /// `forward_by_prefix = "NAME"`: to the set that this prefix table has for the longest prefix of
    /// the user part; without one, the next route is tried.
    ForwardByPrefix(String),
    /// `relay = true`: to the next Route of the request, or without one to its Request-URI.
    Relay,
    /// `register = true`: a REGISTER for one of our domains is answered from location; other requests try
    /// the next route.
    Register,
    /// `locate = true`: a request for a user of our domains goes to the bindings of its Request-URI, with a
    /// transaction; REGISTER tries the next route.
    Locate,
    /// `reject = { code = 403, reason = "Forbidden" }`.
    Reject(Reject),
}

/// A final response of our own.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reject {
    /// Status code. Required; 300 to 699.
    pub code: u16,
    /// Reason phrase. Required; 1 to 128 printable characters.
    pub reason: String,
}

/// A route as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteText {
    #[serde(default, rename = "match")]
    matching: RouteMatch,
    forward: Option<String>,
    forward_by_prefix: Option<String>,
    relay: Option<bool>,
    register: Option<bool>,
    locate: Option<bool>,
    reject: Option<Reject>,
    #[serde(default)]
    stateful: bool,
    fork: Option<sip::Fork>,
    auth: Option<String>,
    #[serde(default)]
    path: bool,
    otherwise: Option<String>,
}

impl TryFrom<RouteText> for Route {
    type Error = &'static str;

    fn try_from(text: RouteText) -> Result<Self, Self::Error> {
        let chosen = |key: Option<bool>, action| key.unwrap_or(false).then_some(action);
        let actions = [
            text.forward.map(Action::Forward),
            text.forward_by_prefix.map(Action::ForwardByPrefix),
            chosen(text.relay, Action::Relay),
            chosen(text.register, Action::Register),
            chosen(text.locate, Action::Locate),
            text.reject.map(Action::Reject),
        ];
        let mut actions = actions.into_iter().flatten();
        let (Some(action), None) = (actions.next(), actions.next()) else {
            return Err("needs exactly one of forward = \"SET\", forward_by_prefix = \"TABLE\", \
                        relay = true, register = true, locate = true, \
                        reject = { code = 403, reason = \"Forbidden\" }");
        };
        if text.fork.is_some() && matches!(action, Action::Register | Action::Locate) {
            return Err("fork is for sets: locate asks the bindings by their q");
        }
        let relay = match (text.stateful, text.fork) {
            (true, fork) => sip::Relay::Stateful(fork.unwrap_or_default()),
            (false, None) => sip::Relay::Stateless,
            (false, Some(_)) => {
                return Err("fork needs a transaction: write stateful = true beside it");
            }
        };
        let RouteText { matching, auth, path, otherwise, .. } = text;
        Ok(Self { matching, action, relay, auth, path, otherwise })
    }
}

impl DestinationSet {
    /// The same set as the router knows it.
    pub(super) fn to_sip(&self) -> sip::DestinationSet {
        let member = |member: &Member| sip::Member {
            transport: member.transport,
            large_over_tcp: member.large_over_tcp,
            address: member.address,
            weight: member.weight,
            priority: member.priority,
            backup: member.backup,
            capacity: member.capacity,
            state: sip::MemberState::Up,
        };
        sip::DestinationSet {
            name: self.name.clone(),
            algorithm: self.algorithm,
            hash: self.hash,
            overload_control: self.overload_control,
            members: self.members.iter().map(member).collect(),
        }
    }
}

impl Route {
    /// Whether it needs the location tables.
    pub fn needs_location(&self) -> bool {
        matches!(self.action, Action::Register | Action::Locate)
    }

    /// Whether the requests that it sends on get transactions.
    pub fn is_stateful(&self) -> bool {
        self.relay != sip::Relay::Stateless || self.action == Action::Locate
    }

    /// The same route as the router knows it.
    pub(super) fn to_sip(&self) -> sip::Rule {
        sip::Rule {
            methods: self.matching.methods.clone(),
            domains: self.matching.domains.clone(),
            user_prefixes: self.matching.user_prefixes.clone(),
            sources: self.matching.sources.clone(),
            headers: self.matching.headers.iter().map(|header| header.0.clone()).collect(),
            action: match &self.action {
                Action::Forward(set) => sip::Action::Forward(set.clone()),
                Action::ForwardByPrefix(table) => sip::Action::ForwardByPrefix(table.clone()),
                Action::Relay => sip::Action::RequestUri,
                Action::Register => sip::Action::Register,
                Action::Locate => sip::Action::Locate,
                Action::Reject(Reject { code, reason }) => {
                    sip::Action::Reject { code: *code, reason: reason.clone() }
                }
            },
            relay: self.relay,
            auth: self.auth.clone(),
            path: self.path,
            otherwise: self.otherwise.clone(),
        }
    }
}
