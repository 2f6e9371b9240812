//! Messages of all kinds, good and hostile, in any order.

use super::team::{CALLEE, CALLER, SIZES, Team, US, US_AT_CALLEE, answer, invite, request};
use dataplane::testing::appliance::lab_settings_stateful;
use proptest::prelude::*;
use std::time::Duration;

/// What may come to a team of workers.
#[derive(Clone, Debug)]
enum Event {
    /// A request of this call, by its method.
    Request(u32, &'static str),
    /// This answer to the newest request that we have sent to the callee.
    Answer(&'static str),
    /// One of the two, with some of its bits turned over.
    Hostile(u32, Vec<(prop::sample::Index, u8)>),
    Time(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let methods = prop::sample::select(vec!["INVITE", "OPTIONS", "CANCEL", "ACK", "BYE"]);
    let answers = prop::sample::select(vec![
        "100 Trying",
        "180 Ringing",
        "200 OK",
        "302 Moved Temporarily",
        "486 Busy Here",
        "503 Service Unavailable",
        "603 Decline",
    ]);
    prop_oneof![
        3 => (0..6_u32, methods).prop_map(|(call, method)| Event::Request(call, method)),
        3 => answers.prop_map(Event::Answer),
        2 => (0..6_u32, flips).prop_map(|(call, flips)| Event::Hostile(call, flips)),
        1 => (1..40_000_u64).prop_map(Event::Time),
    ]
}

fn flip(message: &str, flips: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = message.as_bytes().to_vec();
    for (at, value) in flips {
        let at = at.index(bytes.len());
        bytes[at] ^= value;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever comes to whichever worker, every message is accounted for, and no transaction stays.
    #[test]
    fn every_message_is_accounted_for(
        events in prop::collection::vec((event(), 0..2_usize), 1..40),
    ) {
        let mut team = Team::with(2, &lab_settings_stateful(), SIZES);
        let mut ours = invite(0);
        for (event, worker) in events {
            let sent = match event {
                Event::Request(call, method) => {
                    team.deliver(worker, CALLER, US, request(method, call, "", "").as_bytes())
                }
                Event::Answer(status) => {
                    team.deliver(worker, CALLEE, US_AT_CALLEE, answer(&ours, status).as_bytes())
                }
                Event::Hostile(call, flips) if call % 2 == 0 => {
                    team.deliver(worker, CALLER, US, &flip(&invite(call), &flips))
                }
                Event::Hostile(_, flips) => {
                    let response = flip(&answer(&ours, "200 OK"), &flips);
                    team.deliver(worker, CALLEE, US_AT_CALLEE, &response)
                }
                Event::Time(ms) => team.wait(Duration::from_millis(ms)),
            };
            let request = sent.into_iter().rfind(|(port, message)| {
                *port == 1 && !message.starts_with("SIP/2.0")
            });
            ours = request.map_or(ours, |(_, message)| message);
        }
        for _ in 0..600 {
            team.wait(Duration::from_secs(1)); // Timer C, and then timers H or K.
        }
        prop_assert_eq!((team.alive(0), team.alive(1)), (0, 0));
    }
}
