//! What was found.

use super::checker::Verdict;
use serde::Serialize;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) command: String,
    pub(super) topology: String,
    pub(super) seed: u64,
    pub(super) users: u32,
    pub(super) faults: usize,
    /// Whether they are restarts, one appliance after the other.
    #[serde(skip)]
    pub(super) is_rolling: bool,
    /// Each fault.
    pub(super) what: Vec<String>,
    #[serde(flatten)]
    pub(super) verdict: Verdict,
}

impl Report {
    /// Whether the cluster kept what it promises.
    pub(super) fn is_good(&self) -> bool {
        self.verdict.is_good() && !(self.is_rolling && self.verdict.refused_calls > 0)
    }

    pub(super) fn print(&self) {
        let Self { verdict, .. } = self;
        println!(
            "{} with {} users, {} {}, seed {}",
            self.topology,
            self.users,
            self.faults,
            if self.is_rolling { "restarts" } else { "faults" },
            self.seed
        );
        println!("  calls that got through         {:9}", verdict.calls);
        println!("  calls that never did           {:9}", verdict.unreached_calls);
        println!("  refused at some time           {:9}", verdict.refused_calls);
        println!("    with 480                     {:9}", verdict.denied_calls);
        println!("  up, and not ended by BYE       {:9}", verdict.unended_calls);
        println!("  registrations                  {:9}", verdict.registrations);
        println!("  lost bindings                  {:9}", verdict.lost_bindings);
        for lost in &verdict.lost {
            println!("    {lost}");
        }
        println!("  slowest reach                  {:9.2} s", verdict.slowest_reach_seconds);
        println!("  slowest registration           {:9.2} s", verdict.slowest_register_seconds);
        println!("  answers at an old Contact      {:9}", verdict.stale_answers);
        println!("    the latest of them after     {:9.2} s", verdict.longest_stale_seconds);
    }
}
