//! `trunkline health`

use crate::Failure;
use control::dataplane_link;
use control::operator::members_blocking;
use control_api::operator::{MemberReport, MemberState};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

/// Say whether this appliance serves calls, for scripts that give its address away when it does not
///
/// It does when the data plane answers in time, has a configuration and is not about to go (`trunkline leave`); control
/// may be away. With --set also some member of that destination set must be up, as far as control says. A worker that
/// hangs is the watchdog's business, which ends the data plane.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  trunkline health
  trunkline health --set users --within 500
  trunkline health || ip address delete 192.0.2.10/32 dev service0

Exit status: 0 when it serves calls, 1 when not; one line says why.")]
pub(crate) struct Arguments {
    /// A destination set of which some member must be up; can be repeated
    #[arg(long, value_name = "NAME")]
    set: Vec<String>,
    /// How long the answer may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 800,
          value_parser = clap::value_parser!(u64).range(1..=60_000))]
    within: u64,
    /// Management socket of the data plane; control's is beside it
    #[arg(long, value_name = "PATH", default_value = "/run/trunkline/dataplane.sock")]
    socket: PathBuf,
}

pub(crate) fn main(arguments: &Arguments) -> Result<(), Failure> {
    let found = epoch(arguments).and_then(|epoch| {
        let sets = arguments.set.iter().try_for_each(|set| reachable(set, &arguments.socket));
        sets.map(|()| epoch)
    });
    match found {
        Ok(epoch) => {
            crate::say(format!("well: epoch {epoch}"));
            Ok(())
        }
        Err(why) => {
            crate::say(format!("not well: {why}"));
            Err(Failure::silent(crate::FAILED))
        }
    }
}

/// The epoch on which the data plane runs.
fn epoch(arguments: &Arguments) -> Result<u64, String> {
    let patience = Duration::from_millis(arguments.within);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let ask = async { timeout(patience, dataplane_link::status(&arguments.socket)).await };
    match runtime.block_on(ask) {
        Err(_) => Err(format!("the data plane has not answered within {} ms", arguments.within)),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(status)) if status.is_leaving => Err("the appliance is about to go".into()),
        Ok(Ok(status)) if status.epoch == 0 => Err("the data plane has no configuration".into()),
        Ok(Ok(status)) => Ok(status.epoch),
    }
}

/// Whether some member of the set is up. While control is away nobody says that none is.
fn reachable(set: &str, socket: &Path) -> Result<(), String> {
    match members_blocking(&socket.with_file_name("control.sock")) {
        Ok(members) => has_member(set, &members),
        Err(_) => Ok(()),
    }
}

fn has_member(set: &str, members: &[MemberReport]) -> Result<(), String> {
    let mut own = members.iter().filter(|member| member.set == set).peekable();
    if own.peek().is_none() {
        return Err(format!("there is no destination set \"{set}\""));
    }
    if own.any(|member| member.state == MemberState::Up) {
        return Ok(());
    }
    Err(format!("no member of {set} is up"))
}

#[cfg(test)]
mod tests {
    use super::{Arguments, epoch, has_member};
    use control_api::operator::{MemberReport, MemberState};

    fn member(set: &str, state: MemberState) -> MemberReport {
        MemberReport {
            set: set.into(),
            address: "192.0.2.21:5060".parse().unwrap(),
            state,
            is_in_use: true,
            for_ms: 0,
            reason: String::new(),
            load: None,
        }
    }

    #[test]
    fn one_member_that_is_up_is_enough() {
        let members = [
            member("users", MemberState::Down),
            member("users", MemberState::Up),
            member("core", MemberState::Probing),
        ];
        assert_eq!(has_member("users", &members), Ok(()));
        assert_eq!(has_member("core", &members), Err("no member of core is up".into()));
        assert_eq!(
            has_member("cores", &members),
            Err("there is no destination set \"cores\"".into())
        );
    }

    #[test]
    fn nobody_there_is_not_well() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("dataplane.sock");
        let arguments = Arguments { set: vec![], within: 100, socket };
        assert!(epoch(&arguments).unwrap_err().starts_with("no data plane at "));
    }
}
