//! Calls through a destination set whose members come and go: RFC 3261 section 16.11 wants each
//! retransmission, CANCEL and ACK where the INVITE went.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{from_uac, set, settings};
use proptest::prelude::*;
use sip_core::{
    Algorithm, Arrival, Choices, DestinationSet, HashKey, HeaderMatch, HeaderTest, Headers, Member,
    MemberChange, MemberState, Message, Refusal, Reply, RequestRoute, RouteReason, Rule, Settings,
    Share, Tables, parse, route_request,
};
use std::collections::HashMap;
use std::net::SocketAddr;

const MEMBERS: [(&str, u16); 5] = [
    ("10.0.0.1:5060", 1),
    ("10.0.0.2:5060", 1),
    ("10.0.0.3:5060", 1),
    ("10.0.0.4:5060", 1),
    ("10.0.0.5:5060", 1),
];

/// A worker and its clock.
struct Worker {
    settings: Settings,
    tables: Tables,
    choices: Choices,
    now_ms: u64,
}

impl Worker {
    fn new(set: DestinationSet) -> Self {
        let settings = Settings { sets: vec![set], ..settings() };
        let tables = Tables::build(&settings).unwrap();
        let choices = Choices::with_room(Share::default(), 1 << 16);
        let mut worker = Self { settings, tables, choices, now_ms: 0 };
        worker.wait(1_000);
        worker
    }

    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.choices.set_time(self.now_ms);
    }

    fn set_state(&mut self, member: u16, state: MemberState) {
        let changes = [MemberChange { set: 0, member, state }];
        self.tables = self.tables.with_member_states(&changes, self.now_ms);
        self.settings.sets[0].members[usize::from(member)].state = state;
    }

    fn reload(&mut self, change: impl FnOnce(&mut DestinationSet)) {
        change(&mut self.settings.sets[0]);
        self.tables = Tables::build_after(&self.settings, &self.tables, self.now_ms).unwrap();
    }

    fn send(&mut self, text: &str) -> Result<(SocketAddr, RouteReason), Refusal> {
        let (mut headers, mut route) = (Headers::default(), RequestRoute::default());
        let message = parse(text.as_bytes(), &mut headers).unwrap();
        let Message::Request(request) = message else { unreachable!() };
        let arrival: Arrival = from_uac();
        route_request(&request, &self.tables, &arrival, &mut self.choices, &mut route)?;
        Ok((route.next_hop, route.reason))
    }

    fn to(&mut self, method: &str, call: u32) -> Result<SocketAddr, Refusal> {
        self.send(&message(method, call, "")).map(|(next_hop, _)| next_hop)
    }

    fn state_of(&self, address: SocketAddr) -> Option<MemberState> {
        let members = &self.settings.sets[0].members;
        members.iter().find(|member| member.address == address).map(|member| member.state)
    }
}

/// A request of a call: the transaction is that of its INVITE.
fn message(method: &str, call: u32, more: &str) -> String {
    let tag = if method == "ACK" { ";tag=b" } else { "" };
    format!(
        "{method} sip:+4930{call}@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.77.1.2:5060;branch=z9hG4bK{call}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a{call}@example.com>;tag=a\r\n\
         To: <sip:+4930{call}@example.com>{tag}\r\nCall-ID: {call}@10.77.1.2\r\n\
         CSeq: 7 {method}\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

/// Calls of before, during and after a change stay where they are; gives where new ones go once the
/// change has settled.
fn calls_stay(mut worker: Worker, change: impl FnOnce(&mut Worker)) -> Vec<SocketAddr> {
    let mut went = HashMap::new();
    let mut invite = |worker: &mut Worker, calls: core::ops::Range<u32>| {
        for call in calls {
            let first = worker.to("INVITE", call).unwrap();
            assert_eq!(
                *went.entry(call).or_insert(first),
                first,
                "retransmission of {call} at {}",
                worker.now_ms
            );
        }
    };
    invite(&mut worker, 0..300);
    worker.wait(400);
    change(&mut worker);
    worker.wait(100);
    invite(&mut worker, 0..600);
    worker.wait(1_000);
    invite(&mut worker, 0..600);
    worker.wait(2_000);
    invite(&mut worker, 0..600);
    worker.wait(4_000);
    invite(&mut worker, 0..900);
    worker.wait(60_000);
    for (&call, &first) in &went {
        assert_eq!(worker.to("CANCEL", call), Ok(first), "CANCEL of {call}");
        assert_eq!(worker.to("ACK", call), Ok(first), "ACK of {call}");
    }
    (1000..1300).map(|call| worker.to("INVITE", call).unwrap()).collect()
}

#[test]
fn draining_weights_new_and_recovered_members_move_no_running_call() {
    for algorithm in [Algorithm::Rendezvous, Algorithm::Maglev, Algorithm::RoundRobin] {
        let worker = || Worker::new(DestinationSet { algorithm, ..set("uas", &MEMBERS) });
        let third: SocketAddr = "10.0.0.3:5060".parse().unwrap();
        let new = calls_stay(worker(), |worker| worker.set_state(2, MemberState::Draining));
        assert!(!new.contains(&third), "{algorithm:?}");
        let new = calls_stay(worker(), |worker| worker.reload(|set| set.members[2].weight = 0));
        assert!(!new.contains(&third), "{algorithm:?}");
        let new = calls_stay(worker(), |worker| worker.reload(|set| _ = set.members.remove(2)));
        assert!(!new.contains(&third), "{algorithm:?}");
        let sixth: SocketAddr = "10.0.0.6:5060".parse().unwrap();
        let added = Member { weight: 5, ..Member::new(sixth) };
        let new = calls_stay(worker(), |worker| worker.reload(|set| set.members.insert(0, added)));
        assert!(new.contains(&sixth), "{algorithm:?}");
        let mut lacking = worker();
        lacking.set_state(2, MemberState::Down);
        lacking.wait(300_000);
        let new = calls_stay(lacking, |worker| worker.set_state(2, MemberState::Up));
        assert!(new.contains(&third), "{algorithm:?}");
    }
}

#[test]
fn of_a_member_that_is_down_everything_moves_and_nothing_else() {
    let mut worker = Worker::new(set("uas", &MEMBERS));
    let third: SocketAddr = "10.0.0.3:5060".parse().unwrap();
    let went: Vec<_> = (0..300).map(|call| worker.to("INVITE", call).unwrap()).collect();
    worker.set_state(2, MemberState::Down);
    for (call, first) in (0..).zip(went) {
        let now = worker.to("INVITE", call).unwrap();
        assert!(if first == third { now != third } else { now == first });
        assert_eq!(worker.to("CANCEL", call), Ok(now));
    }
    worker.wait(500);
    worker.set_state(2, MemberState::Probing);
    assert!((300..600).all(|call| worker.to("INVITE", call) != Ok(third)));
}

#[test]
fn without_a_member_the_call_is_refused() {
    let mut worker = Worker::new(set("uas", &MEMBERS[..2]));
    worker.to("INVITE", 1).unwrap();
    worker.set_state(0, MemberState::Down);
    worker.set_state(1, MemberState::Down);
    assert_eq!(worker.to("INVITE", 2), Err(Refusal::Reply(Reply::NoDestination)));
    assert_eq!(worker.to("CANCEL", 1), Err(Refusal::Reply(Reply::NoDestination)));
}

#[test]
fn beyond_its_capacity_a_member_leaves_calls_to_the_next() {
    let mut limited = set("uas", &[("10.0.0.1:5060", 9), ("10.0.0.2:5060", 1)]);
    limited.members[0].capacity = 100;
    let mut worker = Worker::new(limited);
    let (first, second) = ("10.0.0.1:5060".parse().unwrap(), "10.0.0.2:5060".parse().unwrap());
    let mut went = Vec::new();
    for call in 0..10_000_u32 {
        worker.wait(u64::from(call.is_multiple_of(10))); // 10,000 a second
        went.push(worker.to("INVITE", call).unwrap());
    }
    let count = went.iter().filter(|&&to| to == first).count();
    assert!((100..=120).contains(&count), "{count}");
    for (call, to) in (0..).zip(&went).skip(9_000) {
        assert_eq!(worker.to("INVITE", call).as_ref(), Ok(to), "a retransmission counts no more");
        assert_eq!(worker.to("CANCEL", call).as_ref(), Ok(to));
    }
    worker.reload(|set| set.members[1].capacity = 1);
    worker.wait(10_000);
    let replies: Vec<_> = (20_000..20_100).map(|call| worker.to("INVITE", call)).collect();
    assert!(replies.contains(&Ok(second)));
    assert_eq!(replies.last(), Some(&Err(Refusal::Reply(Reply::Unavailable))));
}

#[test]
fn round_robin_takes_turns_and_keeps_transactions() {
    let mut worker = Worker::new(DestinationSet {
        algorithm: Algorithm::RoundRobin,
        ..set("uas", &[("10.0.0.1:5060", 2), ("10.0.0.2:5060", 1)])
    });
    let went: Vec<_> = (0..9).map(|call| worker.to("INVITE", call).unwrap()).collect();
    let first = went.iter().filter(|to| to.to_string() == "10.0.0.1:5060").count();
    assert_eq!(first, 6);
    for (call, to) in (0..).zip(&went) {
        assert_eq!(worker.to("ACK", call).as_ref(), Ok(to));
    }
}

#[test]
fn each_key_keeps_together_what_is_the_same_in_it() {
    let keys = [HashKey::FromUser, HashKey::ToUser, HashKey::RequestUser, HashKey::Source];
    let replaced = [
        vec![("a1@", "%61%31@"), ("Call-ID: 1@", "Call-ID: 2@"), ("+49301@", "b@")],
        vec![("To: <sip:+49301@", "To: \"B\" <sip:%2b49301@"), ("Call-ID: 1@", "Call-ID: 2@")],
        vec![("INVITE sip:+49301@", "INVITE sip:+4930%31@"), ("Call-ID: 1@", "Call-ID: 2@")],
        vec![("Call-ID: 1@", "Call-ID: 2@"), ("a1@", "c@")],
    ];
    for (hash, replaced) in keys.into_iter().zip(replaced) {
        let mut worker = Worker::new(DestinationSet { hash, ..set("uas", &MEMBERS) });
        let one = message("INVITE", 1, "");
        let change = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
        let other = replaced.iter().fold(one.clone(), change);
        assert_ne!(one, other);
        assert_eq!(worker.send(&one), worker.send(&other), "{hash:?}");
        let found: std::collections::HashSet<_> =
            (0..100).map(|call| worker.to("INVITE", call).unwrap()).collect();
        assert_eq!(found.len(), if hash == HashKey::Source { 1 } else { 5 }, "{hash:?}");
    }
}

#[test]
fn a_users_bindings_and_calls_meet_at_one_member_whichever_node_sends_them() {
    let by_aor = || DestinationSet { hash: HashKey::Aor, ..set("uas", &MEMBERS) };
    let (mut one, mut other, mut stranger) =
        (Worker::new(by_aor()), Worker::new(by_aor()), Worker::new(by_aor()));
    stranger.settings.secret = [9; 16];
    stranger.reload(|_| {});
    let (mut members, mut apart) = (std::collections::HashSet::new(), 0);
    for user in 0..200 {
        let invite = message("INVITE", user, "");
        let register = message("REGISTER", 1_000, "")
            .replace("REGISTER sip:+49301000@", "REGISTER sip:")
            .replace("+49301000@", &format!("+4930{user}@"));
        let to = one.send(&register).unwrap().0;
        assert_eq!(other.send(&invite).unwrap().0, to, "user {user}");
        apart += u32::from(stranger.send(&invite).unwrap().0 != to);
        members.insert(to);
    }
    assert_eq!(members.len(), MEMBERS.len());
    assert!(apart > 100, "another secret is another choice");
}

#[test]
fn headers_of_an_invite_decide_about_its_cancel() {
    let mut worker = Worker::new(set("uas", &MEMBERS[..1]));
    worker.settings.sets.push(set("gold", &MEMBERS[1..2]));
    let header = |name: &str, test| HeaderMatch { name: name.into(), test };
    worker.settings.rules.insert(
        0,
        Rule {
            headers: vec![
                header("X-Class", HeaderTest::Is("gold".into())),
                header("subject", HeaderTest::Contains("URGENT".into())),
                header("User-Agent", HeaderTest::BeginsWith("gold/".into())),
                header("X-Vip", HeaderTest::Present),
            ],
            ..Rule::always(sip_core::Action::Forward("gold".into()))
        },
    );
    worker.reload(|_| {});
    let fits =
        ["x-class:  GOLD \r\n", "s: it is urgent!\r\n", "USER-AGENT: Gold/1\r\n", "X-VIP:\r\n"];
    for (call, header) in (0..).zip(fits) {
        let (to, _) = worker.send(&message("INVITE", call, header)).unwrap();
        assert_eq!(to.to_string(), "10.0.0.2:5060", "{header}");
        assert_eq!(worker.to("CANCEL", call), Ok(to));
        assert_eq!(worker.to("ACK", call), Ok(to));
    }
    for header in ["X-Class: golden\r\n", "X-Subject: urgent\r\n", "User-Agent: a gold/1\r\n"] {
        let (to, _) = worker.send(&message("INVITE", 9, header)).unwrap();
        assert_eq!(to.to_string(), "10.0.0.1:5060", "{header}");
    }
}

/// What happens in a simulated minute.
#[derive(Clone, Copy, Debug)]
enum Event {
    State(u16, MemberState),
    Weight(usize, u16),
    Add(u8),
    Remove(usize),
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    use MemberState::{Down, Draining, Probing, Up};
    let state = prop::sample::select(vec![Up, Up, Probing, Draining, Draining, Down]);
    let event = prop_oneof![
        4 => (0..5_u16, state).prop_map(|(member, state)| Event::State(member, state)),
        2 => (0..5_usize, 0..5_u16).prop_map(|(member, weight)| Event::Weight(member, weight)),
        1 => (6..9_u8).prop_map(Event::Add),
        1 => (0..5_usize).prop_map(Event::Remove),
    ];
    prop::collection::vec((1..40_u64, event), 1..12)
}

impl Worker {
    fn take(&mut self, event: Event) {
        let count = self.settings.sets[0].members.len();
        match event {
            Event::State(member, state) if usize::from(member) < count => {
                self.set_state(member, state);
            }
            Event::Weight(member, weight) if member < count => {
                self.reload(|set| set.members[member].weight = weight);
            }
            Event::Add(host) => {
                let added = Member::new(SocketAddr::from(([10, 0, 0, host], 5060)));
                if self.state_of(added.address).is_none() {
                    self.reload(|set| set.members.insert(0, added));
                }
            }
            Event::Remove(member) if member < count => {
                self.reload(|set| _ = set.members.remove(member));
            }
            _ => {}
        }
    }
}

/// A call that runs: when it began, where its INVITE went.
struct Running {
    call: u32,
    began_ms: u64,
    first: SocketAddr,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Calls begin all the time, are sent again by the timer of RFC 3261 section 17.1.1.2 up to three
    /// times, and are cancelled or acknowledged at any time; members come and go as they like. Only
    /// the calls of members that were down may move.
    #[test]
    fn no_call_is_torn_apart(
        events in events(),
        algorithm in prop::sample::select(vec![Algorithm::Rendezvous, Algorithm::Maglev, Algorithm::RoundRobin]),
    ) {
        let mut worker = Worker::new(DestinationSet { algorithm, ..set("uas", &MEMBERS) });
        let mut running: Vec<Running> = Vec::new();
        let mut next_call = 0;
        for (steps, event) in events {
            for _ in 0..steps {
                worker.wait(250);
                for call in next_call..next_call + 5 {
                    if let Ok(first) = worker.to("INVITE", call) {
                        running.push(Running { call, began_ms: worker.now_ms, first });
                    }
                }
                next_call += 5;
                for one in &running {
                    let age = worker.now_ms - one.began_ms;
                    if [500, 1_500, 3_500].contains(&age) {
                        prop_assert_eq!(worker.to("INVITE", one.call), Ok(one.first), "after {} ms", age);
                    }
                    if age.is_multiple_of(4_750) && age > 0 {
                        prop_assert_eq!(worker.to("CANCEL", one.call), Ok(one.first), "after {} ms", age);
                        prop_assert_eq!(worker.to("ACK", one.call), Ok(one.first), "after {} ms", age);
                    }
                }
            }
            worker.take(event);
            let is_down = |at| worker.state_of(at).is_some_and(|state| !state.is_alive());
            running.retain(|one| !is_down(one.first));
        }
    }
}
