//! `trunkline lab call`: SIPp places calls through the appliance, and a report says how they went.

use super::report::CallReport;
use super::shell::run as shell;
use super::sipp::{BUFFER, Sipp, Statistics, server, write_server};
use super::{DIRECTORY, Host, command_in, config_path, is_up, topology};
use crate::config::Config;
use crate::dataplane_link::status_blocking;
use crate::process::{end, lock};
use crate::status_report::{StatusReport, difference, grouped};
use anyhow::{Context, Result, bail};
use control_api::status::Status;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How the calls are placed.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// Calls begun per second, 1 to [`RATE_MAX`].
    pub rate: u32,
    /// Calls in all, 1 to [`CALLS_MAX`].
    pub calls: u64,
    /// Address family of the caller.
    pub family: Family,
    /// Whether the calls come from one UDP port or from one each.
    pub flows: Flows,
    /// User part of the Request-URI, by which the lab's routes choose the server.
    pub user: String,
    /// Where the packet capture is written; default `call.pcap` in the lab's directory.
    pub capture: Option<PathBuf>,
}

/// Address family of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 10.77.1.2 calls 10.77.1.1.
    V4,
    /// fd77:1::2 calls fd77:1::1.
    V6,
}

/// How many flows (5-tuples) the calls make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flows {
    /// All calls from one port: one flow, which reaches one queue.
    One,
    /// Each call from a port of its own: flows spread over the queues.
    Many,
}

/// Most calls per second: above it SIPp, not the appliance, is what is measured.
pub const RATE_MAX: u32 = 100_000;
/// Most calls in one run.
pub const CALLS_MAX: u64 = 100_000_000;
/// Sockets of a caller with many flows: enough to spread, few enough for 1,024 open files.
const SOCKETS_MAX: &str = "500";
/// Calls of a caller with many flows at a time. A call beyond its sockets SIPp sends with port 0 in Via
/// (`Via: SIP/2.0/UDP 10.77.1.2:0`), to which nobody can answer: it is dropped as `sip_malformed`, comes again and
/// fails. When the cores are busy with other work, calls last long enough for that.
const CALLS_AT_A_TIME: &str = "450";
/// Packets in the capture: a thousand calls and more, in a few megabytes.
const CAPTURE_PACKETS: u32 = 20_000;
/// After its last call SIPp may take as long as RFC 3261's timer B (64 T1 = 32 s) to give up one.
const PATIENCE: Duration = Duration::from_secs(35);

/// Places the calls. `progress` gets a line every second.
///
/// # Errors
/// When the lab is not up or a program cannot be started; calls that fail are no error, but stand in
/// the report.
pub fn run(options: &CallOptions, progress: &mut dyn FnMut(&str)) -> Result<CallReport> {
    if !is_up() {
        bail!("the lab is not up: `trunkline lab up` starts it");
    }
    if let Ok(topology) = topology::current() {
        bail!(
            "calls are placed in the lab with one appliance, and {topology} is up: `trunkline lab down`, then `trunkline lab up`"
        );
    }
    let directory = Path::new(DIRECTORY);
    let _lock = lock(directory, "call")?;
    let socket = Config::load(&config_path())?.appliance.socket();
    let capture = options.capture.clone().unwrap_or_else(|| directory.join("call.pcap"));
    let before = status_blocking(&socket)?;
    let overflows_before = overflows()?;
    let mut servers = start_servers(directory)?;
    let capturing = Capture::start(&capture)?;
    let started = Instant::now();
    let mut caller = Sipp::start(Host::Uac, directory, "uac", &caller_arguments(options))?;
    let ended = watch(&mut caller, &servers, options, started, progress)?;
    let duration = started.elapsed();
    let after = settled(&socket)?;
    // The servers write their numbers once a second.
    sleep(Duration::from_millis(1_100));
    let answering = servers.iter().map(Sipp::statistics).collect();
    let complaint = caller.complaint();
    servers.clear();
    capturing.stop();
    Ok(CallReport {
        wanted: options.calls,
        rate: options.rate,
        seconds: duration.as_secs_f64(),
        caller: caller.statistics(),
        servers: sum(answering),
        complaint: ended.or((!complaint.is_empty()).then_some(complaint)),
        overflows: overflows()?.saturating_sub(overflows_before),
        restarted: before.pid != after.pid,
        dataplane: StatusReport::new(&difference(&before, &after)),
        capture,
    })
}

/// A server for each family, so that the routes decide which one is reached.
fn start_servers(directory: &Path) -> Result<Vec<Sipp>> {
    write_server(directory)?;
    let mut servers = Vec::new();
    for (name, address) in [("uas4", "10.77.2.2"), ("uas6", "fd77:2::2")] {
        let address: IpAddr = address.parse()?;
        servers.push(Sipp::start(Host::Uas, directory, name, &server(address))?);
    }
    for server in &mut servers {
        server.wait_until_listening(Duration::from_secs(5)).context("the SIPp server in tl-uas")?;
    }
    Ok(servers)
}

/// SIPp's built-in scenario `uac`: INVITE, 180, 200, ACK, BYE, 200.
fn caller_arguments(options: &CallOptions) -> Vec<String> {
    let (remote, local) = match options.family {
        Family::V4 => ("10.77.1.1:5060", "10.77.1.2"),
        Family::V6 => ("[fd77:1::1]:5060", "fd77:1::2"),
    };
    let flows: &[&str] = match options.flows {
        Flows::One => &["-t", "u1"],
        Flows::Many => &["-t", "un", "-max_socket", SOCKETS_MAX, "-l", CALLS_AT_A_TIME],
    };
    let limit = expected(options) + PATIENCE;
    let (rate, calls, limit) =
        (options.rate.to_string(), options.calls.to_string(), limit.as_secs().to_string());
    let line: [&[&str]; 4] = [
        &[remote, "-sn", "uac", "-i", local, "-p", "5060", "-s", &options.user],
        flows,
        &["-buff_size", BUFFER],
        &["-r", &rate, "-m", &calls, "-d", "0", "-timeout", &limit],
    ];
    line.concat().into_iter().map(String::from).collect()
}

/// How long the calls take at their rate.
fn expected(options: &CallOptions) -> Duration {
    Duration::from_secs(options.calls.div_ceil(options.rate.max(1).into()))
}

/// Waits for the caller's end, telling each second how far it is. Gives what went wrong with SIPp
/// itself.
fn watch(
    caller: &mut Sipp,
    servers: &[Sipp],
    options: &CallOptions,
    started: Instant,
    progress: &mut dyn FnMut(&str),
) -> Result<Option<String>> {
    // SIPp's own time limit comes first; this one is for a SIPp that hangs.
    let limit = expected(options) + PATIENCE + Duration::from_secs(10);
    let second = Duration::from_secs(1);
    // A little later than SIPp writes its numbers.
    let mut next = second + second / 4;
    loop {
        if let Some(status) = caller.child.try_wait()? {
            // 0: every call succeeded, 1: some call failed (sipp(1)).
            let fine = matches!(status.code(), Some(0 | 1));
            return Ok((!fine).then(|| format!("SIPp ended with {status}")));
        }
        if started.elapsed() > limit {
            return Ok(Some(format!("SIPp did not end within {} s", limit.as_secs())));
        }
        if started.elapsed() >= next {
            let calls = caller.statistics();
            let answered: u64 = servers.iter().map(|s| s.statistics().placed).sum();
            progress(&format!(
                "{:>4} s  {} of {} calls done, {} failed, {} answered, {} retransmissions",
                next.as_secs(),
                grouped(calls.successful + calls.failed),
                grouped(options.calls),
                grouped(calls.failed),
                grouped(answered),
                grouped(calls.retransmissions)
            ));
            next += second;
        }
        sleep(Duration::from_millis(20));
    }
}

/// The status when nothing moves any more: two equal counts in a row, nothing parked and nothing within a burst.
fn settled(socket: &Path) -> Result<Status> {
    let received = |s: &Status| s.queues.iter().map(|q| q.received).sum::<u64>();
    let mut last = status_blocking(socket)?;
    for _ in 0..20 {
        sleep(Duration::from_millis(100));
        let now = status_blocking(socket)?;
        let at_rest = now.queues.iter().all(|q| q.parked == 0 && q.unaccounted() == 0);
        let quiet = at_rest && received(&now) == received(&last);
        last = now;
        if quiet {
            break;
        }
    }
    Ok(last)
}

/// Datagrams that callers and servers lost because SIPp did not read its sockets in time.
fn overflows() -> Result<u64> {
    let mut total = 0;
    for host in [Host::Uac, Host::Uas] {
        let exec = ["netns", "exec", host.namespace(), "cat", "/proc/net/snmp", "/proc/net/snmp6"];
        total += count_overflows(&shell("ip", &exec)?);
    }
    Ok(total)
}

/// The sum of `RcvbufErrors` of UDP in `/proc/net/snmp`, a line of names above one of numbers, and
/// `/proc/net/snmp6`, a name and its number per line.
fn count_overflows(text: &str) -> u64 {
    let number = |text: Option<&str>| text.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let mut udp = text.lines().filter(|line| line.starts_with("Udp: "));
    let names = udp.next().unwrap_or_default().split_whitespace();
    let numbers = udp.next().unwrap_or_default().split_whitespace();
    let v4 = names.zip(numbers).find(|(name, _)| *name == "RcvbufErrors").map(|(_, n)| n);
    let v6 = text.lines().find_map(|line| line.strip_prefix("Udp6RcvbufErrors"));
    number(v4) + number(v6.map(str::trim))
}

fn sum(all: Vec<Statistics>) -> Statistics {
    all.into_iter().fold(Statistics::default(), |a, b| Statistics {
        placed: a.placed + b.placed,
        successful: a.successful + b.successful,
        failed: a.failed + b.failed,
        retransmissions: a.retransmissions + b.retransmissions,
        unexpected: a.unexpected + b.unexpected,
    })
}

/// A running tcpdump in `tl-uas`.
struct Capture {
    child: Child,
}

impl Capture {
    fn start(file: &Path) -> Result<Self> {
        let packets = CAPTURE_PACKETS.to_string();
        let mut child = command_in(Host::Uas, "tcpdump")
            .args(["-i", "eth0", "-n", "-U", "-Z", "root", "-c", &packets, "-w"])
            .arg(file)
            .arg("udp")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("tcpdump")?;
        // It writes the file's header once it listens.
        let start = Instant::now();
        while std::fs::metadata(file).map_or(0, |m| m.len()) == 0 {
            if let Some(status) = child.try_wait()? {
                bail!("tcpdump cannot write {} ({})", file.display(), status);
            }
            if start.elapsed() > Duration::from_secs(5) {
                break;
            }
            sleep(Duration::from_millis(20));
        }
        Ok(Self { child })
    }

    fn stop(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let pid = self.child.id();
            crate::process::terminate(pid);
            let start = Instant::now();
            while matches!(self.child.try_wait(), Ok(None)) {
                if start.elapsed() > Duration::from_secs(2) {
                    end(&[pid], Duration::ZERO);
                }
                sleep(Duration::from_millis(10));
            }
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::{CallOptions, Family, Flows, caller_arguments, count_overflows, expected};

    #[test]
    fn the_caller_is_told_all_it_needs() {
        let options = CallOptions {
            rate: 1_000,
            calls: 2_500,
            family: Family::V6,
            flows: Flows::Many,
            user: "four".into(),
            capture: None,
        };
        assert_eq!(expected(&options).as_secs(), 3);
        let line = caller_arguments(&options).join(" ");
        assert!(line.starts_with("[fd77:1::1]:5060 -sn uac -i fd77:1::2 "), "{line}");
        assert!(
            line.contains(
                "-s four -t un -max_socket 500 -l 450 -buff_size 212992 -r 1000 -m 2500 -d 0 -timeout 38"
            ),
            "{line}"
        );
    }
    #[test]
    fn overflows_of_both_families_are_counted() {
        let text = "Ip: Forwarding\nIp: 1\n\
                    Udp: InDatagrams NoPorts RcvbufErrors SndbufErrors\nUdp: 90 1 7 0\n\
                    UdpLite: InDatagrams NoPorts RcvbufErrors\nUdpLite: 0 0 3\n\
                    Udp6InDatagrams \t5\nUdp6RcvbufErrors   \t2\n";
        assert_eq!(count_overflows(text), 9);
        assert_eq!(count_overflows(""), 0);
    }
}
