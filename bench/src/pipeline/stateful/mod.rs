//! The stateful scenario: whole calls through a worker that keeps a transaction for each request.
//!
//! Callers and callees run on the same lcore, between the rounds of the worker, and their time does not count.
//! What counts is the time of `Worker::run_once`, less that of the queues, which stand for a driver: decoding
//! and checksums, parser, routing, transactions, timers, rewriting, packets of our own. What a driver
//! costs the stateless scenario shows, in its stages `receive` and `transmit`.
//!
//! The worker's clock follows the calls: it passes so fast that as many transactions are alive as are wanted,
//! while each lasts as long as RFC 3261 says. So for each that is opened one expires, in the time measured.

mod ends;
mod frame;
mod home;
mod lcore;
pub(crate) mod overload;
mod report;
mod sent;
mod site;
mod timers;
mod wire;

use super::Arguments;
use crate::disturbance::Watch;
use crate::hugepages;
use anyhow::{Context, Result, ensure};
use dataplane::huge_pages::ask_for_huge_pages;
use dataplane::limits::BURST_MAX;
use dataplane::testing::lcore::run_on_lcores;
use lcore::{Found, Task, work};
use nic_config::machine::Machine;
use nic_config::plan::{NicPlan, Rss};
use nic_config::settings::NicSettings;
use report::StatefulReport;
use sip_core::TransactionSizes;
use std::path::Path;

/// Message buffers for each transaction, as the appliance has them by default.
const BUFFERS_PER_TRANSACTION: u32 = 4;

pub(super) use home::{run_expiry, run_load, run_register, run_with_digest};
use site::Calls;
pub(super) use timers::run as run_timers;

/// At most this part of the transactions are those of calls under way: time passes the faster the fewer are
/// alive, and no message of a call may be sent again.
const CALLS_PART: u32 = 128;

/// Runs the scenario.
///
/// # Errors
/// One line that says what is missing.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    run_either(arguments, Calls::ToOnePlace)
}

/// Runs the same with the calls of [`run_locate`], which nobody looks up.
///
/// # Errors
/// One line that says what is missing.
pub(super) fn run_relay(arguments: &Arguments) -> Result<()> {
    run_either(arguments, Calls::Relayed { users: arguments.alive })
}

/// Runs the same with calls for users whose bindings are looked up: as many as transactions are alive.
///
/// # Errors
/// One line that says what is missing.
pub(super) fn run_locate(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.lcores.len() == 1, "locate is measured on one lcore: give --lcores one");
    run_either(arguments, Calls::Located { users: arguments.alive })
}

fn run_either(arguments: &Arguments, for_whom: Calls) -> Result<()> {
    ask_for_huge_pages().context("cannot start anew, as the appliance does")?;
    let report = measure(arguments, for_whom)?;
    if let Some(path) = arguments.json.as_deref() {
        crate::json::write(&report, path)?;
    }
    if arguments.json.as_deref() != Some("-") {
        report::print(&report)?;
    }
    Ok(())
}

fn measure(arguments: &Arguments, for_whom: Calls) -> Result<StatefulReport> {
    let lcores = &arguments.lcores;
    let sizes = sizes_for(arguments.alive, lcores.len())?;
    let _hugepages = hugepages::reserve();
    let plan = plan(lcores)?;
    let watch = Watch::start(lcores)?;
    eprintln!("pipeline: {} transactions come to life, then {} runs", arguments.alive, lcore::RUNS);
    let length = arguments.length();
    let calls = arguments.calls.min(arguments.alive / CALLS_PART).max(u32::try_from(BURST_MAX)?);
    let counts = [arguments.alive, calls];
    let mut task = Task::new(lcores.len(), length, counts, sizes, arguments.stray);
    task.for_whom = for_whom;
    let found =
        run_on_lcores(&plan, Path::new(""), move |index, queues| work(index, queues, &task))?;
    let disturbance = watch.finish(&[])?;
    let found: Vec<Found> = found.into_iter().collect::<Result<_>>()?;
    for found in &found {
        let counts = &found.counts;
        let faults = [found.dropped, counts.retransmitted, counts.timed_out, counts.outbox_full];
        ensure!(faults == [0; 4], "{} messages were dropped; {counts:?}", found.dropped);
    }
    let mut report = StatefulReport::new(lcores, sizes, &found, plan.memory.hugepages, disturbance);
    report.scenario = match for_whom {
        Calls::ToOnePlace => "stateful",
        Calls::Relayed { .. } => "relay",
        Calls::Located { .. } => "locate",
    };
    Ok(report)
}

/// A table of which a fifth stays free, if each of the workers can have it.
fn sizes_for(alive: u32, workers: usize) -> Result<TransactionSizes> {
    let transactions = alive.saturating_add(alive / 4).saturating_add(10_000);
    let buffers = transactions.saturating_mul(BUFFERS_PER_TRANSACTION);
    let sizes = TransactionSizes { transactions, buffers };
    let (memory, free) = (sizes.memory() * workers, free_memory()?);
    ensure!(
        memory < free / 10 * 9,
        "{transactions} transactions of {workers} worker(s) need {} MiB, and {} MiB are free: give a smaller --alive",
        memory >> 20,
        free >> 20
    );
    Ok(sizes)
}

fn free_memory() -> Result<usize> {
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    Ok(kib.context("/proc/meminfo has no MemAvailable")? * 1024)
}

/// One port that does nothing: it is there for its mempool.
pub(super) fn plan(lcores: &[u16]) -> Result<NicPlan> {
    let main = u16::from(lcores.last() == Some(&0));
    let text = format!(
        "[[ports]]\nname = \"bench\"\nqueues = {}\nvdev = \"net_null0\"\n\
         [lcores]\nworkers = {lcores:?}\nservice = {main}\n",
        lcores.len(),
    );
    let settings = NicSettings::from_toml(&text)?;
    let machine = Machine::probe().context("cannot look at this machine")?;
    let mut plan = nic_config::plan::plan(&settings, &machine)?;
    plan.ports[0].rss = Rss::Off;
    Ok(plan)
}
