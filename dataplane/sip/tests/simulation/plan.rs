//! Who is where: two networks with the proxy between them.
//!
//! ```text
//!  callers                         proxy                      callees
//!  10.77.1.2 to .201  ──►  10.77.1.1 │ 10.77.2.1  ──►  10.77.2.10 to .15   "many"    one of them
//!                                                      10.77.2.20 to .24   "fork"    a tier at once
//!                                                      10.77.2.30 to .33   "line"    one after the other
//!                                                      10.77.2.40 to .42   "less"    without state
//!                                                      10.77.2.50 to .53             of redirections
//! ```

use std::net::SocketAddr;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sip_core::{
    Action, DestinationSet, Fork, ListenId, ListenPoint, Member, Relay, Rule, Settings, Tables,
    TransactionSettings,
};

pub(crate) const CALLER_SIDE: ListenId = ListenId(0);
pub(crate) const CALLEE_SIDE: ListenId = ListenId(1);
/// Callees that redirections name.
pub(crate) const REDIRECT_HOSTS: std::ops::Range<u8> = 50..54;
const CALLERS: u32 = 200;

/// To whom an address belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Proxy,
    /// The caller with this last octet.
    Caller(u8),
    /// The callee with this last octet.
    Callee(u8),
}

/// Whether a callee can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Well,
    /// It receives and says nothing.
    Silent,
    /// Its host says that the port is closed.
    Refuses,
    /// We have no route to it.
    NoWay,
}

pub(crate) fn side_of(address: SocketAddr) -> Side {
    let SocketAddr::V4(v4) = address else { panic!("{address}") };
    match v4.ip().octets() {
        [10, 77, 1 | 2, 1] => Side::Proxy,
        [10, 77, 1, host] => Side::Caller(host),
        [10, 77, 2, host] => Side::Callee(host),
        _ => panic!("nobody is at {address}"),
    }
}

pub(crate) fn proxy_address(listen: ListenId) -> SocketAddr {
    SocketAddr::from(([10, 77, 1 + listen.0, 1], 5060))
}

pub(crate) fn caller_address(call: u32) -> SocketAddr {
    let host = u8::try_from(2 + call % CALLERS).unwrap_or(2);
    SocketAddr::from(([10, 77, 1, host], 5060))
}

pub(crate) fn callee_address(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 77, 2, host], 5060))
}

/// What a call is for: the first letter of the user that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One member, another when it fails.
    One,
    Parallel,
    Serial,
    Stateless,
}

impl Kind {
    pub(crate) fn random(rng: &mut SmallRng) -> Self {
        match rng.random_range(0..10) {
            0..4 => Self::One,
            4..7 => Self::Parallel,
            7..9 => Self::Serial,
            _ => Self::Stateless,
        }
    }

    pub(crate) fn letter(self) -> char {
        match self {
            Self::One => 'm',
            Self::Parallel => 'f',
            Self::Serial => 's',
            Self::Stateless => 'l',
        }
    }
}

/// The appliance of a run.
pub(crate) fn settings(seed: u64) -> Settings {
    let rng = &mut SmallRng::seed_from_u64(seed ^ 0x7ab1);
    let rule = |letter: &str, set: &str, relay| Rule {
        user_prefixes: vec![letter.into()],
        relay,
        ..Rule::always(Action::Forward(set.into()))
    };
    let listen = [CALLER_SIDE, CALLEE_SIDE].map(|id| ListenPoint::udp(proxy_address(id)));
    let mut tiers = set("fork", 20..25);
    tiers.members[3].priority = 1;
    tiers.members[4].priority = 1;
    Settings {
        secret: *b"0123456789abcdef",
        domains: vec!["example.com".into()],
        listen: listen.to_vec(),
        record_route: true,
        sets: vec![set("many", 10..16), tiers, set("line", 30..34), set("less", 40..43)],
        rules: vec![
            rule("m", "many", Relay::Stateful(Fork::No)),
            rule("f", "fork", Relay::Stateful(Fork::Parallel)),
            rule("s", "line", Relay::Stateful(Fork::Serial)),
            rule("l", "less", Relay::Stateless),
        ],
        transactions: TransactionSettings {
            timer_c_ms: [20_000, 60_000, 200_000][rng.random_range(0..3)],
            failover_ms: [0, 1_000, 4_000][rng.random_range(0..3)],
            attempts: rng.random_range(1..=5),
            in_dialog: rng.random_range(0..4) > 0,
            recurse: rng.random(),
            ..TransactionSettings::default()
        },
        ..Settings::default()
    }
}

fn set(name: &str, hosts: std::ops::Range<u8>) -> DestinationSet {
    let member =
        |host: u8| Member { weight: 1 + u16::from(host % 3), ..Member::new(callee_address(host)) };
    DestinationSet {
        name: name.into(),
        members: hosts.map(member).collect(),
        ..DestinationSet::default()
    }
}

pub(crate) fn tables(seed: u64) -> Tables {
    Tables::build(&settings(seed)).expect("settings that hold")
}

/// Each callee's health by its last octet. Those of a set are never all dead, those that nobody stands
/// in for never.
pub(crate) fn health(seed: u64) -> Vec<Health> {
    let rng = &mut SmallRng::seed_from_u64(seed ^ 0xdead);
    let mut health = vec![Health::Well; 256];
    for dead in [10..15_usize, 20..24, 30..33] {
        for one in &mut health[dead] {
            *one = match rng.random_range(0..10) {
                0 => Health::Silent,
                1 => Health::Refuses,
                2 => Health::NoWay,
                _ => Health::Well,
            };
        }
    }
    health
}
