//! The floor: `trunkline-bench forward`.

use super::{Place, StartError, System, Work};
use crate::network::{CALLEE_PORT, GENERATOR_ADDRESS, SIP, core_list};
use anyhow::Context;

pub(super) fn start(work: Work, place: &Place<'_>) -> Result<System, StartError> {
    if work != Work::Stateless {
        return Err(StartError::Missing(format!("the floor forwards: there is no {work} in it")));
    }
    let own = std::env::current_exe().context("our own executable")?;
    let mut command = place.command(own)?;
    command.args(["forward", "--listen", &SIP.to_string()]);
    command.args(["--to", &format!("{GENERATOR_ADDRESS}:{CALLEE_PORT}")]);
    command.args(["--cores", &core_list(place.cores)]);
    let version = format!("trunkline-bench forward {}", env!("CARGO_PKG_VERSION"));
    Ok(System::spawn(command, place, version, None)?)
}
