//! A piece of work on one lcore with real DPDK ports, without control and without a kernel beside:
//! what the bench measures the pipeline with.

use crate::mbuf::{DpdkQueues, set_profiles};
use anyhow::{Context, Result};
use capsule::Runtime;
use capsule::batch::Pipeline;
use core::future::Future;
use core::pin::Pin;
use core::task::Poll;
use nic_config::eal;
use nic_config::plan::NicPlan;
use std::path::Path;
use std::sync::{Mutex, mpsc};

/// Starts EAL and the ports of `plan`, runs `work` on the first worker's lcore with its queue pairs,
/// and stops everything. EAL starts once in the life of a process.
///
/// # Errors
/// When EAL or a port does not start.
pub fn run_on_lcore<R: Send + 'static>(
    plan: &NicPlan,
    work: impl FnOnce(DpdkQueues) -> R + Send + 'static,
) -> Result<R> {
    set_profiles(plan);
    let config = toml::from_str(&eal::runtime_config(plan, Path::new("")))?;
    let mut runtime = Runtime::build(config).context("EAL or a port did not start")?;
    let worker = plan.workers.first().context("the plan has no worker")?;
    let queues = DpdkQueues::open(plan, worker.queue)?;
    let (sender, result) = mpsc::channel();
    let parts = Mutex::new(Some((queues, work, sender)));
    runtime.add_pipeline_to_core(worker.lcore.into(), move |_queues| {
        let parts = parts.lock().ok().and_then(|mut parts| parts.take());
        let (queues, work, sender) = parts.expect("an installer runs once");
        Once(Some(Box::new(move || {
            capsule_ffi::thread_register().expect("EAL has room for one more lcore");
            let _ = sender.send(work(queues));
            capsule_ffi::thread_unregister();
            // The runtime waits for a signal; this is the one it gets.
            let this = rustix::process::getpid();
            let _ = rustix::process::kill_process(this, rustix::process::Signal::TERM);
        })))
    })?;
    runtime.execute()?;
    result.recv().context("the work on the lcore did not end")
}

/// A pipeline that runs once.
struct Once(Option<Box<dyn FnOnce()>>);

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _context: &mut core::task::Context<'_>) -> Poll<()> {
        self.run_once();
        Poll::Ready(())
    }
}

impl Pipeline for Once {
    fn name(&self) -> &'static str {
        "once"
    }

    fn run_once(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}
