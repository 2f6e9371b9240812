//! `trunkline check`

use crate::Failure;
use crate::api_socket::ApiSocket;
use control::configuration::Loaded;
use control::configuration::changes::Change;
use control::configuration::differences;
use std::path::{Path, PathBuf};

/// Say whether a configuration is right, and what would run
///
/// Checks the file against its own rules, the router's and this machine, and prints the plan (ports,
/// queues, lcores, memory) and the routes in words. With --against it also shows each setting that differs from
/// another file, or from what is in force, and what of that needs a restart. Nothing is started or changed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline check /etc/trunkline/trunkline.toml
  trunkline check new.toml --against running
  trunkline check new.toml --against /etc/trunkline/trunkline.toml
  trunkline lab exec sut -- trunkline check /run/trunkline/lab/trunkline.toml

Exit status: 0 when it would start, 2 with one line per mistake otherwise.")]
pub(crate) struct Arguments {
    /// Configuration file
    file: PathBuf,
    /// Show what differs from this file, or from the configuration in force: `running`
    #[arg(long, value_name = "FILE|running")]
    against: Option<PathBuf>,
    #[command(flatten)]
    api: ApiSocket,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { file, against, api } = arguments;
    let checked = control::check::check(file).map_err(|error| Failure::wrong(error.to_string()))?;
    crate::say(&checked);
    if let Some(other) = against {
        let changes = compare(file, other, &api.path)?;
        crate::say(format_args!("\nagainst {}", other.display()));
        if changes.is_empty() {
            crate::say("  nothing differs");
        }
        for change in changes {
            crate::say(format_args!("  {change}"));
        }
    }
    crate::say(format!("{}: ok", file.display()));
    Ok(())
}

fn compare(file: &Path, other: &Path, socket: &Path) -> Result<Vec<Change>, Failure> {
    let wrong = |error: control::config::ConfigError| Failure::wrong(error.to_string());
    let new = Loaded::read(file).map_err(wrong)?;
    let old = if other == Path::new("running") {
        let running: control::api::Configuration =
            control::api::client::get_blocking(socket, "/v1/configuration")?;
        let text = crate::config::text(socket, None)?;
        Loaded::parse(&running.generation.file, text)
    } else {
        Loaded::read(other)
    };
    Ok(differences(&old.map_err(wrong)?, &new))
}
