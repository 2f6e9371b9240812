//! Checksums that are left to a driver: what reaches the wire has the same bytes as with checksums in software. The driver
//! is DPDK's net_tap, which computes them itself; what the kernel sees of it is captured. One test, because EAL starts once
//! in a process.

use core::net::IpAddr;
use dataplane::encode::{ChecksumPorts, Egress, encode};
use dataplane::fib::Adjacency;
use dataplane::mbuf::DpdkQueues;
use dataplane::packet_io::{PacketIo, TxFrames};
use dataplane::testing::lcore::run_on_lcores;
use nic_config::machine::{Capability, Machine};
use nic_config::settings::NicSettings;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SETTINGS: &str = "[[ports]]\nname = \"tap\"\nvdev = \"net_tap0,iface=tl-checksum0\"\n\
    [lcores]\nworkers = [0]\nservice = 0\nidle = \"yield\"\n\
    [memory]\nhugepages = \"never\"\ntransactions = 0\nmessage_buffers = 0\naors = 0\nbindings = 0\n";

#[test]
fn a_driver_computes_the_same_checksums() {
    let machine = Machine::probe().expect("this machine can be read");
    if !machine.capabilities.has(Capability::NetAdmin) || !Path::new("/dev/net/tun").exists() {
        println!("skipped, needs CAP_NET_ADMIN and /dev/net/tun (run as root)");
        return;
    }
    let settings = NicSettings::from_toml(SETTINGS).expect("settings");
    let plan = nic_config::plan(&settings, &machine).expect("a plan");
    let work = |_, queues| captured(queues);
    let frames = run_on_lcores(&plan, Path::new(""), work).expect("the port runs").remove(0);
    assert_eq!(frames.len(), 2 * messages().count());
    for pair in frames.chunks(2) {
        assert_eq!(pair[0], pair[1], "software, then the driver");
    }
}

/// Both families, with and without a tag, lengths odd and even, from nothing to an MTU.
fn messages() -> impl Iterator<Item = (Egress, Vec<u8>)> {
    let ways = [
        ("10.0.0.1", "10.0.0.2", None),
        ("10.0.0.1", "10.0.0.2", Some(7)),
        ("fd00::1", "fd00::2", None),
        ("fd00::1", "fd00::2", Some(7)),
    ];
    ways.into_iter().flat_map(|(from, to, vlan)| {
        [0, 1, 2, 63, 600, 1_199].map(|len: u32| {
            let byte = |i: u32| i.wrapping_mul(89).wrapping_add(len).to_le_bytes()[0];
            (egress(from, to, vlan), (0..len).map(byte).collect())
        })
    })
}

fn egress(from: &str, to: &str, vlan: Option<u16>) -> Egress {
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    let (source, target) = ((address(from), 5060).into(), (address(to), 5060).into());
    let adjacency = Adjacency {
        port: 0,
        vlan,
        source_mac: [2, 0, 0, 0, 0, 1],
        target_mac: [2, 0, 0, 0, 0, 2],
        source: address(from),
        mtu: 1500,
        may_fragment: false,
    };
    Egress::over_udp(source, target, adjacency)
}

/// Sends each message twice, with its checksum by us and by the driver, and gives what the kernel saw.
fn captured(mut queues: DpdkQueues) -> Vec<Vec<u8>> {
    assert!(queues.computes_checksums(0), "net_tap grants UDP checksums");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sent.pcap");
    let mut capture = listen(&file);
    for (egress, message) in messages() {
        for checksums in [ChecksumPorts::default(), ChecksumPorts::ALL] {
            let mut frame = queues.new_packet().expect("the pool has room");
            encode(&mut frame, &message, 0..0, &egress, checksums).expect("it fits");
            let mut burst = TxFrames::new();
            burst.push(frame);
            assert_eq!(queues.tx_burst(0, &mut burst), 1);
        }
    }
    let end = Instant::now() + Duration::from_secs(10);
    while capture.try_wait().expect("tcpdump").is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = capture.kill();
    let _ = capture.wait();
    frames(&std::fs::read(&file).expect("a capture"))
}

/// Starts tcpdump and waits until it listens.
fn listen(file: &Path) -> Child {
    let count = (2 * messages().count()).to_string();
    let mut capture = Command::new("tcpdump")
        .args(["-i", "tl-checksum0", "-Q", "in", "-U", "-Z", "root", "-c", &count, "-w"])
        .arg(file)
        .arg("udp port 5060 or (vlan and udp port 5060)")
        .stderr(Stdio::piped())
        .spawn()
        .expect("tcpdump starts");
    let said = BufReader::new(capture.stderr.take().expect("piped"));
    let line = said.lines().map_while(Result::ok).find(|line| line.contains("listening on"));
    line.expect("tcpdump listens");
    capture
}

/// The packets of a capture in the byte order of this machine.
fn frames(capture: &[u8]) -> Vec<Vec<u8>> {
    const FILE_HEADER: usize = 24;
    const PACKET_HEADER: usize = 16;
    let (mut frames, mut rest) = (Vec::new(), &capture[FILE_HEADER..]);
    while rest.len() >= PACKET_HEADER {
        let length = u32::from_ne_bytes(rest[8..12].try_into().expect("four bytes"));
        let (frame, after) = rest[PACKET_HEADER..].split_at(length as usize);
        frames.push(frame.to_vec());
        rest = after;
    }
    frames
}
