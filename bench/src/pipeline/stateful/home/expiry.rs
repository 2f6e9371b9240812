//! The expiry scenario: whether refreshes get slower while bindings of others end.
//!
//! Half of the users refresh their bindings without a pause; those of the other half end, evenly spread over
//! the time of the measurement. The worker's clock goes as fast as the worker works.

use super::super::super::Arguments;
use super::super::plan;
use super::users::Users;
use super::{Home, check_memory, sizes_for};
use crate::disturbance::{Disturbance, Watch};
use crate::hugepages;
use crate::plot::{Chart, Series, lines};
use anyhow::{Context, Result, ensure};
use dataplane::huge_pages::ask_for_huge_pages;
use dataplane::mbuf::DpdkQueues;
use dataplane::probe::NoProbe;
use dataplane::testing::lcore::run_on_lcores;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// A sample, in nanoseconds of the worker.
const SAMPLE_NS: u64 = 100_000_000;
/// Seconds that those who refresh ask for.
const STEADY_S: [u32; 2] = [7_200, 7_200];
/// Seconds from the first registration to the first end: all of them are there by then.
const START_S: u32 = 60;
/// An interruption counts as no more than so much work of the worker.
const INTERRUPTED_NS: u64 = 10_000;

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ExpiryReport {
    scenario: &'static str,
    /// Bindings that ended meanwhile.
    expired: u64,
    /// Bindings that were there all the time.
    refreshed_bindings: u64,
    seconds: f64,
    samples: usize,
    median_registers_per_second: f64,
    lowest_registers_per_second: f64,
    /// The lowest sample against the median.
    lowest_to_median: f64,
    /// Samples below nine tenths of the median.
    dips: usize,
    #[serde(flatten)]
    disturbance: Disturbance,
    /// Each sample, in REGISTERs per second.
    rates: Vec<f64>,
}

struct Found {
    expired: u64,
    rates: Vec<f64>,
}

/// Runs the scenario.
///
/// # Errors
/// One line that says what is missing.
pub(in crate::pipeline) fn run(arguments: &Arguments) -> Result<()> {
    ask_for_huge_pages().context("cannot start anew, as the appliance does")?;
    let lcores = &arguments.lcores[arguments.lcores.len() - 1..];
    let (users, seconds) = (arguments.alive, u32::try_from(arguments.seconds)?);
    check_memory(sizes_for(2 * users))?;
    let _hugepages = hugepages::reserve();
    let plan = plan(lcores)?;
    let watch = Watch::start(lcores)?;
    eprintln!(
        "pipeline: {users} users refresh, the bindings of {users} others end within {seconds} s"
    );
    let found = run_on_lcores(&plan, Path::new(""), move |_, queues| work(queues, users, seconds))?;
    let found = found.into_iter().next().context("no lcore measured")??;
    let report = ExpiryReport::new(found, users, watch.finish(&[])?);
    if let Some(stem) = &arguments.plot {
        plot(stem, &report)?;
    }
    if let Some(path) = arguments.json.as_deref() {
        crate::json::write(&report, path)?;
    }
    if arguments.json.as_deref() != Some("-") {
        print(&report)?;
    }
    Ok(())
}

fn work(queues: DpdkQueues, count: u32, seconds: u32) -> Result<Found> {
    let mut home = Home::new(queues, sizes_for(2 * count), NoProbe)?;
    let mut steady = Users::new(0, count, STEADY_S);
    let mut passing = Users::new(count, count, [START_S, START_S + seconds]);
    home.fill(&mut passing)?;
    home.fill(&mut steady)?;
    steady.is_endless = true;
    // What comes before the first end is passed over, a millisecond at a time.
    for _ in 0..START_S * 1_000 {
        home.time.increment(1_000_000_u64);
        home.round(&mut steady)?;
    }
    let before = home.bindings()[1];
    let samples = u64::from(seconds) * 1_000_000_000 / SAMPLE_NS;
    let rates = (0..samples).map(|_| sample(&mut home, &mut steady)).collect::<Result<_>>()?;
    let expired = before - home.bindings()[1];
    ensure!(expired > 0, "no binding ended");
    Ok(Found { expired, rates })
}

/// REGISTERs per second of the worker, during one sample.
#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn sample(home: &mut Home<NoProbe>, users: &mut Users) -> Result<f64> {
    let (mut worked_ns, mut messages) = (0, 0);
    while worked_ns < SAMPLE_NS {
        let round = home.round(users)?;
        let spent = home.clock.delta_as_nanos(0, round.ticks);
        let worked = if round.is_whole { spent } else { spent.min(INTERRUPTED_NS) };
        home.time.increment(worked);
        worked_ns += worked;
        messages += round.messages;
    }
    Ok(messages as f64 / (worked_ns as f64 / 1e9))
}

impl ExpiryReport {
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    fn new(found: Found, users: u32, disturbance: Disturbance) -> Self {
        let mut sorted = found.rates.clone();
        sorted.sort_by(f64::total_cmp);
        let (median, lowest) = (sorted[sorted.len() / 2], sorted[0]);
        Self {
            scenario: "expiry",
            expired: found.expired,
            refreshed_bindings: users.into(),
            seconds: sorted.len() as f64 * SAMPLE_NS as f64 / 1e9,
            samples: sorted.len(),
            median_registers_per_second: median,
            lowest_registers_per_second: lowest,
            lowest_to_median: lowest / median,
            dips: sorted.iter().filter(|&&rate| rate < 0.9 * median).count(),
            disturbance,
            rates: found.rates,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a small number of samples")]
fn plot(stem: &Path, report: &ExpiryReport) -> Result<()> {
    let at = |(index, rate): (usize, &f64)| (index as f64 / 10.0, rate / 1e6);
    let points = report.rates.iter().enumerate().map(at).collect();
    let limit = 0.9 * report.median_registers_per_second / 1e6;
    let ends = [0.0, report.seconds].map(|second| (second, limit)).to_vec();
    let chart = Chart {
        title: format!("Refreshes while {} bindings end", report.expired),
        subtitle: format!(
            "trunkline-bench pipeline --scenario expiry, samples of 100 ms on one core\n\
             lowest {:.1} % of the median",
            100.0 * report.lowest_to_median
        ),
        x_label: "seconds of the worker".to_owned(),
        y_label: "million REGISTER/s".to_owned(),
        x_log: false,
        y_log: false,
    };
    let limit = Series { dashed: true, ..Series::new("nine tenths of the median", ends) };
    lines(stem, &chart, &[Series::new("refreshes", points), limit])
}

fn print(report: &ExpiryReport) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} bindings ended within {:.0} s of the worker, beside refreshes of {} others",
        report.expired, report.seconds, report.refreshed_bindings
    )?;
    writeln!(
        out,
        "  {} samples of 100 ms: median {:.3} million/s, lowest {:.3} ({:.1} % of it), {} below 90 %",
        report.samples,
        report.median_registers_per_second / 1e6,
        report.lowest_registers_per_second / 1e6,
        100.0 * report.lowest_to_median,
        report.dips
    )?;
    if let Some(reason) = &report.disturbance.reason {
        writeln!(out, "  DISTURBED: {reason}")?;
    }
    Ok(())
}
