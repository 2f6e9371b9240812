//! Random flows, as tuples and as the frames that belong to them.

use etherparse::{IpNumber, PacketBuilder, VlanId};
use nic_config::rss::Tuple;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::guest::MAC;
use crate::network::PEER_MAC;

/// A flow and one frame of it.
pub(crate) struct Flow {
    pub(crate) tuple: Tuple,
    pub(crate) frame: Vec<u8>,
}

/// What a frame is beside UDP over IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ipv4,
    Ipv6,
    /// UDP over IPv4 behind one 802.1Q tag.
    Vlan,
    /// The first fragment of a datagram over IPv4.
    Fragment,
    /// UDP over IPv4 to where the appliance listens: all else AF_XDP leaves to the kernel.
    Listen,
}

/// Where the appliance listens.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 78, 0, 1)), 5060);

/// So many random flows of a kind; the same seed gives the same ones.
pub(crate) fn flows(kind: Kind, count: usize, seed: u64) -> Vec<Flow> {
    let mut random = SmallRng::seed_from_u64(seed);
    (0..count).map(|_| flow(kind, &mut random)).collect()
}

fn flow(kind: Kind, random: &mut SmallRng) -> Flow {
    let mut address = || -> IpAddr {
        if kind == Kind::Ipv6 {
            let host: u128 = random.random();
            Ipv6Addr::from_bits(0x2001_0db8 << 96 | host >> 32).into()
        } else {
            // 10.0.0.0/8
            Ipv4Addr::from_bits(10 << 24 | random.random_range(1..1 << 24)).into()
        }
    };
    let ends = [address(), address()];
    let mut port = || random.random_range(1_024..65_535);
    let [source, destination] = ends.map(|address| SocketAddr::new(address, port()));
    let destination = if kind == Kind::Listen { LISTEN } else { destination };
    let tuple = Tuple::new(source, destination).expect("one family");
    let frame = frame(kind, source, destination);
    let tuple = if kind == Kind::Fragment { tuple.fragment() } else { tuple };
    Flow { tuple, frame }
}

fn frame(kind: Kind, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let payload = [b'x'; 64];
    let ethernet = PacketBuilder::ethernet2(mac(PEER_MAC), mac(MAC));
    let mut frame = Vec::new();
    let ports = (source.port(), destination.port());
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let (from, to) = (from.octets(), to.octets());
            if kind == Kind::Vlan {
                let tagged = ethernet.single_vlan(VlanId::try_new(77).expect("a VLAN"));
                let udp = tagged.ipv4(from, to, 64).udp(ports.0, ports.1);
                udp.write(&mut frame, &payload).expect("a frame");
            } else {
                let udp = ethernet.ipv4(from, to, 64).udp(ports.0, ports.1);
                udp.write(&mut frame, &payload).expect("a frame");
            }
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let udp = ethernet.ipv6(from.octets(), to.octets(), 64).udp(ports.0, ports.1);
            udp.write(&mut frame, &payload).expect("a frame");
        }
        _ => unreachable!("one family"),
    }
    if kind == Kind::Fragment {
        // More fragments follow; the checksum of the header is made anew.
        frame[14 + 6] |= 0x20;
        let header = etherparse::Ipv4Header::from_slice(&frame[14..]).expect("a header").0;
        assert_eq!(header.protocol, IpNumber::UDP);
        frame[24..26].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
    }
    frame
}

fn mac(text: &str) -> [u8; 6] {
    let bytes: Vec<_> = text.split(':').flat_map(|byte| u8::from_str_radix(byte, 16)).collect();
    bytes.try_into().expect("six bytes")
}
