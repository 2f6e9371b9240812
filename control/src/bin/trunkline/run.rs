//! `trunkline run`

use crate::Failure;
use control::configuration::Loaded;
use control::supervisor::Supervisor;
use std::path::PathBuf;

/// Run the appliance: data plane and control, kept alive
///
/// Starts trunkline-dataplane and trunkline-control, found beside this program, and starts either
/// again when it dies. SIGTERM lets the data plane drain and ends both; SIGHUP makes control read
/// the configuration again.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline run --config /etc/trunkline/trunkline.toml
  kill -HUP $(pidof trunkline)         read the configuration again

Exit status: 0 after SIGTERM, 2 when the configuration is refused, 1 on any other failure.")]
pub(crate) struct Arguments {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Write dataplane.log and control.log into this directory, not to standard error
    #[arg(long, value_name = "DIR")]
    log_directory: Option<PathBuf>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    crate::require_root("run")?;
    let (loaded, broken) =
        Loaded::for_start(&arguments.config).map_err(|e| Failure::wrong(e.to_string()))?;
    let config = loaded.config;
    let run_directory = config.appliance.run_directory;
    let _lock = control::process::lock(&run_directory, "supervisor")
        .map_err(|error| Failure::wrong(format!("trunkline: {error:#}")))?;
    control::logging::start(config.log);
    if let Some(mistakes) = broken {
        tracing::error!("the file is broken, and the last good configuration runs:\n{mistakes}");
    }
    let supervisor = Supervisor {
        config: arguments.config.clone(),
        run_directory,
        log_directory: arguments.log_directory.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(supervisor.run())? {
        0 => Ok(()),
        status => Err(Failure::silent(status)),
    }
}
