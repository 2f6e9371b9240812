//! Captures written here, byte by byte, as the two formats say.

use super::{Capture, Unit, read};
use anyhow::Result;
use etherparse::PacketBuilder;
use std::net::IpAddr;

const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);

/// SIP of a kind over UDP, tagged when there is a VLAN.
fn frame(source: [u8; 4], vlan: Option<u16>) -> Vec<u8> {
    let mut frame = Vec::new();
    let payload = b"OPTIONS sip:a@example.com SIP/2.0\r\n\r\n";
    let link = PacketBuilder::ethernet2(MACS.0, MACS.1);
    let to = [198, 51, 100, 1];
    match vlan {
        Some(vlan) => link
            .single_vlan(vlan.try_into().expect("12 bits"))
            .ipv4(source, to, 64)
            .udp(5060, 5060)
            .write(&mut frame, payload),
        None => link.ipv4(source, to, 64).udp(5060, 5060).write(&mut frame, payload),
    }
    .expect("a frame");
    frame
}

fn frame_of_ipv6() -> Vec<u8> {
    let mut frame = Vec::new();
    let (from, to) = ([0x20; 16], [0x21; 16]);
    let link = PacketBuilder::ethernet2(MACS.0, MACS.1).ipv6(from, to, 64);
    link.udp(5060, 5062).write(&mut frame, b"sip").expect("a frame");
    frame
}

/// The frame as the first fragment of its datagram.
fn fragment(mut frame: Vec<u8>) -> Vec<u8> {
    frame[14 + 6] = 0x20;
    frame
}

fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link] {
        file.extend(u32::to_le_bytes(word));
    }
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("short");
        // What was on the wire is longer than what was kept.
        for word in [1, 2, length, length + 100] {
            file.extend(u32::to_le_bytes(word));
        }
        file.extend(frame);
    }
    file
}

fn pcapng(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let padding = body.len().next_multiple_of(4) - body.len();
        let length = u32::try_from(12 + body.len() + padding).expect("short").to_le_bytes();
        file.extend(kind.to_le_bytes());
        file.extend(length);
        file.extend(body);
        file.extend(vec![0; padding]);
        file.extend(length);
    };
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]));
    block(1, &words(&[1, 65_535]));
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("short");
        block(6, &[words(&[0, 0, 0, length, length]), frame.clone()].concat());
    }
    file
}

fn parsed(file: &[u8], unit: Unit, to: &[IpAddr]) -> Result<Capture> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("calls.pcap");
    std::fs::write(&path, file).expect("written");
    read(&path, unit, to)
}

fn weights(capture: &Capture) -> Vec<(String, f64)> {
    capture.flows.iter().map(|flow| (flow.tuple.to_string(), flow.weight)).collect()
}

#[test]
fn packets_are_counted_for_each_flow() {
    let one = [192, 0, 2, 1];
    let frames = [
        frame(one, None),
        frame(one, Some(7)),
        fragment(frame(one, None)),
        frame([192, 0, 2, 2], None),
        frame_of_ipv6(),
        vec![0; 60],
    ];
    let expected = [
        ("192.0.2.1:0 -> 198.51.100.1:0 (fragment)".to_owned(), 1.0),
        ("192.0.2.1:5060 -> 198.51.100.1:5060".to_owned(), 2.0),
        ("192.0.2.2:5060 -> 198.51.100.1:5060".to_owned(), 1.0),
        ("[2020:2020:2020:2020:2020:2020:2020:2020]:5060 -> [2121:2121:2121:2121:2121:2121:2121:2121]:5062".to_owned(), 1.0),
    ];
    for file in [pcap(1, &frames), pcapng(&frames)] {
        let capture = parsed(&file, Unit::Packets, &[]).expect("a capture");
        assert_eq!(weights(&capture), expected);
        assert_eq!((capture.other_packets, capture.is_cut), (1, false));
    }
}

#[test]
fn bytes_are_those_on_the_wire_and_addresses_can_be_chosen() {
    let frames = [frame([192, 0, 2, 1], None), frame_of_ipv6()];
    let length = f64::from(u32::try_from(frames[0].len()).expect("short"));
    let ours: IpAddr = "198.51.100.1".parse().expect("an address");
    let capture = parsed(&pcap(1, &frames), Unit::Bytes, &[ours]).expect("a capture");
    assert_eq!(
        weights(&capture),
        [("192.0.2.1:5060 -> 198.51.100.1:5060".to_owned(), length + 100.0)]
    );
    assert_eq!(capture.other_packets, 1);
}

#[test]
fn captures_on_any_interface_and_without_link_headers() {
    let ip = frame([192, 0, 2, 1], None).split_off(14);
    let sll = [vec![0; 14], vec![8, 0], ip.clone()].concat();
    let sll2 = [vec![8, 0], vec![0; 18], ip.clone()].concat();
    for (link, packet) in [(101, ip), (113, sll), (276, sll2)] {
        let capture = parsed(&pcap(link, &[packet]), Unit::Packets, &[]).expect("a capture");
        assert_eq!(weights(&capture), [("192.0.2.1:5060 -> 198.51.100.1:5060".to_owned(), 1.0)]);
    }
}

#[test]
fn what_is_no_capture_is_refused() {
    let why = |file: &[u8]| format!("{:#}", parsed(file, Unit::Packets, &[]).expect_err("refused"));
    assert!(why(b"source,source_port,destination,destination_port").contains("is no capture"));
    assert!(why(b"").contains("is no capture"));
    assert!(why(&pcap(1, &[vec![0; 60]])).contains("none of its 1 packets is UDP over IP"));
    assert!(why(&pcap(105, &[vec![0; 60]])).contains("link type 105"));
    let mut cut = pcap(1, &[frame([192, 0, 2, 1], None), frame_of_ipv6()]);
    cut.truncate(cut.len() - 3);
    let capture = parsed(&cut, Unit::Packets, &[]).expect("what is there");
    assert!(capture.is_cut && capture.flows.len() == 1);
}
