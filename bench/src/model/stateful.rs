//! What whole calls with transactions cost, measured in a process of its own: EAL starts once in the life of
//! each.

use super::predict::Costs;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::process::{Command, Stdio};

/// Transactions alive on each core; in a quick run.
const ALIVE: [&str; 2] = ["1000000", "50000"];

/// What `pipeline --scenario stateful --json -` says.
#[derive(Deserialize)]
struct Said {
    ns_per_call: f64,
    messages_in_per_call: f64,
    speedup: f64,
    handoff_ns: Option<f64>,
    bytes_per_transaction: f64,
    memory: Memory,
}

/// Bytes for each transaction.
#[derive(Deserialize)]
struct Memory {
    record: f64,
    index: f64,
    wheel: f64,
    buffers_reserved: f64,
}

/// What calls with transactions cost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StatefulCosts {
    /// On each core.
    pub(crate) alive: &'static str,
    /// Nanoseconds of one core for a whole call.
    pub(crate) ns_per_call: f64,
    pub(crate) messages_in_per_call: f64,
    /// Of all measured cores over one.
    pub(crate) speedup: f64,
    /// Nanoseconds of both workers.
    pub(crate) handoff_ns: f64,
    /// With the messages that are kept.
    pub(crate) bytes_per_transaction: f64,
    /// With all message buffers that there are by default.
    pub(crate) gibibytes_per_million: f64,
}

impl StatefulCosts {
    /// Measures on these cores.
    ///
    /// # Errors
    /// What the pipeline bench says when it fails.
    pub(crate) fn measure(lcores: &[u16], is_quick: bool) -> Result<Self> {
        let alive = ALIVE[usize::from(is_quick)];
        let lcores: Vec<String> = lcores.iter().map(u16::to_string).collect();
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["pipeline", "--scenario", "stateful", "--alive", alive, "--json", "-"]);
        child.args(["--lcores", &lcores.join(","), "--seconds", if is_quick { "1" } else { "2" }]);
        let output =
            child.stdin(Stdio::null()).output().context("cannot start the pipeline bench")?;
        ensure!(
            output.status.success(),
            "the stateful pipeline bench: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let said: Said = serde_json::from_slice(&output.stdout).context("its JSON")?;
        let memory = &said.memory;
        let reserved = memory.record + memory.index + memory.wheel + memory.buffers_reserved;
        Ok(Self {
            alive,
            ns_per_call: said.ns_per_call,
            messages_in_per_call: said.messages_in_per_call,
            speedup: said.speedup,
            handoff_ns: said.handoff_ns.unwrap_or_default().max(0.0),
            bytes_per_transaction: said.bytes_per_transaction,
            gibibytes_per_million: reserved * 1e6 / f64::from(1 << 30),
        })
    }

    /// Those of a stateful message; what is not measured is as without state.
    pub(crate) fn costs(&self, stateless: &Costs) -> Costs {
        Costs {
            message_ns: self.ns_per_call / self.messages_in_per_call,
            speedup: self.speedup,
            handoff_ns: self.handoff_ns,
            ..stateless.clone()
        }
    }
}
