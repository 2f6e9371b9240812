//! Who has a user, by the choice that a destination set with `hash = "aor"` makes.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::dispatch::{Candidate, in_order};
use super::hash_key;
use crate::rewrite::branch::Keys;
use crate::settings::{DestinationSet, MemberState};

/// The members of a set that are up, and the order in which they would be chosen for a user.
#[derive(Clone, Debug)]
pub struct Shares {
    keys: Keys,
    members: Vec<Candidate>,
}

impl Shares {
    /// Over the members of `set` that are up, for appliances with this secret.
    pub fn new(secret: &[u8; 16], set: &DestinationSet) -> Self {
        let is_up = |(_, member): &(u16, &crate::settings::Member)| {
            member.weight > 0 && member.state == MemberState::Up
        };
        let members = (0..).zip(&set.members).filter(is_up);
        let members =
            members.map(|(index, member)| Candidate::new(index, member, 0, 0, false)).collect();
        Self { keys: Keys::new(secret), members }
    }

    /// The members for an AoR, `user@host`: the one that gets what is about the user, then the one that would get it
    /// if that one were not there, and so on.
    pub fn holders(&self, aor: &str) -> Vec<SocketAddr> {
        let user = aor.rsplit_once('@').map_or(aor, |(user, _)| user);
        let mut members = self.members.clone();
        if let Some(hash) = hash_key::of_user(user.bytes(), &self.keys) {
            in_order(&mut members, hash);
        }
        members.iter().map(|member| member.address).collect()
    }

    /// The members that are up, in the order of the set.
    pub fn up(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.address).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Shares;
    use crate::message::{Arrival, Headers, Message};
    use crate::parse::parse;
    use crate::route::choices::Choices;
    use crate::route::request::{RequestRoute, route_request};
    use crate::route::tables::Tables;
    use crate::settings::{
        Action, DestinationSet, HashKey, ListenId, ListenPoint, Member, MemberState, Rule, Settings,
    };
    use std::{format, vec};

    #[test]
    fn the_first_holder_is_the_member_that_requests_reach_and_the_second_when_that_is_down() {
        let address = |last: u8| format!("192.0.2.{last}:5060").parse().unwrap();
        let members =
            (1..=5).map(|last| Member { weight: last.into(), ..Member::new(address(last)) });
        let set = DestinationSet {
            name: "users".into(),
            hash: HashKey::Aor,
            members: members.collect(),
            ..DestinationSet::default()
        };
        let mut settings = Settings {
            secret: [3; 16],
            domains: vec!["example.com".into()],
            listen: vec![ListenPoint::udp("10.0.0.1:5060".parse().unwrap())],
            rules: vec![Rule::always(Action::Forward("users".into()))],
            sets: vec![set],
            ..Settings::default()
        };
        let chosen = |settings: &Settings, user: &str| {
            let text = format!(
                "MESSAGE sip:{user}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
                 From: <sip:x@y>;tag=1\r\nTo: <sip:x@y>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\n\r\n"
            );
            let tables = Tables::build(settings).unwrap();
            let mut headers = Headers::default();
            let Ok(Message::Request(request)) = parse(text.as_bytes(), &mut headers) else {
                panic!("{text}")
            };
            let arrival =
                Arrival { source: "192.0.2.9:5060".parse().unwrap(), listen: ListenId(0) };
            let mut route = RequestRoute::default();
            route_request(&request, &tables, &arrival, &mut Choices::default(), &mut route)
                .unwrap();
            route.next_hop
        };
        for number in 0..50 {
            let (user, aor) = (format!("u%31{number}"), format!("u1{number}@example.com"));
            let holders = Shares::new(&settings.secret, &settings.sets[0]).holders(&aor);
            assert_eq!(holders[0], chosen(&settings, &user));
            let first = settings.sets[0].members.iter().position(|one| one.address == holders[0]);
            settings.sets[0].members[first.unwrap()].state = MemberState::Down;
            assert_eq!(holders[1], chosen(&settings, &user));
            let left = Shares::new(&settings.secret, &settings.sets[0]);
            assert_eq!(left.holders(&aor), holders[1..]);
            settings.sets[0].members[first.unwrap()].state = MemberState::Up;
        }
    }
}
