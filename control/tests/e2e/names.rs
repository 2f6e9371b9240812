//! Calls to host names, with a name server on the servers' side.

use crate::lab::{Lab, text};
use crate::running::Running;
use crate::sipp::Step::{Answer, Asked, Confirm, Got, Send, Within};
use crate::sipp::{Callee, Step, call_at};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Calls of each scenario, and how many are placed in a second.
const PACE: [u32; 2] = [50, 100];

/// Requests for other domains go where their Request-URI says; answers count for a second.
const CONFIG: &str = r#"
[dns]
servers = ["10.77.2.2:5353"]
timeout_ms = 200
ttl_min_seconds = 1

[transactions]
failover_ms = 300

[[routes]]
match = { domains = ["calls.test", "none.test"] }
relay = true
stateful = true
"#;

const CALLER: [Step; 6] =
    [Send("INVITE"), Got(100), Got(200), Within("ACK"), Within("BYE"), Got(200)];
const CALLEE: [Step; 5] =
    [Asked("INVITE"), Answer("200 OK"), Asked("ACK"), Asked("BYE"), Confirm("200 OK")];

/// A name server that knows SIP servers of calls.test, each with its port and priority, for a second.
fn name_server(lab: &Lab, folder: &Path, servers: &[(&str, &str)]) -> Running {
    let records: Vec<_> = servers
        .iter()
        .map(|(port, priority)| {
            format!("--srv-host=_sip._udp.calls.test,sip.calls.test,{port},{priority}")
        })
        .collect();
    let mut command = vec!["timeout", "120", "dnsmasq", "--keep-in-foreground", "--user=root"];
    command.extend(["--conf-file=/dev/null", "--pid-file=", "--no-resolv", "--no-hosts"]);
    command.extend(["--port=5353", "--listen-address=10.77.2.2", "--bind-interfaces"]);
    command.extend(["--local=/test/", "--local-ttl=1", "--host-record=sip.calls.test,10.77.2.2"]);
    command.extend(records.iter().map(String::as_str));
    let server = Running::start("uas", &folder.join("dnsmasq.log"), &command);
    let start = Instant::now();
    loop {
        let sockets = lab.exec("uas", &["cat", "/proc/net/udp"]);
        if String::from_utf8_lossy(&sockets.stdout).contains(":14E9") {
            return server;
        }
        let log = || std::fs::read_to_string(folder.join("dnsmasq.log")).unwrap_or_default();
        assert!(start.elapsed() < Duration::from_secs(5), "no name server: {}", log());
        sleep(Duration::from_millis(20));
    }
}

/// Calls go to whoever listens at `port`.
fn calls_reach(lab: &Lab, folder: &Path, port: &str) {
    let callee = Callee::start(lab, folder, port, PACE[0], &CALLEE);
    call_at(lab, folder, ("bob", "calls.test"), PACE, &CALLER);
    callee.passed();
    let status = lab.status();
    assert_eq!(status["conserved"], true, "{status:#}");
}

/// A count of control's about names.
fn count(lab: &Lab, name: &str) -> u64 {
    lab.status()["names"][name].as_u64().unwrap_or_else(|| panic!("no {name}"))
}

/// What an OPTIONS to this host is answered.
fn options(lab: &Lab, host: &str) -> String {
    let uri = format!("sip:bob@{host}");
    text(&lab.exec("uac", &["sipsak", "-vv", "-p", "10.77.1.1", "-s", &uri]))
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn calls_to_a_name_survive_dead_servers_and_dead_name_servers() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let lab = Lab::up(1);
    // The first server is dead: nobody listens there.
    let dns = name_server(&lab, folder, &[("5091", "1"), ("5060", "2")]);
    lab.reconfigure(|config| match config.split_once("\n[[routes]]") {
        // First of the routes.
        Some((before, after)) => format!("{before}\n{CONFIG}\n[[routes]]{after}"),
        None => panic!("no routes in {config}"),
    });
    calls_reach(&lab, folder, "5060");
    let failed_over = lab.status()["workers"][0]["transactions"]["failed_over"].as_u64();
    assert!(failed_over >= Some(u64::from(PACE[0])), "{failed_over:?}");
    assert!(count(&lab, "found") > 0);

    let nobody = options(&lab, "none.test");
    assert!(nobody.contains("404 No Such Host"), "{nobody}");
    assert!(count(&lab, "negative") > 0);

    // Another server, another answer: in force when the old one's second is over.
    drop(dns);
    let dns = name_server(&lab, folder, &[("5062", "1")]);
    sleep(Duration::from_millis(2_500));
    calls_reach(&lab, folder, "5062");

    // Nobody says anything any more: the last answer goes on.
    drop(dns);
    let before = count(&lab, "stale");
    sleep(Duration::from_millis(2_500));
    calls_reach(&lab, folder, "5062");
    assert!(count(&lab, "stale") > before);
    // And control restarts, with nothing in its memory: the workers still know.
    lab.signal_control("-KILL");
    calls_reach(&lab, folder, "5062");
}
