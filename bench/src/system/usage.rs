//! What a system uses: time of its processes, time of its cores, memory.

use crate::accounting::{CoreTime, Processes, seconds};
use anyhow::{Result, ensure};
use procfs::process::Process;
use serde::Serialize;
use std::collections::HashMap;

/// What a system has used. Times only grow: a measurement takes the difference of two.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Usage {
    /// CPU time of its processes, in seconds. What the kernel does for it in interrupts is missing here.
    pub(crate) cpu_seconds: f64,
    /// Time that its cores were busy, in seconds: its processes, the kernel's receive work, and
    /// whoever else ran there.
    pub(crate) core_busy_seconds: f64,
    /// Memory of its processes in bytes, with hugepages; what several share counts once.
    pub(crate) memory_bytes: u64,
}

/// The process `root` and its descendants.
pub(super) fn family(root: u32) -> Result<Vec<u32>> {
    Ok(Processes::read()?.family(&[root]).into_iter().collect())
}

/// What the process `root`, its descendants, and `cores` have used.
pub(super) fn read(root: u32, cores: &[u16]) -> Result<Usage> {
    let processes = Processes::read()?;
    let family = processes.family(&[root]);
    ensure!(!family.is_empty(), "it has ended");
    Ok(Usage {
        cpu_seconds: seconds(processes.ticks(&family)),
        core_busy_seconds: seconds(CoreTime::read(cores)?.busy),
        memory_bytes: family.iter().filter_map(|pid| memory(*pid)).sum(),
    })
}

/// Memory of a process in bytes, with hugepages; none when it ends while we look.
pub(crate) fn memory(pid: u32) -> Option<u64> {
    let rollup = Process::new(i32::try_from(pid).ok()?).ok()?.smaps_rollup().ok()?;
    rollup.memory_map_rollup.iter().next().map(|map| proportional(&map.extension.map))
}

/// The proportional set size divides a page among those that share it, but leaves out hugepages
/// (proc_pid_smaps(5)). Of these only DPDK's process has any here.
fn proportional(map: &HashMap<String, u64>) -> u64 {
    let keys = ["Pss", "Private_Hugetlb", "Shared_Hugetlb"];
    keys.iter().filter_map(|key| map.get(*key)).sum()
}

#[cfg(test)]
mod tests {
    use super::{family, proportional, read};

    #[test]
    fn hugepages_are_added_to_the_proportional_set() {
        let map = [("Rss", 90), ("Pss", 40), ("Private_Hugetlb", 2), ("Shared_Hugetlb", 4)];
        assert_eq!(proportional(&map.map(|(key, value)| (key.to_owned(), value)).into()), 46);
    }

    #[test]
    fn our_own_usage() {
        let us = std::process::id();
        assert!(family(us).unwrap().contains(&us));
        let usage = read(us, &[0]).unwrap();
        assert!(usage.memory_bytes > 100_000 && usage.core_busy_seconds > 0.0, "{usage:?}");
    }
}
