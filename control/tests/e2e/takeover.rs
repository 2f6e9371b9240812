//! One address for several first-stage appliances: it moves by VRRP (keepalived), all announce it by BGP (bird), or clients
//! know all of them by SRV records. The configuration files are those of `docs/takeover`, with addresses of the lab.

mod bgp;
mod srv;

use crate::cluster::{Cluster, calls, parsed, registers, until};
use crate::lab::{binary, trunkline};
use crate::phone::{DOMAIN, Phone};
use crate::running::Running;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{Permissions, read_to_string, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the service may be away at most; some seconds more than it takes, for machines that do other work beside.
const AWAY_MAX: Duration = Duration::from_secs(10);

/// A file of `docs/takeover` with the addresses of the lab.
fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/takeover").join(name);
    let text = read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.replace("192.0.2.", "10.79.0.").replace("198.51.100.", "10.79.1.");
    text.replace("2001:db8::", "fd79::")
}

/// The socket that `trunkline health` asks.
fn socket(host: &str) -> String {
    format!("/run/trunkline/lab/{host}/run/dataplane.sock")
}

/// Whether a host has an address.
fn has_address(lab: &Cluster, host: &str, address: &str) -> bool {
    let output = lab.lab(&["exec", host, "--", "ip", "-o", "address", "show", "to", address]);
    !output.stdout.is_empty()
}

/// The data plane of a host stands still while this value lives: it takes what comes, and answers nothing.
struct Still(Pid);

impl Still {
    fn of(host: &str) -> Self {
        let status = trunkline(&["status", "--json", "--socket", &socket(host)]);
        let pid = parsed(&status)["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::STOP).expect("it stands still");
        Self(pid)
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// Somebody who asks all the time whether the service is there.
struct Watch {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Watch {
    /// Begins once it has been answered.
    fn begin(phone: Phone) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let is_there = move || {
            phone.asks("OPTIONS", &format!("sip:{DOMAIN}"), "");
            let heard = phone.hear_for(Duration::from_millis(20));
            heard.is_some_and(|heard| heard.status() == Some(200))
        };
        until("OPTIONS is answered", &is_there);
        let thread = std::thread::spawn(move || {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !over.load(Ordering::Relaxed) {
                if is_there() {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
            }
            longest.max(last.elapsed())
        });
        Self { is_over, thread }
    }

    /// For how long it had no answer.
    #[track_caller]
    fn end(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        let away = self.thread.join().expect("it has watched");
        assert!(away < AWAY_MAX, "away for {away:?}");
        away
    }
}

/// A program may only be a script of keepalived's where nobody else can write.
fn health_script(host: &str) -> String {
    let path = format!("/run/trunkline/lab/{host}/health");
    let (trunkline, socket) = (binary("trunkline"), socket(host));
    let text = format!("#!/bin/sh\nexec {} health --socket {socket}\n", trunkline.display());
    write(&path, text)
        .and_then(|()| set_permissions(&path, Permissions::from_mode(0o700)))
        .expect("a script");
    path
}

fn keepalived(folder: &Path, host: &str, id: &str) -> Running {
    let file = |name: &str| folder.join(format!("{host}.{name}")).display().to_string();
    let config = document("keepalived.conf");
    let script = "/usr/bin/trunkline health";
    assert!(config.contains(script));
    write(file("conf"), config.replace(script, &health_script(host))).expect("a configuration");
    let (conf, pid, vrrp) = (file("conf"), file("pid"), file("vrrp.pid"));
    let command = ["keepalived", "--dont-fork", "--log-console", "--vrrp", "--use-file", &conf];
    let rest = ["--config-id", id, "--pid", &pid, "--vrrp_pid", &vrrp];
    let log = format!("/run/trunkline/lab/{host}/logs/keepalived.log");
    Running::start(host, Path::new(&log), &[&command[..], &rest[..]].concat())
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn keepalived_gives_the_address_to_who_is_well_and_calls_go_on() {
    const SERVICE: &str = "10.79.0.10";
    const SERVICE_6: &str = "fd79::10";
    let lab = Cluster::up("s2p1");
    let folder = tempfile::tempdir().expect("a folder");
    let has = |host| {
        let [one, other] = [SERVICE, SERVICE_6].map(|service| has_address(&lab, host, service));
        one && other
    };
    let has_neither =
        |host| ![SERVICE, SERVICE_6].into_iter().any(|service| has_address(&lab, host, service));
    let _first = keepalived(folder.path(), "f1", "front-1");
    until("f1 has the addresses", || has("f1"));
    let _second = keepalived(folder.path(), "f2", "front-2");

    let proxy = format!("{SERVICE}:5060");
    let callee = Phone::new("uas", "10.79.0.102:6000", &proxy, "alice");
    let caller = Phone::new("uac", "10.79.0.101:7000", &proxy, "bob");
    let watch = |port: u16| {
        Watch::begin(Phone::new("uac", &format!("10.79.0.101:{port}"), &proxy, "watch"))
    };
    registers(&callee);
    let [running, _] = caller.calls(&callee.aor(), &callee);
    // Over IPv6, while the second stage is reached over IPv4.
    let proxy_6 = format!("[{SERVICE_6}]:5060");
    let callee_6 = Phone::new("uas", "[fd79::102]:6001", &proxy_6, "carol");
    let caller_6 = Phone::new("uac", "[fd79::101]:7003", &proxy_6, "dave");
    registers(&callee_6);
    let [running_6, _] = caller_6.calls(&callee_6.aor(), &callee_6);
    let takes_tcp = || {
        let ask = ["sipsak", "-E", "tcp", "-p", SERVICE, "-s", "sip:lab.test"];
        lab.lab(&[&["exec", "uac", "--"], &ask[..]].concat()).status.success()
    };
    until("f1 takes TCP there", takes_tcp);

    // A machine that is gone.
    let watched = watch(7_001);
    lab.host("cut", "f1");
    until("f2 has the addresses alone", || has("f2") && has_neither("f1"));
    calls(&caller, &callee);
    eprintln!("keepalived: f1 cut off, away for {:?}", watched.end());
    calls(&caller_6, &callee_6);
    until("f2 takes TCP there", takes_tcp);
    // What f1 has begun goes on at f2: the call that runs, and calls to who registered through f1.
    caller.and_back("INVITE", &running, &callee);
    caller.and_back("BYE", &running, &callee);
    caller_6.and_back("INVITE", &running_6, &callee_6);
    caller_6.and_back("BYE", &running_6, &callee_6);

    // It does not take the address back.
    lab.host("heal", "f1");
    until("f1 answers again", || {
        trunkline(&["health", "--socket", &socket("f1")]).status.success()
    });
    std::thread::sleep(Duration::from_secs(4));
    assert!(has("f2") && has_neither("f1"));

    // A machine whose appliance is not well gives it away.
    let watched = watch(7_002);
    let still = Still::of("f2");
    let not_well = trunkline(&["health", "--within", "200", "--socket", &socket("f2")]);
    assert_eq!(not_well.status.code(), Some(1));
    assert!(
        not_well.stdout.starts_with(b"not well: the data plane has not answered within 200 ms")
    );
    until("f1 has the addresses alone", || has("f1") && has_neither("f2"));
    calls(&caller, &callee);
    eprintln!("keepalived: f2 not well, away for {:?}", watched.end());
    drop(still);
    // As long as it can be reached at all, whose second stage is not up is well, unless it is asked for.
    lab.host("kill", "p1");
    let health =
        |more: &[&str]| trunkline(&[&["health", "--socket", &socket("f1")], more].concat());
    until("f1 knows that p1 is down", || {
        health(&["--set", "users"]).stdout.starts_with(b"not well: no member of users is up")
    });
    assert!(health(&[]).status.success());
}
