//! `trunkline nic profiles`

use crate::Failure;
use control::nic::{List, Page};
use nic_config::profile::{PROFILES, Profile};

/// Show what each driver can do: RSS, flow rules, offloads, limits
///
/// The facts are those of DPDK 22.11, from its sources; what a port was really granted stands in `trunkline status`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline nic profiles
  trunkline nic profiles ice
  trunkline nic profiles virtio_net --json | jq .rss

Exit status: 0, or 2 when there is no such profile.")]
pub(super) struct Arguments {
    /// A driver, by its own name, DPDK's or the kernel's [default: all]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let profile = arguments.name.as_deref().map(named).transpose()?;
    let text = match (profile, arguments.json) {
        (None, false) => List.to_string(),
        (None, true) => serde_json::to_string_pretty(PROFILES)?,
        (Some(profile), false) => Page(profile).to_string(),
        (Some(profile), true) => serde_json::to_string_pretty(profile)?,
    };
    crate::say(text.trim_end());
    Ok(())
}

/// The profile of this name.
pub(crate) fn named(name: &str) -> Result<&'static Profile, Failure> {
    Profile::named(name).ok_or_else(|| {
        let known = Profile::names().join(", ");
        Failure::wrong(format!("trunkline: no profile of {name:?}; there are {known}"))
    })
}
