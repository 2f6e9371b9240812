//! `trunkline-control`: the slow path. Reads the configuration, publishes it to the data plane and
//! answers what reaches the kernel while the data plane is away.

use clap::Parser;
use control::configuration::Loaded;
use control::service::Service;
use control::supervisor::REFUSED;
use std::path::PathBuf;
use std::process::ExitCode;

/// The slow path of a Trunkline appliance.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Signals: SIGHUP reads the configuration again; a broken file, and one that needs a restart, is refused whole
and the old one stays in force (`trunkline reload` does the same and says why). SIGTERM ends this process, and
the data plane goes on with what it has.
When the file is broken at the start, the last configuration that was in force is, and the log says so loudly.
Exit status: 0 after SIGTERM, 2 when the configuration is refused, 1 on any other failure.

`trunkline run` starts this process beside the data plane; `trunkline check` explains the file."
)]
struct Arguments {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let Arguments { config: path } = Arguments::parse();
    let (loaded, broken) = match Loaded::for_start(&path) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(REFUSED);
        }
    };
    control::logging::start(loaded.config.log);
    let service = match Service::new(loaded, broken.as_ref()) {
        Ok(service) => service,
        Err(error) => {
            eprintln!("trunkline-control: {error:#}");
            return ExitCode::from(REFUSED);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(service.run()),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkline-control: {error:#}");
            ExitCode::FAILURE
        }
    }
}
