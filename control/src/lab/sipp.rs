//! SIPp: its command lines and its statistics file.

use super::{Host, command_in};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Socket buffers of SIPp in bytes: Linux's default `net.core.rmem_max`. SIPp's own default of 64 KiB
/// holds some fifty messages, and overflows when another process has the core for a moment.
pub(super) const BUFFER: &str = "212992";

/// The file with what servers do, in the lab's directory.
const SERVER: &str = "uas.xml";

/// The cumulative numbers of one SIPp process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Calls begun.
    pub placed: u64,
    /// Calls that went through their whole scenario.
    pub successful: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Messages sent again because no answer came in time.
    pub retransmissions: u64,
    /// Messages that the scenario did not expect, in a call, after it or outside any.
    pub unexpected: u64,
}

/// A running SIPp and its files.
#[derive(Debug)]
pub(super) struct Sipp {
    /// The process; `ip netns exec` has become SIPp.
    pub(super) child: Child,
    statistics: PathBuf,
    errors: PathBuf,
}

impl Sipp {
    /// Starts SIPp in `host` with `arguments`; its files lie in `directory` and begin with `name`.
    pub(super) fn start(
        host: Host,
        directory: &Path,
        name: &str,
        arguments: &[String],
    ) -> Result<Self> {
        let statistics = directory.join(format!("{name}.csv"));
        let errors = directory.join(format!("{name}.err"));
        // A file of an earlier run would be read as this one's.
        let _ = std::fs::remove_file(&statistics);
        let mut command: Command = command_in(host, "sipp");
        command.args(arguments);
        command.args(["-nostdin", "-trace_stat", "-fd", "1", "-stf"]).arg(&statistics);
        let child = command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&errors)?)
            .spawn()
            .context("`ip netns exec` cannot be started: is iproute2 installed?")?;
        Ok(Self { child, statistics, errors })
    }

    /// Waits until the process listens on UDP port 5060 in its namespace.
    pub(super) fn wait_until_listening(&mut self, patience: Duration) -> Result<()> {
        let start = Instant::now();
        while !listens_on_5060(self.child.id()) {
            if let Some(status) = self.child.try_wait()? {
                bail!("SIPp did not start ({status}): {}", self.complaint());
            }
            if start.elapsed() > patience {
                bail!("SIPp does not listen after {} s: {}", patience.as_secs(), self.complaint());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The numbers of the last line of the statistics file; zeros before the first.
    pub(super) fn statistics(&self) -> Statistics {
        parse(&std::fs::read_to_string(&self.statistics).unwrap_or_default())
    }

    /// The last thing that SIPp complained about; empty when it did not.
    pub(super) fn complaint(&self) -> String {
        let said = crate::process::last_lines(&self.errors, 20);
        let complaint = |line: &&str| !line.trim().is_empty() && !line.starts_with("Resolving");
        said.lines().rfind(complaint).unwrap_or_default().to_owned()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        // Whatever happens, no SIPp outlives the command that started it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes what servers do into `directory`.
pub(super) fn write_server(directory: &Path) -> Result<()> {
    std::fs::write(directory.join(SERVER), include_str!("uas.xml")).context(SERVER)
}

/// The arguments of a server at `address`:5060.
pub(super) fn server(address: IpAddr) -> Vec<String> {
    let media = if address.is_ipv4() { "6000" } else { "7000" };
    let address = address.to_string();
    let line = ["-sf", SERVER, "-i", &address, "-p", "5060", "-bind_local", "-mp", media];
    line.into_iter().chain(["-buff_size", BUFFER]).map(String::from).collect()
}

/// Whether a socket in the namespace of process `pid` is bound to UDP port 5060 and is its own.
fn listens_on_5060(pid: u32) -> bool {
    let tables = ["udp", "udp6"].map(|t| std::fs::read_to_string(format!("/proc/{pid}/net/{t}")));
    let inodes: Vec<String> = tables
        .into_iter()
        .flatten()
        .flat_map(|table| table.lines().filter_map(inode_of_5060).collect::<Vec<_>>())
        .collect();
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok()).any(|target| {
        let target = target.to_string_lossy();
        inodes.iter().any(|inode| target == format!("socket:[{inode}]"))
    })
}

/// The inode in a line of `/proc/net/udp` when its local port is 5060 (proc(5)).
fn inode_of_5060(line: &str) -> Option<String> {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    local.ends_with(":13C4").then(|| fields.nth(7).map(String::from)).flatten()
}

/// Reads the cumulative columns (`(C)`) of the last line of a SIPp statistics file.
fn parse(text: &str) -> Statistics {
    let mut lines = text.lines();
    let Some(header) = lines.next() else { return Statistics::default() };
    let Some(last) = lines.rfind(|line| line.matches(';').count() > 10) else {
        return Statistics::default();
    };
    let values: Vec<&str> = last.split(';').collect();
    let value = |name: &str| -> u64 {
        let column = header.split(';').position(|column| column == name);
        column.and_then(|c| values.get(c)?.trim().parse().ok()).unwrap_or(0)
    };
    Statistics {
        placed: value("TotalCallCreated"),
        successful: value("SuccessfulCall(C)"),
        failed: value("FailedCall(C)"),
        retransmissions: value("Retransmissions(C)"),
        unexpected: value("FailedUnexpectedMessage(C)")
            + value("OutOfCallMsgs(C)")
            + value("DeadCallMsgs(C)"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Statistics, inode_of_5060, parse};

    #[test]
    fn statistics_come_from_the_last_whole_line() {
        let names = "A;TotalCallCreated;SuccessfulCall(P);SuccessfulCall(C);FailedCall(C);\
                     Retransmissions(C);FailedUnexpectedMessage(C);OutOfCallMsgs(C);\
                     DeadCallMsgs(C);x;y;z;";
        let text = format!("{names}\n0;5;1;4;0;0;0;0;0;;;;\n0;50;1;47;3;2;1;1;2;;;;\n0;9");
        let expected =
            Statistics { placed: 50, successful: 47, failed: 3, retransmissions: 2, unexpected: 4 };
        assert_eq!(parse(&text), expected);
        assert_eq!(parse(""), Statistics::default());
        assert_eq!(parse(names), Statistics::default());
    }

    #[test]
    fn inode_of_a_bound_port() {
        let line = "  12: 02024D0A:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000 \
                    0        0 41873 2 0000000000000000 0";
        assert_eq!(inode_of_5060(line).as_deref(), Some("41873"));
        assert_eq!(inode_of_5060(&line.replace("13C4", "13C5")), None);
    }
}
