//! One elephant flow: all messages have the same addresses and ports, so that RSS brings them to one queue. The worker
//! of that queue is measured alone, and by turns with siblings whose queues are empty, to which it can spill. The queues
//! stand for a NIC ([`source`]).

mod lcore;
mod order;
mod report;
mod source;

use super::Arguments;
use super::stateful::plan;
use crate::disturbance::Watch;
use crate::{corpus, hugepages};
use anyhow::{Result, ensure};
use dataplane::testing::{appliance::Appliance, lcore::run_on_lcores};
use lcore::{Found, Task, work};
use report::ElephantReport;
use std::path::Path;

/// Calls under way in the flow: a call's messages are so far apart.
pub(super) const CALLS: usize = 256;

/// Runs the scenario.
///
/// # Errors
/// One line that says what is missing, or that messages of a call were out of order.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let report = measure(arguments)?;
    if let Some(path) = arguments.json.as_deref() {
        crate::json::write(&report, path)?;
    }
    if arguments.json.as_deref() != Some("-") {
        report::print(&report)?;
    }
    ensure!(report.order.is_kept(), "messages of a call left out of order: {:?}", report.order);
    Ok(())
}

fn measure(arguments: &Arguments) -> Result<ElephantReport> {
    let lcores = &arguments.lcores;
    ensure!(lcores.len() > 1, "an elephant needs siblings: give --lcores two or more, such as 0,1");
    let flow = corpus::one_flow(&mut Appliance::default(), CALLS);
    let _hugepages = hugepages::reserve();
    let plan = plan(lcores)?;
    let watch = Watch::start(lcores)?;
    eprintln!("pipeline: {} pairs of runs, then one in which the order is checked", lcore::RUNS);
    let task = Task::new(lcores.len(), arguments.length(), flow);
    let found: Vec<Found> =
        run_on_lcores(&plan, Path::new(""), move |index, queues| work(index, queues, &task))?;
    let disturbance = watch.finish(&[])?;
    ElephantReport::new(lcores, &found, plan.memory.hugepages, disturbance)
}
