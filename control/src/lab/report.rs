//! The report of `trunkline lab call`.

use super::sipp::Statistics;
use crate::status_report::{StatusReport, grouped, indented};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// How the calls went, seen from SIPp and from the data plane.
#[derive(Clone, Debug, Serialize)]
pub struct CallReport {
    /// Calls that were asked for.
    pub wanted: u64,
    /// Calls begun per second.
    pub rate: u32,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// SIPp that placed the calls.
    pub caller: Statistics,
    /// SIPp that answered them, both families together.
    pub servers: Statistics,
    /// What SIPp complained about, if it did.
    pub complaint: Option<String>,
    /// Datagrams lost because SIPp did not read its sockets in time: this machine is too busy.
    pub overflows: u64,
    /// Whether the data plane was started again meanwhile, so that its counters are incomplete.
    pub restarted: bool,
    /// The data plane's counters, from before the first call to after the last.
    pub dataplane: StatusReport,
    /// The packet capture.
    pub capture: PathBuf,
}

impl CallReport {
    /// Whether every call succeeded and every packet is accounted for.
    pub fn passed(&self) -> bool {
        self.failures().is_empty()
    }

    /// What did not go as it must; empty when all went well.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        if self.caller.failed > 0 {
            failures.push(format!("{} calls failed", grouped(self.caller.failed)));
        }
        if self.caller.successful + self.caller.failed < self.wanted {
            let done = self.caller.successful + self.caller.failed;
            failures.push(format!("{} of {} calls ended", grouped(done), grouped(self.wanted)));
        }
        if !self.dataplane.conserved {
            failures.push("packets are unaccounted for".into());
        }
        if self.dataplane.total.forwarded == 0 {
            failures.push("no message went through the data plane".into());
        }
        failures
    }
}

impl fmt::Display for CallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (calls, total) = (&self.caller, &self.dataplane.total);
        writeln!(
            f,
            "calls        {} placed, {} successful, {} failed; {} per second for {:.1} s",
            grouped(calls.placed),
            grouped(calls.successful),
            grouped(calls.failed),
            grouped(self.rate.into()),
            self.seconds
        )?;
        writeln!(
            f,
            "             {} retransmissions, {} unexpected messages (callers and servers)",
            grouped(calls.retransmissions + self.servers.retransmissions),
            grouped(calls.unexpected + self.servers.unexpected)
        )?;
        if let Some(complaint) = &self.complaint {
            writeln!(f, "             SIPp said: {complaint}")?;
        }
        if self.overflows > 0 {
            let lost = grouped(self.overflows);
            writeln!(
                f,
                "             {lost} datagrams lost in SIPp's full socket buffers: try a lower --rate"
            )?;
        }
        writeln!(
            f,
            "messages     {} in, {} out at the data plane",
            grouped(total.received),
            grouped(total.transmitted)
        )?;
        writeln!(
            f,
            "busy         {:.0} ns per message on its core, in bursts of {:.1} messages on average",
            total.busy_ns_per_message,
            total.messages_per_burst()
        )?;
        if self.restarted {
            writeln!(f, "             the data plane was started again: its counters begin there")?;
        }
        write!(f, "\n{}", self.dataplane.queue_table())?;
        write!(f, "\ndrops\n{}", indented(&self.dataplane.drop_list()))?;
        writeln!(f, "\nconserved    {}", self.dataplane.conservation_line())?;
        let capture = self.capture.display();
        writeln!(f, "capture      {capture} (seen by the servers; tcpdump -nr reads it)")?;
        match self.failures().as_slice() {
            [] => write!(f, "\nPASSED: every call succeeded, every packet is accounted for"),
            failures => write!(f, "\nFAILED: {}", failures.join("; ")),
        }
    }
}
