//! Retired instructions, by callgrind.
//!
//! Callgrind runs this same executable with one case and collects only inside [`counted`], so
//! what comes before, and the process's start, is not in the figure.

use super::cases::{CASES, Case, Work};
use super::messages::Messages;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Iterations that are counted: so many that entering and leaving [`counted`] adds less than a tenth of an
/// instruction to each.
const ITERATIONS: u64 = 500;
/// Callgrind processes at a time.
const PROCESSES: usize = 2;

/// Options of the hidden `trunkline-bench micro-case`.
#[derive(clap::Args)]
pub(crate) struct CaseArguments {
    /// Name of the case.
    name: String,
    /// How often.
    #[arg(long, default_value_t = ITERATIONS)]
    iterations: u64,
}

/// Does the work of one case and nothing else: what callgrind, or `perf`, looks at.
///
/// # Errors
/// When there is no such case.
pub(crate) fn run_case(arguments: &CaseArguments) -> Result<()> {
    let case = CASES.iter().find(|case| case.name == arguments.name);
    let case = case.with_context(|| format!("no case is called \"{}\"", arguments.name))?;
    let mut work = case.work(&Messages::new());
    // Else the counting of allocations would be counted too: nearly a tenth of what some peers do.
    allocation_counter::opt_out(|| counted(&mut work, arguments.iterations));
    Ok(())
}

/// The only place where callgrind collects; it finds this function by its name.
#[inline(never)]
fn counted(work: &mut Work, iterations: u64) {
    work(black_box(iterations));
}

/// Instructions of one iteration of each of `cases`; all `None` where valgrind is missing.
///
/// # Errors
/// When valgrind is there and fails.
pub(super) fn count(cases: &[&Case]) -> Result<Vec<Option<u64>>> {
    if !valgrind_is_there() {
        eprintln!(
            "micro: no valgrind, so no instruction counts; install Debian's package valgrind"
        );
        return Ok(vec![None; cases.len()]);
    }
    eprintln!("micro: counting instructions of {} cases", cases.len());
    let counts = Mutex::new(vec![None; cases.len()]);
    let waiting = Mutex::new(cases.iter().enumerate());
    let next = || waiting.lock().map_or(None, |mut waiting| waiting.next());
    let serve = || -> Result<()> {
        while let Some((index, case)) = next() {
            let count = callgrind(case.name)?;
            counts.lock().map_err(|_| anyhow!("a counting thread failed"))?[index] = Some(count);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(serve)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow!("a counting thread failed"))?
        })
    })?;
    counts.into_inner().map_err(|_| anyhow!("a counting thread failed"))
}

fn valgrind_is_there() -> bool {
    let status = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn callgrind(name: &str) -> Result<u64> {
    let collect = format!("--toggle-collect={}::counted", module_path!());
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", &collect])
        .arg(std::env::current_exe()?)
        .args(["micro-case", name, "--iterations", &ITERATIONS.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("callgrind on {name} ended with {}; it said:\n{said}", output.status);
    }
    let total = collected(&said)
        .with_context(|| format!("callgrind on {name} collected nothing; it said:\n{said}"))?;
    ensure!(total > ITERATIONS, "callgrind found no function {collect}");
    Ok((total + ITERATIONS / 2) / ITERATIONS)
}

/// The instructions of callgrind's line `==PID== Collected : COUNT`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("== Collected : "))?.1;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_callgrind_is_read() {
        let said = "==3406== For interactive control, run 'callgrind_control -h'.\n\
                    ==3406== \n==3406== Events    : Ir\n==3406== Collected : 3287865\n==3406== \n\
                    ==3406== I   refs:      3,287,865\n";
        assert_eq!(collected(said), Some(3_287_865));
        assert_eq!(collected("==3406== Events    : Ir\n==3406== Collected :\n"), None);
        assert_eq!(collected("valgrind: no such tool\n"), None);
    }
}
