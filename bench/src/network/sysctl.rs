//! Kernel settings of the whole machine that a run raises, and gives back.

use std::fs::{read_to_string, write};
use std::path::Path;

/// What an expert sets on a SIP server, and its least value here.
///
/// - Socket buffers: 4 MiB hold some thousand messages, more than any of these systems has waiting
///   unless it is overloaded. `rmem_max` only allows: a peer asks for its buffer itself and clamps it
///   (Kamailio at 256 KiB unless started with `-b`), so its own setting is raised too. `rmem_default`
///   serves those that do not ask.
/// - `netdev_max_backlog` is the queue between the core that sends on a veth and the one that receives
///   there; its default of 1,000 packets overflows during one time slice of another process.
const SETTINGS: [(&str, u64); 5] = [
    ("rmem_max", BUFFER),
    ("wmem_max", BUFFER),
    ("rmem_default", BUFFER),
    ("wmem_default", BUFFER),
    ("netdev_max_backlog", 65_536),
];
/// Socket buffer of every system and of the generator, in bytes.
pub(super) const BUFFER: u64 = 4 << 20;

/// The settings as they were; put back when dropped.
#[derive(Debug)]
pub(super) struct Sysctls {
    before: Vec<(&'static str, String)>,
}

impl Sysctls {
    /// Raises what is lower. A setting that cannot be written (in a container) stays as it is: a run
    /// that loses messages for it counts them.
    pub(super) fn raise() -> Self {
        let mut before = Vec::new();
        for (name, least) in SETTINGS {
            let Ok(old) = read_to_string(path(name)) else { continue };
            if old.trim().parse().is_ok_and(|old: u64| old < least)
                && write(path(name), least.to_string()).is_ok()
            {
                before.push((name, old));
            }
        }
        Self { before }
    }
}

impl Drop for Sysctls {
    fn drop(&mut self) {
        for (name, old) in &self.before {
            // It could be written a moment ago.
            let _ = write(path(name), old);
        }
    }
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new("/proc/sys/net/core").join(name)
}
