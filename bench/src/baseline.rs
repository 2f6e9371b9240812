//! Recorded figures, one file for each kind of machine, and what has changed since.

mod change;

use crate::machine::Machine;
use crate::micro::Row;
use anyhow::{Context, Result};
use change::{Changes, Figures};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What [`run`] exits with when a step of ours needs more instructions than recorded.
const REGRESSION: u8 = 1;

/// Options of `trunkline-bench baseline`.
#[derive(clap::Args)]
#[command(after_help = "COMPARISON\n  \
    instructions  a step of ours that needs over 2 % more is a regression: exit status 1\n  \
    ns            over 15 % more is pointed out, with exit status 0: the machine may be noisy\n\n\
    Build both sides alike: another profile or compiler makes other instructions.\n\n\
    EXAMPLES\n  \
    make bench               measures and compares\n  \
    make bench-record        measures and records\n  \
    trunkline-bench baseline compare --micro target/bench/micro.json")]
pub(crate) struct Arguments {
    /// What to do with the figures.
    #[arg(value_enum)]
    action: Action,
    /// What `trunkline-bench micro --json` wrote.
    #[arg(long, value_name = "FILE", default_value = "target/bench/micro.json")]
    micro: PathBuf,
    /// What `trunkline-bench pipeline --json` wrote.
    #[arg(long, value_name = "FILE", default_value = "target/bench/pipeline.json")]
    pipeline: PathBuf,
    /// Where the baselines are.
    #[arg(long, value_name = "FOLDER", default_value = "bench/baselines")]
    folder: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Action {
    /// Print what changed since the baseline of this kind of machine.
    Compare,
    /// Make them the baseline of this kind of machine.
    Record,
}

/// A file of the folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Baseline {
    machine: Machine,
    /// Day of the record, UTC.
    date: String,
    #[serde(flatten)]
    figures: Figures,
}

/// Compares or records.
///
/// # Errors
/// When a file is missing or is none of ours.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let machine = Machine::this()?;
    let path = arguments.folder.join(machine.slug()).with_extension("json");
    let micro: Vec<Row> = read(&arguments.micro, "trunkline-bench micro --json FILE")?;
    let figures = Figures {
        pipeline: read(&arguments.pipeline, "trunkline-bench pipeline --json FILE")?,
        micro,
    };
    match arguments.action {
        Action::Record => record(&path, machine, figures),
        Action::Compare => compare(&path, &machine, &figures),
    }
}

fn record(path: &Path, machine: Machine, figures: Figures) -> Result<ExitCode> {
    let date = chrono::Utc::now().format("%Y-%m-%d").to_string();
    let text = serde_json::to_string_pretty(&Baseline { machine, date, figures })?;
    std::fs::write(path, text + "\n")
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("recorded {}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn compare(path: &Path, machine: &Machine, figures: &Figures) -> Result<ExitCode> {
    if !path.exists() {
        println!(
            "no baseline of this machine ({machine}): {} is not there; record it with: make bench-record",
            path.display()
        );
        return Ok(ExitCode::SUCCESS);
    }
    let baseline: Baseline = read(path, "make bench-record")?;
    println!("against the baseline of {} ({machine}):", baseline.date);
    let changes = Changes::between(&baseline.figures, figures);
    print!("{changes}");
    Ok(if changes.has_regression() { ExitCode::from(REGRESSION) } else { ExitCode::SUCCESS })
}

/// Reads a file that `maker` writes.
fn read<T: DeserializeOwned>(path: &Path, maker: &str) -> Result<T> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}; it is written by: {maker}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not what this writes: {maker}", path.display()))
}
