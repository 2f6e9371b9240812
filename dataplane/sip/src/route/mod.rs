//! Where a message goes: RFC 3261 16.3-16.6 for requests, 16.7 and 18.2.2 for responses.

pub(crate) mod build;
mod build_auth;
mod build_registrar;
pub(crate) mod build_sets;
pub(crate) mod choices;
pub(crate) mod dispatch;
pub(crate) mod hash_key;
mod leaving_from;
pub(crate) mod loads;
mod loops;
pub(crate) mod maglev;
pub(crate) mod outcome;
pub(crate) mod prefixes;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod route_set;
pub(crate) mod rule_index;
pub(crate) mod rules;
pub(crate) mod set;
pub(crate) mod shares;
pub(crate) mod tables;
pub(crate) mod target;
