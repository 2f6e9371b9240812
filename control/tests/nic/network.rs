//! The host's end of the wire: a network namespace with a tap interface for each queue of the guest's NIC in one.

use crate::guest::MAC;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

const NAMESPACE: &str = "tl-nic";
const TAP: &str = "nic0";
/// MAC address of the host's end.
pub(crate) const PEER_MAC: &str = "02:00:00:00:77:02";
/// Frames that wait for QEMU while another process has the core.
const FRAMES: &str = "20000";

/// The namespace; gone when dropped.
pub(crate) struct Network(());

impl Network {
    /// Makes it; what an earlier run left is removed first.
    pub(crate) fn make() -> Self {
        remove();
        run("ip", &["netns", "add", NAMESPACE]);
        let network = Self(());
        // What the kernel says by itself in IPv6 would be counted with the frames of a test.
        run(
            "ip",
            &["netns", "exec", NAMESPACE, "sysctl", "-q", "net.ipv6.conf.default.disable_ipv6=1"],
        );
        let batch = format!(
            "tuntap add dev {TAP} mode tap multi_queue\n\
             link set {TAP} address {PEER_MAC} txqueuelen {FRAMES}\n\
             address add 10.78.0.2/24 dev {TAP}\naddress add 10.78.0.3/24 dev {TAP}\n\
             link set lo up\nlink set {TAP} up\n\
             neighbour replace 10.78.0.1 lladdr {MAC} dev {TAP} nud permanent\n"
        );
        let mut ip = Command::new("ip");
        ip.args(["-n", NAMESPACE, "-batch", "-"]).stdin(Stdio::piped());
        let mut child = ip.spawn().expect("ip starts");
        child.stdin.take().expect("its input").write_all(batch.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it ends").success(), "{batch}");
        network
    }

    /// Name of the interface.
    #[expect(clippy::unused_self, reason = "it is there while the network is")]
    pub(crate) fn tap(&self) -> &'static str {
        TAP
    }

    /// A program in the namespace, which ends with the test.
    #[expect(clippy::unused_self, reason = "it is there while the network is")]
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", NAMESPACE, "setpriv", "--pdeathsig", "KILL", program]);
        command
    }

    /// Sends these frames in one burst.
    pub(crate) fn send(&self, frames: &[Vec<u8>]) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nic/send.py");
        let mut command = self.command("python3");
        let mut child = command.args([script, TAP]).stdin(Stdio::piped()).spawn().expect("python3");
        let mut input = child.stdin.take().expect("its input");
        for frame in frames {
            let length = u16::try_from(frame.len()).expect("an Ethernet frame").to_be_bytes();
            input.write_all(&length).and_then(|()| input.write_all(frame)).expect("it reads");
        }
        drop(input);
        assert!(child.wait().expect("it ends").success(), "frames were not sent");
    }

    /// Starts SIPp's server and then its caller with this rate and so many calls, each from a port of its own. Nothing is
    /// sent again, so that a message that is lost fails its call. A 180 behind its 200 does not fail one: while a table
    /// changes that happens, as in any network, and a caller ignores it (RFC 3261 section 18.1.2; docs/decisions/0028).
    pub(crate) fn calls(&self, folder: &Path, rate: u32, calls: u32) -> Calls {
        let start = |name: &str, arguments: &[&str]| {
            let statistics = folder.join(format!("{name}.csv"));
            let mut command = self.command("sipp");
            command.args(arguments).args(["-nr", "-default_behaviors", "all,-abortunexp"]);
            command.args(["-nostdin", "-trace_stat", "-fd", "1", "-stf"]);
            let said = File::create(folder.join(format!("{name}.err"))).expect("a file");
            command.arg(&statistics).current_dir(folder).stdin(Stdio::null());
            let child = command.stdout(Stdio::null()).stderr(said).spawn().expect("SIPp starts");
            (child, statistics)
        };
        let ended = Duration::from_secs(u64::from(calls / rate) + 60).as_secs().to_string();
        let (rate, calls) = (rate.to_string(), calls.to_string());
        let (server, _) = start(
            "uas",
            &["-sn", "uas", "-i", "10.78.0.3", "-p", "5060", "-bind_local", "-mp", "6000"],
        );
        sleep(Duration::from_millis(500));
        let caller =
            "10.78.0.1:5060 -sn uac -i 10.78.0.2 -s bob -t un -max_socket 400 -l 300 -d 1000";
        let mut arguments: Vec<_> = caller.split(' ').collect();
        arguments.extend(["-buff_size", "212992", "-r", &rate, "-m", &calls, "-timeout", &ended]);
        let (caller, statistics) = start("uac", &arguments);
        Calls { caller, server, statistics }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove();
    }
}

fn remove() {
    if Path::new("/run/netns").join(NAMESPACE).exists() {
        run("ip", &["netns", "delete", NAMESPACE]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let Output { status, stderr, .. } =
        Command::new(program).args(arguments).output().expect("it starts");
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
}

/// Calls that are placed now.
pub(crate) struct Calls {
    caller: Child,
    server: Child,
    statistics: PathBuf,
}

impl Calls {
    /// Whether the last one has ended.
    pub(crate) fn have_ended(&mut self) -> bool {
        self.caller.try_wait().expect("SIPp").is_some()
    }

    /// Calls that succeeded and failed so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let text = fs::read_to_string(&self.statistics).unwrap_or_default();
        let mut lines = text.lines();
        let names: Vec<_> = lines.next().unwrap_or_default().split(';').collect();
        let numbers: Vec<_> = lines.next_back().unwrap_or_default().split(';').collect();
        let count = |name: &str| {
            let place = names.iter().position(|known| *known == name);
            place.and_then(|place| numbers.get(place)?.parse().ok()).unwrap_or(0)
        };
        (count("SuccessfulCall(C)"), count("FailedCall(C)"))
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        for child in [&mut self.caller, &mut self.server] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
