//! Frame by frame through the XDP program with the kernel's own test run (`BPF_PROG_TEST_RUN`):
//! which are for the data plane. No socket is there, so the program counts and lets them pass.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::net::{IpAddr, SocketAddr};

use aya::Ebpf;
use aya::maps::{Array, HashMap, PerCpuArray};
use aya::programs::{TestRun, TestRunOptions, Xdp};

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const VLAN: [u8; 2] = [0x81, 0x00];
const SERVICE_VLAN: [u8; 2] = [0x88, 0xa8];
const UDP: u8 = 17;
const TCP: u8 = 6;

/// The program, loaded but attached to nothing.
struct Program {
    bpf: Ebpf,
}

impl Program {
    fn load(listen_points: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let object = nic_config::xdp::write_object(directory.path()).unwrap();
        let mut bpf = Ebpf::load_file(object).unwrap();
        let xdp: &mut Xdp = bpf.program_mut("sip_redirect").unwrap().try_into().unwrap();
        xdp.load().unwrap();
        let mut map: HashMap<_, [u8; 18], u8> =
            bpf.map_mut("listen_points").unwrap().try_into().unwrap();
        for point in listen_points {
            let point: SocketAddr = point.parse().unwrap();
            let mut key = [0; 18];
            key[..16].copy_from_slice(&mapped(point.ip()));
            key[16..].copy_from_slice(&point.port().to_be_bytes());
            map.insert(key, 1, 0).unwrap();
        }
        Self { bpf }
    }

    /// Whether the frame is for the data plane. It must pass to the kernel all the same.
    fn takes(&self, frame: &[u8]) -> bool {
        const XDP_PASS: u32 = 2;
        let before = self.matched();
        let xdp: &Xdp = self.bpf.program("sip_redirect").unwrap().try_into().unwrap();
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        assert_eq!(xdp.test_run(options).unwrap().return_value, XDP_PASS);
        match self.matched() - before {
            0 => false,
            1 => true,
            more => panic!("one frame counted {more} times"),
        }
    }

    fn matched(&self) -> u64 {
        let outcomes: PerCpuArray<_, u64> = self.bpf.map("outcomes").unwrap().try_into().unwrap();
        (0..2).map(|outcome| outcomes.get(&outcome, 0).unwrap().iter().sum::<u64>()).sum()
    }
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn ethernet(ether_types: &[[u8; 2]], packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for (depth, ether_type) in ether_types.iter().enumerate() {
        if depth > 0 {
            frame.extend([0, 7]);
        }
        frame.extend(ether_type);
    }
    frame.extend(packet);
    frame
}

fn udp(port: u16) -> Vec<u8> {
    let mut datagram = vec![0x13, 0xc5];
    datagram.extend(port.to_be_bytes());
    datagram.extend([0, 12, 0, 0]);
    datagram.extend(b"SIP!");
    datagram
}

/// An IPv4 packet for 10.77.1.1 with so many 32-bit words of header.
fn ipv4(words: u8, fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x40 | words, 0, 0, 0, 0, 0];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 77, 1, 2, 10, 77, 1, 1]);
    packet.resize(usize::from(words.max(5)) * 4, 1);
    packet.extend(payload);
    packet
}

/// An IPv6 packet for fd77:1::1.
fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next_header, 64];
    packet.extend([0xfd, 0x77, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend([0xfd, 0x77, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend(payload);
    packet
}

#[test]
fn sip_and_nothing_else_is_for_the_data_plane() {
    if !common::privileged("sip_and_nothing_else_is_for_the_data_plane") {
        return;
    }
    let program = Program::load(&["10.77.1.1:5060", "[fd77:1::1]:5060"]);
    let sip4 = ipv4(5, 0, UDP, &udp(5060));
    let sip6 = ipv6(UDP, &udp(5060));

    let taken = [
        ("IPv4", ethernet(&[IPV4], &sip4)),
        ("IPv6", ethernet(&[IPV6], &sip6)),
        ("IPv4 with a VLAN tag", ethernet(&[VLAN, IPV4], &sip4)),
        ("IPv6 with a service VLAN tag", ethernet(&[SERVICE_VLAN, IPV6], &sip6)),
        ("IPv4 with options", ethernet(&[IPV4], &ipv4(15, 0, UDP, &udp(5060)))),
        ("do not fragment", ethernet(&[IPV4], &ipv4(5, 0x4000, UDP, &udp(5060)))),
    ];
    for (what, frame) in &taken {
        assert!(program.takes(frame), "{what}");
    }

    let other_host = {
        let mut packet = sip4.clone();
        packet[19] = 9;
        packet
    };
    let passed = [
        ("two VLAN tags", ethernet(&[SERVICE_VLAN, VLAN, IPV4], &sip4)),
        ("another port", ethernet(&[IPV4], &ipv4(5, 0, UDP, &udp(5061)))),
        ("another port, IPv6", ethernet(&[IPV6], &ipv6(UDP, &udp(53)))),
        ("another address", ethernet(&[IPV4], &other_host)),
        ("TCP", ethernet(&[IPV4], &ipv4(5, 0, TCP, &udp(5060)))),
        ("TCP, IPv6", ethernet(&[IPV6], &ipv6(TCP, &udp(5060)))),
        ("ICMP", ethernet(&[IPV4], &ipv4(5, 0, 1, &udp(5060)))),
        ("neighbour discovery", ethernet(&[IPV6], &ipv6(58, &udp(5060)))),
        ("IPv6 fragment", ethernet(&[IPV6], &ipv6(44, &[&[UDP; 8][..], &udp(5060)].concat()))),
        ("first fragment", ethernet(&[IPV4], &ipv4(5, 0x2000, UDP, &udp(5060)))),
        ("last fragment", ethernet(&[IPV4], &ipv4(5, 1, UDP, &udp(5060)))),
        ("IHL below 5", ethernet(&[IPV4], &ipv4(4, 0, UDP, &udp(5060)))),
        ("IPv4 in an IPv6 frame", ethernet(&[IPV6], &sip4)),
        ("IPv6 in an IPv4 frame", ethernet(&[IPV4], &sip6)),
        ("ARP", ethernet(&[[0x08, 0x06]], &[0; 28])),
        ("length instead of a type", ethernet(&[[0, 46]], &sip4)),
    ];
    for (what, frame) in &passed {
        assert!(!program.takes(frame), "{what}");
    }
}

#[test]
fn truncated_frames_pass() {
    if !common::privileged("truncated_frames_pass") {
        return;
    }
    let program = Program::load(&["10.77.1.1:5060", "[fd77:1::1]:5060"]);
    // The kernel's test run takes no frame shorter than an Ethernet header.
    const SHORTEST: usize = 14;
    let payload = b"SIP!".len();
    for frame in [
        ethernet(&[VLAN, IPV4], &ipv4(15, 0, UDP, &udp(5060))),
        ethernet(&[VLAN, IPV6], &ipv6(UDP, &udp(5060))),
    ] {
        for length in SHORTEST..frame.len() - payload {
            assert!(!program.takes(&frame[..length]), "{length} bytes");
        }
        assert!(program.takes(&frame[..frame.len() - payload]));
    }
}

#[test]
fn nothing_is_taken_before_listen_points_are_set() {
    if !common::privileged("nothing_is_taken_before_listen_points_are_set") {
        return;
    }
    let program = Program::load(&[]);
    assert!(!program.takes(&ethernet(&[IPV4], &ipv4(5, 0, UDP, &udp(5060)))));
}

#[test]
fn frames_for_other_hosts_are_left_to_the_kernel() {
    if !common::privileged("frames_for_other_hosts_are_left_to_the_kernel") {
        return;
    }
    let mut program = Program::load(&["10.77.1.1:5060"]);
    let frame = ethernet(&[IPV4], &ipv4(5, 0, UDP, &udp(5060)));
    assert!(program.takes(&frame), "nobody has said yet who we are");
    for (mac, is_ours) in [([2; 6], true), ([2, 2, 2, 2, 2, 3], false), ([3, 2, 2, 2, 2, 2], false)]
    {
        let map = program.bpf.map_mut("own_address").unwrap();
        let mut own: Array<_, [u8; 8]> = map.try_into().unwrap();
        let mut value = [1; 8];
        value[..6].copy_from_slice(&mac);
        own.set(0, value, 0).unwrap();
        assert_eq!(program.takes(&frame), is_ours, "{mac:?}");
    }
}
