//! Nanoseconds for each message of a call: parse alone, and parse + route + rewrite with the new
//! prefix written out. `cargo bench -p sip-core`
//!
//! The median of many short runs. Allocations are counted over one message and must be 0. The last
//! column sets the time in relation to a yardstick of the same run: finding the line ends of the same
//! message with memchr.

#![allow(clippy::unwrap_used, reason = "the messages are known")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::Instant;

use common::{from_uac, from_uas, response_to, through};
use sip_core::{
    Arrival, EditList, Message, Output, Tables, parse, rewrite_request, rewrite_response,
    route_request, route_response,
};

/// Runs are much shorter than a time slice, so that on a busy machine most are undisturbed.
const RUNS: usize = 4001;
const MESSAGES_IN_A_RUN: u32 = 250;

fn main() {
    let tables = common::tables();
    println!("message         bytes  parse ns  all ns  memchr ns  all/memchr  allocations");
    for (name, message, arrival) in messages(&tables) {
        let mut worker = Worker::new(&tables, arrival);
        let parse_ns = median(|| parse_only(&message));
        let allocations = allocation_counter::measure(|| worker.forward(&message)).count_total;
        let all_ns = median(|| worker.forward(&message));
        let memchr_ns = median(|| line_ends(&message));
        let (bytes, ratio) = (message.len(), all_ns / memchr_ns);
        println!(
            "{name:<14} {bytes:>6} {parse_ns:>9.1} {all_ns:>7.1} {memchr_ns:>10.1} {ratio:>11.1} {allocations:>12}"
        );
    }
}

/// The yardstick.
fn line_ends(message: &[u8]) {
    let sum: usize = memchr::memchr_iter(b'\n', black_box(message)).sum();
    black_box(sum);
}

/// The messages of a call with six Proxy-200 steps, as they reach the appliance.
fn messages(tables: &Tables) -> Vec<(&'static str, Vec<u8>, Arrival)> {
    let sipp = include_bytes!("../tests/fixtures/sipp_invite.sip");
    let invite = include_bytes!("../tests/fixtures/invite.sip");
    let forwarded = through(invite, tables, &from_uac()).forwarded().text;
    let body = "v=0\r\no=user1 53655765 2353687637 IN IP4 10.77.2.2\r\ns=-\r\nt=0 0\r\n";
    let answer = |status, body| response_to(&forwarded, status, body).into_bytes();
    vec![
        ("INVITE", invite.to_vec(), from_uac()),
        ("INVITE (SIPp)", sipp.to_vec(), from_uac()),
        ("100", answer("100 Trying", ""), from_uas()),
        ("180", answer("180 Ringing", ""), from_uas()),
        ("200", answer("200 OK", body), from_uas()),
        ("ACK (SIPp)", include_bytes!("../tests/fixtures/sipp_ack.sip").to_vec(), from_uac()),
        ("BYE (SIPp)", include_bytes!("../tests/fixtures/sipp_bye.sip").to_vec(), from_uac()),
    ]
}

fn parse_only(message: &[u8]) {
    let parsed = parse(black_box(message));
    let _ = black_box(&parsed);
}

/// What one worker keeps between messages.
struct Worker<'a> {
    tables: &'a Tables,
    arrival: Arrival,
    edits: EditList,
    out: Output,
}

impl<'a> Worker<'a> {
    fn new(tables: &'a Tables, arrival: Arrival) -> Self {
        Self { tables, arrival, edits: EditList::new(), out: Output::new() }
    }

    fn forward(&mut self, message: &[u8]) {
        let Self { tables, arrival, edits, out } = self;
        let message = black_box(message);
        out.clear();
        // By reference: moving the parsed message out would copy it.
        match &parse(message).unwrap() {
            Message::Request(request) => {
                let route = route_request(request, tables, arrival).unwrap();
                let egress = common::egress(route.next_hop);
                rewrite_request(request, &route, tables, arrival, egress, edits);
            }
            Message::Response(response) => {
                let route = route_response(response, tables).unwrap();
                black_box(route.next_hop);
                rewrite_response(response, &route, edits);
            }
        }
        let replaced = edits.emit_prefix(message, out).unwrap();
        black_box((replaced, out.bytes()));
    }
}

/// Median over the runs of nanoseconds per call.
fn median(mut act: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..MESSAGES_IN_A_RUN {
                act();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(MESSAGES_IN_A_RUN)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}
