//! What was found, for people and for programs.

use super::super::measure::spread;
use super::{Found, MEMBERS, ROUNDS};
use crate::cluster::capture;
use crate::disturbance::Disturbance;
use serde::Serialize;
use std::io::Write;

/// The result of one run; all times are of the lcore's thread, whatever else the core did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FirstStageReport {
    scenario: &'static str,
    /// Median of plain forwarding to one fixed place.
    plain_ns_per_message: f64,
    first_stage: Vec<Cost>,
    /// Messages that a first-stage node receives for a registration.
    messages_per_registration: usize,
    /// And for a call.
    messages_per_call: usize,
    hugepages: bool,
    #[serde(flatten)]
    disturbance: Disturbance,
}

/// Of a first stage.
#[derive(Clone, Debug, Serialize)]
struct Cost {
    /// Second-stage nodes among which it chooses.
    members: u16,
    /// Median.
    ns_per_message: f64,
    /// To plain forwarding in the same round: median.
    ratio: f64,
    /// Lowest and highest.
    ratio_range: [f64; 2],
}

impl FirstStageReport {
    pub(super) fn new(found: &Found, hugepages: bool, disturbance: Disturbance) -> Self {
        let ns = |at: usize| found.rounds.iter().map(move |round| 1e9 / round[at].per_cpu_second);
        let cost = |(members, at): (u16, usize)| {
            let ratios = ns(at).zip(ns(0)).map(|(first, plain)| first / plain);
            let [ratio, lowest, highest] = spread(ratios.collect());
            let ns_per_message = spread(ns(at).collect())[0];
            Cost { members, ns_per_message, ratio, ratio_range: [lowest, highest] }
        };
        let [messages_per_registration, messages_per_call] = capture::MESSAGES;
        Self {
            scenario: "first-stage",
            plain_ns_per_message: spread(ns(0).collect())[0],
            first_stage: MEMBERS.into_iter().zip(1..).map(cost).collect(),
            messages_per_registration,
            messages_per_call,
            hugepages,
            disturbance,
        }
    }
}

pub(super) fn print(report: &FirstStageReport) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Messages of registrations and calls, stateless; medians of {ROUNDS} rounds")?;
    writeln!(out, "  forwarded to one place       {:7.1} ns", report.plain_ns_per_message)?;
    for cost in &report.first_stage {
        let [lowest, highest] = cost.ratio_range;
        writeln!(
            out,
            "  first stage, {:2} member(s)     {:7.1} ns   {:.3} times ({lowest:.3} to {highest:.3})",
            cost.members, cost.ns_per_message, cost.ratio
        )?;
    }
    if let Some(reason) = &report.disturbance.reason {
        writeln!(out, "  DISTURBED: {reason}")?;
    }
    Ok(())
}
