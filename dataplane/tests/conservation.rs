//! Every packet is counted once in and once out, whatever it is: the whole worker over queues in
//! memory, fed with good calls, hostile bytes and full rings.

use control_api::DropReason;
use dataplane::decode::{DecodeRules, decode};
use dataplane::mailbox::Command;
use dataplane::packet::{MemoryPacket, PacketBuf};
use dataplane::testing::appliance::{Appliance, CALLEES, lab_epoch, lab_fib, lab_settings};
use dataplane::testing::frames;
use proptest::prelude::*;
use sip_core::{Oversize, Settings};
use std::sync::Arc;

const CALLER: &str = "10.77.1.2:5060";
const US: &str = "10.77.1.1:5060";

fn invite(user: &str) -> String {
    format!(
        "INVITE sip:{user}@{US} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-1-1-0\r\n\
         From: sipp <sip:sipp@{CALLER}>;tag=1\r\nTo: <sip:{user}@{US}>\r\nCall-ID: 1-1@{CALLER}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:sipp@{CALLER}>\r\nMax-Forwards: 70\r\n\
         Content-Length: 5\r\n\r\nhello"
    )
}

fn conserved(appliance: &Appliance) {
    for queue in appliance.status() {
        assert_eq!(queue.unaccounted(), 0, "{queue:?}");
    }
}

fn dropped(appliance: &Appliance, reason: DropReason) -> u64 {
    appliance.status().iter().map(|queue| queue.dropped_for(reason)).sum()
}

fn payload(packet: &MemoryPacket) -> String {
    let datagram = decode(packet.frame(), DecodeRules { verify_checksums: true });
    let payload = datagram.expect("what we send decodes").payload;
    String::from_utf8(packet.frame()[payload].to_vec()).expect("the tests' messages are ASCII")
}

#[test]
fn an_invite_is_forwarded_with_our_via_and_its_body_untouched() {
    let mut appliance = Appliance::default();
    let sent = appliance.forward(&frames::udp(CALLER, US, invite("service").as_bytes())).unwrap();
    let datagram = decode(sent.frame(), DecodeRules { verify_checksums: true }).unwrap();
    assert_eq!(datagram.source.to_string(), "10.77.2.1:5060");
    assert_eq!(datagram.target.to_string(), "10.77.2.2:5060");
    let message = payload(&sent);
    assert!(message.starts_with("INVITE sip:service@10.77.1.1:5060 SIP/2.0\r\n"), "{message}");
    assert!(message.contains("Via: SIP/2.0/UDP 10.77.2.1:5060;branch=z9hG4bK"), "{message}");
    assert!(message.contains("Max-Forwards: 69\r\n") && message.ends_with("\r\n\r\nhello"));
    assert_eq!(appliance.status()[0].forwarded, 1);
    conserved(&appliance);
}

#[test]
fn a_call_crosses_from_ipv4_to_ipv6() {
    let mut appliance = Appliance::default();
    let sent = appliance.forward(&frames::udp(CALLER, US, invite("six").as_bytes())).unwrap();
    let datagram = decode(sent.frame(), DecodeRules { verify_checksums: true }).unwrap();
    assert_eq!(datagram.source.to_string(), "[fd77:2::1]:5060");
    assert_eq!(datagram.target.to_string(), "[fd77:2::2]:5060");
    assert!(payload(&sent).contains("Via: SIP/2.0/UDP [fd77:2::1]:5060;branch=z9hG4bK"));
}

#[test]
fn a_nic_that_computes_checksums_sends_the_same_bytes() {
    let [mut soft, mut hard] = [Appliance::default(), Appliance::on_computing_ports()];
    // Over IPv4, over IPv6, and our own 404.
    for user in ["service", "six", "nobody-here"] {
        let frame = frames::udp(CALLER, US, invite(user).as_bytes());
        let (by_us, mut by_nic) = (soft.forward(&frame).unwrap(), hard.forward(&frame).unwrap());
        assert_ne!(by_nic.frame(), by_us.frame(), "{user}");
        by_nic.complete_checksum();
        assert_eq!(by_nic.frame(), by_us.frame(), "{user}");
    }
    conserved(&hard);
}

#[test]
fn a_message_waits_for_its_neighbour_and_then_leaves() {
    let appliance = Appliance::bare(DecodeRules { verify_checksums: true });
    appliance.command(Command::Fib(Arc::new(lab_fib(1, [0, 1], false))));
    appliance.command(Command::Epoch(Arc::new(lab_epoch(&lab_settings()))));
    let mut appliance = appliance.settled();
    let frame = frames::udp(CALLER, US, invite("service").as_bytes());
    assert!(appliance.forward(&frame).is_none());
    assert!(appliance.forward(&frame).is_none());
    let asked = appliance.resolve_requests();
    assert_eq!(asked.len(), 1, "the kernel is asked once: {asked:?}");
    assert_eq!((asked[0].ifindex, asked[0].address.to_string()), (CALLEES, "10.77.2.2".into()));
    assert_eq!(appliance.status()[0].parked, 2);
    conserved(&appliance);

    appliance.command(Command::Fib(Arc::new(lab_fib(2, [0, 1], true))));
    appliance.worker.attend();
    assert_eq!(appliance.sent().len(), 2);
    assert_eq!((appliance.status()[0].parked, appliance.status()[0].forwarded), (0, 2));
    conserved(&appliance);
}

#[test]
fn a_full_parking_place_and_a_full_ring_are_counted() {
    let appliance = Appliance::bare(DecodeRules { verify_checksums: true });
    appliance.command(Command::Fib(Arc::new(lab_fib(1, [0, 1], false))));
    appliance.command(Command::Epoch(Arc::new(lab_epoch(&lab_settings()))));
    let mut appliance = appliance.settled();
    let frame = frames::udp(CALLER, US, invite("service").as_bytes());
    for _ in 0..dataplane::limits::PARKED_MAX + 10 {
        appliance.forward(&frame);
    }
    assert_eq!(dropped(&appliance, DropReason::NeighbourQueueFull), 10);
    conserved(&appliance);

    let room = dataplane::limits::PARKED_MAX - 24;
    appliance.worker.io_mut().tx_room[1] = room;
    appliance.command(Command::Fib(Arc::new(lab_fib(2, [0, 1], true))));
    appliance.worker.attend();
    assert_eq!(appliance.sent().len(), room);
    assert_eq!(dropped(&appliance, DropReason::TxRingFull), 24);
    conserved(&appliance);
}

#[test]
fn without_an_epoch_everything_is_dropped_for_that_reason() {
    let mut appliance = Appliance::bare(DecodeRules { verify_checksums: true });
    assert!(appliance.forward(&frames::udp(CALLER, US, b"OPTIONS")).is_none());
    assert_eq!(dropped(&appliance, DropReason::NoEpoch), 1);
    conserved(&appliance);
}

#[test]
fn a_request_that_has_no_hops_left_is_answered_to_where_it_came_from() {
    let mut appliance = Appliance::default();
    let message = invite("service").replace("Max-Forwards: 70", "Max-Forwards: 0");
    let sent = appliance.forward(&frames::udp(CALLER, US, message.as_bytes())).unwrap();
    assert!(payload(&sent).starts_with("SIP/2.0 483 Too Many Hops\r\n"), "{}", payload(&sent));
    assert_eq!(appliance.status()[0].replied, 1);
    conserved(&appliance);
}

#[test]
fn a_message_that_outgrows_the_mtu_is_answered_with_513_where_fragments_are_refused() {
    let mut appliance = Appliance::default();
    let refuse = Settings { oversize: Oversize::Refuse, ..lab_settings() };
    appliance.command(Command::Epoch(Arc::new(lab_epoch(&refuse))));
    appliance.worker.attend();
    let body = "x".repeat(1_080); // Arrives within the MTU, and outgrows it by our headers.
    let message =
        invite("service").replace("Content-Length: 5\r\n\r\nhello", &format!("\r\n{body}"));
    assert!(message.len() <= 1_472);
    let sent = appliance.forward(&frames::udp(CALLER, US, message.as_bytes())).unwrap();
    assert!(payload(&sent).starts_with("SIP/2.0 513 "), "{}", payload(&sent));
    conserved(&appliance);
}

/// RFC 5626 section 3.5.2, RFC 8489: a Binding request is answered with the address it came from.
#[test]
fn a_stun_binding_request_is_answered_and_broken_stun_is_counted() {
    let mut appliance = Appliance::default();
    let request = b"\0\x01\0\0\x21\x12\xa4\x42transaction1";
    let sent = appliance.forward(&frames::udp("10.77.1.2:32853", US, request)).unwrap();
    let datagram = decode(sent.frame(), DecodeRules { verify_checksums: true }).unwrap();
    assert_eq!(datagram.source.to_string(), US);
    assert_eq!(datagram.target.to_string(), "10.77.1.2:32853");
    // 32853 ^ 0x2112, 10.77.1.2 ^ 0x2112a442
    let expected =
        b"\x01\x01\0\x0c\x21\x12\xa4\x42transaction1\0\x20\0\x08\0\x01\xa1\x47\x2b\x5f\xa5\x40";
    assert_eq!(&sent.frame()[datagram.payload], expected);
    assert_eq!(appliance.status()[0].replied, 1);
    let indication = [b"\0\x11", &request[2..]].concat();
    for (message, reason) in [
        (&request[..19], DropReason::StunMalformed),
        (&indication, DropReason::Keepalive),
        (b"\r\n\r\n", DropReason::Keepalive),
        (b"", DropReason::Keepalive),
        (b"\x01\0\0\0", DropReason::SipMalformed),
    ] {
        let before = dropped(&appliance, reason);
        assert!(appliance.forward(&frames::udp(CALLER, US, message)).is_none());
        assert_eq!(dropped(&appliance, reason), before + 1, "{message:?}");
    }
    // A method may begin below all letters, and CRLFs may lead.
    for start in ["!METHOD", "\r\n\r\nMETHOD"] {
        let text = invite("service").replace("INVITE sip", &format!("{start} sip"));
        let text = text.replace("1 INVITE", &format!("1 {}", start.trim()));
        assert!(appliance.forward(&frames::udp(CALLER, US, text.as_bytes())).is_some());
    }
    conserved(&appliance);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn bytes_of_any_kind_are_counted_once(
        bytes in prop::collection::vec(any::<u8>(), 0..1_400),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut appliance = Appliance::default();
        let good = invite("service");
        let mut flipped = good.clone().into_bytes();
        for (at, value) in flips {
            let at = at.index(flipped.len());
            flipped[at] ^= value;
        }
        appliance.forward(&bytes);
        for message in [&bytes[..], &flipped, &good.as_bytes()[..cut.index(good.len())]] {
            let frame = frames::udp(CALLER, US, message);
            appliance.forward(&frame);
            appliance.forward(&frame[..cut.index(frame.len())]);
        }
        let received: u64 = appliance.status().iter().map(|queue| queue.received).sum();
        prop_assert_eq!(received, 7);
        conserved(&appliance);
    }
}
