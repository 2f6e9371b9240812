//! TCP and TLS through the real appliance: real clients, and hostile ones.

use crate::interop::{baresip_over, connect};
use crate::lab::{Lab, text, trunkline};
use crate::phones::wait_for;
use crate::registrar::{becomes, registrar};
use crate::running::Running;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use std::fs::{File, read_to_string};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `trunkline connections --json`.
fn connections() -> Value {
    let socket = "/run/trunkline/lab/control.sock";
    let output = trunkline(&["connections", "--json", "--socket", socket]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)))
}

/// A counter of a transport.
pub(crate) fn of(transport: &str, counter: &str) -> u64 {
    let status = connections();
    let all = status["transports"].as_array().expect("transports").clone();
    let found = all.iter().find(|one| one["transport"] == transport).expect("a transport");
    found[counter].as_u64().expect("a count")
}

/// How many connections ended for this reason.
fn ended(reason: &str) -> u64 {
    let status = connections();
    let all = status["ended"].as_array().expect("reasons").clone();
    let found = all.iter().find(|one| one["reason"] == reason).expect("a reason");
    found["count"].as_u64().expect("a count")
}

/// Connections from the host of the callers. They stay in its namespace.
pub(crate) fn connect_from_uac(to: &str, count: usize) -> Vec<TcpStream> {
    let to: SocketAddr = to.parse().expect("an address");
    let open = move || {
        let namespace = File::open("/run/netns/tl-uac").expect("a namespace");
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), network).expect("a namespace");
        let connect = |_| {
            let socket = TcpStream::connect(to).expect("a connection");
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
            socket
        };
        (0..count).map(connect).collect()
    };
    std::thread::spawn(open).join().expect("connections")
}

fn options(number: usize) -> String {
    format!(
        "OPTIONS sip:10.77.1.1 SIP/2.0\r\nVia: SIP/2.0/TCP 10.77.1.2:5999;branch=z9hG4bK{number}\r\n\
         From: <sip:a@lab.test>;tag=1\r\nTo: <sip:10.77.1.1>\r\nCall-ID: {number}@x\r\nCSeq: 1 OPTIONS\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The next answer of a peer that sends no body.
pub(crate) fn answer(socket: &mut impl Read) -> String {
    let (mut all, mut byte) = (Vec::new(), [0]);
    while !all.ends_with(b"\r\n\r\n") {
        match socket.read(&mut byte) {
            Ok(1) => all.push(byte[0]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&all)),
        }
    }
    String::from_utf8(all).expect("text")
}

/// Whether the other side has closed it, perhaps with last words.
fn is_closed(socket: &mut TcpStream) -> bool {
    let mut all = Vec::new();
    match socket.read_to_end(&mut all) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Resident memory of control in KiB.
fn control_kib() -> u64 {
    let pid = read_to_string("/run/trunkline/lab/control.pid").expect("control's pid");
    let status = read_to_string(format!("/proc/{}/status", pid.trim())).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn sipp_calls_over_tcp_a_server_on_udp() {
    let lab = Lab::up(1);
    let folder = tempfile::tempdir().expect("a folder");
    let server = |address: &str, log: &str| {
        let command = ["timeout", "60", "sipp", "-sn", "uas", "-i", address, "-p", "5060"];
        Running::start("uas", &folder.path().join(log), &command)
    };
    let _servers = [server("10.77.2.2", "four"), server("[fd77:2::2]", "six")];
    sleep(Duration::from_millis(500));
    for (mode, from, to) in [
        ("t1", "10.77.1.2", "10.77.1.1:5060"),
        ("tn", "10.77.1.2", "10.77.1.1:5060"),
        ("t1", "[fd77:1::2]", "[fd77:1::1]:5060"),
    ] {
        let command = ["timeout", "30", "sipp", "-sn", "uac", "-t", mode, "-i", from, to];
        let load = [
            "-m",
            "200",
            "-r",
            "100",
            "-d",
            "100",
            "-timeout",
            "25",
            "-timeout_error",
            "-max_socket",
            "500",
        ];
        let output = lab.exec("uac", &[&command[..], &load].concat());
        assert!(output.status.success(), "{mode} {to}: {}", text(&output));
    }
    assert_eq!((of("tcp", "received"), of("tcp", "sent")), (3 * 3 * 200, 3 * 3 * 200));
    assert_eq!(of("tcp", "accepted"), 202);
    let status = lab.status();
    assert_eq!(status["conserved"], true);
    assert_eq!(status["connections"]["transports"][0]["accepted"], 202);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_phone_on_tls_and_a_phone_on_udp_call_each_other() {
    let (lab, folder) = registrar(1, "");
    connect(&lab);
    let folder = folder.path();
    let account = |name: &str, proxy: &str, more: &str| {
        format!(
            "<sip:{name}@lab.test{more}>;auth_pass=none;regint=60;answermode=auto;outbound=\"sip:{proxy}{more};lr\"\n"
        )
    };
    let bob = account("bob", "10.77.2.1", "");
    let alice = account("alice", "10.77.1.1:5061", ";transport=tls");
    let callee = baresip_over("udp", folder, "bob", "10.77.2.2", &bob);
    let caller = baresip_over("tls", folder, "alice", "10.77.1.2", &alice);
    let log = |name: &str| folder.join(format!("{name}.log"));
    let _bob = Running::start("uas", &log("bob"), &["timeout", "40", "baresip", "-f", &callee]);
    wait_for(&log("bob"), "[1 binding]");
    let command = ["timeout", "20", "baresip", "-f", &caller, "-t", "6", "-e"];
    let mut calling =
        Running::start("uac", &log("alice"), &[&command[..], &["/dial sip:bob@lab.test"]].concat());
    wait_for(&log("alice"), "Call established");
    becomes(&lab, "bindings", 2);
    let status = calling.0.wait().expect("baresip ends");
    assert!(status.success(), "{}", read_to_string(log("alice")).expect("a log"));
    wait_for(&log("bob"), "terminated (duration:");
    assert!(of("tls", "accepted") >= 1 && of("tls", "received") >= 4);
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn hostile_connections_are_bounded_and_honest_ones_go_on() {
    let lab = Lab::up(1);
    let (tcp, tls) = ("10.77.1.1:5060", "10.77.1.1:5061");
    let mut honest = connect_from_uac(tcp, 1).remove(0);
    let mut ask = |number: usize, piece: usize| {
        for bytes in options(number).as_bytes().chunks(piece) {
            honest.write_all(bytes).expect("written");
        }
        let answer = answer(&mut honest);
        assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains(&format!("{number}@x")));
    };
    ask(1, usize::MAX);
    ask(2, 1);
    let before = control_kib();
    // Half a message, for longer than it may take; nothing at all; as much as nobody reads.
    let mut halves = connect_from_uac(tcp, 500);
    for half in &mut halves {
        half.write_all(&options(3).as_bytes()[..100]).expect("written");
    }
    let silent = connect_from_uac(tls, 500);
    let mut deaf = connect_from_uac(tcp, 1).remove(0);
    deaf.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let flood = options(4).repeat(1_000);
    let start = Instant::now();
    while deaf.write_all(flood.as_bytes()).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody stops it");
    }
    ask(5, usize::MAX);
    let mut huge = connect_from_uac(tcp, 1).remove(0);
    let text = options(6).replace("Content-Length: 0", "Content-Length: 67108864");
    huge.write_all(text.as_bytes()).expect("written");
    assert!(answer(&mut huge).starts_with("SIP/2.0 513 "));
    assert!(is_closed(&mut huge));
    for port in [tcp, tls] {
        let mut garbage = connect_from_uac(port, 1).remove(0);
        garbage.write_all(&[0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9]).expect("written");
        assert!(is_closed(&mut garbage), "{port}");
    }
    // A storm of connections that end at once.
    for _ in 0..20 {
        drop(connect_from_uac(tcp, 100));
    }
    ask(7, 3);
    let grown = control_kib().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");
    let start = Instant::now();
    while ended("late") < 500 || ended("handshake") < 501 {
        assert!(start.elapsed() < Duration::from_secs(15), "{}", connections());
        sleep(Duration::from_millis(200));
    }
    assert!(halves.iter_mut().all(is_closed));
    drop((silent, deaf));
    ask(8, usize::MAX);
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn connections_outlive_the_data_plane_and_are_told_while_it_is_away() {
    let lab = Lab::up(1);
    let mut client = connect_from_uac("10.77.1.1:5060", 1).remove(0);
    client.write_all(options(1).as_bytes()).expect("written");
    assert!(answer(&mut client).starts_with("SIP/2.0 200 "));
    let pid = lab.dataplane().to_string();
    let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status();
    assert!(killed.expect("kill runs").success());
    let start = Instant::now();
    let (mut number, mut refused) = (1, 0);
    // A request that was on its way is lost, as with any server that dies.
    client.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    loop {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", connections());
        number += 1;
        client.write_all(options(number).as_bytes()).expect("the connection is there");
        let mut buffer = [0; 4_096];
        let length = client.read(&mut buffer).unwrap_or(0);
        let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if said.contains("SIP/2.0 200 ") && refused > 0 {
            break;
        }
        refused += u32::from(said.contains("SIP/2.0 503 "));
        sleep(Duration::from_millis(20));
    }
    assert_eq!(of("tcp", "accepted"), 1);
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn threads_with_tables_of_their_own_share_connections_and_let_go_of_listen_points() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = nic_config::Machine::probe().expect("a machine");
    let lcores: Vec<_> = machine.lcores.into_keys().collect();
    let config = control::lab::default_config(1, &lcores).expect("the lab's configuration");
    let file = folder.path().join("trunkline.toml");
    let more = "[connections]\nthreads = 4\nconnections = 1000\n";
    std::fs::write(&file, config.replace("[connections]\n", more)).expect("a configuration");
    let lab = Lab::up_with(&["--config", &file.display().to_string()]);
    let address = "10.77.1.1:5060";
    let mut clients = connect_from_uac(address, 1_000);
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(options(number).as_bytes()).expect("written");
    }
    for client in &mut clients {
        assert!(answer(client).starts_with("SIP/2.0 200 "));
    }
    let status = connections();
    let threads = status["threads"].as_array().expect("threads");
    let shares: Vec<_> = threads.iter().filter_map(|one| one["connections"].as_u64()).collect();
    assert_eq!((shares.len(), shares.iter().sum()), (4, 1_000_u64), "{status:#}");
    assert!(shares.iter().all(|&share| share > 150), "{shares:?}");
    assert!(is_closed(&mut connect_from_uac(address, 1).remove(0)), "beyond the limit");
    let listen = format!("\n[[listen]]\ntransport = \"tcp\"\naddress = \"{address}\"\n");
    lab.reconfigure(|config| config.replace(&listen, ""));
    assert!(clients.iter_mut().all(is_closed), "their listen point is no more");
    let is_bound = || {
        let shown = lab.exec("sut", &["ss", "-Hltn", "sport", "=", ":5060"]);
        text(&shown).contains("10.77.1.1:5060")
    };
    assert!(!is_bound(), "the port is still there");
    lab.reconfigure(|config| format!("{config}{listen}"));
    let start = Instant::now();
    while !is_bound() {
        assert!(start.elapsed() < Duration::from_secs(5), "it does not come back");
        sleep(Duration::from_millis(20));
    }
    let mut client = connect_from_uac(address, 1).remove(0);
    client.write_all(options(2_000).as_bytes()).expect("written");
    assert!(answer(&mut client).starts_with("SIP/2.0 200 "));
}
