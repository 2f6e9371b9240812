//! Requests that wait for where a host name leads, through a whole worker over queues in memory.

use dataplane::decode::{DecodeRules, decode};
use dataplane::limits::AWAITING_MAX;
use dataplane::mailbox::{Command, Question};
use dataplane::packet::{MemoryPacket, PacketBuf};
use dataplane::parcel::service_parcels;
use dataplane::testing::appliance::{Appliance, lab_epoch, lab_fib, lab_settings};
use dataplane::testing::frames;
use sip_core::{
    Action, NameAnswer, NameOutcome, NameQuestion, NameTarget, Rule, Settings, Transport,
};
use std::sync::Arc;

const CALLER: &str = "10.77.1.2:5060";
const US: &str = "10.77.1.1:5060";

/// The lab's appliance, which relays to other domains.
fn appliance() -> Appliance {
    let rules = vec![Rule::always(Action::RequestUri)];
    let settings = Settings { domains: vec![], rules, ..lab_settings() };
    let mut appliance = Appliance::default();
    appliance.worker = appliance.worker.with_names(7);
    appliance.command(Command::Fib(Arc::new(lab_fib(1, [0, 1], true))));
    appliance.command(Command::Epoch(Arc::new(lab_epoch(&settings))));
    appliance.settled()
}

fn options(host: &str, call: u32) -> String {
    format!(
        "OPTIONS sip:bob@{host} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{call}\r\n\
         From: <sip:sipp@{CALLER}>;tag=1\r\nTo: <sip:bob@{host}>\r\nCall-ID: {call}@{CALLER}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

fn frame(host: &str, call: u32) -> Vec<u8> {
    frames::udp(CALLER, US, options(host, call).as_bytes())
}

fn answer(question: &NameQuestion, address: Option<&str>) -> Command {
    let target = |at: &str| NameTarget::new(at.parse().expect("an address"), Transport::Udp, 0, 0);
    let outcome = address
        .map_or(NameOutcome::NoSuchName, |address| NameOutcome::Found(vec![target(address)]));
    Command::Name(Arc::new(NameAnswer {
        question: *question,
        outcome,
        ttl_ms: 60_000,
        stale_ms: 0,
    }))
}

fn asked(appliance: &Appliance) -> Option<NameQuestion> {
    appliance.service.questions.pop().map(|question| match question {
        Question::Name(question) => question,
        Question::User(user) => panic!("{user:?}"),
    })
}

fn conserved(appliance: &Appliance) {
    for queue in appliance.status() {
        assert_eq!(queue.unaccounted(), 0, "{queue:?}");
    }
}

fn start(packet: &MemoryPacket) -> String {
    let datagram = decode(packet.frame(), DecodeRules { verify_checksums: true });
    let payload = datagram.expect("what we send decodes").payload;
    let text = String::from_utf8_lossy(&packet.frame()[payload]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn requests_wait_for_their_name_and_then_leave_in_their_order() {
    let mut appliance = appliance();
    for call in 0..3 {
        assert!(appliance.forward(&frame("a.example", call)).is_none());
    }
    assert!(appliance.forward(&frame("B.example.", 9)).is_none());
    let questions: Vec<_> = std::iter::from_fn(|| asked(&appliance)).collect();
    let names: Vec<_> = questions.iter().map(NameQuestion::name).collect();
    assert_eq!(names, [&b"a.example"[..], b"b.example"], "each is asked once");
    assert_eq!(appliance.status()[0].parked, 4);
    conserved(&appliance);

    appliance.command(answer(&questions[0], Some("10.77.2.2:5060")));
    appliance.worker.attend();
    assert_eq!(appliance.sent().len(), 3);
    assert_eq!((appliance.status()[0].parked, appliance.status()[0].forwarded), (1, 3));
    appliance.command(answer(&questions[1], None));
    appliance.worker.attend();
    assert_eq!(start(&appliance.sent()[0].1), "SIP/2.0 404 No Such Host");
    conserved(&appliance);

    let sent = appliance.forward(&frame("a.example", 10)).unwrap();
    assert_eq!(start(&sent), "OPTIONS sip:bob@a.example SIP/2.0");
    assert!(appliance.service.questions.is_empty(), "it is known");
    appliance.worker.attend();
    let names = appliance.service.counters.names.status();
    assert_eq!((names.cached, names.waited, names.waiting), (2, 4, 0));
    assert_eq!((names.hits, names.no_such_name), (5, 1));
}

#[test]
fn more_than_may_wait_are_refused() {
    let mut appliance = appliance();
    for call in 0..u32::try_from(AWAITING_MAX).unwrap() {
        assert!(appliance.forward(&frame("a.example", call)).is_none());
    }
    let refused = appliance.forward(&frame("a.example", 1_000)).unwrap();
    assert_eq!(start(&refused), "SIP/2.0 503 Next Hop Not Resolved");
    assert_eq!(appliance.status()[0].parked, AWAITING_MAX as u64);
    conserved(&appliance);
    let ack = options("a.example", 1_001).replace("OPTIONS", "ACK");
    assert!(appliance.forward(&frames::udp(CALLER, US, ack.as_bytes())).is_none());
    appliance.worker.attend();
    assert_eq!(appliance.service.counters.names.status().refused_full, 2);
    conserved(&appliance);
}

#[test]
fn a_request_from_the_kernel_or_a_connection_waits_as_well() {
    let mut appliance = appliance();
    let mut parcel = service_parcels().into_iter().next().unwrap();
    let message = options("a.example", 1);
    parcel.room()[..message.len()].copy_from_slice(message.as_bytes());
    let (source, target) = (CALLER.parse().unwrap(), US.parse().unwrap());
    parcel.set_received(message.len(), source, target, Transport::Udp);
    appliance.service.parcels.send(parcel);
    appliance.worker.attend();
    let question = asked(&appliance).unwrap();
    assert_eq!(appliance.status()[2].parked, 1);
    conserved(&appliance);
    appliance.command(answer(&question, Some("10.77.2.2:5060")));
    appliance.worker.attend();
    let parcel = std::iter::from_fn(|| appliance.service.parcels.next()).next().unwrap();
    assert_eq!(parcel.target, "10.77.2.2:5060".parse().unwrap());
    assert!(parcel.message().starts_with(b"OPTIONS sip:bob@a.example SIP/2.0\r\nVia: "));
    conserved(&appliance);
}
