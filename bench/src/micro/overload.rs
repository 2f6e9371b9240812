//! What it costs to bound sources, and to refuse.

use super::cases::{Work, repeat};
use super::messages::Arrived;
use core::net::{IpAddr, Ipv4Addr};
use dataplane::testing::appliance::lab_settings;
use sip_core::{Arrival, Output, Overload, SourceLimits, Tables, Transport, write_reply};
use std::hint::black_box;

/// Room of a worker, as in the appliance.
const SOURCES: u32 = dataplane::limits::SOURCES;
/// Sources that send in turn: nearly as many as there is room for.
const MANY: u32 = 60_000;
const MS: u64 = 1_000_000;

/// Tables whose sources may send so much, and an overload state with them.
fn limited(rate: u32) -> (Tables, Overload) {
    let mut settings = lab_settings();
    settings.overload.target_ms = 5;
    settings.overload.sources = SourceLimits { rate, burst: 1, ..SourceLimits::default() };
    let tables = Tables::build(&settings).expect("the settings are right");
    (tables, Overload::new(SOURCES, &settings.secret))
}

/// A message of a source that has sent before, with nothing to refuse.
pub(super) fn one_source(_: &Arrived) -> Work {
    admit(1, 1_000_000)
}

/// The same of one source after the other.
pub(super) fn many_sources(_: &Arrived) -> Work {
    admit(MANY, 1_000_000)
}

/// A message of a source that is banned.
pub(super) fn banned(_: &Arrived) -> Work {
    admit(1, 1)
}

fn admit(sources: u32, rate: u32) -> Work {
    let (tables, mut overload) = limited(rate);
    let (mut next, mut now_ns) = (0, 10_000 * MS);
    if rate == 1 {
        for _ in 0..600 {
            now_ns += 20 * MS;
            let _ = overload.admit(address(0), &tables, now_ns);
        }
    }
    repeat(move || {
        now_ns += if rate == 1 { 0 } else { 1_000 };
        next = if next + 1 == sources { 0 } else { next + 1 };
        let _ = black_box(overload.admit(black_box(address(next)), &tables, now_ns));
    })
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a80_0000 + number).into()
}

/// An INVITE that is refused without an answer.
pub(super) fn unanswered(arrived: &Arrived) -> Work {
    let (tables, mut overload) = shedding();
    let message = arrived.message();
    repeat(move || {
        let judgement = overload.judge(black_box(message), Transport::Udp, &tables);
        let _ = black_box(judgement);
    })
}

/// An INVITE that is refused with 503.
pub(super) fn answered(arrived: &Arrived) -> Work {
    let (tables, mut overload) = shedding();
    let message = arrived.message();
    let listen = tables.listen_id(arrived.datagram.target).expect("a listen point of the lab");
    let arrival = Arrival { source: arrived.datagram.source, listen };
    let mut out = Output::new();
    repeat(move || {
        // Over connections every refusal is answered.
        let judgement = overload.judge(black_box(message), Transport::Tcp, &tables);
        let reply = judgement.reply().expect("it is refused");
        let target = write_reply(message, reply, &tables, &arrival, &mut out);
        let _ = black_box(target.expect("it can be answered"));
    })
}

/// A worker that hardly takes any INVITE, and has no answers left.
fn shedding() -> (Tables, Overload) {
    let (tables, mut overload) = limited(0);
    for ms in 1_000..2_000 {
        overload.note_full(ms * MS);
        overload.set_time(ms * MS, &tables);
    }
    (tables, overload)
}
