//! What a worker does with more than it can do, and with sources that send too much: the whole worker over queues in
//! memory, with a clock that the test moves.

use control_api::DropReason;
use control_api::status::OverloadStatus;
use core::time::Duration;
use dataplane::decode::{DecodeRules, decode};
use dataplane::mailbox::{Command, Event};
use dataplane::packet::{MemoryPacket, PacketBuf};
use dataplane::testing::appliance::{Appliance, lab_settings};
use dataplane::testing::frames;
use quanta::{Clock, Mock};
use sip_core::{Settings, SourceLimits, SourceNet};
use std::sync::Arc;

const CALLER: &str = "10.77.1.2:5060";
const US: &str = "10.77.1.1:5060";

struct Setup {
    appliance: Appliance,
    clock: Arc<Mock>,
}

impl Setup {
    fn new(settings: &Settings) -> Self {
        let (clock, mock) = Clock::mock();
        mock.increment(Duration::from_hours(1));
        Self { appliance: Appliance::with_clock(settings, &clock), clock: mock }
    }

    /// Has the callee answer `request`, which was forwarded to it.
    fn answer(&mut self, request: &str) {
        let names = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
        let lines = request.split_inclusive("\r\n");
        let repeated: String =
            lines.filter(|line| names.iter().any(|name| line.starts_with(name))).collect();
        let response = format!("SIP/2.0 200 OK\r\n{repeated}Content-Length: 0\r\n\r\n");
        let frame = frames::udp("10.77.2.2:5060", "10.77.2.1:5060", response.as_bytes());
        self.appliance.worker.io_mut().rx[1].push_back(MemoryPacket::new(&frame));
    }

    /// Puts a message into the queue of the callers' port.
    fn push(&mut self, from: &str, message: &str) {
        let frame = frames::udp(from, US, message.as_bytes());
        self.appliance.worker.io_mut().rx[0].push_back(MemoryPacket::new(&frame));
    }

    fn round(&mut self) {
        self.appliance.worker.run_once();
    }

    /// Takes everything that was sent.
    fn sent(&mut self) -> Vec<String> {
        let sent = self.appliance.sent();
        sent.iter().map(|(_, packet)| payload(packet)).collect()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.appliance.status().iter().map(|queue| queue.dropped_for(reason)).sum()
    }

    fn overload(&mut self) -> OverloadStatus {
        self.appliance.worker.attend();
        self.appliance.service.counters.overload.status()
    }

    fn conserved(&self) {
        for queue in self.appliance.status() {
            assert_eq!(queue.unaccounted(), 0, "{queue:?}");
        }
    }
}

fn payload(packet: &MemoryPacket) -> String {
    let datagram = decode(packet.frame(), DecodeRules { verify_checksums: true });
    let payload = datagram.expect("what we send decodes").payload;
    String::from_utf8(packet.frame()[payload].to_vec()).expect("the tests' messages are ASCII")
}

fn request(method: &str, number: usize, to_tag: &str) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{method} sip:service@{US} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};oc;rport;oc-algo=\"loss\";branch=z9hG4bK-{number}\r\n\
         From: sipp <sip:sipp@{CALLER}>;tag=1\r\nTo: <sip:service@{US}>{tag}\r\nCall-ID: {number}@{CALLER}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:sipp@{CALLER}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_queue_that_stands_sheds_new_work_and_ends_when_it_is_empty() {
    let mut settings = lab_settings();
    settings.overload.target_ms = 5;
    let mut setup = Setup::new(&settings);
    // Twice as many as are taken: 32 each millisecond.
    for number in 0..64 * 400 {
        setup.push(CALLER, &request("INVITE", number, ""));
    }
    for _ in 0..50 {
        setup.round();
        setup.clock.increment(Duration::from_millis(1));
    }
    assert!(setup.sent().iter().all(|sent| sent.starts_with("INVITE")), "a burst is taken whole");
    for _ in 0..400 {
        setup.round();
        setup.clock.increment(Duration::from_millis(1));
    }
    let sent = setup.sent();
    let refused: Vec<_> = sent.iter().filter(|sent| sent.starts_with("SIP/2.0 503")).collect();
    assert!(!refused.is_empty() && refused.iter().all(|sent| sent.contains("\r\nRetry-After: ")));
    let overload = setup.overload();
    assert!(overload.first_permille < 100 && overload.other_permille < 1_000, "{overload:?}");
    assert_eq!((overload.episodes, overload.answered), (1, refused.len() as u64));
    assert_eq!(setup.dropped(DropReason::Overload), overload.unanswered);
    assert!(overload.unanswered > overload.answered, "{overload:?}");
    setup.conserved();

    // An ACK to one of them is taken without being read, and a call that is up ends.
    let tag = refused[0].split(";tag=to-").nth(1).unwrap().get(..16).unwrap();
    let branch = refused[0].split("z9hG4bK-").nth(1).unwrap();
    let number = branch.split([';', '\r']).next().unwrap().parse().unwrap();
    setup.appliance.worker.io_mut().rx[0].clear();
    setup.push(CALLER, &request("ACK", number, &format!("to-{tag}")));
    setup.push(CALLER, &request("BYE", 1, "7"));
    setup.round();
    let sent = setup.sent();
    assert!(sent.len() == 1 && sent[0].starts_with("BYE"), "{sent:?}");
    assert_eq!(setup.overload().acknowledged, 1);

    // The client has asked to be told (RFC 7339), and is, in both kinds of responses.
    let told = ";oc=99;oc-algo=\"loss\";oc-validity=1000;oc-seq=";
    assert!(refused.iter().all(|sent| sent.contains(";oc-validity=1000;oc-seq=")), "{refused:?}");
    setup.answer(&sent[0]);
    setup.round();
    let passed = setup.sent();
    assert!(passed[0].contains(told) && passed[0].matches(";oc-algo").count() == 1, "{passed:?}");
    assert!(passed[0].contains(";rport=5060;branch=z9hG4bK-1;received="), "{passed:?}");

    setup.clock.increment(Duration::from_secs(10));
    let overload = setup.overload();
    assert_eq!((overload.first_permille, overload.other_permille), (1_000, 1_000));
    setup.push(CALLER, &request("INVITE", 5, ""));
    setup.round();
    let sent = setup.sent();
    assert!(sent[0].starts_with("INVITE"));
    setup.clock.increment(Duration::from_secs(2));
    setup.answer(&sent[0]);
    setup.round();
    assert!(
        setup.sent()[0].contains(";oc;rport=5060;oc-algo=\"loss\";branch"),
        "not told any more"
    );
    setup.conserved();
}

#[test]
fn a_source_is_limited_banned_and_free_again() {
    let limits = SourceLimits { rate: 100, burst: 20, ban_after_s: 2, ban_s: 30, trusted: vec![] };
    let mut settings = lab_settings();
    settings.overload.sources = limits;
    let mut setup = Setup::new(&settings);
    let (flooding, honest) = ("10.77.1.9:5060", "10.77.1.2:5060");
    for second in 0..4 {
        for tenth in 0..10 {
            for number in 0..100 {
                setup.push(flooding, &request("OPTIONS", number, ""));
            }
            setup.push(honest, &request("INVITE", second * 10 + tenth, ""));
            for _ in 0..5 {
                setup.round();
            }
            setup.clock.increment(Duration::from_millis(100));
        }
    }
    let honest_sent = setup.sent().iter().filter(|sent| sent.starts_with("INVITE")).count();
    assert_eq!(honest_sent, 40, "the honest one is not touched");
    let (over, banned) =
        (setup.dropped(DropReason::SourceRate), setup.dropped(DropReason::SourceBanned));
    assert!(over > 1_500 && banned > 1_500, "{over} {banned}");
    let events = std::iter::from_fn(|| setup.appliance.service.next());
    let bans: Vec<_> = events
        .filter_map(|event| match event {
            Event::Banned(ban) => Some(ban.source.address().to_string()),
            _ => None,
        })
        .collect();
    assert_eq!((bans, setup.overload().bans), (vec!["10.77.1.9".to_owned()], 1));
    setup.conserved();

    setup.appliance.command(Command::Unban(SourceNet::of("10.77.1.9".parse().unwrap())));
    setup.appliance.worker.attend();
    setup.push(flooding, &request("INVITE", 1, ""));
    setup.round();
    assert_eq!(setup.sent().len(), 1, "an operator has freed it");
}

#[test]
fn members_of_destination_sets_are_not_limited() {
    let mut settings = lab_settings();
    settings.overload.sources = SourceLimits { rate: 1, burst: 1, ..SourceLimits::default() };
    let mut setup = Setup::new(&settings);
    for number in 0..50 {
        setup.push("10.77.2.2:5060", &request("BYE", number, "7"));
    }
    setup.round();
    setup.round();
    assert_eq!(setup.sent().len(), 50);
    assert_eq!(setup.dropped(DropReason::SourceRate), 0);
}
