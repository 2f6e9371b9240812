//! Requests for users without a binding, who may have one at another appliance, through a whole worker over queues in
//! memory, with the service core's end of its rings in the test's hand.

use dataplane::decode::{DecodeRules, decode};
use dataplane::limits::{AWAITING_MAX, AWAITING_NS_MAX};
use dataplane::location_log::{Batch, Errand, ServiceLog};
use dataplane::mailbox::{Command, Question};
use dataplane::packet::{MemoryPacket, PacketBuf};
use dataplane::testing::appliance::{Appliance, lab_epoch, lab_fib, lab_settings};
use dataplane::testing::frames;
use sip_core::{Action, AorQuestion, LocationSizes, Rule, TransactionSizes};
use std::sync::Arc;

const CALLER: &str = "10.77.1.2:5060";
const US: &str = "10.77.1.1:5060";
const PHONE: &str = "10.77.2.2:5060";

/// A registrar of a cluster, and the mock of its clock.
fn registrar() -> (Appliance, Arc<quanta::Mock>) {
    let mut settings = lab_settings();
    settings.rules = vec![Rule::always(Action::Register), Rule::always(Action::Locate)];
    let (clock, mock) = quanta::Clock::mock();
    let mut appliance = Appliance::with_clock(&settings, &clock);
    let sizes = LocationSizes { aors: 1_000, bindings: 1_000, text_blocks: 4_000 };
    appliance.worker = appliance.worker.with_location(sizes, [0, 1], [7; 16], 1_700_000_000_000);
    let sizes = TransactionSizes { transactions: 64, buffers: 256 };
    appliance.worker = appliance.worker.with_transactions(sizes, 0, 1);
    appliance.command(Command::Fib(Arc::new(lab_fib(1, [0, 1], true))));
    appliance.command(Command::Epoch(Arc::new(lab_epoch(&settings))));
    appliance.command(Command::LocationReady);
    appliance.command(Command::AskForUsers(true));
    (appliance.settled(), mock)
}

fn sent(appliance: &mut Appliance, method: &str, user: &str, more: &str) -> Option<String> {
    let text = format!(
        "{method} sip:{user}lab.example.com SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{method}{user}\r\n\
         From: <sip:{user}lab.example.com>;tag=1\r\nTo: <sip:bob@lab.example.com>\r\n\
         Call-ID: {method}{user}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n{more}Content-Length: 0\r\n\r\n"
    );
    appliance.forward(&frames::udp(CALLER, US, text.as_bytes())).map(|packet| start(&packet))
}

fn call(appliance: &mut Appliance, user: &str) -> Option<String> {
    sent(appliance, "OPTIONS", &format!("{user}@"), "")
}

fn start(packet: &MemoryPacket) -> String {
    let datagram = decode(packet.frame(), DecodeRules { verify_checksums: true });
    let payload = datagram.expect("what we send decodes").payload;
    let text = String::from_utf8_lossy(&packet.frame()[payload]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

fn asked(appliance: &Appliance) -> Vec<AorQuestion> {
    let question = |question| match question {
        Question::User(question) => question,
        Question::Name(name) => panic!("{name:?}"),
    };
    std::iter::from_fn(|| appliance.service.questions.pop()).map(question).collect()
}

fn send(log: &ServiceLog, errand: Errand, bytes: &[u8]) {
    log.send(Batch { records: bytes.to_vec(), errand });
}

/// Says that the worker has all there is of what it has asked.
fn answer(appliance: &mut Appliance, question: &AorQuestion) {
    send(&appliance.service.log, Errand::Answered, &question.number().to_ne_bytes());
    run(appliance);
}

/// Enough rounds for every look at the log and into the mailbox.
fn run(appliance: &mut Appliance) {
    for _ in 0..128 {
        appliance.worker.run_once();
    }
}

/// The record of bob, as another appliance has it.
fn record() -> Vec<u8> {
    let (mut other, _) = registrar();
    let contact = format!("Contact: <sip:bob@{PHONE}>\r\nExpires: 600\r\n");
    sent(&mut other, "REGISTER", "", &contact);
    run(&mut other);
    other.service.log.next().expect("a change").records
}

#[track_caller]
fn conserved(appliance: &Appliance, parked: u64) {
    let queue = &appliance.status()[0];
    assert_eq!(queue.parked, parked);
    assert!(appliance.status().iter().all(|queue| queue.unaccounted() == 0), "{queue:?}");
}

#[test]
fn a_user_whom_another_appliance_knows_is_waited_for_and_reached() {
    let (mut appliance, _) = registrar();
    assert_eq!(call(&mut appliance, "bob"), None);
    assert_eq!(call(&mut appliance, "%62ob"), None);
    let questions = asked(&appliance);
    assert_eq!(questions.len(), 1, "each user is asked for once");
    assert_eq!(questions[0].aor(), "bob@lab.example.com");
    conserved(&appliance, 2);
    let record = record();
    send(&appliance.service.log, Errand::Replace { number: 1 }, &record);
    answer(&mut appliance, &questions[0]);
    let sent: Vec<_> = appliance.sent().iter().map(|(_, packet)| start(packet)).collect();
    assert_eq!(sent, vec![format!("OPTIONS sip:bob@{PHONE} SIP/2.0"); 2]);
    conserved(&appliance, 0);
    assert!(call(&mut appliance, "bo%62").is_some_and(|sent| sent.starts_with("OPTIONS")));
    let status = appliance.service.counters.location.status();
    assert_eq!((status.lookups, status.lookups_waiting, status.not_registered), (2, 0, 0));
}

#[test]
fn a_user_without_a_binding_is_refused_as_soon_as_that_is_known() {
    let (mut appliance, _) = registrar();
    assert_eq!(call(&mut appliance, "carol"), None);
    let question = asked(&appliance)[0];
    answer(&mut appliance, &question);
    assert_eq!(start(&appliance.sent()[0].1), "SIP/2.0 480 Temporarily Unavailable");
    conserved(&appliance, 0);
    assert_eq!(appliance.service.counters.location.status().not_registered, 1);
    // Nobody can be asked any more.
    appliance.command(Command::AskForUsers(false));
    run(&mut appliance);
    let refused = call(&mut appliance, "carol");
    assert_eq!(refused.as_deref(), Some("SIP/2.0 480 Temporarily Unavailable"));
}

#[test]
fn who_has_waited_too_long_hears_503_and_the_one_too_many_480() {
    let (mut appliance, mock) = registrar();
    for user in 0..AWAITING_MAX {
        assert_eq!(call(&mut appliance, &format!("u{user}")), None);
    }
    let refused = call(&mut appliance, "carol");
    assert_eq!(refused.as_deref(), Some("SIP/2.0 480 Temporarily Unavailable"));
    mock.increment(AWAITING_NS_MAX + 1);
    appliance.worker.attend();
    let sent = appliance.sent();
    assert_eq!(sent.len(), AWAITING_MAX);
    assert!(sent.iter().all(|(_, packet)| start(packet) == "SIP/2.0 503 Service Unavailable"));
    conserved(&appliance, 0);
    let status = appliance.service.counters.location.status();
    assert_eq!((status.lookups_full, status.lookups_timed_out), (1, AWAITING_MAX as u64));
}
