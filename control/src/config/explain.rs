//! The routes in words, for `trunkline check`.

use super::Config;
use super::routes::{Action, DestinationSet, Header, Member, Route, RouteMatch};
use sip_core::{Fork, HeaderMatch, HeaderTest, Relay};
use std::fmt::Display;

/// What happens to a request, one line per route, in the order in which they are tried.
pub fn explain_routes(config: &Config) -> String {
    let mut lines = Vec::new();
    for (index, route) in config.routes.iter().enumerate() {
        let subject = describe_match(route);
        let action = describe_action(route, config);
        let (relay, credentials) = (describe_relay(route), describe_credentials(route));
        let path = if route.path { ", with our Path on a REGISTER" } else { "" };
        lines.push(format!("{}. {subject} {action}{relay}{path}{credentials}", index + 1));
    }
    let takes_all = |r: &Route| r.matching == RouteMatch::default() && !r.needs_location();
    if !config.routes.iter().any(takes_all) {
        lines.push(format!(
            "{}. any other request is answered: 404 Not Found for a domain of ours, else 403 Forbidden",
            config.routes.len() + 1
        ));
    }
    lines.join("\n")
}

fn describe_match(route: &Route) -> String {
    let matching = &route.matching;
    let methods = either("", &matching.methods);
    let subject = match route.action {
        Action::Register => "REGISTER",
        Action::Locate if methods.is_empty() => "any request but REGISTER",
        _ if methods.is_empty() => "any request",
        _ => &methods,
    };
    [
        subject,
        &either(" to a user beginning with ", &matching.user_prefixes),
        &either(" at ", &matching.domains),
        &either(" coming from ", &matching.sources),
        &either(" with ", &matching.headers.iter().map(describe_header).collect::<Vec<_>>()),
    ]
    .concat()
}

/// Who may do this.
fn describe_credentials(route: &Route) -> String {
    let realm = route.auth.as_ref();
    realm.map_or_else(String::new, |realm| format!(", for users of {realm} with their password"))
}

/// What a transaction adds to the route.
fn describe_relay(route: &Route) -> &'static str {
    match (route.relay, &route.action) {
        (Relay::Stateless, _) => "",
        (Relay::Stateful(Fork::Parallel), _) => {
            ", with a transaction that asks all members of a tier at once, tier after tier"
        }
        (Relay::Stateful(Fork::Serial), _) => {
            ", with a transaction that asks all members, one after the other"
        }
        (Relay::Stateful(Fork::No), Action::Relay) => ", with a transaction",
        (Relay::Stateful(Fork::No), _) => {
            ", with a transaction that tries another member when one fails"
        }
    }
}

fn describe_action(route: &Route, config: &Config) -> String {
    match &route.action {
        Action::Relay => "is relayed to the host of its Request-URI".into(),
        Action::Register => "of our domains is answered from location".into(),
        Action::Locate => {
            let otherwise = route.otherwise.as_ref();
            format!(
                "for a user of our domains goes to the user's bindings, those of one q at once, q after q{}",
                otherwise.map_or_else(String::new, |set| format!(", or without any to {set}"))
            )
        }
        Action::ForwardByPrefix(name) => {
            format!(
                "is forwarded to the set that {name} has for its number, or tries the next route"
            )
        }
        Action::Reject(reject) => format!("is answered with {} {}", reject.code, reject.reason),
        Action::Forward(name) => {
            let set = config.destination_sets.iter().find(|set| set.name == *name);
            format!("is forwarded to {name}{}", set.map_or_else(String::new, describe_set))
        }
    }
}

fn describe_header(header: &Header) -> String {
    let Header(HeaderMatch { name, test }) = header;
    match test {
        HeaderTest::Present => format!("a {name} header"),
        HeaderTest::Is(text) => format!("{name}: {text}"),
        HeaderTest::BeginsWith(text) => format!("{name}: {text}…"),
        HeaderTest::Contains(text) => format!("{name}: …{text}…"),
    }
}

/// The members with their shares of what is in use while all are up.
fn describe_set(set: &DestinationSet) -> String {
    let rank = |member: &Member| (member.backup, member.priority);
    let in_service = || set.members.iter().filter(|member| member.weight > 0);
    let first = in_service().map(rank).min();
    let total: u32 =
        in_service().filter(|m| Some(rank(m)) == first).map(|m| u32::from(m.weight)).sum();
    let share = |member: &Member| {
        let limit = match member.capacity {
            0 => String::new(),
            capacity => format!(" up to {capacity}/s"),
        };
        let address = member.address;
        if member.weight == 0 {
            return format!("{address} out of service");
        }
        let role = match member {
            _ if Some(rank(member)) == first && u32::from(member.weight) == total => String::new(),
            _ if Some(rank(member)) == first => {
                let percent = f64::from(member.weight) * 100.0 / f64::from(total);
                format!(" {percent:.0} %")
            }
            Member { backup: true, .. } => " as backup".to_owned(),
            Member { priority, .. } => format!(" with priority {priority}"),
        };
        format!("{address}{role}{limit}")
    };
    let asked =
        if set.overload_control { "; each is asked how many requests it wants" } else { "" };
    format!(" ({}{asked})", set.members.iter().map(share).collect::<Vec<_>>().join(", "))
}

/// `before` and the items with `or` between them; nothing when there are none.
fn either<T: Display>(before: &str, items: &[T]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let words: Vec<_> = items.iter().map(ToString::to_string).collect();
    format!("{before}{}", words.join(" or "))
}
