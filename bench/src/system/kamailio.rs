//! Kamailio 5.6 with the configurations of `bench/peers/kamailio`, which explain themselves.

use super::{Place, StartError, System, Work};
use crate::load::{DOMAIN, PASSWORD};
use crate::network::SIP;
use anyhow::{Context, Result};
use std::process::{Command, Stdio};

/// The configuration files, all written beside each other.
const FILES: [(&str, &str); 8] = [
    ("common.cfg", include_str!("../../peers/kamailio/common.cfg")),
    ("stateless.cfg", include_str!("../../peers/kamailio/stateless.cfg")),
    ("stateful.cfg", include_str!("../../peers/kamailio/stateful.cfg")),
    ("register.inc.cfg", include_str!("../../peers/kamailio/register.inc.cfg")),
    ("register.cfg", include_str!("../../peers/kamailio/register.cfg")),
    ("register-digest.cfg", include_str!("../../peers/kamailio/register-digest.cfg")),
    ("dispatcher.cfg", include_str!("../../peers/kamailio/dispatcher.cfg")),
    ("dispatcher.list", include_str!("../../peers/kamailio/dispatcher.list")),
];
/// UDP receivers per core. Stateless requests offered beyond what one core takes, forwarded per second,
/// means of four runs (with the default memory manager): 26,000 with one receiver, 26,900 with two, 27,300
/// with four, 27,000 with eight.
const CHILDREN: usize = 4;
/// Shared memory in MiB: a million contacts, or some hundred thousand transactions.
const SHARED_MB: &str = "2048";
/// Private memory of each process in MiB.
const PRIVATE_MB: &str = "16";
/// Largest receive buffer in bytes. Kamailio stops at 256 KiB by itself, and then loses bursts that
/// others would have taken.
const BUFFER: &str = "4194304";

pub(super) fn start(work: Work, place: &Place<'_>) -> Result<System, StartError> {
    let Some(version) = version() else {
        return Err(StartError::Missing("kamailio: install Debian's package kamailio".into()));
    };
    for (name, text) in FILES {
        std::fs::write(place.directory.join(name), text).with_context(|| name.to_owned())?;
    }
    let mut command = place.command("kamailio")?;
    let is_tcp = work.is_over_tcp();
    let file = if is_tcp { Work::Register } else { work };
    command.args(["-f", &format!("{file}.cfg"), "-DD", "-E"]);
    if is_tcp {
        command.args(["-A", "WITH_TCP"]);
    }
    for (name, value) in [
        ("CHILDREN", (CHILDREN * place.cores.len()).to_string()),
        ("LISTEN", format!("udp:{SIP}")),
        ("DOMAIN", format!("\"{DOMAIN}\"")),
        ("PASSWORD", format!("\"{PASSWORD}\"")),
        ("LISTEN_TCP", format!("tcp:{SIP}")),
        ("LIST", format!("\"{}\"", place.directory.join("dispatcher.list").display())),
    ] {
        command.args(["-A", &format!("{name}={value}")]);
    }
    command.args(["-b", BUFFER]);
    command.args(["-m", SHARED_MB, "-M", PRIVATE_MB]);
    // The fast memory manager: the default one, made for debugging, walks its free list, which took
    // most of the time of Kamailio's own code when it was looked at with perf.
    command.args(["-x", "fm", "-X", "fm"]);
    // Of its own, whatever Kamailio the machine runs besides.
    command.arg("-Y").arg(&place.directory).arg("-P").arg(place.directory.join("pid"));
    Ok(System::spawn(command, place, version, None)?)
}

/// `kamailio 5.6.3 (x86_64/linux)`, if it is installed.
fn version() -> Option<String> {
    let output = Command::new("kamailio").arg("-v").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next()?.strip_prefix("version: ")?.trim().to_owned())
}
