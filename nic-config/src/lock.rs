//! One data plane per device: a lock file which the kernel unlocks when its holder ends, however it
//! ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::plan::NicPlan;

/// Where the locks lie, one file for each device.
pub const DIRECTORY: &str = "/run/trunkline";

/// Locks on the interfaces and PCI devices of a plan. They hold as long as this value lives; keep it
/// until the ports are closed.
#[derive(Debug)]
pub struct InstanceLock {
    held: Vec<(PathBuf, File)>,
}

/// Why the devices could not be locked.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the message of each variant says it")]
pub enum LockError {
    #[error(
        "port {port:?}: {key} = {value:?} is in use by another data plane, process {pid}; stop it \
         or choose another device"
    )]
    Held { port: String, key: &'static str, value: String, pid: String },
    #[error("the lock file {path} cannot be used: {source}; start as root")]
    File { path: String, source: io::Error },
}

impl InstanceLock {
    /// Locks all devices of the plan, or none.
    ///
    /// # Errors
    ///
    /// When another process holds one of them, or no lock file can be made.
    pub fn acquire(plan: &NicPlan) -> Result<Self, LockError> {
        Self::acquire_in(Path::new(DIRECTORY), plan)
    }

    /// As [`InstanceLock::acquire`], with the lock files in another directory.
    ///
    /// # Errors
    ///
    /// As [`InstanceLock::acquire`].
    pub fn acquire_in(directory: &Path, plan: &NicPlan) -> Result<Self, LockError> {
        let mut lock = Self { held: Vec::new() };
        for port in &plan.ports {
            let Some(identity) = &port.identity else { continue };
            let path = directory.join(format!("{identity}.lock"));
            let failed = |source| LockError::File { path: path.display().to_string(), source };
            fs::create_dir_all(directory).map_err(failed)?;
            match lock_file(&path).map_err(failed)? {
                Ok(file) => lock.held.push((path, file)),
                Err(pid) => {
                    let (key, value) = port.device.setting();
                    let (port, value) = (port.name.clone(), value.to_owned());
                    return Err(LockError::Held { port, key, value, pid });
                }
            }
        }
        Ok(lock)
    }
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        // Still locked: whoever opened the file meanwhile sees that its name is gone (`lock_file`).
        for (path, _) in &self.held {
            let _ = fs::remove_file(path);
        }
    }
}

/// The locked file with our process id in it, or the process id of who holds it.
fn lock_file(path: &Path) -> io::Result<Result<File, String>> {
    loop {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid)?;
                return Ok(Err(if pid.is_empty() { "unknown".into() } else { pid }));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Its last holder may have removed it between our opening and locking it.
        let inode = file.metadata()?.ino();
        if !fs::metadata(path).is_ok_and(|named| named.ino() == inode) {
            continue;
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        return Ok(Ok(file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eal::tests::{AF_XDP, machine};
    use crate::{NicSettings, plan};

    fn a_plan(index: u32) -> NicPlan {
        let mut machine = machine();
        machine.interfaces.get_mut("eth1").unwrap().index = index;
        plan(&NicSettings::from_toml(AF_XDP).unwrap(), &machine).unwrap()
    }

    #[test]
    fn the_second_is_told_who_holds_the_device() {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join("run");
        let lock = InstanceLock::acquire_in(&run, &a_plan(7)).unwrap();
        let line = InstanceLock::acquire_in(&run, &a_plan(7)).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            line.contains(&format!(
                "interface = \"eth1\" is in use by another data plane, process {pid};"
            )),
            "{line}"
        );
        let other = InstanceLock::acquire_in(&run, &a_plan(8)).unwrap();
        drop(lock);
        let again = InstanceLock::acquire_in(&run, &a_plan(7)).unwrap();
        drop((other, again));
        assert_eq!(fs::read_dir(&run).unwrap().count(), 0);
    }

    #[test]
    fn a_file_left_by_a_crash_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("42-7.lock");
        fs::write(&path, "4000000").unwrap();
        let _lock = InstanceLock::acquire_in(directory.path(), &a_plan(7)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), std::process::id().to_string());
    }

    #[test]
    fn virtual_devices_need_no_lock() {
        let text = "[[ports]]\nname = \"p\"\nvdev = \"net_null0\"\n";
        let plan = plan(&NicSettings::from_toml(text).unwrap(), &machine()).unwrap();
        let lock = InstanceLock::acquire_in(Path::new("/proc/none"), &plan).unwrap();
        assert!(lock.held.is_empty());
    }
}
