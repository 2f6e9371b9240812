//! Messages larger than the MTU: the worker's part, with the test in the place of the service core.

use control_api::DropReason;
use control_api::status::QueueStatus;
use dataplane::decode::{DecodeRules, locate, verify};
use dataplane::limits::{PARCELS_PER_LOOK, SMALL_PARCELS, WORKER_PARCELS};
use dataplane::mailbox::{Command, Event};
use dataplane::packet::PacketBuf;
use dataplane::packet_io::PacketIo;
use dataplane::parcel::{Errand, PAYLOAD_MAX, Parcel, service_parcels};
use dataplane::testing::appliance::{Appliance, lab_epoch, lab_fib, lab_settings};
use dataplane::testing::frames;
use sip_core::{Oversize, Settings};
use std::sync::Arc;

/// Parcels of a worker that hold a message of one frame.
const PARCELS: usize = SMALL_PARCELS + WORKER_PARCELS;

const CALLER: &str = "10.77.1.2:5060";
const US: &str = "10.77.1.1:5060";

fn invite(body: usize) -> Vec<u8> {
    let message = format!(
        "INVITE sip:service@{US} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-1-1-0\r\n\
         From: sipp <sip:sipp@{CALLER}>;tag=1\r\nTo: <sip:service@{US}>\r\nCall-ID: 1-1@{CALLER}\r\n\
         CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: {body}\r\n\r\n{}",
        "x".repeat(body)
    );
    message.into_bytes()
}

/// A parcel as the service core sends it for a message that came in fragments.
fn received(message: &[u8]) -> Parcel {
    let mut parcel = service_parcels().pop().expect("what the test is given");
    parcel.room()[..message.len()].copy_from_slice(message);
    parcel.set_received(
        message.len(),
        CALLER.parse().expect("what the test is given"),
        US.parse().expect("an address"),
        sip_core::Transport::Udp,
    );
    parcel
}

/// Does the errand of the worker's next parcel, behind those that only come home, and gives what it held.
fn deliver(appliance: &mut Appliance, is_sent: bool) -> (String, String, String) {
    let mut parcels = std::iter::from_fn(|| appliance.service.parcels.next());
    let mut parcel = parcels.find(|parcel| parcel.errand != Errand::Empty).expect("a parcel");
    let Errand::Send(origin) = parcel.errand else { panic!("{:?}", parcel.errand) };
    let message = String::from_utf8(parcel.message().to_vec()).expect("what the test is given");
    let seen = (parcel.source.to_string(), parcel.target.to_string(), message);
    parcel.errand = Errand::Sent(origin, is_sent);
    appliance.service.parcels.send(parcel);
    appliance.worker.attend();
    seen
}

/// What the only frame that was sent held.
fn framed(appliance: &mut Appliance) -> (String, String, String) {
    let sent = appliance.sent();
    let [(_, packet)] = sent.as_slice() else { panic!("{} frames", sent.len()) };
    let frame = packet.frame();
    let datagram = locate(frame).expect("UDP");
    let rules = DecodeRules { verify_checksums: true };
    verify(frame, &datagram, rules).expect("its checksums are right");
    let message = String::from_utf8(frame[datagram.payload].to_vec()).expect("text");
    (datagram.source.to_string(), datagram.target.to_string(), message)
}

fn refusing() -> Settings {
    Settings { oversize: Oversize::Refuse, ..lab_settings() }
}

fn with_settings(settings: &Settings) -> Appliance {
    let appliance = Appliance::default();
    appliance.command(Command::Epoch(Arc::new(lab_epoch(settings))));
    appliance.settled()
}

fn conserved(appliance: &Appliance) -> Vec<QueueStatus> {
    let status = appliance.status();
    for queue in &status {
        assert_eq!(queue.unaccounted(), 0, "{queue:?}");
    }
    status
}

#[test]
fn a_message_that_outgrows_the_mtu_leaves_through_the_kernel() {
    let mut appliance = Appliance::default();
    let message = invite(1_100);
    assert!(message.len() < 1_472);
    assert!(appliance.forward(&frames::udp(CALLER, US, &message)).is_none());
    assert_eq!(conserved(&appliance)[0].parked, 1);

    let (source, target, sent) = deliver(&mut appliance, true);
    assert_eq!((source.as_str(), target.as_str()), ("10.77.2.1:5060", "10.77.2.2:5060"));
    assert!(sent.contains("\r\nVia: SIP/2.0/UDP 10.77.2.1:5060;branch=z9hG4bK"), "{sent}");
    assert!(sent.ends_with(&"x".repeat(1_100)) && sent.len() > 1_472);
    let status = conserved(&appliance);
    assert_eq!((status[0].received, status[0].forwarded, status[0].parked), (1, 1, 0));
    assert_eq!((status[2].received, status[2].transmitted), (0, 1));
}

#[test]
fn what_came_in_fragments_goes_on_whatever_its_size_and_its_neighbour() {
    for (has_neighbours, body) in [(false, 100), (true, 4_000), (false, 20_000), (true, 64_000)] {
        let appliance = Appliance::default();
        appliance.command(Command::Fib(Arc::new(lab_fib(2, [0, 1], has_neighbours))));
        let mut appliance = appliance.settled();
        appliance.service.parcels.send(received(&invite(body)));
        appliance.worker.attend();
        let (source, target, sent) = deliver(&mut appliance, true);
        assert_eq!((source.as_str(), target.as_str()), ("10.77.2.1:5060", "10.77.2.2:5060"));
        assert!(sent.starts_with("INVITE sip:service@10.77.1.1:5060 SIP/2.0\r\n"), "{sent}");
        assert!(sent.contains("Max-Forwards: 69\r\n") && sent.contains("Record-Route: "));
        assert!(sent.ends_with(&"x".repeat(body)));
        let status = conserved(&appliance);
        assert_eq!((status[2].received, status[2].forwarded), (1, 1));
        let home = appliance.service.parcels.next().expect("the parcel comes home");
        assert_eq!(home.errand, Errand::Empty);
        assert!(appliance.sent().is_empty());
    }
}

#[test]
fn what_came_from_the_kernel_and_fits_a_frame_leaves_as_one() {
    let mut appliance = Appliance::default();
    for round in 1..=3 {
        appliance.service.parcels.send(received(&invite(100)));
        appliance.worker.attend();
        let (source, target, sent) = framed(&mut appliance);
        assert_eq!((source.as_str(), target.as_str()), ("10.77.2.1:5060", "10.77.2.2:5060"));
        assert!(sent.starts_with("INVITE sip:service@10.77.1.1:5060 SIP/2.0\r\n"), "{sent}");
        assert!(sent.contains("Max-Forwards: 69\r\n") && sent.ends_with(&"x".repeat(100)));
        let home = appliance.service.parcels.next().expect("the parcel comes home");
        assert_eq!(home.errand, Errand::Empty);
        let status = conserved(&appliance);
        assert_eq!((status[2].received, status[2].forwarded), (round, round));
        assert_eq!((status[1].transmitted, status[2].transmitted), (round, 0));
    }
}

#[test]
fn many_that_come_at_once_do_not_wait_for_the_mailbox() {
    let mut appliance = Appliance::default();
    let message = invite(100);
    for _ in 0..4 * PARCELS_PER_LOOK {
        appliance.service.parcels.send(received(&message));
    }
    appliance.worker.attend();
    // Fewer rounds than lie between two looks into the mailbox.
    while appliance.worker.run_once() {}
    assert_eq!(conserved(&appliance)[2].received, 4 * PARCELS_PER_LOOK as u64);
}

#[test]
fn what_no_datagram_can_hold_is_answered_with_513_and_hostile_bytes_are_counted() {
    let mut appliance = Appliance::default();
    let head = invite(10_000).len() - 10_000;
    appliance.service.parcels.send(received(&invite(PAYLOAD_MAX - head)));
    appliance.worker.attend();
    let (source, target, sent) = framed(&mut appliance);
    assert_eq!((source.as_str(), target.as_str()), (US, CALLER));
    assert!(sent.starts_with("SIP/2.0 513 Message Too Large\r\n"), "{sent}");
    assert_eq!(conserved(&appliance)[2].replied, 1);
    assert!(appliance.service.parcels.next().is_some());

    for hostile in [&b""[..], b"\r\n\r\n", b"INVITE", &[0xff; 5_000]] {
        appliance.service.parcels.send(received(hostile));
        appliance.worker.attend();
        assert_eq!(appliance.service.parcels.next().unwrap().errand, Errand::Empty);
    }
    let status = conserved(&appliance);
    assert_eq!((status[2].received, status[2].dropped_total()), (5, 4));
}

#[test]
fn refused_as_configured() {
    let mut appliance = with_settings(&refusing());
    let frame = frames::udp(CALLER, US, &invite(1_100));
    let answer = appliance.forward(&frame).expect("an answer");
    assert!(String::from_utf8_lossy(answer.frame()).contains(" 513 "));
    appliance.service.parcels.send(received(&invite(4_000)));
    appliance.worker.attend();
    assert!(framed(&mut appliance).2.starts_with("SIP/2.0 513 "));
    // In fragments in, but short enough for one frame out: nothing to refuse.
    appliance.service.parcels.next();
    appliance.service.parcels.send(received(&invite(100)));
    appliance.worker.attend();
    assert!(framed(&mut appliance).2.starts_with("INVITE "));
    conserved(&appliance);
}

#[test]
fn no_parcel_left_and_a_kernel_that_refuses_are_counted() {
    let mut appliance = Appliance::default();
    let frame = frames::udp(CALLER, US, &invite(1_100));
    for _ in 0..PARCELS + 3 {
        appliance.forward(&frame);
    }
    let status = conserved(&appliance);
    assert_eq!(status[0].dropped_for(DropReason::KernelBuffers), 3);
    assert_eq!(status[0].parked, PARCELS as u64);
    for _ in 0..PARCELS {
        deliver(&mut appliance, false);
    }
    let status = conserved(&appliance);
    assert_eq!(status[0].dropped_for(DropReason::KernelSend), PARCELS as u64);
    assert_eq!((status[0].parked, status[2].transmitted), (0, 0));
    appliance.forward(&frame);
    assert!(deliver(&mut appliance, true).2.starts_with("INVITE "), "parcels are back");
}

#[test]
fn a_path_mtu_counts_down_to_1_280_bytes() {
    let mut appliance = Appliance::default();
    let frame = frames::udp(CALLER, US, &invite(700));
    assert!(appliance.forward(&frame).is_some());
    for (generation, path_mtu, is_frame) in [(2, 1_300, true), (3, 1_290, true), (4, 700, true)] {
        let paths = [("10.77.2.2".parse().unwrap(), path_mtu)].into_iter().collect();
        let fib = lab_fib(generation, [0, 1], true).with_path_mtus(Arc::new(paths));
        appliance.command(Command::Fib(Arc::new(fib)));
        appliance = appliance.settled();
        assert_eq!(appliance.forward(&frame).is_some(), is_frame, "{path_mtu}");
    }
    let wide = frames::udp(CALLER, US, &invite(900));
    assert!(appliance.forward(&wide).is_none(), "no path is taken for smaller than 1,280 bytes");
    assert!(deliver(&mut appliance, true).2.len() > 1_252);
    conserved(&appliance);
}

#[test]
fn a_host_behind_a_silent_neighbour_is_reported() {
    use dataplane::fib::Neighbour;
    use dataplane::testing::appliance::CALLEES;
    let appliance = Appliance::bare(DecodeRules { verify_checksums: true });
    let fib = lab_fib(1, [0, 1], false);
    let links = fib.links().to_vec();
    let mut builder = dataplane::fib::Fib::builder();
    for link in links {
        builder = builder.link(link);
    }
    let fib = builder
        .address(CALLEES, "10.77.2.1".parse().unwrap(), 24)
        .neighbour(CALLEES, "10.77.2.2".parse().unwrap(), Neighbour::Failed)
        .build(2);
    appliance.command(Command::Fib(Arc::new(fib)));
    appliance.command(Command::Epoch(Arc::new(lab_epoch(&lab_settings()))));
    let mut appliance = appliance.settled();
    assert!(appliance.forward(&frames::udp(CALLER, US, &invite(5))).is_none());
    let told: Vec<Event> = std::iter::from_fn(|| appliance.service.next()).collect();
    let target = "10.77.2.2:5060".parse().unwrap();
    assert!(told.iter().any(|event| matches!(event, Event::Unreachable(at) if *at == target)));
    assert_eq!(conserved(&appliance)[0].dropped_for(DropReason::NeighbourFailed), 1);
}

#[test]
fn nothing_is_allocated_for_them_on_the_poll_mode_core() {
    let mut appliance = Appliance::default();
    let frame = frames::udp(CALLER, US, &invite(1_100));
    appliance.forward(&frame);
    deliver(&mut appliance, true);
    appliance.service.parcels.send(received(&invite(100)));
    appliance.worker.attend();
    // The packets of this test are not from a mempool.
    let packet = allocation_counter::measure(|| drop(appliance.worker.io_mut().new_packet()));
    appliance.service.parcels.send(received(&invite(100)));
    appliance.service.parcels.send(received(&invite(20_000)));
    let received = dataplane::packet::MemoryPacket::new(&frame);
    appliance.worker.io_mut().rx[0].push_back(received);
    let allocated = allocation_counter::measure(|| {
        appliance.worker.run_once();
        appliance.worker.attend();
    });
    assert_eq!(allocated.count_total, packet.count_total);
    for _ in 0..2 {
        deliver(&mut appliance, true);
    }
    let forwarded: u64 = conserved(&appliance).iter().map(|queue| queue.forwarded).sum();
    assert_eq!(forwarded, 5);
}
