//! Nanoseconds, by criterion.
//!
//! Criterion prints as it goes, so it runs in a child process with its output thrown away, and its
//! estimates are read from its files. Each round is a child of its own that times every case
//! once: a disturbance meets all cases alike, and memory lies differently each time.
//!
//! What is timed is the thread's CPU time. Other processes that take the core away do not
//! count; what they do to caches and clock frequency does.

use super::cases::{CASES, Case};
use super::messages::Messages;
use anyhow::{Context, Result, bail};
use criterion::{Criterion, SamplingMode};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Rounds, of which the median counts; odd.
const ROUNDS: usize = 5;
/// Criterion's directory for the one group of a round.
const GROUP: &str = "micro";

/// How long criterion works on one case in one round.
struct Effort {
    warm_up: Duration,
    measurement: Duration,
    /// Samples; with the measurement's length this makes a sample shorter than a time slice.
    samples: usize,
}

const FULL: Effort = Effort {
    warm_up: Duration::from_millis(50),
    measurement: Duration::from_millis(250),
    samples: 100,
};
const QUICK: Effort = Effort {
    warm_up: Duration::from_millis(20),
    measurement: Duration::from_millis(60),
    samples: 30,
};

/// Resamples of criterion's bootstrap: only the median is used, not its confidence interval.
const RESAMPLES: usize = 1_000;

/// Options of the hidden `trunkline-bench micro-timing`: one round.
#[derive(clap::Args)]
pub(crate) struct TimingArguments {
    /// Where criterion writes its estimates.
    folder: PathBuf,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Little time for each case.
    #[arg(long)]
    quick: bool,
}

/// What is read of criterion's `estimates.json`.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Median nanoseconds of one iteration of each of `cases`, which are those with `only` in their names.
///
/// # Errors
/// When a round fails.
pub(super) fn nanoseconds(cases: &[&Case], only: &str, quick: bool) -> Result<Vec<f64>> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let mut rounds = Vec::new();
    let count = if quick { 1 } else { ROUNDS };
    for number in 1..=count {
        eprintln!("micro: timing {} cases, round {number} of {count}", cases.len());
        let folder = folder.path().join(number.to_string());
        round(&folder, only, quick)?;
        let times: Result<Vec<f64>> =
            cases.iter().map(|case| estimate(&folder, case.name)).collect();
        rounds.push(times?);
    }
    let median = |index: usize| {
        let mut times: Vec<f64> = rounds.iter().map(|round| round[index]).collect();
        times.sort_by(f64::total_cmp);
        (times[count / 2] * 100.0).round() / 100.0 // What is behind that is chance.
    };
    Ok((0..cases.len()).map(median).collect())
}

fn round(folder: &Path, only: &str, quick: bool) -> Result<()> {
    let mut child = Command::new(std::env::current_exe()?);
    child.arg("micro-timing").arg(folder).args(["--only", only]);
    if quick {
        child.arg("--quick");
    }
    let output = child.stdin(Stdio::null()).output().context("cannot start the timing process")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("the timing process ended with {}; it said:\n{said}", output.status);
    }
    Ok(())
}

fn estimate(folder: &Path, name: &str) -> Result<f64> {
    let path = folder.join(GROUP).join(name).join("new/estimates.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("criterion left no {}", path.display()))?;
    let estimates: Estimates = serde_json::from_str(&text)?;
    Ok(estimates.median.point_estimate)
}

/// One round, in the child.
pub(crate) fn run_timing(arguments: &TimingArguments) {
    let effort = if arguments.quick { QUICK } else { FULL };
    let mut criterion = Criterion::default()
        .output_directory(&arguments.folder)
        .without_plots()
        .nresamples(RESAMPLES)
        .sample_size(effort.samples)
        .warm_up_time(effort.warm_up)
        .measurement_time(effort.measurement);
    let messages = Messages::new();
    let mut group = criterion.benchmark_group(GROUP);
    group.sampling_mode(SamplingMode::Flat);
    for case in CASES.iter().filter(|case| case.name.contains(&arguments.only)) {
        let mut work = case.work(&messages);
        group.bench_function(case.name, |bencher| {
            bencher.iter_custom(|iterations| {
                let start = cpu_time();
                allocation_counter::opt_out(|| work(iterations));
                cpu_time().saturating_sub(start)
            });
        });
    }
    group.finish();
}

/// CPU time of this thread so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |value| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
