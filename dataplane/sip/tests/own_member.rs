//! Destination sets that this appliance is a member of: users that are ours stay, the others go to the member that has them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{from_uac, set, settings};
use sip_core::{
    Action, Arrival, Choices, DestinationSet, Fork, HashKey, Headers, Message, Refusal, Relay,
    Reply, RequestRoute, RouteReason, Rule, Settings, Share, Tables, parse, route_otherwise,
    route_request,
};

const OWN: &str = "10.77.1.1:5060";
const OTHER: &str = "10.0.0.1:5060";
const USERS: usize = 200;

fn node(rules: Vec<Rule>) -> Settings {
    let users = DestinationSet { hash: HashKey::Aor, ..set("users", &[(OWN, 1), (OTHER, 1)]) };
    Settings { domains: vec!["home.test".into()], sets: vec![users], rules, ..settings() }
}

/// Has the INVITE for each user routed and handed to `look`.
fn each(settings: &Settings, mut look: impl FnMut(&Asked<'_>, Result<(), Refusal>)) {
    let tables = Tables::build(settings).unwrap();
    for user in 0..USERS {
        let text = format!(
            "INVITE sip:u{user}@home.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.77.1.2;branch=z9hG4bK{user}\r\n\
             From: <sip:a@home.test>;tag=1\r\nTo: <sip:u{user}@home.test>\r\nCall-ID: {user}\r\n\
             CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        let mut headers = Headers::default();
        let Ok(Message::Request(request)) = parse(text.as_bytes(), &mut headers) else {
            panic!("{text}")
        };
        let mut choices = Choices::with_room(Share::default(), 16);
        let mut route = RequestRoute::default();
        let routed = route_request(&request, &tables, &from_uac(), &mut choices, &mut route);
        let elsewhere = |arrival: &Arrival| {
            let (mut choices, mut route) =
                (Choices::with_room(Share::default(), 16), RequestRoute::default());
            let arrived = route_request(&request, &tables, arrival, &mut choices, &mut route);
            assert_eq!(arrived, Ok(()));
            let found = route_otherwise(&request, &tables, arrival, &mut choices, &mut route);
            found.unwrap().then_some(route)
        };
        look(&Asked { route: &route, elsewhere: &elsewhere }, routed);
    }
}

/// A request that was routed.
struct Asked<'a> {
    route: &'a RequestRoute,
    /// Where it goes when its user has no binding here.
    elsewhere: &'a dyn Fn(&Arrival) -> Option<RequestRoute>,
}

#[test]
fn what_a_set_gives_to_ourselves_tries_the_next_rule() {
    let forward = || Rule::always(Action::Forward("users".into()));
    let rules = vec![forward(), Rule::always(Action::Locate)];
    let (mut ours, mut theirs) = (0, 0);
    each(&node(rules), |asked, routed| {
        assert_eq!(routed, Ok(()));
        match asked.route.reason {
            RouteReason::Locate { rule: 1 } => ours += 1,
            RouteReason::Member { rule: 0, set: 0, member: 1 } => {
                assert_eq!(asked.route.next_hop, OTHER.parse().unwrap());
                theirs += 1;
            }
            other => panic!("{other:?}"),
        }
    });
    assert!(ours + theirs == USERS && ours > USERS / 4 && theirs > USERS / 4, "{ours} {theirs}");
    each(&node(vec![forward()]), |asked, routed| {
        let is_refused = routed == Err(Refusal::Reply(Reply::NotFound));
        assert!(is_refused || asked.route.next_hop == OTHER.parse().unwrap());
    });
}

#[test]
fn who_has_no_binding_here_is_looked_for_at_the_member_that_has_the_user() {
    let locate = Rule { otherwise: Some("users".into()), ..Rule::always(Action::Locate) };
    let (mut ours, mut theirs) = (0, 0);
    each(&node(vec![locate]), |asked, routed| {
        assert_eq!(routed, Ok(()));
        match (asked.elsewhere)(&from_uac()) {
            None => ours += 1,
            Some(route) => {
                assert_eq!(route.next_hop, OTHER.parse().unwrap());
                assert!(route.is_stateful());
                theirs += 1;
            }
        }
        // Who is asked by another member asks none.
        let from_member = Arrival { source: OTHER.parse().unwrap(), ..from_uac() };
        assert!((asked.elsewhere)(&from_member).is_none());
    });
    assert!(ours + theirs == USERS && ours > USERS / 4 && theirs > USERS / 4, "{ours} {theirs}");
}

#[test]
fn without_another_set_there_is_nobody_else_to_ask() {
    each(&node(vec![Rule::always(Action::Locate)]), |asked, _| {
        assert!((asked.elsewhere)(&from_uac()).is_none());
    });
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |settings: &Settings, expected: &str| {
        assert_eq!(Tables::build(settings).unwrap_err().to_string(), expected);
    };
    let otherwise =
        |set: &str, action| Rule { otherwise: Some(set.into()), ..Rule::always(action) };
    refused(
        &node(vec![otherwise("users", Action::Register)]),
        "routes[0].otherwise: only a route with locate = true looks for bindings; leave it out",
    );
    let unknown = Tables::build(&node(vec![otherwise("user", Action::Locate)])).unwrap_err();
    assert!(unknown.to_string().starts_with("routes[0].otherwise: "), "{unknown}");
    let forks = Rule {
        relay: Relay::Stateful(Fork::Serial),
        ..Rule::always(Action::Forward("users".into()))
    };
    refused(
        &node(vec![forks]),
        "routes[0].fork: we are a member of users and cannot ask ourselves: leave it out",
    );
}
