//! What messages cost in the real worker, measured by this program in processes of its own: DPDK starts once in each.

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::Value;
use std::process::{Command, Stdio};

/// Users in the worker while the second stage is measured.
const USERS: &str = "50000";

/// CPU time of messages, in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Costs {
    /// Of a message that is forwarded without state to one fixed place.
    pub(super) plain_ns: f64,
    /// Of a message in a first stage with one, two and three members; with the driver of a port.
    pub(super) first_stage_ns: Vec<f64>,
    /// The highest of their ratios to plain forwarding, each in the same round.
    pub(super) first_stage_ratio: f64,
    /// Of a REGISTER in the second stage, which refreshes a binding; without a driver.
    pub(super) register_ns: f64,
    /// Of a message of a call in the second stage, which locates the user; without a driver.
    pub(super) call_message_ns: f64,
    /// What else ran on the core, if it was much.
    pub(super) disturbances: Vec<String>,
}

impl Costs {
    /// Measures on one lcore.
    ///
    /// # Errors
    /// When DPDK does not start.
    pub(super) fn measure(lcore: u16, seconds: f64) -> Result<Self> {
        let pipeline = |scenario, more: &[&str]| pipeline(scenario, lcore, seconds, more);
        let first = pipeline("first-stage", &[])?;
        let register = pipeline("register", &["--alive", USERS])?;
        let locate = pipeline("locate", &["--alive", USERS])?;
        let stages = first["first_stage"].as_array().context("no first_stage")?;
        let plain_ns = number(&first, "plain_ns_per_message")?;
        // Of each round by itself: what else ran meanwhile fell on both.
        let ratios = stages.iter().map(|stage| number(stage, "ratio"));
        let ratios = ratios.collect::<Result<Vec<_>>>()?;
        let all = [&first, &register, &locate].into_iter();
        let disturbances = all.filter_map(|found| found["reason"].as_str());
        Ok(Self {
            plain_ns,
            first_stage_ns: ratios.iter().map(|ratio| ratio * plain_ns).collect(),
            first_stage_ratio: ratios.into_iter().fold(0.0, f64::max),
            register_ns: number(&register, "ns_per_register")?,
            call_message_ns: number(&locate, "ns_per_call")?
                / number(&locate, "messages_in_per_call")?,
            disturbances: disturbances.map(str::to_owned).collect(),
        })
    }

    /// Of a message in a first stage with so many members.
    pub(super) fn first_stage(&self, members: u8) -> f64 {
        let at = usize::from(members).saturating_sub(1).min(self.first_stage_ns.len() - 1);
        self.first_stage_ns[at]
    }
}

fn number(found: &Value, key: &str) -> Result<f64> {
    found[key].as_f64().with_context(|| format!("the pipeline gave no {key}"))
}

/// Runs a scenario of `trunkline-bench pipeline`.
fn pipeline(scenario: &str, lcore: u16, seconds: f64, more: &[&str]) -> Result<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["pipeline", "--scenario", scenario, "--json", "-"]);
    command.args(["--lcores", &lcore.to_string(), "--seconds", &seconds.to_string()]);
    let child = command.args(more).stdout(Stdio::piped()).spawn().context("trunkline-bench")?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "trunkline-bench pipeline --scenario {scenario} failed");
    serde_json::from_slice(&output.stdout).with_context(|| format!("the result of {scenario}"))
}
