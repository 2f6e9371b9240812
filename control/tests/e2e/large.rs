//! Messages larger than the MTU, through the kernel and back; paths with a smaller MTU; hosts that
//! cannot be reached.

use crate::lab::{Lab, assert_passed, text};
use control::dataplane_link::Link;
use control_api::{UnreachableHost, UnreachableSign};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A caller and a server of its own, since SIPp's scenarios are small.
const AGENT: &str = include_str!("large.py");
const SOCKET: &str = "/run/trunkline/lab/dataplane.sock";
/// Targets and callers of the two families.
const FAMILIES: [(&str, &str); 2] = [("10.77.1.1", "10.77.1.2"), ("fd77:1::1", "fd77:1::2")];

/// A server in a network namespace, until dropped.
struct Server(Child);

impl Server {
    fn start(namespace: &str, address: &str) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, "python3", "-c", AGENT, "uas", address]);
        let server = Self(command.stdout(Stdio::null()).spawn().expect("python3 starts"));
        sleep(Duration::from_millis(500));
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// Sends an INVITE with a body of so many bytes and gives what came back.
fn invite(lab: &Lab, (target, local): (&str, &str), body: u32) -> String {
    let body = body.to_string();
    let output = lab.exec("uac", &["python3", "-c", AGENT, "call", target, local, &body]);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn kernel(status: &Value, what: &str) -> u64 {
    status["kernel"][what].as_u64().expect("a count")
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn large_messages_go_through_and_back_whole() {
    let lab = Lab::up(1);
    let servers = [Server::start("tl-uas", "10.77.2.2"), Server::start("tl-uas", "fd77:2::2")];
    for family in FAMILIES {
        // The second outgrows the MTU only by what we add; the last is all that UDP can hold.
        for body in [100, 1_050, 4_000, 20_000, 64_000] {
            assert_eq!(invite(&lab, family, body), "200 echo", "{family:?} {body}");
        }
    }
    let status = lab.status();
    assert_eq!(status["conserved"], true, "{status:#}");
    // At least both ways of both families for the three largest.
    assert!(kernel(&status, "received") >= 12, "{status:#}");
    assert!(kernel(&status, "sent") >= kernel(&status, "received"), "{status:#}");
    assert_eq!(kernel(&status, "send_failed"), 0, "{status:#}");

    // What frames can carry never goes that way.
    drop(servers);
    assert_passed(&lab.call(&["--calls", "1000", "--rate", "500"]), 1_000);
    assert_eq!(kernel(&lab.status(), "received"), kernel(&status, "received"));
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn large_messages_are_refused_where_fragments_are_not_wanted() {
    let lab = Lab::up(1);
    let _server = Server::start("tl-uas", "10.77.2.2");
    assert_eq!(invite(&lab, FAMILIES[0], 4_000), "200 echo");
    lab.reconfigure(|config| {
        config.replace("[appliance]\n", "[appliance]\noversize = \"refuse\"\n")
    });
    for body in [1_050, 4_000, 20_000] {
        assert_eq!(invite(&lab, FAMILIES[0], body), "513 no echo", "{body}");
    }
    assert_eq!(invite(&lab, FAMILIES[0], 100), "200 echo");
    lab.assert_conserved();
}

/// A network behind the servers' host that takes packets of 1,400 bytes at most.
struct FarNetwork;

impl FarNetwork {
    fn make(lab: &Lab) -> Self {
        let _ = Command::new("ip").args(["netns", "delete", "tl-far"]).output();
        let far = Self;
        let script = "set -e
            ip netns add tl-far
            ip -n tl-far link set lo up
            ip netns exec tl-far sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/disable_ipv6'
            ip -n tl-uas link add far0 mtu 1400 type veth peer name eth0 mtu 1400 netns tl-far
            ip -n tl-uas address add 10.77.3.1/24 dev far0
            ip -n tl-uas address add fd77:3::1/64 dev far0 nodad
            ip -n tl-uas link set far0 up
            ip -n tl-far address add 10.77.3.2/24 dev eth0
            ip -n tl-far address add fd77:3::2/64 dev eth0 nodad
            ip -n tl-far link set eth0 up
            ip -n tl-far route add default via 10.77.3.1
            ip -n tl-far route add default via fd77:3::1
            ip netns exec tl-uas sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward
                echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
            ip -n tl-sut route add 10.77.3.0/24 via 10.77.2.2
            ip -n tl-sut route add fd77:3::/64 via fd77:2::2";
        let output = Command::new("sh").args(["-c", script]).output().expect("sh runs");
        assert!(output.status.success(), "{}", text(&output));
        lab.reconfigure(|config| config.replace("10.77.2.2:5060", "10.77.3.2:5060"));
        lab.reconfigure(|config| config.replace("[fd77:2::2]:5060", "[fd77:3::2]:5060"));
        // Until a changed set has settled, a message may still follow the members of before.
        sleep(Duration::from_secs(5));
        far
    }
}

impl Drop for FarNetwork {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", "tl-far"]).output();
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_smaller_path_mtu_is_learnt_and_kept_to() {
    let lab = Lab::up(1);
    let _far = FarNetwork::make(&lab);
    let _servers = [Server::start("tl-far", "10.77.3.2"), Server::start("tl-far", "fd77:3::2")];
    for (number, family) in FAMILIES.into_iter().enumerate() {
        assert_eq!(invite(&lab, family, 100), "200 echo", "{family:?}");
        let before = lab.status();
        // Fits our link and not the path: the first copy is lost, and its ICMP error tells why.
        assert_eq!(invite(&lab, family, 820), "200 echo", "{family:?}");
        let learnt = lab.status();
        assert_eq!(kernel(&learnt, "path_mtus"), number as u64 + 1, "{learnt:#}");
        assert_eq!(kernel(&learnt, "too_big"), kernel(&before, "too_big") + 1, "{learnt:#}");
        // From now on nothing is lost.
        let start = Instant::now();
        assert_eq!(invite(&lab, family, 820), "200 echo", "{family:?}");
        assert!(start.elapsed() < Duration::from_millis(450), "took {:?}", start.elapsed());
        assert_eq!(kernel(&lab.status(), "too_big"), kernel(&learnt, "too_big"));
    }
    lab.assert_conserved();
}

/// The signs of unreachable hosts that nobody has taken yet.
fn unreachable() -> Vec<UnreachableHost> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut link = Link::connect(Path::new(SOCKET)).await.expect("the data plane is there");
        link.unreachable().await.expect("an answer")
    })
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_closed_port_and_a_silent_host_are_reported() {
    let lab = Lab::up(1);
    let seen = |sign, address: &str| {
        // Control, which takes the signs, stands still while we do.
        lab.signal_control("-STOP");
        let is_seen = (0..10).any(|_| {
            invite(&lab, FAMILIES[0], 100);
            let address = address.parse().expect("an address");
            unreachable().iter().any(|host| (host.address, host.sign) == (address, sign))
        });
        lab.signal_control("-CONT");
        is_seen
    };
    assert!(seen(UnreachableSign::Port, "10.77.2.2:5060"), "{:#}", lab.status());
    assert!(kernel(&lab.status(), "unreachable") > 0);
    lab.reconfigure(|config| config.replace("10.77.2.2:5060", "10.77.2.99:5060"));
    assert!(seen(UnreachableSign::Neighbour, "10.77.2.99:5060"), "{:#}", lab.status());
    lab.assert_conserved();
}

/// Fragments that the kernel of the appliance keeps, in bytes, and the most that it may keep.
fn fragment_memory(lab: &Lab) -> (u64, u64) {
    let files = ["cat", "/proc/net/sockstat", "/proc/sys/net/ipv4/ipfrag_high_thresh"];
    let output = lab.exec("sut", &files);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find(|line| line.starts_with("FRAG:")).expect("a line about fragments");
    let number = |text: Option<&str>| text.and_then(|n| n.trim().parse().ok()).expect("a number");
    (number(line.split_whitespace().last()), number(said.lines().last()))
}

fn resident_kilobytes(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_hundred_thousand_fragments_that_fit_nothing_beside_calls() {
    let lab = Lab::up(1);
    assert_passed(&lab.call(&["--calls", "100", "--rate", "100"]), 100);
    let (pid, before) = (lab.dataplane(), resident_kilobytes(lab.dataplane()));
    let mut calls = lab.call_command(&["--calls", "4000", "--rate", "500"]);
    let calls = calls.stdout(Stdio::piped()).spawn().expect("calls start");
    sleep(Duration::from_secs(1));
    let flood = ["python3", "-c", AGENT, "fragments", "10.77.1.1", "10.77.1.2", "100000"];
    let output = lab.exec("uac", &flood);
    assert!(output.status.success(), "{}", text(&output));
    let (kept, most) = fragment_memory(&lab);
    assert!(kept <= most + (64 << 10), "the kernel keeps {kept} bytes of fragments");
    let output = calls.wait_with_output().expect("calls end");
    assert_passed(&serde_json::from_slice(&output.stdout).expect("a report"), 4_000);
    assert_eq!(lab.dataplane(), pid, "the data plane died");
    let grown = resident_kilobytes(pid).saturating_sub(before);
    assert!(grown < 32 << 10, "the data plane grew by {grown} KiB");
    // The kernel takes no new fragments until the old ones have expired: the lab gives them 3 s.
    let _server = Server::start("tl-uas", "10.77.2.2");
    assert!((0..2).any(|_| invite(&lab, FAMILIES[0], 4_000) == "200 echo"), "{:#}", lab.status());
}
