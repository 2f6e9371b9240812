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
    /// Each fault.
    pub(super) what: Vec<String>,
    #[serde(flatten)]
    pub(super) verdict: Verdict,
}

impl Report {
    pub(super) fn print(&self) {
        let Self { verdict, .. } = self;
        println!(
            "{} with {} users, {} faults, seed {}",
            self.topology, self.users, self.faults, self.seed
        );
        println!("  calls that got through         {:9}", verdict.calls);
        println!("  calls that never did           {:9}", verdict.unreached_calls);
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
