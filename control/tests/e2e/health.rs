//! Members that die, come back and are drained, while calls run.

use crate::lab::{Lab, text, trunkline};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const SOCKET: &str = "/run/trunkline/lab/control.sock";
const DATAPLANE: &str = "/run/trunkline/lab/dataplane.sock";

/// After a change of members that are alive, what looks new goes as before for four seconds: it may be
/// a retransmission of what left before the change.
const SETTLED: Duration = Duration::from_millis(4_500);

/// Two members that answer OPTIONS, probed every second.
const SET: &str = r#"
[[destination_sets]]
name = "pair"
members = [{ address = "10.77.2.2:5071" }, { address = "10.77.2.2:5072" }]
probe = { interval_seconds = 1, timeout_ms = 200, down_after = 2, up_after = 2 }

[[routes]]
match = { user_prefixes = ["pair"] }
forward = "pair"
"#;

/// Answers every request with 200, with its port as reason phrase.
const SERVER: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.77.2.2", int(sys.argv[1])))
while True:
    data, peer = s.recvfrom(65535)
    head = data.split(b"\r\n\r\n")[0].split(b"\r\n")
    keep = [h for h in head[1:] if h.split(b":")[0].strip().lower() in
            (b"via", b"from", b"to", b"call-id", b"cseq")]
    if not data.startswith(b"ACK"):
        s.sendto(b"\r\n".join([b"SIP/2.0 200 " + sys.argv[1].encode()] + keep) +
                 b"\r\nContent-Length: 0\r\n\r\n", peer)
"#;

struct Server(Child);

impl Server {
    /// Starts it and waits until it answers.
    fn start(lab: &Lab, port: &str) -> Self {
        let mut command = Command::new(crate::lab::binary("trunkline"));
        command.args(["lab", "exec", "uas", "--", "python3", "-c", SERVER, port]);
        let server = Self(command.stdin(Stdio::null()).spawn().expect("python starts"));
        let uri = format!("sip:pair@10.77.2.2:{port}");
        let is_there = || lab.exec("uas", &["sipsak", "-s", &uri]).status.success();
        assert!(
            (0..50).any(|_| is_there() || {
                nap();
                false
            }),
            "nobody answers at {port}"
        );
        server
    }
}

/// A moment's sleep.
fn nap() {
    sleep(Duration::from_millis(100));
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The state of the member at this port, and whether it is in use.
fn state(lab: &Lab, port: &str) -> (String, bool) {
    let status = lab.status();
    let members = status["members"].as_array().expect("control answers").clone();
    let is_it = |member: &&Value| {
        member["set"] == "pair" && member["address"].as_str().is_some_and(|at| at.ends_with(port))
    };
    let member = members.iter().find(is_it).expect("the member");
    (member["state"].as_str().expect("a state").to_owned(), member["is_in_use"] == true)
}

fn wait_for(lab: &Lab, port: &str, wanted: &str, longest: Duration) -> Duration {
    let start = Instant::now();
    while state(lab, port).0 != wanted {
        assert!(start.elapsed() < longest, "{port} is {:?}, not {wanted}", state(lab, port));
        sleep(Duration::from_millis(50));
    }
    start.elapsed()
}

/// Asks 40 calls and counts who answers.
fn answers(lab: &Lab) -> (usize, usize) {
    let mut counts = (0, 0);
    for _ in 0..40 {
        let output = lab.exec("uac", &["sipsak", "-vv", "-s", "sip:pair@10.77.1.1"]);
        let said = text(&output);
        counts.0 += usize::from(said.contains("200 5071"));
        counts.1 += usize::from(said.contains("200 5072"));
    }
    assert_eq!(counts.0 + counts.1, 40, "every call was answered");
    counts
}

/// The next hop that `trunkline where` foretells for a call.
fn foretold(lab: &Lab, call: u32) -> String {
    let message = format!(
        "INVITE sip:pair@10.77.1.1 SIP/2.0\nVia: SIP/2.0/UDP 10.77.1.2;branch=z9hG4bK{call}\n\
         Max-Forwards: 70\nFrom: <sip:a@10.77.1.2>;tag=1\nTo: <sip:pair@10.77.1.1>\n\
         Call-ID: {call}\nCSeq: 1 INVITE\n\n"
    );
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), message).expect("a message");
    let (program, file) = (crate::lab::binary("trunkline"), file.path().display().to_string());
    let config = "/run/trunkline/lab/trunkline.toml";
    let program = program.display().to_string();
    let command = [&program, "where", "--config", config, "--from", "10.77.1.2:5060", "--json"];
    let output = lab.exec("sut", &[&command[..], &[&file]].concat());
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("no answer ({error}): {}", text(&output));
    });
    answer["fate"]["forwarded"]["next_hop"].as_str().expect("a next hop").to_owned()
}

fn drain(arguments: &[&str]) {
    let command = [&["drain", "pair", "10.77.2.2:5072", "--socket", SOCKET], arguments].concat();
    let output = trunkline(&command);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn members_die_return_and_are_drained() {
    let lab = Lab::up(1);
    let (one_server, two) = (Server::start(&lab, "5071"), Server::start(&lab, "5072"));
    lab.reconfigure(|config| match config.split_once("\n[[routes]]") {
        // First of the routes.
        Some((before, after)) => format!("{before}{SET}\n[[routes]]{after}"),
        None => panic!("no routes in {config}"),
    });
    let second = Duration::from_secs(1);
    wait_for(&lab, "5072", "up", 2 * second);
    let (one, other) = answers(&lab);
    assert!(one > 5 && other > 5, "{one} and {other}");

    drop(two);
    wait_for(&lab, "5072", "down", 4 * second);
    assert_eq!(state(&lab, "5071"), ("up".into(), true));
    assert_eq!(answers(&lab), (40, 0));

    // A data plane that was killed learns the states with its first epoch.
    let before = lab.dataplane();
    let killed = Command::new("kill").args(["-KILL", &before.to_string()]).status();
    assert!(killed.expect("kill runs").success());
    let start = Instant::now();
    while !lab.try_status().status.success() || lab.status()["epoch"].as_u64() == Some(0) {
        assert!(start.elapsed() < 10 * second, "the data plane did not come back");
        sleep(Duration::from_millis(50));
    }
    assert_eq!(answers(&lab), (40, 0));

    let two = Server::start(&lab, "5072");
    wait_for(&lab, "5072", "up", 4 * second);
    sleep(SETTLED);
    assert!(answers(&lab).1 > 5);

    drain(&[]);
    assert_eq!(state(&lab, "5072"), ("draining".into(), false));
    // A control process that starts again keeps to what the operator said.
    let control = std::fs::read_to_string("/run/trunkline/lab/control.pid").expect("a pid");
    let killed = Command::new("kill").args(["-KILL", control.trim()]).status();
    assert!(killed.expect("kill runs").success());
    sleep(SETTLED);
    assert_eq!(answers(&lab), (40, 0));
    assert_eq!(state(&lab, "5072"), ("draining".into(), false));
    for call in 0..10 {
        assert_eq!(foretold(&lab, call), "10.77.2.2:5071");
    }
    drain(&["--undo"]);
    assert_eq!(state(&lab, "5072"), ("up".into(), true));
    sleep(SETTLED);
    assert!(answers(&lab).1 > 5);

    // All dead: the set goes on as it is, instead of refusing what the probes may be wrong about.
    drop((two, one_server));
    wait_for(&lab, "5071", "down", 4 * second);
    wait_for(&lab, "5072", "down", 4 * second);
    assert_eq!(state(&lab, "5071"), ("down".into(), true));
    let status = trunkline(&["status", "--socket", DATAPLANE]);
    assert!(text(&status).contains("its port is closed (ICMP)"), "{}", text(&status));
}
