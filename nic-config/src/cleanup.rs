//! What an earlier run of this instance left behind, be it by a crash or by DPDK's own leaving.
//!
//! Hugepages need no cleaning: DPDK runs with `--in-memory`, so the kernel takes them back.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::lock::InstanceLock;
use crate::plan::{FILE_PREFIX, NicPlan, PID};
use crate::xdp::{self, XdpError};

/// Why something could not be removed.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the message of each variant says it")]
pub enum CleanupError {
    #[error(transparent)]
    Xdp(#[from] XdpError),
    #[error("{path} of an earlier run cannot be removed: {source}; remove it by hand")]
    Files { path: String, source: io::Error },
}

/// Removes our XDP program from the plan's interfaces, and DPDK's runtime files of this instance and
/// of dead ones on virtual devices. Gives a line for each thing removed.
///
/// Call it at start, before EAL, and again after the ports are closed. Holding the lock means that
/// no other data plane uses these.
///
/// # Errors
///
/// When something is there and cannot be removed.
pub fn remove_leftovers(plan: &NicPlan, _lock: &InstanceLock) -> Result<Vec<String>, CleanupError> {
    let mut removed = Vec::new();
    for interface in plan.ports.iter().filter_map(|port| port.interface_name()) {
        if xdp::detach(interface)? {
            removed.push(format!("XDP program on {interface}"));
        }
    }
    remove_runtime_files(&runtime_directory(), &plan.file_prefix, &mut removed)?;
    Ok(removed)
}

/// Where DPDK keeps a directory for each file prefix: by its own rules, root's is under `/var/run`.
fn runtime_directory() -> PathBuf {
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let base = match env::var_os("XDG_RUNTIME_DIR") {
        _ if root => PathBuf::from("/var/run"),
        Some(directory) => PathBuf::from(directory),
        None => PathBuf::from("/tmp"),
    };
    base.join("dpdk")
}

fn remove_runtime_files(
    directory: &Path,
    prefix: &str,
    removed: &mut Vec<String>,
) -> Result<(), CleanupError> {
    let Ok(listing) = fs::read_dir(directory) else { return Ok(()) };
    for entry in listing.flatten() {
        let name = entry.file_name();
        if name != prefix && !of_a_dead_process(&name) {
            continue;
        }
        let path = entry.path();
        match fs::remove_dir_all(&path) {
            // Another instance may clean up the same dead one.
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(CleanupError::Files { path: path.display().to_string(), source });
            }
            _ => removed.push(path.display().to_string()),
        }
    }
    Ok(())
}

/// An instance on virtual devices alone is named after its process.
fn of_a_dead_process(name: &OsStr) -> bool {
    let pid = name.to_str().and_then(|name| name.strip_prefix(FILE_PREFIX)?.strip_prefix(PID));
    pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_and_dead_ones_go() {
        let directory = tempfile::tempdir().unwrap();
        let live = format!("trunkline-pid-{}", std::process::id());
        // Above the largest process id the kernel gives (4,194,304).
        for name in ["rte", "trunkline-42-7", "trunkline-42-8", "trunkline-pid-4999999", &live] {
            fs::create_dir(directory.path().join(name)).unwrap();
            fs::write(directory.path().join(name).join("config"), "").unwrap();
        }
        let mut removed = Vec::new();
        remove_runtime_files(directory.path(), "trunkline-42-7", &mut removed).unwrap();
        assert_eq!(removed.len(), 2);
        let left = |name: &str| directory.path().join(name).exists();
        assert!(left("rte") && left("trunkline-42-8") && left(&live));
    }

    #[test]
    fn nothing_to_clean_is_no_error() {
        let mut removed = Vec::new();
        remove_runtime_files(Path::new("/proc/none"), "trunkline-42-7", &mut removed).unwrap();
        assert!(removed.is_empty());
    }
}
