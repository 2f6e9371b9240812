//! `trunkline fault`: breaks the data plane on purpose, to see that it comes back.

use crate::Failure;
use control::dataplane_link::panic_worker_blocking;
use std::path::PathBuf;

/// Break the data plane on purpose (for tests; refused unless it was started with --allow-faults)
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    fault: Fault,
}

#[derive(clap::Subcommand)]
enum Fault {
    /// Make a worker panic, which ends the whole process
    PanicWorker {
        /// Index of the worker, in the order of `lcores.workers`
        worker: u16,
        /// Management socket of the data plane
        #[arg(long, value_name = "PATH", default_value = "/run/trunkline/dataplane.sock")]
        socket: PathBuf,
    },
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let Fault::PanicWorker { worker, socket } = &arguments.fault;
    panic_worker_blocking(socket, *worker)?;
    crate::say(format!("worker {worker} panicked, and the data plane ended with it"));
    Ok(())
}
