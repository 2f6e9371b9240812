//! Frame by frame through the program that plays RSS on a veth, with the kernel's own test run
//! (`BPF_PROG_TEST_RUN`): each must be counted for the queue that the software names. Plans go in and out as an
//! appliance would have it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use aya::Ebpf;
use aya::maps::PerCpuArray;
use aya::programs::{SchedClassifier, TestRun, TestRunOptions};
use nic_config::rss::apply::{ApplyError, Change, apply};
use nic_config::rss::veth::{self, Receiver, VethPort};
use nic_config::rss::{Fields, Function, Reta, RssKey, Spread, Tuple};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

const QUEUES: u16 = 128;
const UDP: u8 = 17;
const TCP: u8 = 6;
const IPV6_FRAGMENT: u8 = 44;

/// The program, loaded and attached to nothing.
struct Program(Ebpf);

impl Program {
    /// Frames counted for a queue.
    fn frames(&self, queue: u16) -> u64 {
        let frames: PerCpuArray<_, u64> = self.0.map("rss_frames").unwrap().try_into().unwrap();
        frames.get(&queue.into(), 0).unwrap().iter().sum()
    }

    fn run(&self, frame: &[u8]) {
        let program: &SchedClassifier = self.0.program("rss_spread").unwrap().try_into().unwrap();
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        // TC_ACT_UNSPEC: other filters decide.
        assert_eq!(program.test_run(options).unwrap().return_value, u32::MAX);
    }

    /// Whether the frame leaves by this queue.
    fn sends_by(&self, queue: u16, frame: &[u8]) -> bool {
        let before = self.frames(queue);
        self.run(frame);
        self.frames(queue) == before + 1
    }
}

/// A frame with any headers, and what a port hashes of it.
fn random_frame(random: &mut StdRng) -> (Vec<u8>, Tuple) {
    let ports: [u16; 2] = random.random();
    let datagram = [ports[0].to_be_bytes(), ports[1].to_be_bytes(), [0, 12], [0, 0]].concat();
    let is_udp = random.random_ratio(3, 4);
    let protocol = if is_udp { UDP } else { TCP };
    let is_fragment = random.random_ratio(1, 8);
    let (packet, ends, ether_type) = if random.random() {
        let [from, to]: [[u8; 4]; 2] = random.random();
        let words = random.random_range(5..=15_u8);
        let fragment = match (is_fragment, random.random()) {
            (false, is_whole) => u16::from(is_whole) << 14,
            (true, true) => 0x2000,
            (true, false) => 185,
        };
        let mut packet = vec![0x40 | words, 0, 0, 0, 0, 0];
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, protocol, 0, 0]);
        packet.extend([from, to].concat());
        packet.resize(usize::from(words) * 4, 1);
        (packet, [Ipv4Addr::from(from).into(), Ipv4Addr::from(to).into()], [8, 0])
    } else {
        let [from, to]: [[u8; 16]; 2] = random.random();
        let next = if is_fragment { IPV6_FRAGMENT } else { protocol };
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        packet.extend([from, to].concat());
        if is_fragment {
            packet.extend([protocol, 0, 0, 1, 0, 0, 0, 7]);
        }
        (packet, [Ipv6Addr::from(from).into(), Ipv6Addr::from(to).into()], [0x86, 0xdd])
    };
    let mut frame = vec![2; 12];
    let tags = [[0x88, 0xa8, 0, 7], [0x81, 0, 0, 9]];
    frame.extend(tags[random.random_range(0..=2)..].concat());
    frame.extend(ether_type);
    frame.extend(packet);
    frame.extend(datagram);
    let tuple = Tuple::new(SocketAddr::new(ends[0], ports[0]), SocketAddr::new(ends[1], ports[1]));
    let tuple = tuple.unwrap();
    // Without ports in the hash, a packet of another protocol counts as a fragment does.
    (frame, if is_udp && !is_fragment { tuple } else { tuple.fragment() })
}

fn random_plan(random: &mut StdRng) -> (RssKey, Reta) {
    let key: [u8; 40] = random.random();
    let reta = (0..128).map(|_| random.random_range(0..QUEUES)).collect();
    (RssKey::new(key).unwrap(), Reta::new(reta).unwrap())
}

/// A receiver that no test shares with another.
fn receiver(interface: u32) -> Receiver {
    Receiver { namespace: std::process::id().into(), interface, queues: QUEUES }
}

#[test]
fn ten_thousand_frames_leave_by_the_queue_that_the_software_names() {
    if !common::privileged("ten_thousand_frames_leave_by_the_queue_that_the_software_names") {
        return;
    }
    let program = Program(veth::load(receiver(1)).unwrap());
    let mut port = VethPort::of(receiver(1)).unwrap();
    let mut random = StdRng::seed_from_u64(8);
    for _ in 0..20 {
        let (key, reta) = random_plan(&mut random);
        let change =
            Change { key: Some(key.clone()), reta: Some(reta.clone()), ..Change::default() };
        let applied = apply(&mut port, &change).unwrap();
        assert_eq!((applied.after.key.as_ref(), &applied.after.reta), (Some(&key), &reta));
        let spread = Spread::new(Function::Toeplitz, Fields::default(), &key, reta);
        for _ in 0..500 {
            let (frame, tuple) = random_frame(&mut random);
            let queue = spread.queue(&tuple).queue;
            assert!(program.sends_by(queue, &frame), "{tuple}: queue {queue}, {frame:02x?}");
        }
    }
}

#[test]
fn what_has_no_hash_leaves_by_queue_0() {
    if !common::privileged("what_has_no_hash_leaves_by_queue_0") {
        return;
    }
    let program = Program(veth::load(receiver(2)).unwrap());
    let mut port = VethPort::of(receiver(2)).unwrap();
    let reta = Reta::new(vec![5; 128]).unwrap();
    apply(&mut port, &Change { reta: Some(reta), ..Change::default() }).unwrap();
    let ethernet = |ether_type: [u8; 2], rest: &[u8]| [&[2; 12], &ether_type[..], rest].concat();
    let ipv4 = |first: u8| [&[first], &[0; 19][..]].concat();
    for (what, frame) in [
        ("ARP", ethernet([8, 6], &[0; 28])),
        (
            "three VLAN tags",
            ethernet([0x81, 0], &[&[0, 7, 0x81, 0].repeat(2)[..], &[0; 4]].concat()),
        ),
        // Without the tag the kernel's test run would refuse it.
        ("a header cut short", ethernet([0x81, 0], &[&[0, 7, 8, 0], &ipv4(0x45)[..19]].concat())),
        ("IHL below 5", ethernet([8, 0], &ipv4(0x44))),
        ("IPv6 in an IPv4 frame", ethernet([8, 0], &[0x60; 40])),
        ("a tag cut short", ethernet([0x81, 0], &[0])),
    ] {
        assert!(program.sends_by(0, &frame), "{what}");
    }
    // UDP without its ports has addresses.
    let mut packet = ipv4(0x45);
    packet[9] = UDP;
    assert!(program.sends_by(5, &ethernet([8, 0], &[&packet[..], &[0, 9]].concat())));
}

#[test]
fn a_port_is_found_by_its_interface_and_refuses_what_it_cannot_have() {
    if !common::privileged("a_port_is_found_by_its_interface_and_refuses_what_it_cannot_have") {
        return;
    }
    assert!(VethPort::of(receiver(3)).is_none());
    let program = Program(veth::load(Receiver { queues: 4, ..receiver(3) }).unwrap());
    assert!(VethPort::of(receiver(4)).is_none());
    let mut port = VethPort::of(receiver(3)).unwrap().with_queues(2);
    let why = |change: Change, port: &mut VethPort| match apply(port, &change) {
        Err(error @ ApplyError::Refused { .. }) => panic!("written: {error}"),
        result => result.unwrap_err().to_string(),
    };
    let reta = |size, queues| Some(Reta::in_turn(size, queues).unwrap());
    for (change, wanted) in [
        (Change { reta: reta(128, 3), ..Change::default() }, "there are queues 0 to 1"),
        (Change { reta: reta(512, 2), ..Change::default() }, "this port has 128"),
        (
            Change { key: Some(RssKey::microsoft(52).unwrap()), ..Change::default() },
            "this port takes 40",
        ),
    ] {
        let line = why(change, &mut port);
        assert!(line.contains(wanted), "{line}");
    }
    drop(program);
    // Maps live as long as someone holds them; the program itself may be gone a moment later.
    drop(port);
    for _ in 0..200 {
        if VethPort::of(receiver(3)).is_none() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the program outlives all who held it");
}
