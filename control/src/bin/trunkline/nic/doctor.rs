//! `trunkline nic doctor`

use crate::Failure;
use anyhow::Context;
use control::dataplane_link::status_blocking;
use control::nic::{InText, json};
use control::rss::interface::ethtool;
use control_api::status::PortStatus;
use nic_config::NicSettings;
use nic_config::doctor::ethtool::recorded;
use nic_config::doctor::server::Server;
use nic_config::doctor::{Granted, Report, examine};
use std::path::{Path, PathBuf};

/// Look at this server as a data plane would, and say what to mend
///
/// Hugepages, IOMMU and VFIO, drivers and firmware, PCIe links, NUMA, isolated cores, governors, hyper-threads, interrupts,
/// rings, channels, RSS and offloads: each finding with its effect and the command that mends it. With a configuration
/// all is held against its ports, lcores and memory; only [[ports]], [lcores] and [memory] are read. Nothing is changed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline nic doctor                                     all NICs, without a plan
  trunkline nic doctor --config /etc/trunkline/trunkline.toml
  trunkline nic doctor --interface eth1 --interface eth2
  trunkline nic doctor --config trunkline.toml --json - | jq '.findings[] | select(.level == \"fault\")'
  trunkline nic doctor --root sosreport-sip7               another server, from its report

Exit status: 0 when nothing is at fault, 1 when something is or a file cannot be read or written, 2 when what was given
is wrong.")]
pub(super) struct Arguments {
    /// Configuration file whose ports, lcores and memory are wanted
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Look at this interface; may be given more than once [default: the ports of --config, else all with hardware]
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// Write the report as JSON into this file, or to standard output and nothing else there: -
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Management socket of the data plane: where one runs, what its ports were granted stands in the report
    #[arg(long, value_name = "PATH", default_value = "/run/trunkline/dataplane.sock")]
    socket: PathBuf,
    /// Read proc and sys below this directory, and what ethtool printed from sos_commands/networking
    #[arg(long, value_name = "DIRECTORY", default_value = "/")]
    root: PathBuf,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let settings = arguments.config.as_deref().map(settings).transpose()?;
    let mut report = report(arguments, settings.as_ref())?;
    if arguments.root == Path::new("/")
        && let Ok(status) = status_blocking(&arguments.socket)
    {
        report.add_granted(status.ports.into_iter().map(granted).collect());
    }
    let to_stdout = arguments.json.as_deref() == Some(Path::new("-"));
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&json(&report)?)?;
        if to_stdout {
            crate::say(text);
        } else {
            std::fs::write(file, text + "\n")
                .with_context(|| format!("{} cannot be written", file.display()))?;
        }
    }
    if !to_stdout {
        crate::say(InText(&report).to_string().trim_end());
    }
    if report.has_faults() { Err(Failure::silent(crate::FAILED)) } else { Ok(()) }
}

fn granted(port: PortStatus) -> Granted {
    let PortStatus { name, driver, rss_fields, rx_offloads, tx_offloads, nic_checksums, .. } = port;
    let offloads = [rx_offloads, tx_offloads].concat();
    Granted { name, driver, rss_fields, offloads, nic_checksums }
}

fn settings(file: &Path) -> Result<NicSettings, Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Failure::wrong(format!("{name}: {error}")))?;
    NicSettings::from_toml(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..start].matches('\n').count() + 1;
        let message = error.message().replace('\n', "; ");
        Failure::wrong(format!("{name}: line {line}: {message}"))
    })
}

fn report(arguments: &Arguments, settings: Option<&NicSettings>) -> Result<Report, Failure> {
    let root = &arguments.root;
    let unreadable =
        |error| Failure::wrong(format!("{}: proc and sys cannot be read: {error}", root.display()));
    let server = Server::read(root).map_err(unreadable)?;
    let report = if root == Path::new("/") {
        if let Err(error) = ethtool(&["--version"]) {
            eprintln!("rings, channels, offloads and firmware stay unknown: {error:#}");
        }
        examine(server, settings, &arguments.interface, &|arguments| ethtool(arguments).ok())
    } else {
        examine(server, settings, &arguments.interface, &recorded(root))
    };
    report.map_err(|error| Failure::wrong(format!("trunkline: {error}")))
}
