//! The whole pipeline on one or more cores over `net_pcap` with `infinite_rx=1`, which plays a capture of
//! Proxy-200 calls for ever and throws away what is sent.

mod elephant;
mod first_stage;
mod lcore;
mod measure;
mod report;
mod stateful;

pub(crate) use lcore::{Rate, cost_of_a_mark, cpu_seconds};
pub(crate) use measure::{Measured, Setup};
pub(crate) use report::StageCost;
pub(crate) use stateful::overload;

use crate::disturbance::{Disturbance, Watch};
use crate::testpmd;
use anyhow::Result;
use report::{CoreRate, PipelineReport};
use std::time::Duration;

/// Options of `trunkline-bench pipeline`.
#[derive(clap::Args)]
#[command(after_help = "EXAMPLES\n  \
    trunkline-bench pipeline\n  \
    trunkline-bench pipeline --lcores 0,1              two cores, and their speedup over one\n  \
    trunkline-bench pipeline --scenario elephant --lcores 0,1\n  \
    trunkline-bench pipeline --scenario first-stage    first stage beside plain forwarding\n  \
    trunkline-bench pipeline --seconds 5 --json -      one JSON object on standard output\n  \
    trunkline-bench pipeline --scenario register       refreshes of the bindings of 1,000,000 users\n  \
    trunkline-bench pipeline --scenario expiry --seconds 180 --plot expiry\n  \
    trunkline-bench pipeline --scenario load --alive 5000000\n\n\
    The worker is the appliance's own, with a static neighbour table. The last of the lcores is measured \
    alone, while the others sleep, and by turns with it all of them together. testpmd runs on the same \
    capture before and after, on the same last lcore; its main thread waits on another.")]
pub(crate) struct Arguments {
    /// Length of each measurement, of which there are eight, and with several lcores thirteen; in seconds, 0.1 to 600.
    #[arg(long, default_value_t = 2.0, value_parser = length)]
    seconds: f64,
    /// The lcores that measure, in ascending order, one queue and one worker for each.
    #[arg(long, alias = "lcore", value_delimiter = ',', default_value = "1", value_name = "LIST")]
    lcores: Vec<u16>,
    /// What passes: single messages without state, or whole calls with transactions.
    #[arg(long, value_enum, default_value_t = Scenario::Stateless)]
    scenario: Scenario,
    /// Stateful: transactions that are alive all the time, of each worker. Register, expiry, load: users.
    #[arg(long, default_value_t = 1_000_000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    alive: u32,
    /// Stateful: calls that are under way at a time: so many others pass between two messages of a call.
    #[arg(long, default_value_t = 1_024, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(32..=4_096))]
    calls: u32,
    /// Stateful: share of the responses that come to the wrong worker, to measure hand-offs; 0 to 1.
    #[arg(long, default_value_t = 0.5, value_name = "SHARE", value_parser = share)]
    stray: f64,
    /// Expiry: draw the samples into STEM.svg and STEM.png.
    #[arg(long, value_name = "STEM")]
    plot: Option<std::path::PathBuf>,
    /// Write the result as JSON to this file too; - for standard output instead of the report.
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
}

/// What passes through the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Messages of calls, forwarded without state.
    Stateless,
    /// The same messages as one flow on one queue: alone, and with work spilled to the other lcores.
    Elephant,
    /// Registrations and calls through the first of two stages, by turns with the same messages forwarded to one
    /// fixed place.
    FirstStage,
    /// Whole calls, with a transaction for each request.
    Stateful,
    /// Timers of all transactions that expire within one second, while messages flow.
    Timers,
    /// Refreshes of the bindings of many users, in random order.
    Register,
    /// The same with credentials that are asked for and checked (MD5).
    RegisterDigest,
    /// The same calls as in locate, forwarded to one place: the difference is the look-up.
    Relay,
    /// Calls as in stateful, each to one of many users, whose bindings are looked up.
    Locate,
    /// Refreshes in samples of 100 ms, while the bindings of as many others end.
    Expiry,
    /// Stored bindings that a worker takes in at its start.
    Load,
}

impl Arguments {
    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn length(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=600.0).contains(seconds));
    seconds.ok_or_else(|| format!("{text:?} is not a number from 0.1 to 600"))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{text:?} is not a number from 0 to 1"))
}

/// Runs the bench.
///
/// # Errors
/// One line that says what is missing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.scenario {
        Scenario::Stateless => run_stateless(arguments),
        Scenario::Elephant => elephant::run(arguments),
        Scenario::FirstStage => first_stage::run(arguments),
        Scenario::Stateful => stateful::run(arguments),
        Scenario::Timers => stateful::run_timers(arguments),
        Scenario::Register => stateful::run_register(arguments),
        Scenario::RegisterDigest => stateful::run_with_digest(arguments),
        Scenario::Relay => stateful::run_relay(arguments),
        Scenario::Locate => stateful::run_locate(arguments),
        Scenario::Expiry => stateful::run_expiry(arguments),
        Scenario::Load => stateful::run_load(arguments),
    }
}

fn run_stateless(arguments: &Arguments) -> Result<()> {
    let report = measure(arguments)?;
    if let Some(path) = arguments.json.as_deref() {
        crate::json::write(&report, path)?;
    }
    if arguments.json.as_deref() != Some("-") {
        report::print(&report)?;
    }
    Ok(())
}

fn measure(arguments: &Arguments) -> Result<PipelineReport> {
    let progress = |text: &str| eprintln!("pipeline: {text}");
    let setup = Setup::new(&arguments.lcores)?;
    let memory: Vec<String> = nic_config::eal::eal_args(setup.plan())
        .into_iter()
        .filter(|argument| !matches!(argument.as_str(), "--no-pci" | "--no-telemetry"))
        .collect();
    // testpmd counts whole seconds.
    let (capture, seconds) = (setup.capture(), arguments.length().as_secs().max(1));
    let (main, lcore) = (setup.plan().service, setup.first_lcore());
    progress("dpdk-testpmd in macswap mode");
    let watch = Watch::start(&arguments.lcores)?;
    let before = testpmd::macswap(&capture, main, lcore, &memory, seconds)?;
    progress("the pipeline");
    let measured = setup.measure(arguments.length())?;
    progress("dpdk-testpmd once more");
    let after = testpmd::macswap(&capture, main, lcore, &memory, seconds)?;
    let disturbance = watch.finish(&[])?;
    let hugepages = setup.plan().memory.hugepages;
    Ok(summarise(measured, before.midpoint(after), hugepages, disturbance))
}

#[expect(clippy::cast_precision_loss, reason = "a small number of cores")]
fn summarise(
    measured: Measured,
    testpmd: f64,
    hugepages: bool,
    disturbance: Disturbance,
) -> PipelineReport {
    let by = |rate: &Rate| rate.per_second;
    let [median, lowest, highest] = measured.all_cores(by);
    let cores = measured.together.len();
    let one = measured.one_core(by)[0];
    let core = |(lcore, messages_per_second)| CoreRate { lcore, messages_per_second };
    PipelineReport {
        scenario: "stateless",
        cores,
        messages_per_second: median,
        ns_per_message: 1e9 * cores as f64 / median,
        per_core: measured.per_core(by).map(core).collect(),
        one_core_messages_per_second: one,
        speedup: measured.speedup(by),
        allocations_per_message: measured.allocations_per_message,
        ratio_to_testpmd_macswap: one / testpmd,
        testpmd_macswap_packets_per_second: testpmd,
        messages_per_second_range: [lowest, highest],
        messages: measured.messages,
        forwarded: measured.forwarded,
        dropped: measured.dropped,
        mean_frame_bytes: measured.mean_frame_bytes,
        hugepages,
        disturbance,
        stages: measured.stages,
    }
}
