//! The routes in words, for `trunkline check`.

use super::Config;
use super::routes::{Action, DestinationSet, Member, Route, RouteMatch};
use std::fmt::Display;

/// What happens to a request, one line per route, in the order in which they are tried.
pub fn explain_routes(config: &Config) -> String {
    let mut lines = Vec::new();
    for (index, route) in config.routes.iter().enumerate() {
        let subject = describe_match(&route.matching);
        lines.push(format!("{}. {subject} {}", index + 1, describe_action(route, config)));
    }
    let takes_all = |r: &Route| r.matching == RouteMatch::default();
    if !config.routes.iter().any(takes_all) {
        lines.push(format!(
            "{}. any other request is answered: 404 Not Found for a domain of ours, else 403 Forbidden",
            config.routes.len() + 1
        ));
    }
    lines.join("\n")
}

fn describe_match(matching: &RouteMatch) -> String {
    let methods = either("", &matching.methods);
    let subject = if methods.is_empty() { "any request" } else { &methods };
    [
        subject,
        &either(" to a user beginning with ", &matching.user_prefixes),
        &either(" at ", &matching.domains),
        &either(" coming from ", &matching.sources),
    ]
    .concat()
}

fn describe_action(route: &Route, config: &Config) -> String {
    match &route.action {
        Action::Relay => "is relayed to the host of its Request-URI".into(),
        Action::Reject(reject) => format!("is answered with {} {}", reject.code, reject.reason),
        Action::Forward(name) => {
            let set = config.destination_sets.iter().find(|set| set.name == *name);
            format!("is forwarded to {name}{}", set.map_or_else(String::new, describe_set))
        }
    }
}

fn describe_set(set: &DestinationSet) -> String {
    let total: u32 = set.members.iter().map(|m| u32::from(m.weight)).sum();
    let share = |member: &Member| {
        if member.weight == 0 {
            format!("{} out of service", member.address)
        } else if u32::from(member.weight) == total {
            member.address.to_string()
        } else {
            let percent = f64::from(member.weight) * 100.0 / f64::from(total);
            format!("{} {percent:.0} %", member.address)
        }
    };
    format!(" ({})", set.members.iter().map(share).collect::<Vec<_>>().join(", "))
}

/// `before` and the items with `or` between them; nothing when there are none.
fn either<T: Display>(before: &str, items: &[T]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let words: Vec<_> = items.iter().map(ToString::to_string).collect();
    format!("{before}{}", words.join(" or "))
}
