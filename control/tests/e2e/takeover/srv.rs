//! Clients that know all appliances by SRV records, and take the next one when one is silent.

use super::document;
use crate::cluster::{Cluster, registers, until};
use crate::phone::Phone;
use crate::running::Running;
use std::fs::{create_dir_all, read_to_string, remove_dir, remove_file, write};
use std::path::{Path, PathBuf};

/// Where the kernel of the caller's host is told to ask for names, while this value lives.
struct Resolver(PathBuf);

impl Resolver {
    fn of(namespace: &str, server: &str) -> Self {
        let folder = Path::new("/etc/netns").join(namespace);
        create_dir_all(&folder).expect("a folder");
        let file = folder.join("resolv.conf");
        write(&file, format!("nameserver {server}\noptions timeout:1 attempts:1\n"))
            .expect("a file");
        Self(file)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = remove_file(&self.0);
        // Only when nothing else is in them.
        let _ = self.0.ancestors().skip(1).take(2).try_for_each(remove_dir);
    }
}

/// A name server with the records of `docs/takeover/srv.zone`.
fn name_server(folder: &Path) -> Running {
    let zone = document("srv.zone").replace("203.0.113.11", "10.79.0.13");
    let zone = zone.replace("example.com", "lab.test");
    let records = zone.lines().filter_map(|line| {
        let words: Vec<_> =
            line.split_whitespace().map(|word| word.trim_end_matches('.')).collect();
        match words[..] {
            [name, "IN", "SRV", priority, weight, port, target] => {
                Some(format!("--srv-host={name}.lab.test,{target},{port},{priority},{weight}"))
            }
            [name, "IN", "A", address] => Some(format!("--host-record={name}.lab.test,{address}")),
            _ => None,
        }
    });
    let records: Vec<_> = records.collect();
    assert_eq!(records.len(), 6, "{records:?}");
    let mut command = vec!["timeout", "120", "dnsmasq", "--keep-in-foreground", "--user=root"];
    command.extend(["--conf-file=/dev/null", "--pid-file=", "--no-resolv", "--no-hosts"]);
    command.extend(["--port=53", "--listen-address=10.79.0.102", "--bind-interfaces"]);
    command.extend(["--local=/test/", "--local-ttl=5"]);
    command.extend(records.iter().map(String::as_str));
    Running::start("uas", &folder.join("dnsmasq.log"), &command)
}

/// A Kamailio that relays to the domain.
fn client(folder: &Path) -> Running {
    let file = |name: &str| folder.join(name).display().to_string();
    write(file("client.cfg"), include_str!("client.cfg")).expect("a configuration");
    let (config, pid, directory) = (file("client.cfg"), file("pid"), folder.display().to_string());
    let command = ["kamailio", "-f", &config, "-DD", "-E", "-A", "LISTEN=udp:10.79.0.101:5060"];
    let rest = ["-m", "64", "-M", "8", "-Y", &directory, "-P", &pid];
    Running::start("uac", &folder.join("kamailio.log"), &[&command[..], &rest[..]].concat())
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn clients_with_srv_records_take_the_next_appliance() {
    let lab = Cluster::up("s3p1");
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let _resolver = Resolver::of("tl-uac", "10.79.0.102");
    let _names = name_server(folder);
    let _client = client(folder);
    let listens = |host: &str, hex: &str| {
        let sockets = lab.lab(&["exec", host, "--", "cat", "/proc/net/udp"]);
        String::from_utf8_lossy(&sockets.stdout).contains(hex)
    };
    until("the name server and the client listen", || {
        listens("uas", "66004F0A:0035") && listens("uac", "65004F0A:13C4")
    });

    let callee = Phone::new("uas", "10.79.0.102:6000", "10.79.0.13:5060", "alice");
    let caller = Phone::new("uac", "10.79.0.101:7000", "10.79.0.101:5060", "bob");
    registers(&callee);
    let call = || {
        // One INVITE: the client finds the way by itself.
        let [call, _] = caller.calls(&callee.aor(), &callee);
        caller.and_back("BYE", &call, &callee);
    };
    let log = || read_to_string(folder.join("kamailio.log")).unwrap_or_default();
    let parts = || ["f1", "f2", "f3"].map(|host| lab.received(host));
    let before = parts();
    for _ in 0..20 {
        call();
    }
    let [f1, f2, _] = parts();
    assert!(f1 > before[0] + 10 && f2 > before[1] + 10, "{before:?} {:?}\n{}", parts(), log());

    lab.host("pause", "f1");
    for _ in 0..3 {
        call();
    }
    // The third is for when neither of the two answers.
    lab.host("cut", "f2");
    let before = lab.received("f3");
    call();
    assert!(lab.received("f3") >= before + 4, "{}", log());
    lab.host("heal", "f1");
    lab.host("heal", "f2");
    call();
}
