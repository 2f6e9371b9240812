//! The generator against itself, over a wire in memory and in virtual time.

use super::arrivals::{Arrivals, Process};
use super::call::Path;
use super::counts::Counts;
use super::engine::{Engine, Setup};
use super::faults::{Faults, FaultyWire, Injected};
use super::script::{Scenario, Shape};
use super::template::Frame;
use super::wire::{Local, NotTaken, Outbox, Wire};
use anyhow::Result;
use core::net::SocketAddr;
use std::collections::VecDeque;
use std::time::Duration;

/// Nanoseconds of virtual time from one look at the wire to the next.
const STEP: u64 = 100_000;

/// Delivers what was sent, after `change` has had its way with it.
struct MemoryWire<F> {
    locals: Vec<SocketAddr>,
    datagrams: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    change: F,
}

impl<F: FnMut(Vec<u8>) -> Vec<u8>> Wire for MemoryWire<F> {
    fn receive(&mut self, deliver: &mut dyn FnMut(Local, SocketAddr, &[u8])) -> Result<usize> {
        let count = self.datagrams.len();
        for (from, to, bytes) in self.datagrams.drain(..) {
            let local = self.locals.iter().position(|local| *local == to).unwrap();
            deliver(Local::try_from(local).unwrap(), from, &bytes);
        }
        Ok(count)
    }

    fn send(&mut self, outbox: &Outbox) -> Result<NotTaken> {
        for (datagram, bytes) in outbox.iter() {
            let from = self.locals[usize::from(datagram.from)];
            self.datagrams.push_back((from, datagram.to, (self.change)(bytes.to_vec())));
        }
        Ok(NotTaken::default())
    }

    fn wait(&mut self, _nanoseconds: u64) {}
}

/// A tenth of a second at 10,000 calls per second, and time to end.
fn run(
    scenario: Scenario,
    faults: Faults,
    change: impl FnMut(Vec<u8>) -> Vec<u8>,
) -> (Counts, Injected) {
    let locals: Vec<SocketAddr> =
        ["192.0.2.1:6000", "192.0.2.1:7000"].map(|a| a.parse().unwrap()).into();
    let shape = Shape {
        ring: Duration::from_millis(2),
        hold: Duration::from_millis(3),
        in_dialog: 1,
        compress: 1_000.0,
    };
    let setup = Setup {
        carried: 0..u64::MAX,
        scripts: scenario.scripts(&shape),
        locals: locals.clone(),
        callers: 1,
        targets: vec![locals[1]],
        frame: Frame::new(600, 50),
        users: 100,
        t1: [20_000_000; 2],
        patience: 2_000_000_000,
        path: Path { hops: 0 },
        calls_max: 100_000,
        seed: 7,
        run: 42,
    };
    let mut engine = Engine::new(setup, Arrivals::new(Process::Poisson, 10_000.0, 0.1, 7));
    let wire = MemoryWire { locals, datagrams: VecDeque::new(), change };
    let mut wire = FaultyWire::new(wire, faults, 7);
    let mut outbox = Outbox::default();
    let mut now = 0;
    let mut quiet_since = 0;
    while now < 10_000_000_000 && now < quiet_since + 200_000_000 {
        now += STEP;
        wire.receive(&mut |l, s, d| engine.receive(now, l, s, d, &mut outbox)).unwrap();
        engine.advance(now, &mut outbox);
        if outbox.len() > 0 || !engine.is_done() {
            quiet_since = now;
        }
        wire.send(&outbox).unwrap();
        outbox.clear();
    }
    engine.finish(now);
    (engine.counts, wire.injected)
}

#[test]
fn without_faults_every_message_arrives_once() {
    for (scenario, messages) in
        [(Scenario::Proxy200, 9), (Scenario::InviteCancel, 7), (Scenario::Options, 2)]
    {
        let (counts, _) = run(scenario, Faults::default(), |bytes| bytes);
        assert!(counts.calls > 900, "{scenario}: {counts:?}");
        let expected = Counts {
            calls: counts.calls,
            completed: counts.calls,
            carried: counts.carried,
            sent: counts.calls * messages,
            received: counts.calls * messages,
            ..Counts::default()
        };
        assert_eq!(counts, expected, "{scenario}");
    }
}

#[test]
fn each_fault_is_reported_as_what_it_is() {
    let loss = Faults { loss: 0.01, ..Faults::default() };
    let (counts, injected) = run(Scenario::Proxy200, loss, |bytes| bytes);
    assert!(injected.lost > 50, "{injected:?}");
    assert_eq!((counts.lost, counts.duplicates), (injected.lost, 0), "{counts:?}");
    assert_eq!(counts.completed, counts.calls, "retransmissions repair it");
    assert!(counts.retransmissions > 0 && counts.wrong.total() == 0, "{counts:?}");

    let duplicate = Faults { duplicate: 0.01, ..Faults::default() };
    let (counts, injected) = run(Scenario::Proxy200, duplicate, |bytes| bytes);
    assert!(injected.duplicated > 50, "{injected:?}");
    assert_eq!((counts.lost, counts.duplicates), (0, injected.duplicated), "{counts:?}");
    assert_eq!((counts.completed, counts.reordered), (counts.calls, 0));

    let reorder = Faults { reorder: 0.05, ..Faults::default() };
    let (counts, injected) = run(Scenario::Proxy200, reorder, |bytes| bytes);
    assert!(counts.reordered > 0 && counts.reordered <= injected.reordered, "{counts:?}");
    assert_eq!((counts.lost, counts.duplicates), (0, 0), "{counts:?}");
    assert_eq!(counts.completed, counts.calls);
}

/// Replaces the first `from`, if it is there.
fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn what_a_target_changes_is_noticed() {
    type Count = fn(&Counts) -> u64;
    let cases: [(&str, &str, Count); 7] = [
        ("a=rtpmap", "a=rtpmop", |c| c.wrong.body),
        ("branch=z9hG4bK-", "branch=z9hG4bK+", |c| c.wrong.branch),
        (";tag=b", ";tag=c", |c| c.wrong.tags),
        ("Max-Forwards: 70", "Max-Forwards: 69", |c| c.wrong.max_forwards),
        ("Via: ", "Via: SIP/2.0/UDP 192.0.2.9\r\nVia: ", |c| c.wrong.via),
        ("SIP/2.0 180 Ringing", "SIP/2.0 503 Overload", |c| {
            c.refused.get(&503).copied().unwrap_or(0)
        }),
        ("\r\n\r\n", "\r\n\r\nmore", |c| c.wrong.malformed),
    ];
    for (from, to, count) in cases {
        let (counts, _) = run(Scenario::Proxy200, Faults::default(), |b| replace(&b, from, to));
        assert!(count(&counts) > 900, "{from}: {counts:?}");
        assert_eq!((counts.completed, counts.failed), (0, counts.calls), "{from}");
    }
}

#[test]
fn users_register_and_call() {
    // Nobody registers them here: their REGISTERs reach the callee, which knows no such message.
    let (counts, _) = run(Scenario::Users, Faults::default(), |bytes| bytes);
    assert!(counts.completed > 50 && counts.failed > 500, "{counts:?}");
}
