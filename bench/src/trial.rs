//! One trial: the generator at one rate, as a process of its own, and what the machine did meanwhile.

use crate::disturbance::{Disturbance, Watch};
use crate::interrupt::Interrupt;
use crate::load::{LoadReport, Scenario};
use crate::network::{Host, Network};
use crate::search::rate::Outcome;
use crate::system::System;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::process::{Command, Stdio};

/// Seconds within which a message must be answered in a trial of a search: less than RFC 3261's T1, so that no
/// retransmission hides what was lost.
pub(crate) const PATIENCE: f64 = 0.45;

/// The generator of a series of trials.
#[derive(Clone, Debug)]
pub(crate) struct Generator<'a> {
    /// The network in whose namespace it runs; none for the machine's own.
    pub(crate) network: Option<&'a Network>,
    /// Its core.
    pub(crate) core: u16,
    /// What callers and callees do.
    pub(crate) scenario: Scenario,
    /// Seconds within which a message must be answered.
    pub(crate) patience: f64,
    /// Further options of `trunkline-bench load`, the target among them.
    pub(crate) options: Vec<String>,
    /// Whether the user has asked to end.
    pub(crate) interrupt: Interrupt,
    /// Cores whose time is watched: the generator's and the system's.
    pub(crate) watched: Vec<u16>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    /// The generator's report.
    pub(crate) report: LoadReport,
    /// What others took of the machine meanwhile.
    pub(crate) disturbance: Disturbance,
    /// Time of the system's cores per message, in microseconds; none without a system of ours.
    pub(crate) cpu_us_per_message: Option<f64>,
    /// Memory of the system in bytes; none without a system of ours.
    pub(crate) memory_bytes: Option<u64>,
}

/// When a rate counts as carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Criterion {
    /// Not one message lost (the non-drop rate of RFC 2544)
    NoLoss,
    /// At most 0.01 % of the calls failed (the criterion of the 2008 study)
    FailedCalls,
}

impl Criterion {
    /// Most failed calls of all.
    const FAILED_SHARE_MAX: f64 = 1e-4;

    /// Whether a trial passes.
    pub(crate) fn passes(self, report: &LoadReport) -> bool {
        report.generator_limit.is_none()
            && match self {
                Self::NoLoss => report.is_lossless(),
                Self::FailedCalls => {
                    report.counts.completed > 0 && report.failed_share <= Self::FAILED_SHARE_MAX
                }
            }
    }
}

impl Generator<'_> {
    /// Offers `rate` calls per second (users, in the scenario of users) for `seconds`.
    ///
    /// # Errors
    /// When the generator cannot run or the system has ended.
    pub(crate) fn trial(
        &self,
        system: Option<&System>,
        rate: f64,
        seconds: f64,
    ) -> Result<Measured> {
        let watch = Watch::start(&self.watched)?;
        let before = system.map(System::usage).transpose()?;
        let report = self.run(rate, seconds)?;
        // The generator got the signal too, and its report is cut short.
        ensure!(!self.interrupt.is_set(), "interrupted");
        let after = system.map(System::usage).transpose()?;
        let ours = system.map(System::pids).transpose()?.unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a figure, not an account")]
        let messages = report.counts.received.max(1) as f64;
        let busy = before.zip(after).map(|(b, a)| a.core_busy_seconds - b.core_busy_seconds);
        Ok(Measured {
            disturbance: watch.finish(&ours)?,
            cpu_us_per_message: busy.map(|seconds| seconds * 1e6 / messages),
            memory_bytes: after.map(|usage| usage.memory_bytes),
            report,
        })
    }

    fn run(&self, rate: f64, seconds: f64) -> Result<LoadReport> {
        let bench = std::env::current_exe().context("where is this program?")?;
        let mut command = match self.network {
            Some(network) => network.command_in(Host::Generator, bench, &[self.core]),
            None => Command::new(bench),
        };
        command.args(["load", &self.scenario.to_string(), "--quiet", "--json", "-"]);
        command.args(["--patience", &self.patience.to_string()]);
        command.args(["--core", &self.core.to_string()]);
        command.args(["--seconds", &seconds.to_string()]);
        let size = if self.scenario == Scenario::Users { "--users" } else { "--rate" };
        command.args([size, &format!("{rate:.0}")]).args(&self.options);
        let output = command.stdin(Stdio::null()).output().context("the generator")?;
        // 1: some calls failed, which is what is searched for.
        if !matches!(output.status.code(), Some(0 | 1)) {
            bail!("the generator: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("the generator's report")
    }

    /// The same as a trial of a search.
    ///
    /// # Errors
    /// As [`Generator::trial`].
    pub(crate) fn outcome(
        &self,
        system: Option<&System>,
        criterion: Criterion,
        rate: f64,
        seconds: f64,
    ) -> Result<Outcome<Measured>> {
        let detail = self.trial(system, rate, seconds)?;
        Ok(Outcome {
            passed: criterion.passes(&detail.report),
            disturbed: detail.disturbance.disturbed,
            generator_limited: detail.report.generator_limit.is_some(),
            detail,
        })
    }
}
