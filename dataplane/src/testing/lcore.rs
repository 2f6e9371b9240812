//! A piece of work on every worker's lcore with real DPDK ports, without control and without a kernel
//! beside: what the bench measures the pipeline with.

use crate::mbuf::{DpdkQueues, set_profiles};
use anyhow::{Context, Result, ensure};
use capsule::Runtime;
use capsule::batch::Pipeline;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::Poll;
use nic_config::eal;
use nic_config::plan::NicPlan;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

/// Starts EAL and the ports of `plan`, runs `work` on the lcores of all workers at once, each with the
/// worker's index and queue pairs, stops everything, and gives what came out in the order of the workers.
/// EAL starts once in the life of a process. `xdp_object` is the XDP program for ports of the kernel's
/// (nic-config's `write_object`); others need none.
///
/// # Errors
/// When EAL or a port does not start.
pub fn run_on_lcores<R: Send + 'static>(
    plan: &NicPlan,
    xdp_object: &Path,
    work: impl Fn(usize, DpdkQueues) -> R + Send + Sync + 'static,
) -> Result<Vec<R>> {
    let at_work = Arc::new(AtomicUsize::new(plan.workers.len()));
    let (sender, results) = mpsc::channel();
    let (work, sender) = (Arc::new(work), Mutex::new(sender)); // capsule asks for `Sync`.
    run_pipelines(plan, xdp_object, move |index, queues| {
        let (work, at_work) = (Arc::clone(&work), Arc::clone(&at_work));
        let sender = sender.lock().expect("nobody has panicked").clone();
        Once(Some(Box::new(move || {
            let _ = sender.send((index, work(index, queues)));
            capsule_ffi::thread_unregister();
            if at_work.fetch_sub(1, Ordering::AcqRel) == 1 {
                // The runtime waits for a signal; this is the one it gets.
                let this = rustix::process::getpid();
                let _ = rustix::process::kill_process(this, rustix::process::Signal::TERM);
            }
        })))
    })?;
    let mut results: Vec<_> = results.try_iter().collect();
    ensure!(results.len() == plan.workers.len(), "the work on an lcore did not end");
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// Starts EAL and the ports of `plan`, and has capsule run a pipeline on the lcore of each worker, until
/// the process gets SIGTERM. `pipeline` is called there, with the worker's index and queue pairs.
///
/// # Errors
/// When EAL or a port does not start.
pub fn run_pipelines<P: Pipeline + 'static>(
    plan: &NicPlan,
    xdp_object: &Path,
    pipeline: impl Fn(usize, DpdkQueues) -> P + Send + Sync + 'static,
) -> Result<()> {
    set_profiles(plan);
    let config = toml::from_str(&eal::runtime_config(plan, xdp_object))?;
    let mut runtime = Runtime::build(config).context("EAL or a port did not start")?;
    let pipeline = Arc::new(pipeline);
    for (index, worker) in plan.workers.iter().enumerate() {
        let queues = DpdkQueues::open(plan, worker.queue)?;
        let parts = Mutex::new(Some((queues, Arc::clone(&pipeline)))); // capsule asks for `Sync`.
        runtime.add_pipeline_to_core(worker.lcore.into(), move |_queues| {
            let parts = parts.lock().ok().and_then(|mut parts| parts.take());
            let (queues, pipeline) = parts.expect("an installer runs once");
            capsule_ffi::thread_register().expect("EAL has room for one more lcore");
            pipeline(index, queues)
        })?;
    }
    runtime.execute().context("the runtime failed")
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
