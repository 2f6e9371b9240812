//! The watch over routes and neighbours against a real kernel.
//!
//! Each test makes two network namespaces joined by two veth pairs, and runs itself again inside
//! the first one. They need root and iproute2, and say so when they are skipped.

#![allow(clippy::unwrap_used)] // in helpers, too, a surprise ends the test

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::fib::{Adjacency, Fib, Lookup, NextHop};
use dataplane::kernel::{KernelError, KernelWatch, PortInterface};
use tokio::sync::watch;

/// Set in the run inside the namespace, to what distinguishes this test's namespaces.
const INSIDE: &str = "TRUNKLINE_FIB_TEST";

/// No test takes longer: the slowest waits for two neighbours to fail, 3 s each.
const TEST_MAX: Duration = Duration::from_mins(1);

const PEER_MACS: [[u8; 6]; 2] = [[2, 0x66, 0, 0, 1, 2], [2, 0x66, 0, 0, 2, 2]];

/// Our side has port0 and port1 with 10.66.{1,2}.1/24 and fd66:{1,2}::1/64, and `other`, which is
/// no port; the peer has .2 and ::2.
fn build(net: &Net) {
    for command in [format!("netns add {}", net.ours), format!("netns add {}", net.peers)] {
        ip(&command);
    }
    for n in 1..=2 {
        let (port, peer) = (format!("port{}", n - 1), format!("peer{}", n - 1));
        net.ours(&format!("link add {port} type veth peer name {peer} netns {}", net.peers));
        net.peer(&format!("link set {peer} address 02:66:00:00:0{n}:02"));
        // A link-local address without the second or two of duplicate detection, before which the
        // kernel sends no neighbour solicitations.
        net.ours(&format!("link set {port} addrgenmode none"));
        net.peer(&format!("link set {peer} addrgenmode none"));
        net.ours(&format!("addr add fe80::1/64 dev {port} nodad"));
        net.peer(&format!("addr add fe80::2/64 dev {peer} nodad"));
        net.ours(&format!("addr add 10.66.{n}.1/24 dev {port}"));
        net.ours(&format!("addr add fd66:{n}::1/64 dev {port} nodad"));
        net.peer(&format!("addr add 10.66.{n}.2/24 dev {peer}"));
        net.peer(&format!("addr add fd66:{n}::2/64 dev {peer} nodad"));
        net.ours(&format!("link set {port} up"));
        net.peer(&format!("link set {peer} up"));
    }
    net.ours("link add other type veth peer name otherpeer");
    net.ours("addr add 10.66.9.1/24 dev other");
    net.ours("link set other up");
    net.ours("link set otherpeer up");
    net.ours("link set lo up");
}

struct Net {
    ours: String,
    peers: String,
}

impl Net {
    fn new(tag: &str) -> Self {
        Self { ours: format!("fib-{tag}-a"), peers: format!("fib-{tag}-b") }
    }

    fn ours(&self, command: &str) {
        ip(&format!("-n {} {command}", self.ours));
    }

    fn peer(&self, command: &str) {
        ip(&format!("-n {} {command}", self.peers));
    }

    fn peer_pings(&self, address: &str) {
        let arguments = ["netns", "exec", &self.peers, "ping", "-c1", "-W2", address];
        let status = Command::new("ip").args(arguments).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "ping {address} from the peer");
    }
}

fn ip(command: &str) {
    let status = Command::new("ip").args(command.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {command}");
}

/// Deletes the namespaces, however the test ends.
struct Cleanup(Net);

impl Drop for Cleanup {
    fn drop(&mut self) {
        for name in [&self.0.ours, &self.0.peers] {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Runs `body` inside our namespace, in a process of its own, or says why not.
fn in_namespaces(test: &str, body: impl AsyncFnOnce(&Net)) {
    if let Ok(tag) = std::env::var(INSIDE) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(body(&Net::new(&tag)));
        return;
    }
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("{test}: skipped, network namespaces need root");
        return;
    }
    if Command::new("ip").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("{test}: skipped, no `ip` command (iproute2)");
        return;
    }
    let tag = format!("{}-{}", std::process::id(), &test[..test.len().min(6)]);
    let cleanup = Cleanup(Net::new(&tag));
    build(&cleanup.0);
    let mut inside = Command::new("ip")
        .args(["netns", "exec", &cleanup.0.ours])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, &tag)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + TEST_MAX;
    let status = loop {
        match inside.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                inside.kill().unwrap();
                panic!("{test}: not done after {TEST_MAX:?}");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(status.success(), "{test}: failed inside the namespace, see above");
}

struct Follower {
    kernel: KernelWatch,
    pictures: watch::Receiver<Arc<Fib>>,
}

impl Follower {
    async fn start() -> Self {
        let ports = ["port0", "port1"].map(String::from);
        let ports = (0..).zip(ports).map(|(port, name)| PortInterface { port, name }).collect();
        let kernel = KernelWatch::start(ports).await.unwrap();
        let pictures = kernel.pictures();
        Self { kernel, pictures }
    }

    fn lookup(&self, destination: &str) -> Lookup {
        self.pictures.borrow().lookup(addr(destination))
    }

    /// Waits for a picture whose answer fits.
    async fn until(&mut self, within: Duration, destination: &str, fits: impl Fn(Lookup) -> bool) {
        let start = Instant::now();
        let fits = |fib: &Arc<Fib>| fits(fib.lookup(addr(destination)));
        let found = tokio::time::timeout(within, self.pictures.wait_for(fits)).await;
        let found = found.is_ok_and(|open| open.is_ok());
        eprintln!("{destination}: {:?} after {:?}", self.lookup(destination), start.elapsed());
        assert!(found, "this is not what {destination} was to become within {within:?}");
    }

    /// Asks for the next hop of `destination` and waits for it.
    async fn resolve(&mut self, destination: &str) -> Adjacency {
        match self.lookup(destination) {
            Lookup::Unresolved(next_hop) | Lookup::Failed(next_hop) => {
                assert!(self.kernel.resolve(next_hop));
                assert!(self.kernel.resolve(next_hop), "asking twice is allowed");
            }
            Lookup::Ready(adjacency) => return adjacency,
            Lookup::NoRoute => panic!("{destination}: no route"),
        }
        self.until(SOON, destination, is_ready).await;
        self.ready(destination)
    }

    fn ready(&self, destination: &str) -> Adjacency {
        match self.lookup(destination) {
            Lookup::Ready(adjacency) => adjacency,
            other => panic!("{destination}: {other:?}"),
        }
    }

    fn next_hop(&self, destination: &str) -> Option<NextHop> {
        match self.lookup(destination) {
            Lookup::Unresolved(next_hop) | Lookup::Failed(next_hop) => Some(next_hop),
            Lookup::Ready(_) => panic!("{destination} is resolved"),
            Lookup::NoRoute => None,
        }
    }
}

/// For what takes milliseconds, or a second when the kernel sends something twice.
const SOON: Duration = Duration::from_secs(5);

fn is_ready(lookup: Lookup) -> bool {
    matches!(lookup, Lookup::Ready(_))
}

fn is_ready_with(mac: [u8; 6]) -> impl Fn(Lookup) -> bool {
    move |lookup| matches!(lookup, Lookup::Ready(adjacency) if adjacency.target_mac == mac)
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn first_dump_shows_links_and_routes() {
    in_namespaces("first_dump_shows_links_and_routes", async |net| {
        net.ours("route add 192.0.2.0/24 via 10.66.1.2");
        net.ours("route add 192.0.2.128/25 via inet6 fd66:2::2 dev port1");
        net.ours("route add unreachable 198.51.100.0/24");
        net.ours("route add 198.51.100.7 via 10.66.1.2 src 10.66.2.1");
        net.ours("route add 203.0.113.0/24 via 10.66.9.2 metric 5");
        net.ours("route add 203.0.113.0/24 via 10.66.1.2 metric 9");
        net.ours("route add 203.0.113.128/25 nexthop via 10.66.9.2 nexthop via 10.66.2.2");
        net.ours("-6 route add default via fd66:2::2 mtu 1400");
        let follower = Follower::start().await;
        let gateway = |to| follower.next_hop(to).map(|next_hop| next_hop.address);
        assert_eq!(gateway("10.66.1.77"), Some(addr("10.66.1.77")));
        assert_eq!(gateway("fd66:1::77"), Some(addr("fd66:1::77")));
        assert_eq!(gateway("192.0.2.1"), Some(addr("10.66.1.2")));
        assert_eq!(gateway("192.0.2.200"), Some(addr("fd66:2::2")));
        assert_eq!(gateway("198.51.100.1"), None);
        assert_eq!(gateway("198.51.100.7"), Some(addr("10.66.1.2")));
        assert_eq!(gateway("203.0.113.1"), None, "the better route leaves over another interface");
        assert_eq!(gateway("203.0.113.200"), Some(addr("10.66.2.2")));
        assert_eq!(gateway("2001:db8::1"), Some(addr("fd66:2::2")));
        assert_eq!(gateway("10.66.9.2"), None, "not a port");
        assert_eq!(gateway("10.66.1.1"), None, "our own address");
        assert_eq!(gateway("8.8.8.8"), None);
        let fib = follower.pictures.borrow().clone();
        assert_eq!(fib.links().len(), 2);
        assert!(fib.links().iter().all(|link| link.up && link.mtu == 1500 && link.vlan.is_none()));
    });
}

#[test]
fn arp_and_neighbour_discovery_resolve() {
    in_namespaces("arp_and_neighbour_discovery_resolve", async |net| {
        net.ours("route add 192.0.2.0/24 via 10.66.1.2");
        net.ours("-6 route add default via fd66:2::2 mtu 1400");
        let mut follower = Follower::start().await;
        let v4 = follower.resolve("10.66.2.2").await;
        assert_eq!((v4.port, v4.target_mac), (1, PEER_MACS[1]));
        assert_eq!((v4.source, v4.mtu), (addr("10.66.2.1"), 1500));
        let v6 = follower.resolve("fd66:1::2").await;
        assert_eq!((v6.port, v6.target_mac), (0, PEER_MACS[0]));
        assert_eq!(v6.source, addr("fd66:1::1"));
        let routed = follower.resolve("192.0.2.1").await;
        assert_eq!((routed.target_mac, routed.source), (PEER_MACS[0], addr("10.66.1.1")));
        let routed = follower.resolve("2001:db8::1").await;
        assert_eq!((routed.target_mac, routed.source), (PEER_MACS[1], addr("fd66:2::1")));
        assert_eq!(routed.mtu, 1400);
        let link = follower.pictures.borrow().links().iter().find(|l| l.port == 1).copied();
        assert_eq!(Some(routed.source_mac), link.map(|link| link.mac));
    });
}

#[test]
fn dead_neighbours_fail_and_come_back() {
    in_namespaces("dead_neighbours_fail_and_come_back", async |net| {
        let mut follower = Follower::start().await;
        for silent in ["10.66.1.50", "fd66:1::50"] {
            let next_hop = follower.next_hop(silent).unwrap();
            assert!(follower.kernel.resolve(next_hop));
            let failed = |lookup| matches!(lookup, Lookup::Failed(_));
            follower.until(Duration::from_secs(6), silent, failed).await;
        }
        net.peer("addr add 10.66.1.50/24 dev peer0");
        net.peer("addr add fd66:1::50/64 dev peer0 nodad");
        for alive in ["10.66.1.50", "fd66:1::50"] {
            tokio::time::sleep(Duration::from_secs(1)).await; // the pause between two requests
            assert_eq!(follower.resolve(alive).await.target_mac, PEER_MACS[0]);
        }
    });
}

#[test]
fn a_new_mac_address_is_followed() {
    in_namespaces("a_new_mac_address_is_followed", async |net| {
        let both = ["10.66.1.2", "fd66:1::2"];
        let mut follower = Follower::start().await;
        for peer in both {
            follower.resolve(peer).await;
        }
        // Announced: the peer's next packet makes it ask for us, which tells its address.
        net.peer("link set peer0 address 02:66:00:00:01:a1");
        net.peer_pings("10.66.1.1");
        net.peer_pings("fd66:1::1");
        for peer in both {
            let changed = is_ready_with([2, 0x66, 0, 0, 1, 0xa1]);
            follower.until(SOON, peer, changed).await;
        }
        // In silence: a probe after at most 5 s, and three of them before the kernel asks anew.
        net.peer("link set peer0 address 02:66:00:00:01:a2");
        for peer in both {
            let changed = is_ready_with([2, 0x66, 0, 0, 1, 0xa2]);
            follower.until(Duration::from_secs(12), peer, changed).await;
        }
    });
}

#[test]
fn routes_links_and_addresses_are_followed() {
    in_namespaces("routes_links_and_addresses_are_followed", async |net| {
        let mut follower = Follower::start().await;
        for peer in ["10.66.1.2", "10.66.2.2", "fd66:1::2", "fd66:2::2"] {
            follower.resolve(peer).await;
        }
        for (family, far, gateways) in [
            ("", "192.0.2.1", ["10.66.1.2", "10.66.2.2"]),
            ("-6", "2001:db8::1", ["fd66:1::2", "fd66:2::2"]),
        ] {
            assert_eq!(follower.lookup(far), Lookup::NoRoute);
            for (gateway, mac) in gateways.into_iter().zip(PEER_MACS) {
                net.ours(&format!("{family} route replace default via {gateway}"));
                follower.until(SOON, far, is_ready_with(mac)).await;
            }
            net.ours(&format!("{family} route add {far} dev port0"));
            follower.until(SOON, far, |l| matches!(l, Lookup::Unresolved(_))).await;
            net.ours(&format!("{family} route del {far} dev port0"));
            follower.until(SOON, far, is_ready_with(PEER_MACS[1])).await;
        }

        // An address leaves and another one takes its place.
        net.ours("addr add 10.66.2.3/24 dev port1");
        net.ours("addr del 10.66.2.1/24 dev port1");
        follower.until(SOON, "10.66.2.2", |l| l == Lookup::NoRoute).await;
        net.ours("addr add 10.66.2.4/24 dev port1");
        let source = addr("10.66.2.4");
        follower.until(SOON, "10.66.2.2", |lookup| lookup != Lookup::NoRoute).await;
        assert_eq!(follower.resolve("10.66.2.2").await.source, source);

        // The peer's end goes down: no carrier; then ours. IPv4 routes go without an event.
        let gone = |lookup| lookup == Lookup::NoRoute;
        net.peer("link set peer1 down");
        follower.until(SOON, "10.66.2.2", gone).await;
        net.peer("link set peer1 up");
        follower.until(SOON, "10.66.2.2", |l| !gone(l)).await;
        net.ours("link set port1 down");
        for far in ["10.66.2.2", "fd66:2::2", "2001:db8::1"] {
            follower.until(SOON, far, gone).await;
        }
        net.ours("link set port1 mtu 1300");
        net.ours("link set port1 up");
        follower.until(SOON, "10.66.2.2", |l| !gone(l)).await;
        assert_eq!(follower.resolve("10.66.2.2").await.mtu, 1300);
    });
}

#[test]
fn lost_events_are_made_up_for() {
    in_namespaces("lost_events_are_made_up_for", async |net| {
        let mut follower = Follower::start().await;
        follower.resolve("10.66.1.2").await;
        let routes = (0..20_000).map(|n| (n / 250, n % 250));
        let lines = routes.map(|(a, b)| format!("route add 172.16.{a}.{b}/32 via 10.66.1.2"));
        let batch = lines.collect::<Vec<_>>().join("\n");
        let file = std::env::temp_dir().join(format!("{}.batch", net.ours));
        std::fs::write(&file, batch).unwrap();
        // Blocks the service's only thread: the events of 20,000 routes overflow its socket.
        net.ours(&format!("-batch {}", file.display()));
        std::fs::remove_file(&file).unwrap();
        net.ours("neigh replace 10.66.1.2 dev port0 lladdr 02:66:00:00:01:ff nud permanent");
        let changed = is_ready_with([2, 0x66, 0, 0, 1, 0xff]);
        follower.until(Duration::from_secs(10), "172.16.79.249", changed).await;
    });
}

#[test]
fn interfaces_that_are_missing() {
    in_namespaces("interfaces_that_are_missing", async |net| {
        let port = PortInterface { port: 3, name: "absent0".into() };
        let error = KernelWatch::start(vec![port]).await.unwrap_err();
        assert!(
            matches!(&error, KernelError::NoSuchInterface { port: 3, name } if name == "absent0")
        );

        let mut follower = Follower::start().await;
        follower.resolve("10.66.1.2").await;
        net.ours("link del port0");
        follower.until(SOON, "10.66.1.2", |lookup| lookup == Lookup::NoRoute).await;
        net.ours(&format!("link add port0 type veth peer name peer0 netns {}", net.peers));
        net.peer("addr add 10.66.1.2/24 dev peer0");
        net.ours("addr add 10.66.1.1/24 dev port0");
        net.peer("link set peer0 up");
        net.ours("link set port0 up");
        follower.until(SOON, "10.66.1.2", |lookup| lookup != Lookup::NoRoute).await;
        follower.resolve("10.66.1.2").await;
    });
}
