//! Routes and destination sets beyond the lab's: many members, many rules, a million prefixes.

use super::cases::{Work, repeat};
use super::messages::Arrived;
use super::ours::{Setting, parsed};
use dataplane::testing::appliance::lab_settings;
use sip_core::{
    Action, Algorithm, HashKey, Member, MemberChange, MemberState, Message, PrefixTable,
    RequestRoute, Rule, Settings, Tables,
};
use std::hint::black_box;

/// Prefixes of the large table.
const PREFIXES: u64 = 1_000_000;

/// Ten members by rendezvous hashing over Call-ID.
pub(super) fn rendezvous(arrived: &Arrived) -> Work {
    route(arrived, &ten_members(Algorithm::Rendezvous, HashKey::CallId))
}

/// Ten members by Maglev hashing over Call-ID.
pub(super) fn maglev(arrived: &Arrived) -> Work {
    route(arrived, &ten_members(Algorithm::Maglev, HashKey::CallId))
}

/// Ten members by rendezvous hashing over the user of From.
pub(super) fn from_user(arrived: &Arrived) -> Work {
    route(arrived, &ten_members(Algorithm::Rendezvous, HashKey::FromUser))
}

/// Ten members by turns; the INVITE is a retransmission, which is remembered.
pub(super) fn round_robin(arrived: &Arrived) -> Work {
    route(arrived, &ten_members(Algorithm::RoundRobin, HashKey::CallId))
}

/// Ten members of which one has just begun to drain.
pub(super) fn after_change(arrived: &Arrived) -> Work {
    let mut setting = Setting::with(arrived, &ten_members(Algorithm::Rendezvous, HashKey::CallId));
    let change = MemberChange { set: 0, member: 0, state: MemberState::Draining };
    setting.tables = setting.tables.with_member_states(&[change], 0);
    routed(arrived, setting)
}

/// A thousand rules for other sources before the one that fits.
pub(super) fn thousand_rules(arrived: &Arrived) -> Work {
    let mut settings = lab_settings();
    let other = |n: u32| Rule {
        sources: vec![format!("10.{}.{}.0/24", 100 + n / 250, n % 250).parse().expect("a network")],
        ..Rule::always(Action::RequestUri)
    };
    settings.rules.splice(0..0, (0..1000).map(other));
    route(arrived, &settings)
}

/// The longest of a million prefixes of 7 to 10 digits, for one number after another.
pub(super) fn prefix(_: &Arrived) -> Work {
    let number = |n: u64| n * 7_368_787 % 9_000_000_000 + 1_000_000_000;
    let mut table = PrefixTable::new("numbers", vec!["uas".into(), "uas6".into()]);
    for n in 0..PREFIXES {
        let prefix = if n % 4 == 0 { 1_000_000 + n } else { number(n) };
        table.push(&format!("+{prefix}"), u16::from(n % 2 == 0));
    }
    let settings = Settings { prefix_tables: vec![table], ..lab_settings() };
    let tables = Tables::build(&settings).expect("no prefix stands twice");
    let users: Vec<String> = (0..1 << 16).map(|n| format!("+{}77", number(n * 31))).collect();
    let users: Vec<[u8; 13]> =
        users.iter().filter_map(|user| user.as_bytes().try_into().ok()).collect();
    let mut next = 0;
    repeat(move || {
        next = (next + 1) % users.len();
        black_box(tables.prefix_set(0, black_box(&users[next])));
    })
}

fn ten_members(algorithm: Algorithm, hash: HashKey) -> Settings {
    let mut settings = lab_settings();
    let member = |host: u8| Member::new(([10, 77, 2, host], 5060).into());
    let set = &mut settings.sets[0];
    (set.algorithm, set.hash, set.members) = (algorithm, hash, (2..12).map(member).collect());
    settings
}

fn route(arrived: &Arrived, settings: &Settings) -> Work {
    routed(arrived, Setting::with(arrived, settings))
}

fn routed(arrived: &Arrived, setting: Setting) -> Work {
    let Message::Request(request) = parsed(arrived.message()) else {
        unreachable!("the case is about a request")
    };
    let mut route = RequestRoute::default();
    repeat(move || setting.route_request(black_box(&request), black_box(&mut route)))
}
