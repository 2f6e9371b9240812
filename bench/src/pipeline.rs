//! The whole pipeline on one core over `net_pcap` with `infinite_rx=1`, which plays a capture of
//! Proxy-200 calls for ever and throws away what is sent.

use crate::report::{PipelineReport, StageCost};
use crate::{corpus, hugepages, pcap, report, testpmd};
use anyhow::{Context, Result, ensure};
use dataplane::decode::DecodeRules;
use dataplane::mailbox::{Command, mailbox};
use dataplane::mbuf::DpdkQueues;
use dataplane::probe::{NoProbe, Probe, Stage, StageClock};
use dataplane::stats::QueueCounters;
use dataplane::testing::appliance::{Appliance, lab_epoch, lab_fib, lab_settings};
use dataplane::testing::lcore::run_on_lcore;
use dataplane::worker::{Worker, WorkerPort};
use nic_config::machine::Machine;
use nic_config::plan::NicPlan;
use nic_config::settings::NicSettings;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Different calls in the capture: enough that no two neighbours share a Call-ID, few enough that the
/// capture stays in the cache as packets from a NIC with DDIO would.
const CALLS: usize = 64;
/// Throughput runs, of which the median counts.
const RUNS: usize = 5;
/// Rounds between two looks at the clock.
const ROUNDS: u32 = 256;

/// Options of `trunkline-bench pipeline`.
#[derive(clap::Args)]
#[command(after_help = "EXAMPLES\n  \
    trunkline-bench pipeline\n  \
    trunkline-bench pipeline --seconds 5 --json -      one JSON object on standard output\n\n\
    The worker is the appliance's own, with a static neighbour table. Two lcores are used: one measures, \
    the other waits. testpmd runs on the same capture before and after, on the same lcore.")]
pub(crate) struct Arguments {
    /// Length of each measurement, of which there are eight.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// The lcore that measures.
    #[arg(long, default_value_t = 1)]
    lcore: u16,
    /// Write the result as JSON to this file; - for standard output instead of the report.
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
}

/// What the lcore found.
struct Measured {
    rates: Vec<f64>,
    allocations_per_message: f64,
    messages: u64,
    forwarded: u64,
    dropped: u64,
    received_bytes: u64,
    stages: Vec<StageCost>,
}

/// Runs the bench.
///
/// # Errors
/// One line that says what is missing.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let progress = |text: &str| eprintln!("pipeline: {text}");
    let folder = std::env::temp_dir().join(format!("trunkline-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let capture = folder.join("proxy-200.pcap");
    pcap::write(&capture, &corpus::proxy_200(&mut Appliance::default(), CALLS))?;
    let reserved = hugepages::reserve();
    let result = measure(arguments, &capture, &progress);
    drop(reserved);
    std::fs::remove_dir_all(&folder)?;
    let report = result?;
    match arguments.json.as_deref() {
        Some(path) => report::write_json(&report, path)?,
        None => report::print(&report)?,
    }
    Ok(())
}

fn measure(
    arguments: &Arguments,
    capture: &Path,
    progress: &impl Fn(&str),
) -> Result<PipelineReport> {
    let plan = plan(arguments, capture)?;
    let memory: Vec<String> = nic_config::eal::eal_args(&plan)
        .into_iter()
        .filter(|argument| !matches!(argument.as_str(), "--no-pci" | "--no-telemetry"))
        .collect();
    let seconds = arguments.seconds;
    let main = plan.service;
    progress("dpdk-testpmd in macswap mode");
    let before = testpmd::macswap(capture, main, arguments.lcore, &memory, seconds)?;
    progress("the pipeline");
    let measured = run_on_lcore(&plan, move |queues| work(queues, Duration::from_secs(seconds)))?;
    progress("dpdk-testpmd once more");
    let after = testpmd::macswap(capture, main, arguments.lcore, &memory, seconds)?;
    ensure!(measured.dropped == 0, "{} messages were dropped", measured.dropped);
    Ok(summarise(measured, before.midpoint(after), plan.memory.hugepages))
}

/// One pcap port with one queue on the chosen lcore.
fn plan(arguments: &Arguments, capture: &Path) -> Result<NicPlan> {
    let main = u16::from(arguments.lcore == 0);
    let text = format!(
        "[[ports]]\nname = \"bench\"\n\
         vdev = \"net_pcap0,rx_pcap={},infinite_rx=1\"\n\
         [lcores]\nworkers = [{}]\nservice = {main}\n",
        capture.display(),
        arguments.lcore
    );
    let settings = NicSettings::from_toml(&text)?;
    let machine = Machine::probe().context("cannot look at this machine")?;
    Ok(nic_config::plan::plan(&settings, &machine)?)
}

/// What runs on the lcore: throughput first, then the same again with a clock after each stage.
fn work(queues: DpdkQueues, length: Duration) -> Measured {
    let clock = quanta::Clock::new();
    let counters: Arc<QueueCounters> = Arc::default();
    let mut worker = worker(queues, &counters, &clock, NoProbe);
    poll(&mut worker, length); // Warm-up.
    let rates = (0..RUNS).map(|_| rate(&mut worker, &counters, length)).collect();
    let start = counters.received.get();
    let allocated = allocation_counter::measure(|| poll(&mut worker, length));
    let counted = counters.received.get() - start;
    let stage_clock = StageClock::new(clock.clone());
    let mut worker = worker_with_probe(worker, &counters, &clock, stage_clock);
    let start = counters.received.get();
    poll(&mut worker, length);
    let probed = counters.received.get() - start;
    let status = counters.status("bench", 0, 0);
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    Measured {
        rates,
        allocations_per_message: allocated.count_total as f64 / counted as f64,
        messages: status.received,
        forwarded: status.forwarded,
        dropped: status.dropped_total(),
        received_bytes: status.received_bytes,
        stages: stage_costs(&worker.probe, &clock, probed),
    }
}

fn worker<Pr: Probe>(
    queues: DpdkQueues,
    counters: &Arc<QueueCounters>,
    clock: &quanta::Clock,
    probe: Pr,
) -> Worker<DpdkQueues, Pr> {
    let (mailbox, service) = mailbox();
    let rules = DecodeRules { verify_checksums: true };
    let ports = vec![WorkerPort { rules, counters: Arc::clone(counters) }];
    let mut worker = Worker::new(queues, ports, mailbox, clock.clone(), probe);
    let fib = lab_fib(1, [0, 0], true); // Both sides of the call on the one pcap port.
    assert!(service.send(Command::Fib(Arc::new(fib))).is_ok());
    assert!(service.send(Command::Epoch(Arc::new(lab_epoch(&lab_settings())))).is_ok());
    worker.attend();
    worker
}

fn worker_with_probe(
    old: Worker<DpdkQueues, NoProbe>,
    counters: &Arc<QueueCounters>,
    clock: &quanta::Clock,
    probe: StageClock,
) -> Worker<DpdkQueues, StageClock> {
    worker(old.into_io(), counters, clock, probe)
}

fn poll<Pr: Probe>(worker: &mut Worker<DpdkQueues, Pr>, length: Duration) {
    let end = Instant::now() + length;
    while Instant::now() < end {
        for _ in 0..ROUNDS {
            worker.run_once();
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate, not an account")]
fn rate(
    worker: &mut Worker<DpdkQueues, NoProbe>,
    counters: &QueueCounters,
    length: Duration,
) -> f64 {
    let (start, began) = (counters.received.get(), Instant::now());
    poll(worker, length);
    (counters.received.get() - start) as f64 / began.elapsed().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn stage_costs(probe: &StageClock, clock: &quanta::Clock, messages: u64) -> Vec<StageCost> {
    let mark_ns = cost_of_a_mark(clock);
    let cost = |stage: Stage| StageCost {
        stage: stage.name(),
        ns_per_message: probe.ns(stage, mark_ns) / messages as f64,
    };
    Stage::ALL.into_iter().map(cost).collect()
}

/// Nanoseconds that one reading of the clock takes.
#[expect(clippy::cast_precision_loss, reason = "a small number of nanoseconds")]
fn cost_of_a_mark(clock: &quanta::Clock) -> f64 {
    const READINGS: u32 = 100_000;
    let start = clock.raw();
    for _ in 0..READINGS {
        std::hint::black_box(clock.raw());
    }
    clock.delta_as_nanos(start, clock.raw()) as f64 / f64::from(READINGS)
}

#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn summarise(mut measured: Measured, testpmd: f64, hugepages: bool) -> PipelineReport {
    measured.rates.sort_by(f64::total_cmp);
    let median = measured.rates[RUNS / 2];
    PipelineReport {
        scenario: "stateless",
        cores: 1,
        messages_per_second: median,
        ns_per_message: 1e9 / median,
        allocations_per_message: measured.allocations_per_message,
        ratio_to_testpmd_macswap: median / testpmd,
        testpmd_macswap_packets_per_second: testpmd,
        messages_per_second_range: [measured.rates[0], measured.rates[RUNS - 1]],
        messages: measured.messages,
        forwarded: measured.forwarded,
        dropped: measured.dropped,
        mean_frame_bytes: measured.received_bytes as f64 / measured.messages as f64,
        hugepages,
        stages: measured.stages,
    }
}
