//! A bound on what a system may do, so that the generator beside it can offer many times as much.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{create_dir, read_dir, read_to_string, remove_dir, write};
use std::path::{Path, PathBuf};

/// Where the cpu controller of control groups lies, version 1.
const CONTROLLER: &str = "/sys/fs/cgroup/cpu";
/// The least quota that the kernel takes, in microseconds.
const QUOTA_US: u32 = 1_000;

/// A worker that may use a share of its core, until this is dropped.
#[derive(Debug)]
pub(crate) struct Cap {
    group: PathBuf,
    /// All threads of its core: that of the worker, and what DPDK keeps there.
    threads: Vec<String>,
}

impl Cap {
    /// Lets the worker on `core`, a thread of one of `pids`, run for 1 ms in each `period_ms`.
    ///
    /// # Errors
    /// Without that controller, or such a thread.
    pub(crate) fn on_worker(pids: &[u32], core: u16, period_ms: u32) -> Result<Self> {
        let controller = Path::new(CONTROLLER);
        if !controller.join("tasks").exists() {
            bail!(
                "{CONTROLLER}/tasks: the worker is slowed by the cpu controller of cgroups v1, which is not there"
            );
        }
        let threads = threads_on(pids, core)?;
        let group = controller.join("trunkline-bench");
        let _ = remove_dir(&group); // Of a run that was killed.
        create_dir(&group).with_context(|| group.display().to_string())?;
        let cap = Self { group, threads };
        write(cap.group.join("cpu.cfs_period_us"), (period_ms * 1_000).to_string())
            .context("the period of the cgroup")?;
        write(cap.group.join("cpu.cfs_quota_us"), QUOTA_US.to_string())
            .context("the quota of the cgroup")?;
        for thread in &cap.threads {
            write(cap.group.join("tasks"), thread).context("the worker's thread")?;
        }
        Ok(cap)
    }
}

impl Drop for Cap {
    fn drop(&mut self) {
        for thread in &self.threads {
            // It may have ended, and with it left the group.
            let _ = write(Path::new(CONTROLLER).join("tasks"), thread);
        }
        let _ = remove_dir(&self.group);
    }
}

/// The threads of the data plane that may run on `core` alone.
fn threads_on(pids: &[u32], core: u16) -> Result<Vec<String>> {
    let mut threads = Vec::new();
    let wanted = format!("Cpus_allowed_list:\t{core}");
    for pid in pids {
        let name = read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if !name.starts_with("trunkline-datap") {
            continue;
        }
        for task in read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let status = read_to_string(task.path().join("status")).unwrap_or_default();
            if status.lines().any(|line| line == wanted) {
                threads.push(task.file_name().to_string_lossy().into_owned());
            }
        }
    }
    ensure!(!threads.is_empty(), "no thread of the data plane runs on core {core} alone");
    Ok(threads)
}
