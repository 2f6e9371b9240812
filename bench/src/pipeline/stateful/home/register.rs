//! The register scenario: refreshes of bindings in random order.

use super::super::super::Arguments;
use super::super::super::lcore::cost_of_a_mark;
use super::super::super::report::StageCost;
use super::super::plan;
use super::super::site::Round;
use super::digest::{self, Provers};
use super::users::Users;
use super::{Home, check_memory, settings, sizes_for};
use crate::disturbance::{Disturbance, Watch};
use crate::hugepages;
use anyhow::{Context, Result, ensure};
use dataplane::huge_pages::ask_for_huge_pages;
use dataplane::mbuf::DpdkQueues;
use dataplane::probe::{NoProbe, Probe, Stage, StageClock};
use dataplane::testing::lcore::run_on_lcores;
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs, of which the median counts.
const RUNS: usize = 5;
/// Rounds of a slice.
const SLICE_ROUNDS: u32 = 256;
/// Seconds that bindings last: none is over while it is measured.
const EXPIRES_S: [u32; 2] = [3_600, 3_600];

/// The result of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RegisterReport {
    scenario: &'static str,
    /// Users with one binding each.
    aors: u64,
    bindings: u64,
    /// Of a worker, for a REGISTER that refreshes a binding: median of the runs.
    ns_per_register: f64,
    /// Lowest and highest of the runs.
    ns_per_register_range: [f64; 2],
    /// One core.
    registers_per_second: f64,
    /// Nanoseconds for a challenge, where credentials are asked for: each registration takes one of both.
    ns_per_challenge: Option<f64>,
    allocations_per_register: f64,
    /// Tables, index, timers and texts for one user with one binding.
    bytes_per_aor: f64,
    register_bytes: usize,
    /// The longest round of the worker while it took in all users: 32 new bindings; in microseconds.
    longest_fill_round_us: f64,
    hugepages: bool,
    #[serde(flatten)]
    disturbance: Disturbance,
    stages: Vec<StageCost>,
}

struct Found {
    bindings: [u64; 2],
    runs: Vec<f64>,
    allocations: f64,
    longest_fill_ns: u64,
    register_bytes: usize,
    challenge_ns: Option<f64>,
    stages: Vec<StageCost>,
}

/// Who registers.
enum Traffic {
    /// Users of whom nothing is asked.
    Plain(Users),
    /// Users who are asked for credentials.
    Proved(Provers),
}

impl Traffic {
    fn new(users: u32, is_proved: bool) -> Self {
        if is_proved {
            return Self::Proved(Provers::new(users));
        }
        let mut plain = Users::new(0, users, EXPIRES_S);
        plain.begin_pass();
        Self::Plain(plain)
    }

    fn is_under_way(&self) -> bool {
        match self {
            Self::Plain(users) => users.is_under_way(),
            Self::Proved(users) => users.is_under_way(),
        }
    }

    /// The round that counts, which `before` comes right before.
    fn round<Pr: Probe>(
        &mut self,
        home: &mut Home<Pr>,
        before: impl FnOnce(&mut Home<Pr>),
    ) -> Result<Round> {
        match self {
            Self::Plain(users) => {
                before(home);
                home.round(users)
            }
            Self::Proved(users) => users.round(home, before),
        }
    }

    fn message_bytes(&mut self) -> usize {
        match self {
            Self::Plain(users) => users.message_bytes(),
            Self::Proved(users) => users.message_bytes(),
        }
    }

    /// Nanoseconds of the worker for a challenge.
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    fn ns_per_challenge(&self, clock: &quanta::Clock) -> Option<f64> {
        let Self::Proved(users) = self else { return None };
        let Round { ticks, messages, .. } = users.challenges;
        Some(clock.delta_as_nanos(0, ticks) as f64 / messages.max(1) as f64)
    }
}

/// A worker whose users have registered, and the longest whole round that it took for that.
fn filled<Pr: Probe>(
    queues: DpdkQueues,
    count: u32,
    is_proved: bool,
    probe: Pr,
) -> Result<(Home<Pr>, Traffic, u64)> {
    let settings = if is_proved { digest::settings(settings()) } else { settings() };
    let mut home = Home::with(queues, sizes_for(count), &settings, probe)?;
    if is_proved {
        digest::introduce(&mut home, count)?;
    }
    let (mut users, mut longest) = (Traffic::new(count, is_proved), 0);
    while users.is_under_way() {
        let round = users.round(&mut home, |_| {})?;
        if round.is_whole {
            longest = longest.max(home.clock.delta_as_nanos(0, round.ticks));
        }
    }
    match &mut users {
        Traffic::Plain(users) => users.is_endless = true,
        Traffic::Proved(users) => users.challenges = Round::default(),
    }
    Ok((home, users, longest))
}

/// Runs the scenario.
///
/// # Errors
/// One line that says what is missing.
pub(in crate::pipeline) fn run(arguments: &Arguments) -> Result<()> {
    run_either(arguments, false)
}

/// The same with credentials that are asked for and checked.
///
/// # Errors
/// One line that says what is missing.
pub(in crate::pipeline) fn run_with_digest(arguments: &Arguments) -> Result<()> {
    run_either(arguments, true)
}

fn run_either(arguments: &Arguments, is_proved: bool) -> Result<()> {
    ask_for_huge_pages().context("cannot start anew, as the appliance does")?;
    let lcores = &arguments.lcores[arguments.lcores.len() - 1..];
    let (users, length) = (arguments.alive, arguments.length());
    check_memory(sizes_for(users))?;
    let _hugepages = hugepages::reserve();
    let plan = plan(lcores)?;
    let watch = Watch::start(lcores)?;
    eprintln!("pipeline: {users} users register, then {RUNS} runs of refreshes");
    let found = run_on_lcores(&plan, Path::new(""), move |_, queues| {
        work(queues, users, is_proved, length)
    })?;
    let found = found.into_iter().next().context("no lcore measured")??;
    let disturbance = watch.finish(&[])?;
    let report = RegisterReport::new(found, users, plan.memory.hugepages, disturbance);
    if let Some(path) = arguments.json.as_deref() {
        crate::json::write(&report, path)?;
    }
    if arguments.json.as_deref() != Some("-") {
        print(&report)?;
    }
    Ok(())
}

fn work(queues: DpdkQueues, count: u32, is_proved: bool, length: Duration) -> Result<Found> {
    let (mut home, mut users, longest_fill_ns) = filled(queues, count, is_proved, NoProbe)?;
    slice(&mut home, &mut users, |_| {}, |_| {})?;
    let runs = (0..RUNS).map(|_| measured(&mut home, &mut users, length)).collect::<Result<_>>()?;
    let allocations = allocations(&mut home, &mut users)?;
    let (bindings, register_bytes) = (home.bindings(), users.message_bytes());
    ensure!(bindings == [u64::from(count); 2], "{bindings:?} bindings are there, not {count}");
    let challenge_ns = users.ns_per_challenge(&home.clock);
    let stages = stages(home.into_queues(), count, is_proved, length)?;
    Ok(Found { bindings, runs, allocations, longest_fill_ns, register_bytes, challenge_ns, stages })
}

/// Some rounds; those during which others had the core do not count.
fn slice<Pr: Probe>(
    home: &mut Home<Pr>,
    users: &mut Traffic,
    before: impl Fn(&mut Home<Pr>),
    mut each: impl FnMut(&mut Home<Pr>),
) -> Result<Round> {
    let mut sum = Round::default();
    for _ in 0..SLICE_ROUNDS {
        let round = users.round(home, &before)?;
        if round.is_whole {
            sum.ticks += round.ticks;
            sum.messages += round.messages;
            each(home);
        }
    }
    Ok(sum)
}

#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn measured(home: &mut Home<NoProbe>, users: &mut Traffic, length: Duration) -> Result<f64> {
    let end = Instant::now() + length;
    let mut slices = Vec::with_capacity(4_096);
    while Instant::now() < end {
        let sum = slice(home, users, |_| {}, |_| {})?;
        if sum.messages > 0 {
            slices.push(home.clock.delta_as_nanos(0, sum.ticks) as f64 / sum.messages as f64);
        }
    }
    median(slices).context("no REGISTER was answered")
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Of the worker.
#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn allocations(home: &mut Home<NoProbe>, users: &mut Traffic) -> Result<f64> {
    let (before, began) = (home.allocations, home.counters.received.get());
    slice(home, users, |_| {}, |_| {})?;
    let received = home.counters.received.get() - began;
    Ok((home.allocations - before) as f64 / received.max(1) as f64)
}

#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn stages(
    queues: DpdkQueues,
    count: u32,
    is_proved: bool,
    length: Duration,
) -> Result<Vec<StageCost>> {
    let clock = quanta::Clock::new();
    let mark_ns = cost_of_a_mark(&clock);
    let probe = StageClock::new(clock.clone());
    let (mut home, mut users, _) = filled(queues, count, is_proved, probe)?;
    let anew = |home: &mut Home<StageClock>| home.worker.probe = StageClock::new(clock.clone());
    let mut slices = Stage::ALL.map(|_| vec![]);
    let end = Instant::now() + length;
    while Instant::now() < end {
        let mut sums = Stage::ALL.map(|_| 0.0);
        let sum = slice(&mut home, &mut users, anew, |home| {
            for (sum, stage) in sums.iter_mut().zip(Stage::ALL) {
                *sum += home.worker.probe.ns(stage, mark_ns);
            }
        })?;
        for (slice, stage) in slices.iter_mut().zip(sums) {
            slice.push(stage / sum.messages.max(1) as f64);
        }
    }
    let cost = |(stage, slice): (Stage, Vec<f64>)| StageCost {
        stage: stage.name(),
        ns_per_message: median(slice).unwrap_or(0.0),
    };
    Ok(Stage::ALL.into_iter().zip(slices).map(cost).collect())
}

impl RegisterReport {
    #[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
    fn new(found: Found, users: u32, hugepages: bool, disturbance: Disturbance) -> Self {
        let mut runs = found.runs;
        runs.sort_by(f64::total_cmp);
        let ns = runs[runs.len() / 2];
        Self {
            scenario: if found.challenge_ns.is_some() { "register-digest" } else { "register" },
            ns_per_challenge: found.challenge_ns,
            aors: found.bindings[0],
            bindings: found.bindings[1],
            ns_per_register: ns,
            ns_per_register_range: [runs[0], runs[runs.len() - 1]],
            registers_per_second: 1e9 / ns,
            allocations_per_register: found.allocations,
            bytes_per_aor: sizes_for(users).memory() as f64 / f64::from(users),
            register_bytes: found.register_bytes,
            longest_fill_round_us: found.longest_fill_ns as f64 / 1e3,
            hugepages,
            disturbance,
            stages: found.stages,
        }
    }
}

fn print(report: &RegisterReport) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let RegisterReport { ns_per_register_range: [lowest, highest], .. } = report;
    writeln!(
        out,
        "{} AoRs with {} bindings, refreshed in random order by REGISTERs of {} bytes",
        report.aors, report.bindings, report.register_bytes
    )?;
    writeln!(
        out,
        "  {:.1} ns per REGISTER  (median of {RUNS} runs; {lowest:.1} to {highest:.1}): {:.2} million/s on one core",
        report.ns_per_register,
        report.registers_per_second / 1e6
    )?;
    writeln!(
        out,
        "  {:.0} bytes per AoR; longest round of 32 new bindings {:.1} us",
        report.bytes_per_aor, report.longest_fill_round_us
    )?;
    writeln!(out, "  {:.4} allocations per REGISTER", report.allocations_per_register)?;
    if let Some(ns) = report.ns_per_challenge {
        writeln!(out, "  {ns:.1} ns per REGISTER that is challenged, before each of these")?;
    }
    if let Some(reason) = &report.disturbance.reason {
        writeln!(out, "  DISTURBED: {reason}")?;
    }
    writeln!(out, "  ns per REGISTER by stage (measured apart, with a clock reading after each):")?;
    for stage in &report.stages {
        writeln!(out, "    {:10} {:7.1}", stage.stage, stage.ns_per_message)?;
    }
    Ok(())
}
