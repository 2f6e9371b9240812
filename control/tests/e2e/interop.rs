//! Other people's SIP through the appliance: baresip, sipsak, Kamailio on either side.

use crate::lab::{Lab, SERVER, text};
use crate::running::Running;
use std::fs::{read_to_string, write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Calls of each run with SIPp.
const CALLS: u64 = 500;

/// Kamailio as a neighbour.
const PROXY: &str = include_str!("interop/proxy.cfg");

/// A lab whose hosts reach each other past the appliance for media, as they do elsewhere.
fn lab() -> Lab {
    let lab = Lab::up(1);
    connect(&lab);
    lab
}

/// Lets the hosts of a lab reach each other past the appliance.
pub(crate) fn connect(lab: &Lab) {
    for (host, command) in [
        ("sut", "sysctl -qw net.ipv4.ip_forward=1"),
        ("uac", "ip route add 10.77.2.0/24 via 10.77.1.1"),
        ("uas", "ip route add 10.77.1.0/24 via 10.77.2.1"),
    ] {
        let output = lab.exec(host, &command.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{}", text(&output));
    }
}

/// What the workers received so far.
fn received(lab: &Lab) -> u64 {
    lab.status()["total"]["received"].as_u64().expect("a count")
}

/// Waits until `host` answers OPTIONS at `address`.
fn wait_for(lab: &Lab, host: &str, address: &str) {
    let uri = format!("sip:ready@{address}");
    for _ in 0..50 {
        if lab.exec(host, &["sipsak", "-s", &uri]).status.success() {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("nobody answers OPTIONS at {address}");
}

/// The folder of a baresip at `address` with this account and a sine wave as its microphone.
pub(crate) fn baresip(folder: &Path, name: &str, address: &str, account: &str) -> String {
    baresip_over("udp", folder, name, address, account)
}

/// The same, with requests over this transport unless their URI says otherwise.
pub(crate) fn baresip_over(
    transport: &str,
    folder: &Path,
    name: &str,
    address: &str,
    account: &str,
) -> String {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).expect("a folder");
    let modules = ["g711.so", "ausine.so", "aubridge.so"].map(|m| format!("module {m}\n")).concat();
    let config = format!(
        "sip_listen {address}:5060\nsip_trans_def {transport}\nsip_verify_server no\ncall_max_calls 4\nrtp_ports 10000-10100\n\
         audio_player aubridge,player\naudio_source ausine,440\naudio_alert aubridge,alert\n\
         ausrc_srate 48000\nauplay_srate 48000\nausrc_channels 2\nauplay_channels 2\n\
         module_path /usr/lib/baresip/modules\n{modules}module_tmp account.so\nmodule_app menu.so\n"
    );
    for (file, content) in [("config", config.as_str()), ("accounts", account), ("contacts", "")] {
        write(folder.join(file), content).expect("a file");
    }
    folder.display().to_string()
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn baresip_calls_baresip_and_hangs_up() {
    let lab = lab();
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (alice, bob) = (folder.join("alice.log"), folder.join("bob.log"));
    let account = |name: &str, address: &str, proxy: &str| {
        format!("<sip:{name}@{address}>;regint=0;answermode=auto;outbound=\"sip:{proxy};lr\"\n")
    };
    let [callee, caller] = [("bob", "10.77.2.2", "10.77.2.1"), ("alice", "10.77.1.2", "10.77.1.1")]
        .map(|(name, address, proxy)| {
            baresip(folder, name, address, &account(name, address, proxy))
        });
    let _callee = Running::start("uas", &bob, &["timeout", "30", "baresip", "-f", &callee]);
    let said = |log: &Path| read_to_string(log).expect("a log");
    let start = Instant::now();
    while !said(&bob).contains("baresip is ready") {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", said(&bob));
        sleep(Duration::from_millis(50));
    }
    let before = received(&lab);
    // Six seconds, then it hangs up and ends.
    let command = ["timeout", "20", "baresip", "-f", &caller, "-t", "6", "-e"];
    let dial = "/dial sip:bob@10.77.1.1";
    let mut calling = Running::start("uac", &alice, &[&command[..], &[dial]].concat());
    let status = calling.0.wait().expect("baresip ends");
    sleep(Duration::from_millis(300));
    assert!(status.success(), "{}", said(&alice));
    for log in [&alice, &bob] {
        let said = said(log);
        assert!(said.contains("Call established"), "{said}");
        assert!(said.contains("incoming rtp for 'audio' established"), "{said}");
        assert!(said.contains("terminated (duration:"), "{said}");
    }
    assert_eq!(received(&lab) - before, 6, "INVITE, 180, 200, ACK, BYE, 200 came through us");
    // The same server, asked by sipsak through the appliance.
    let output = lab.exec("uac", &["sipsak", "-vv", "-s", "sip:bob@10.77.1.1"]);
    assert!(text(&output).contains("200 OK"), "{}", text(&output));
    lab.assert_conserved();
}

/// A Kamailio on `host` at `address` that relays to `next`, with this configuration.
pub(crate) fn kamailio(
    lab: &Lab,
    folder: &Path,
    config: &str,
    [host, address, next]: [&str; 3],
) -> Running {
    let file = folder.join("proxy.cfg");
    write(&file, config).expect("a file");
    let (config, pid) = (file.display().to_string(), folder.join("pid").display().to_string());
    let (listen, next) = (format!("LISTEN=udp:{address}:5060"), format!("NEXT=\"sip:{next}\""));
    let directory = folder.display().to_string();
    let command = ["kamailio", "-f", &config, "-DD", "-E", "-A", &listen, "-A", &next];
    let rest = ["-m", "64", "-M", "8", "-Y", &directory, "-P", &pid];
    let all = [&command[..], &rest[..]].concat();
    let running = Running::start(host, &folder.join("kamailio.log"), &all);
    wait_for(lab, host, address);
    running
}

/// Calls with SIPp from 10.77.1.2:5070 to `target`; the server answers on 10.77.2.2 at `port`. Each
/// INVITE has `padding` header lines of a hundred bytes.
fn call(lab: &Lab, folder: &Path, target: &str, port: &str, padding: usize) {
    let server = ["sipp", "-sf", SERVER, "-i", "10.77.2.2", "-p", port, "-bind_local", "-nostdin"];
    let _server = Running::start("uas", &folder.join("server.log"), &server);
    sleep(Duration::from_millis(500));
    let scenario = folder.join("caller.xml");
    let line = format!("      X-Padding: {}\n", "x".repeat(100));
    let after = "Max-Forwards: 70\n";
    let padded = [after, &line.repeat(padding)].concat();
    let caller = include_str!("interop/caller.xml").replacen(after, &padded, 1);
    write(&scenario, caller).expect("a file");
    let (scenario, calls) = (scenario.display().to_string(), CALLS.to_string());
    let client = ["timeout", "60", "sipp", target, "-sf", &scenario, "-i", "10.77.1.2"];
    let rest = ["-p", "5070", "-r", "100", "-m", &calls, "-nostdin", "-timeout", "30"];
    let output = lab.exec("uac", &[&client[..], &rest[..]].concat());
    // SIPp's exit status is 0 when every call went through its whole scenario.
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn kamailio_upstream() {
    let lab = lab();
    let folder = tempfile::tempdir().expect("a folder");
    let _proxy = kamailio(&lab, folder.path(), PROXY, ["uac", "10.77.1.2", "10.77.1.1:5060"]);
    let before = received(&lab);
    call(&lab, folder.path(), "10.77.1.2:5060", "5060", 0);
    assert!(received(&lab) - before >= 6 * CALLS, "each call came through us whole");
    lab.assert_conserved();
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn kamailio_downstream() {
    let lab = lab();
    let folder = tempfile::tempdir().expect("a folder");
    let _proxy = kamailio(&lab, folder.path(), PROXY, ["uas", "10.77.2.2", "10.77.2.2:5080"]);
    let before = received(&lab);
    call(&lab, folder.path(), "10.77.1.1:5060", "5080", 0);
    assert!(received(&lab) - before >= 6 * CALLS, "each call came through us whole");
    // INVITEs over the MTU: in fragments in, in fragments out.
    call(&lab, folder.path(), "10.77.1.1:5060", "5080", 22);
    let kernel = lab.status()["kernel"].clone();
    assert!(kernel["received"].as_u64() >= Some(CALLS), "{kernel}");
    assert!(kernel["sent"].as_u64() >= Some(CALLS), "{kernel}");
    let output = lab.exec("uac", &["sipsak", "-vv", "-s", "sip:bob@10.77.1.1"]);
    assert!(text(&output).contains("200 OK"), "{}", text(&output));
    lab.assert_conserved();
}
