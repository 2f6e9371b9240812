//! The XDP program on a veth between two network namespaces, attached as DPDK's driver does it (by
//! netlink) and left there as by a crash. No AF_XDP socket is bound, so matched datagrams are
//! counted and reach the kernel all the same.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nic_config::xdp::{self, SipFilter};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const INTERFACE: &str = "nic0";
const WAIT: Duration = Duration::from_secs(2);

/// Two namespaces joined by a veth pair; gone when dropped.
struct Net {
    sut: String,
    peer: String,
}

impl Net {
    fn new(test: &str) -> Self {
        let id = std::process::id();
        let net =
            Self { sut: format!("nic-sut-{test}-{id}"), peer: format!("nic-peer-{test}-{id}") };
        let (sut, peer) = (net.sut.as_str(), net.peer.as_str());
        for namespace in [sut, peer] {
            ip(&format!("netns add {namespace}"));
            ip(&format!("-n {namespace} link set lo up"));
        }
        ip(&format!("-n {sut} link add {INTERFACE} type veth peer name nic1 netns {peer}"));
        for (namespace, interface, host) in [(sut, INTERFACE, 1), (peer, "nic1", 2)] {
            ip(&format!("-n {namespace} addr add 10.77.1.{host}/24 dev {interface}"));
            ip(&format!("-n {namespace} addr add fd77:1::{host}/64 dev {interface} nodad"));
            ip(&format!("-n {namespace} link set {interface} up"));
        }
        net
    }

    fn attach(&self, object: &Path) {
        ip(&format!(
            "-n {} link set dev {INTERFACE} xdp obj {} sec xdp",
            self.sut,
            object.display()
        ));
    }

    fn in_sut<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(&self.sut, work)
    }

    fn in_peer<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(&self.peer, work)
    }

    /// Sends a datagram from the peer and waits until the kernel's socket has it.
    fn datagram(&self, to: SocketAddr, size: usize) {
        let receiver = self.in_sut(|| UdpSocket::bind(to).unwrap());
        receiver.set_read_timeout(Some(WAIT)).unwrap();
        self.in_peer(|| {
            let sender = UdpSocket::bind((unspecified(to.ip()), 0)).unwrap();
            sender.send_to(&vec![7; size], to).unwrap();
        });
        let mut bytes = vec![0; size + 1];
        assert_eq!(receiver.recv(&mut bytes).unwrap(), size, "{to}");
    }

    fn ping(&self, to: IpAddr) {
        ip(&format!("netns exec {} ping -q -c 1 -W 2 {to}", self.peer));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.sut, &self.peer] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// Runs in a thread of the namespace: sockets belong to the namespace of the thread that opens them.
fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let file = File::open(format!("/run/netns/{namespace}")).unwrap();
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {error}");
}

fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() }
}

#[test]
fn the_kernel_goes_on_beside_sip() {
    if !common::privileged("the_kernel_goes_on_beside_sip") {
        return;
    }
    let net = Net::new("beside");
    let directory = tempfile::tempdir().unwrap();
    net.attach(&xdp::write_object(directory.path()).unwrap());
    let mut filter = net.in_sut(|| SipFilter::find(INTERFACE).unwrap());
    let addresses: [IpAddr; 2] = ["10.77.1.1".parse().unwrap(), "fd77:1::1".parse().unwrap()];
    let sip = addresses.map(|address| SocketAddr::new(address, 5060));
    filter.set(&sip).unwrap();
    let matched = |filter: &SipFilter| {
        let outcomes = filter.outcomes().unwrap();
        assert_eq!(outcomes.to_socket, 0);
        outcomes.to_kernel
    };

    for (address, sip) in addresses.into_iter().zip(sip) {
        let before = matched(&filter);
        // The first packets are those of ARP and neighbour discovery.
        net.ping(address);
        let listener = net.in_sut(|| TcpListener::bind(sip).unwrap());
        net.in_peer(|| TcpStream::connect_timeout(&sip, WAIT).unwrap());
        drop(listener);
        net.datagram(SocketAddr::new(address, 5061), 400);
        net.datagram(sip, 4000);
        assert_eq!(matched(&filter), before, "ping, TCP, another port, fragments: {address}");
        net.datagram(sip, 400);
        assert_eq!(matched(&filter), before + 1, "SIP: {address}");
    }

    filter.set(&sip[1..]).unwrap();
    let before = matched(&filter);
    net.datagram(sip[0], 400);
    assert_eq!(matched(&filter), before, "a listen point that went away");
    net.datagram(sip[1], 400);
    assert_eq!(matched(&filter), before + 1, "a listen point that stayed");

    filter.clear().unwrap();
    net.datagram(sip[1], 400);
    assert_eq!(matched(&filter), before + 1, "after clear");
}

#[test]
fn what_a_crash_left_is_detached() {
    if !common::privileged("what_a_crash_left_is_detached") {
        return;
    }
    let net = Net::new("crash");
    let directory = tempfile::tempdir().unwrap();
    let object = xdp::write_object(directory.path()).unwrap();
    net.in_sut(|| {
        assert!(!xdp::detach(INTERFACE).unwrap());
        let line = SipFilter::find(INTERFACE).err().unwrap().to_string();
        assert!(line.contains("interface nic0: no XDP program is attached"), "{line}");
    });
    net.attach(&object);
    net.in_sut(|| {
        assert!(xdp::detach(INTERFACE).unwrap());
        assert!(!xdp::detach(INTERFACE).unwrap());
    });
}

#[test]
fn a_foreign_program_is_left_alone() {
    if !common::privileged("a_foreign_program_is_left_alone") {
        return;
    }
    let net = Net::new("foreign");
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("theirs.c");
    let object = directory.path().join("theirs.o");
    let pass = "__attribute__((section(\"xdp\"), used)) int theirs(void *c) { return 2; }\n";
    std::fs::write(&source, pass).unwrap();
    let mut clang = Command::new("clang");
    clang.args(["-O2", "-g", "-target", "bpf", "-c", "-o"]);
    assert!(clang.arg(&object).arg(&source).status().unwrap().success());
    net.attach(&object);
    net.in_sut(|| {
        let wanted = "the XDP program \"theirs\" is attached and not ours";
        let line = xdp::detach(INTERFACE).unwrap_err().to_string();
        assert!(line.contains(wanted), "{line}");
        let line = SipFilter::find(INTERFACE).err().unwrap().to_string();
        assert!(line.contains(wanted), "{line}");
    });
}

#[test]
fn more_listen_points_than_the_map_holds_are_refused() {
    if !common::privileged("more_listen_points_than_the_map_holds_are_refused") {
        return;
    }
    let net = Net::new("full");
    let directory = tempfile::tempdir().unwrap();
    net.attach(&xdp::write_object(directory.path()).unwrap());
    let mut filter = net.in_sut(|| SipFilter::find(INTERFACE).unwrap());
    let points = |ports: std::ops::Range<u16>| {
        ports.map(|port| SocketAddr::from(([10, 77, 1, 1], port))).collect::<Vec<_>>()
    };
    filter.set(&points(1000..1256)).unwrap();
    filter.set(&points(2000..2256)).unwrap();
    let line = filter.set(&points(1000..1257)).unwrap_err().to_string();
    assert!(line.contains("257 listen points, more than 256"), "{line}");
}
