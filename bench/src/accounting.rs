//! Who used how much of which core: `/proc/stat` and `/proc/PID/stat`.

use anyhow::{Context, Result};
use std::collections::{HashMap, HashSet};

/// Time of some cores since boot, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CoreTime {
    /// User, nice, system, irq, softirq.
    pub(crate) busy: u64,
    /// Wanted, but taken by the hypervisor for others.
    pub(crate) steal: u64,
    /// All of the above, idle and waiting.
    pub(crate) total: u64,
}

impl CoreTime {
    /// The sum over `cores`.
    ///
    /// # Errors
    /// A core that is not there.
    pub(crate) fn read(cores: &[u16]) -> Result<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").context("/proc/stat")?, cores)
    }

    /// By the names of the lines, since there are none of cores that are offline.
    fn parse(text: &str, cores: &[u16]) -> Result<Self> {
        let mut sum = Self::default();
        for core in cores {
            let name = format!("cpu{core} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&name));
            let line = line.with_context(|| format!("there is no core {core}"))?;
            // proc_stat(5): user nice system idle iowait irq softirq steal; guest is part of user.
            let ticks: Vec<u64> = line.split_whitespace().flat_map(str::parse).take(8).collect();
            let at = |column: usize| ticks.get(column).copied().unwrap_or(0);
            sum.busy += at(0) + at(1) + at(2) + at(5) + at(6);
            sum.steal += at(7);
            sum.total += ticks.iter().sum::<u64>();
        }
        Ok(sum)
    }
}

/// Clock ticks as seconds.
#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
pub(crate) fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

/// A process or kernel thread.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Its parent.
    pub(crate) parent: u32,
    /// Its command name, at most 15 characters (kernel threads: more).
    pub(crate) name: String,
    /// User and system time, and that of its children that ended and were waited for; in clock ticks.
    pub(crate) ticks: u64,
}

/// All processes of this machine that we can see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes(HashMap<u32, Process>);

impl Processes {
    /// As they are now.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub(crate) fn read() -> Result<Self> {
        let processes = procfs::process::all_processes().context("/proc")?;
        // One that ends while we read is as good as one that ended before.
        let stats = processes.filter_map(|process| process.ok()?.stat().ok());
        let entry = |stat: procfs::process::Stat| {
            let children = u64::try_from(stat.cutime + stat.cstime).unwrap_or(0);
            let process = Process {
                parent: u32::try_from(stat.ppid).unwrap_or(0),
                ticks: stat.utime + stat.stime + children,
                name: stat.comm,
            };
            Some((u32::try_from(stat.pid).ok()?, process))
        };
        Ok(Self(stats.filter_map(entry).collect()))
    }

    /// Each process with its id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Process)> {
        self.0.iter().map(|(pid, process)| (*pid, process))
    }

    /// `roots` that live, and all that descend from them.
    pub(crate) fn family(&self, roots: &[u32]) -> HashSet<u32> {
        let mut family: HashSet<u32> = roots.iter().copied().collect();
        loop {
            let born = |(pid, process): &(u32, &Process)| {
                family.contains(&process.parent) && !family.contains(pid)
            };
            let children: Vec<u32> = self.iter().filter(born).map(|(pid, _)| pid).collect();
            if children.is_empty() {
                family.retain(|pid| self.0.contains_key(pid));
                return family;
            }
            family.extend(children);
        }
    }

    /// CPU time of the processes `pids`, in clock ticks.
    pub(crate) fn ticks(&self, pids: &HashSet<u32>) -> u64 {
        pids.iter().filter_map(|pid| self.0.get(pid)).map(|process| process.ticks).sum()
    }
}

#[cfg(test)]
impl<const N: usize> From<[(u32, u32, &str, u64); N]> for Processes {
    /// From process id, parent, name and ticks.
    fn from(list: [(u32, u32, &str, u64); N]) -> Self {
        let process = |(pid, parent, name, ticks): (u32, u32, &str, u64)| {
            (pid, Process { parent, name: name.to_owned(), ticks })
        };
        Self(list.into_iter().map(process).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{CoreTime, Processes};

    const STAT: &str = "cpu  110 20 30 400 5 6 7 80 9 0\n\
                        cpu0 100 10 20 300 4 3 2 1 9 0\n\
                        cpu10 1 1 1 1 1 1 1 1 1 1\n\
                        intr 1 2 3\n";

    #[test]
    fn cores_are_summed_by_name() {
        let zero = CoreTime { busy: 135, steal: 1, total: 440 };
        assert_eq!(CoreTime::parse(STAT, &[0]).unwrap(), zero);
        let both = CoreTime { busy: 140, steal: 2, total: 448 };
        assert_eq!(CoreTime::parse(STAT, &[0, 10]).unwrap(), both);
        let error = CoreTime::parse(STAT, &[1]).unwrap_err().to_string();
        assert_eq!(error, "there is no core 1");
    }

    #[test]
    fn a_family_is_all_that_descends() {
        let processes = Processes::from([
            (1, 0, "init", 9),
            (7, 1, "kamailio", 10),
            (8, 7, "kamailio", 20),
            (9, 8, "worker", 30),
            (10, 1, "other", 40),
        ]);
        let family = processes.family(&[7, 99]);
        assert_eq!(family, [7, 8, 9].into());
        assert_eq!(processes.ticks(&family), 60);
    }

    #[test]
    fn we_are_among_the_processes_and_our_core_is_there() {
        assert_eq!(Processes::read().unwrap().family(&[std::process::id()]).len(), 1);
        assert!(CoreTime::read(&[0]).unwrap().total > 0);
    }
}
