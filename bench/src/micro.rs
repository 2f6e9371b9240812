//! What single steps cost: time, instructions and heap allocations of parse, route, rewrite and the rest, beside
//! published parsers on the same message.

pub(crate) mod cases;
mod destinations;
mod digest;
mod instructions;
mod messages;
mod ours;
mod overload;
mod peers;
mod table;
mod timing;
mod transaction;
mod wheel;

pub(crate) use instructions::{CaseArguments, run_case};
pub(crate) use timing::{TimingArguments, run_timing};

use crate::disturbance::Watch;
use crate::json;
use anyhow::{Result, ensure};
use cases::{CASES, Case};
use messages::Messages;
use nic_config::machine::Machine;
use serde::{Deserialize, Serialize};

/// Options of `trunkline-bench micro`.
#[derive(clap::Args)]
#[command(after_help = "COLUMNS, per iteration\n  \
    ns            CPU time in nanoseconds: criterion's median, and of that the median over rounds\n  \
    instructions  counted by callgrind: runs of one binary agree, however busy the machine\n  \
    allocations   calls of the heap allocator, once warm\n  \
    /parse        ns over those of parse_invite_600 in the same run\n  \
    /forward      ns over those of forward_invite_600: parse, route and rewrite\n\n\
    All work on one INVITE of 600 bytes, or on the rest of its call; register_* on REGISTERs of 600 bytes,\n\
    of 1,000,000 users in random order, each with a fresh nonce: what register_digest_md5 takes\n\
    beyond register_without_digest is the check. peer_* are published Rust parsers\n\
    on the same bytes, mark_* what known craft does with as many.\n\n\
    EXAMPLES\n  \
    trunkline-bench micro\n  \
    trunkline-bench micro --only parse --quick\n  \
    trunkline-bench micro --json -            one JSON list on standard output\n  \
    perf record trunkline-bench micro-case forward_invite_600 --iterations 10000000")]
pub(crate) struct Arguments {
    /// Write the rows as JSON to this file too; - for standard output instead of the table.
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Only cases whose name contains this.
    #[arg(long, value_name = "SUBSTRING", default_value = "")]
    only: String,
    /// One short round: to see that all is well, not to compare.
    #[arg(long)]
    quick: bool,
    /// Leave out the instruction counts, which need valgrind.
    #[arg(long)]
    no_instructions: bool,
}

/// What one case costs per iteration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Nanoseconds of CPU time.
    pub(crate) ns: f64,
    /// Retired instructions; `None` where valgrind is missing.
    pub(crate) instructions: Option<u64>,
    /// Calls of the heap allocator.
    pub(crate) allocations: u64,
}

/// Runs the micro-benchmarks.
///
/// # Errors
/// One line that says what is missing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let cases: Vec<&Case> =
        CASES.iter().filter(|case| case.name.contains(&arguments.only)).collect();
    ensure!(!cases.is_empty(), "no case has \"{}\" in its name", arguments.only);
    let times = watched(|| timing::nanoseconds(&cases, &arguments.only, arguments.quick))?;
    let counts = if arguments.no_instructions {
        vec![None; cases.len()]
    } else {
        instructions::count(&cases)?
    };
    let messages = Messages::new();
    let rows = cases.iter().zip(times).zip(counts);
    let rows: Vec<Row> = rows
        .map(|((case, ns), instructions)| Row {
            name: case.name.to_owned(),
            ns,
            instructions,
            allocations: allocations(case, &messages),
        })
        .collect();
    if let Some(path) = arguments.json.as_deref() {
        json::write(&rows, path)?;
    }
    if arguments.json.as_deref() != Some("-") {
        table::print(&cases, &rows)?;
    }
    Ok(())
}

/// Measures, and says so when others used the machine meanwhile.
fn watched<T>(measure: impl FnOnce() -> Result<T>) -> Result<T> {
    let cores: Vec<u16> = Machine::probe()?.lcores.into_keys().collect();
    let watch = Watch::start(&cores)?;
    let measured = measure()?;
    if let Some(reason) = watch.finish(&[])?.reason {
        eprintln!("micro: disturbed, so the times may be too long: {reason}");
    }
    Ok(measured)
}

fn allocations(case: &Case, messages: &Messages) -> u64 {
    let mut work = case.work(messages);
    allocation_counter::measure(|| work(1)).count_total
}
