//! The expiry scenario: whether refreshes get slower while bindings of others end.
//!
//! Half of the users refresh their bindings without a pause; those of the other half end, evenly spread over
//! the time of the measurement. The worker's clock goes as fast as the worker works. After every second of these
//! samples comes another during which that clock stands, so that nothing ends: what both have is the machine's.

use super::super::super::Arguments;
use super::super::plan;
use super::samples::{Distribution, Rate, SAMPLE_NS, Sample, sample};
use super::users::Users;
use super::{Home, check_memory, sizes_for};
use crate::disturbance::{Disturbance, Watch};
use crate::hugepages;
use anyhow::{Context, Result, ensure};
use dataplane::huge_pages::ask_for_huge_pages;
use dataplane::mbuf::DpdkQueues;
use dataplane::probe::NoProbe;
use dataplane::testing::lcore::run_on_lcores;
use plot::{Chart, Series, lines};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// Seconds that those who refresh ask for.
const STEADY_S: [u32; 2] = [7_200, 7_200];
/// Seconds from the first registration to the first end: all of them are there by then.
const START_S: u32 = 60;
/// Samples before one of the control.
const CONTROL_EVERY: usize = 2;
/// Dips that are printed one by one.
const DIPS_SHOWN: usize = 20;

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ExpiryReport {
    scenario: &'static str,
    /// Bindings that ended meanwhile.
    expired: u64,
    /// Bindings that were there all the time.
    refreshed_bindings: u64,
    /// Of the worker, while bindings ended.
    seconds: f64,
    allocations_per_register: f64,
    expiring: Kind,
    control: Kind,
    #[serde(flatten)]
    disturbance: Disturbance,
}

/// All samples of a kind, in REGISTERs per second.
#[derive(Clone, Debug, Serialize)]
struct Kind {
    /// By the clock on the wall.
    as_measured: Distribution,
    /// By the CPU time that the thread had.
    per_cpu: Distribution,
    samples: Vec<Sample>,
}

struct Found {
    expired: u64,
    allocations_per_register: f64,
    expiring: Vec<Sample>,
    control: Vec<Sample>,
}

/// Runs the scenario.
///
/// # Errors
/// One line that says what is missing.
pub(in crate::pipeline) fn run(arguments: &Arguments) -> Result<()> {
    ask_for_huge_pages().context("cannot start anew, as the appliance does")?;
    let lcores = &arguments.lcores[arguments.lcores.len() - 1..];
    let (users, seconds, lcore) = (arguments.alive, arguments.seconds, lcores[0]);
    check_memory(sizes_for(2 * users))?;
    let _hugepages = hugepages::reserve();
    let plan = plan(lcores)?;
    let watch = Watch::start(lcores)?;
    eprintln!(
        "pipeline: {users} users refresh, the bindings of {users} others end within {seconds} s; between their samples none ends"
    );
    let found =
        run_on_lcores(&plan, Path::new(""), move |_, queues| work(queues, users, seconds, lcore))?;
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

#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0.1 to 600 s")]
fn work(queues: DpdkQueues, count: u32, seconds: f64, lcore: u16) -> Result<Found> {
    let mut home = Home::new(queues, sizes_for(2 * count), NoProbe)?;
    let mut steady = Users::new(0, count, STEADY_S);
    let mut passing = Users::new(count, count, [START_S, START_S + seconds.ceil() as u32]);
    home.fill(&mut passing)?;
    home.fill(&mut steady)?;
    steady.is_endless = true;
    // What comes before the first end is passed over, a millisecond at a time.
    for _ in 0..START_S * 1_000 {
        home.time.increment(1_000_000_u64);
        home.round(&mut steady)?;
    }
    let (before, received) = (home.bindings()[1], home.counters.received.get());
    home.allocations = 0;
    let count = (seconds * 1e9 / SAMPLE_NS as f64).round().max(1.0) as usize;
    let (mut expiring, mut control) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for index in 0..count {
        expiring.push(sample(&mut home, &mut steady, lcore, true)?);
        if index % CONTROL_EVERY == 0 {
            control.push(sample(&mut home, &mut steady, lcore, false)?);
        }
    }
    let received = home.counters.received.get() - received;
    let allocations_per_register = home.allocations as f64 / received as f64;
    let expired = before - home.bindings()[1];
    ensure!(expired > 0, "no binding ended");
    Ok(Found { expired, allocations_per_register, expiring, control })
}

impl ExpiryReport {
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    fn new(found: Found, users: u32, disturbance: Disturbance) -> Self {
        Self {
            scenario: "expiry",
            expired: found.expired,
            refreshed_bindings: users.into(),
            seconds: found.expiring.len() as f64 * SAMPLE_NS as f64 / 1e9,
            allocations_per_register: found.allocations_per_register,
            expiring: Kind::new(found.expiring),
            control: Kind::new(found.control),
            disturbance,
        }
    }

    /// All four ways to look at the samples, with their names.
    fn ways(&self) -> [(&'static str, &Distribution, &[Sample], Rate); 4] {
        let (expiring, control) = (&self.expiring, &self.control);
        [
            ("bindings end", &expiring.as_measured, &expiring.samples, MEASURED),
            ("bindings end, per CPU", &expiring.per_cpu, &expiring.samples, PER_CPU),
            ("none ends", &control.as_measured, &control.samples, MEASURED),
            ("none ends, per CPU", &control.per_cpu, &control.samples, PER_CPU),
        ]
    }
}

const MEASURED: Rate = |sample| sample.registers_per_second;
const PER_CPU: Rate = |sample| sample.registers_per_cpu_second;

impl Kind {
    fn new(samples: Vec<Sample>) -> Self {
        let as_measured = Distribution::of(&samples, MEASURED);
        Self { as_measured, per_cpu: Distribution::of(&samples, PER_CPU), samples }
    }
}

/// Draws the samples in their order, and how many of them are how low.
fn plot(stem: &Path, report: &ExpiryReport) -> Result<()> {
    let chart = |title: String, x_label: &str, y_label: &str, y_log| Chart {
        title,
        subtitle: format!(
            "trunkline-bench pipeline --scenario expiry, samples of 100 ms on one core\n\
             lowest while bindings end: {:.1} % of the median, {:.1} % per CPU time that the thread had",
            100.0 * report.expiring.as_measured.lowest_to_median,
            100.0 * report.expiring.per_cpu.lowest_to_median
        ),
        x_label: x_label.to_owned(),
        y_label: y_label.to_owned(),
        x_log: false,
        y_log,
    };
    let title = format!("Refreshes while {} bindings end", report.expired);
    lines(
        stem,
        &chart(title, "seconds of the worker", "million REGISTER/s", false),
        &in_order(report),
    )?;
    let mut name = stem.as_os_str().to_owned();
    name.push("-distribution");
    let title = "Samples as low as that, with bindings that end and without".to_owned();
    let chart = chart(title, "% of the median of its kind", "% of the samples", true);
    lines(Path::new(&name), &chart, &by_height(report))
}

#[expect(clippy::cast_precision_loss, reason = "a small number of samples")]
fn in_order(report: &ExpiryReport) -> [Series; 3] {
    let points = |rate: Rate| {
        let samples = report.expiring.samples.iter().enumerate();
        samples.map(|(index, sample)| (index as f64 / 10.0, rate(sample) / 1e6)).collect()
    };
    let limit = 0.9 * report.expiring.as_measured.median / 1e6;
    let ends = [0.0, report.seconds].map(|second| (second, limit)).to_vec();
    [
        Series::new("per CPU time", points(PER_CPU)),
        Series::new("as measured", points(MEASURED)),
        Series { dashed: true, ..Series::new("nine tenths of the median", ends) },
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a small number of samples")]
fn by_height(report: &ExpiryReport) -> Vec<Series> {
    let series = |(name, distribution, samples, rate): (&str, &Distribution, &[Sample], Rate)| {
        let mut sorted: Vec<f64> =
            samples.iter().map(|sample| 100.0 * rate(sample) / distribution.median).collect();
        sorted.sort_by(f64::total_cmp);
        let percent = 100.0 / sorted.len() as f64;
        let points =
            sorted.iter().zip(1..).map(|(&height, count)| (height, percent * f64::from(count)));
        Series::new(name, points.collect())
    };
    let mut all: Vec<_> = report.ways().into_iter().map(series).collect();
    let ends = [100.0 / report.expiring.samples.len() as f64, 100.0];
    let ends = ends.map(|percent| (90.0, percent)).to_vec();
    all.push(Series { dashed: true, ..Series::new("nine tenths", ends) });
    all
}

fn print(report: &ExpiryReport) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} bindings ended within {:.1} s of the worker, beside refreshes of {} others; {:.4} allocations per REGISTER",
        report.expired, report.seconds, report.refreshed_bindings, report.allocations_per_register
    )?;
    writeln!(
        out,
        "  {:<22} {:>8} {:>12} {:>12} {:>12} {:>11}",
        "samples of 100 ms", "samples", "median, M/s", "lowest, M/s", "of median, %", "below 90 %"
    )?;
    for (name, distribution, samples, _) in report.ways() {
        writeln!(
            out,
            "  {name:<22} {:>8} {:>12.3} {:>12.3} {:>12.1} {:>11}",
            samples.len(),
            distribution.median / 1e6,
            distribution.lowest / 1e6,
            100.0 * distribution.lowest_to_median,
            distribution.dips
        )?;
    }
    print_dips(report, &mut out)?;
    if let Some(reason) = &report.disturbance.reason {
        writeln!(out, "  DISTURBED: {reason}")?;
    }
    Ok(())
}

/// The lowest samples one by one, with what the machine took.
#[expect(clippy::cast_precision_loss, reason = "a small number of samples")]
fn print_dips(report: &ExpiryReport, out: &mut impl Write) -> std::io::Result<()> {
    let mut dips = vec![];
    let (expiring, control) = (&report.expiring, &report.control);
    for (name, kind, every) in
        [("bindings end", expiring, 1), ("none ends", control, CONTROL_EVERY)]
    {
        for (index, sample) in kind.samples.iter().enumerate() {
            let part = |rate: Rate, all: &Distribution| 100.0 * rate(sample) / all.median;
            let measured = part(MEASURED, &kind.as_measured);
            let per_cpu = part(PER_CPU, &kind.per_cpu);
            if measured.min(per_cpu) < 90.0 {
                dips.push((measured, per_cpu, name, (every * index) as f64 / 10.0, sample));
            }
        }
    }
    if dips.is_empty() {
        return Ok(());
    }
    dips.sort_by(|one, other| one.0.total_cmp(&other.0));
    writeln!(
        out,
        "  {:<14} {:>8} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>14}",
        "lowest samples",
        "second",
        "measured %",
        "per CPU %",
        "taken ms",
        "steal ms",
        "delay ms",
        "switches",
        "longest us CPU"
    )?;
    for (measured, per_cpu, name, second, sample) in dips.into_iter().take(DIPS_SHOWN) {
        writeln!(
            out,
            "  {name:<14} {:>8.1} {measured:>10.1} {per_cpu:>10.1} {:>9.2} {:>9.0} {:>9.2} {:>9} {:>14.1}",
            second,
            sample.taken_ms,
            sample.steal_ms,
            sample.run_delay_ms,
            sample.involuntary_switches,
            sample.longest_round_us
        )?;
    }
    Ok(())
}
