//! `trunkline check`

use crate::Failure;
use std::path::PathBuf;

/// Say whether a configuration is right, and what would run
///
/// Checks the file against its own rules, the router's and this machine, and prints the plan (ports,
/// queues, lcores, memory) and the routes in words. Nothing is started or changed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline check /etc/trunkline/trunkline.toml
  trunkline lab exec sut -- trunkline check /run/trunkline/lab/trunkline.toml

Exit status: 0 when it would start, 2 with one line per mistake otherwise.")]
pub(crate) struct Arguments {
    /// Configuration file
    file: PathBuf,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let checked = control::check::check(&arguments.file)
        .map_err(|error| Failure::wrong(error.to_string()))?;
    crate::say(&checked);
    crate::say(format!("{}: ok", arguments.file.display()));
    Ok(())
}
