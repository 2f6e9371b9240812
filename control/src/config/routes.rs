//! Destination sets and routes: what happens to a request.

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
    /// The next hops. Required; 1 to 256.
    pub members: Vec<Member>,
}

/// One next hop of a destination set.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Address and port, over UDP. Required.
    #[serde(deserialize_with = "value::address")]
    pub address: SocketAddr,
    /// Share relative to the other members. Default 1; 0 (out of service) to 65,535.
    #[serde(default = "one", deserialize_with = "value::weight")]
    pub weight: u16,
}

fn one() -> u16 {
    1
}

/// `[[routes]]`: a match and what happens to a request that it fits. Exactly one of `forward`,
/// `relay` and `reject` stands in the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RouteText")]
pub struct Route {
    /// `match = { ... }`; absent, the route takes every request.
    pub matching: RouteMatch,
    /// What happens.
    pub action: Action,
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
}

/// What a route does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `forward = "NAME"`: to a member of this destination set.
    Forward(String),
    /// `relay = true`: to the next Route of the request, or without one to its Request-URI.
    Relay,
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
    relay: Option<bool>,
    reject: Option<Reject>,
}

impl TryFrom<RouteText> for Route {
    type Error = &'static str;

    fn try_from(text: RouteText) -> Result<Self, Self::Error> {
        let action = match (text.forward, text.relay, text.reject) {
            (Some(set), None, None) => Action::Forward(set),
            (None, Some(true), None) => Action::Relay,
            (None, None, Some(reject)) => Action::Reject(reject),
            _ => {
                return Err("needs exactly one of forward = \"SET\", relay = true, \
                            reject = { code = 403, reason = \"Forbidden\" }");
            }
        };
        Ok(Self { matching: text.matching, action })
    }
}

impl DestinationSet {
    /// The same set as the router knows it.
    pub(super) fn to_sip(&self) -> sip::DestinationSet {
        let member = |m: &Member| sip::Member { weight: m.weight, ..sip::Member::new(m.address) };
        sip::DestinationSet {
            name: self.name.clone(),
            algorithm: self.algorithm,
            members: self.members.iter().map(member).collect(),
            ..sip::DestinationSet::default()
        }
    }
}

impl Route {
    /// The same route as the router knows it.
    pub(super) fn to_sip(&self) -> sip::Rule {
        sip::Rule {
            methods: self.matching.methods.clone(),
            domains: self.matching.domains.clone(),
            user_prefixes: self.matching.user_prefixes.clone(),
            sources: self.matching.sources.clone(),
            headers: Vec::new(),
            action: match &self.action {
                Action::Forward(set) => sip::Action::Forward(set.clone()),
                Action::Relay => sip::Action::RequestUri,
                Action::Reject(Reject { code, reason }) => {
                    sip::Action::Reject { code: *code, reason: reason.clone() }
                }
            },
        }
    }
}
