//! Whether somebody else used the machine while we measured.

use crate::accounting::{CoreTime, Process, Processes, seconds};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// More steal than this, in percent of the time of the cores in use, disturbs.
const STEAL_MAX: f64 = 1.0;
/// More CPU time of foreign processes than this, in percent of one core, disturbs.
const FOREIGN_MAX: f64 = 5.0;
/// Kernel threads that do the network's work for whoever is measured.
const NETWORK_THREADS: [&str; 2] = ["ksoftirqd/", "napi/"];

/// What others took while something was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Disturbance {
    /// Time that the hypervisor kept from the cores in use, in percent of their time.
    pub(crate) steal_percent: f64,
    /// CPU time of processes that have no part in the measurement, in percent of one core.
    pub(crate) foreign_cpu_percent: f64,
    /// Whether either was too much for the figures to count.
    pub(crate) disturbed: bool,
    /// Who or what, when it was too much.
    pub(crate) reason: Option<String>,
}

/// A measurement that is going on.
#[derive(Debug)]
pub(crate) struct Watch {
    cores: Vec<u16>,
    started: Instant,
    core_time: CoreTime,
    processes: Processes,
}

impl Watch {
    /// Begins to watch; `cores` are those of the system under test and of the generator.
    ///
    /// # Errors
    /// A core that is not there; a `/proc` that cannot be read.
    pub(crate) fn start(cores: &[u16]) -> Result<Self> {
        let (processes, core_time) = (Processes::read()?, CoreTime::read(cores)?);
        Ok(Self { cores: cores.to_vec(), started: Instant::now(), core_time, processes })
    }

    /// What others took since the start. `ours` are the processes with a part in the measurement, also
    /// those that have ended since; their descendants and this process are taken to be ours too.
    ///
    /// # Errors
    /// As [`Watch::start`].
    pub(crate) fn finish(&self, ours: &[u32]) -> Result<Disturbance> {
        let (elapsed, core_time) = (self.started.elapsed(), CoreTime::read(&self.cores)?);
        let roots = [ours, &[std::process::id()]].concat();
        let foreign = foreign(&self.processes, &Processes::read()?, &roots);
        Ok(judge(self.core_time, core_time, &foreign, elapsed))
    }
}

/// What a foreign process took between two looks, in clock ticks.
#[derive(Debug, PartialEq)]
struct Taken {
    name: String,
    pid: u32,
    ticks: i64,
}

/// What processes outside of the families of `roots` took, the greediest first.
///
/// Per process, since `/proc/stat` cannot tell whose time it counts and samples it with the clock
/// tick. A compiler that begins and ends in between is seen in its parent, which gets the time of the
/// children that it waited for; what such a child had used before the first look is taken off again.
fn foreign(before: &Processes, after: &Processes, roots: &[u32]) -> Vec<Taken> {
    let ours: HashSet<u32> = &before.family(roots) | &after.family(roots);
    let is_foreign = |(pid, process): &(u32, &Process)| {
        !ours.contains(pid) && !NETWORK_THREADS.iter().any(|name| process.name.starts_with(name))
    };
    let ticks = |process: &Process| i64::try_from(process.ticks).unwrap_or(i64::MAX);
    let mut taken: std::collections::HashMap<u32, Taken> = after
        .iter()
        .filter(is_foreign)
        .map(|(pid, p)| (pid, Taken { name: p.name.clone(), pid, ticks: ticks(p) }))
        .collect();
    for (pid, process) in before.iter().filter(is_foreign) {
        // One that ended left its time to its parent, or to the parent's parent when that ended too.
        let mut heir = pid;
        while !taken.contains_key(&heir) {
            match before.iter().find(|(pid, _)| *pid == heir) {
                Some((_, ended)) => heir = ended.parent,
                None => break,
            }
        }
        if let Some(taken) = taken.get_mut(&heir) {
            taken.ticks -= ticks(process);
        }
    }
    let mut taken: Vec<Taken> = taken.into_values().filter(|taken| taken.ticks > 0).collect();
    taken.sort_by_key(|taken| std::cmp::Reverse(taken.ticks));
    taken
}

#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn judge(before: CoreTime, after: CoreTime, foreign: &[Taken], elapsed: Duration) -> Disturbance {
    let total = after.total.saturating_sub(before.total).max(1) as f64;
    let steal_percent = after.steal.saturating_sub(before.steal) as f64 / total * 100.0;
    let of_a_core = |ticks: i64| {
        seconds(u64::try_from(ticks).unwrap_or(0)) / elapsed.as_secs_f64().max(0.01) * 100.0
    };
    let foreign_cpu_percent = of_a_core(foreign.iter().map(|taken| taken.ticks).sum());
    let mut reasons = Vec::new();
    if steal_percent > STEAL_MAX {
        reasons.push(format!("the hypervisor kept {steal_percent:.1} % of the cores' time"));
    }
    if foreign_cpu_percent > FOREIGN_MAX {
        let name = |taken: &Taken| {
            format!("{} ({}) {:.0} %", taken.name, taken.pid, of_a_core(taken.ticks))
        };
        let names: Vec<String> = foreign.iter().take(3).map(name).collect();
        let names = names.join(", ");
        reasons.push(format!("other processes took {foreign_cpu_percent:.0} % of a core: {names}"));
    }
    Disturbance {
        steal_percent,
        foreign_cpu_percent,
        disturbed: !reasons.is_empty(),
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Taken, foreign, judge};
    use crate::accounting::{CoreTime, Processes};
    use std::time::Duration;

    #[test]
    fn what_is_ours_or_the_networks_is_not_foreign() {
        let before = Processes::from([(5, 1, "bench", 10), (9, 1, "cron", 40)]);
        let after = Processes::from([
            (5, 1, "bench", 500),
            (6, 5, "kamailio", 700),
            (2, 0, "ksoftirqd/1", 90),
            (9, 1, "cron", 47),
        ]);
        let cron = Taken { name: "cron".into(), pid: 9, ticks: 7 };
        assert_eq!(foreign(&before, &after, &[5]), [cron]);
    }

    #[test]
    fn a_child_that_ended_counts_once_and_only_what_it_used_meanwhile() {
        let before =
            Processes::from([(7, 1, "make", 1), (8, 7, "cargo", 10), (9, 8, "rustc", 900)]);
        let after = Processes::from([(7, 1, "make", 961)]);
        let make = Taken { name: "make".into(), pid: 7, ticks: 50 };
        assert_eq!(foreign(&before, &after, &[]), [make]);
    }

    #[test]
    fn limits_and_reasons() {
        let zero = CoreTime::default();
        let quiet = CoreTime { busy: 900, steal: 10, total: 1_000 };
        let cron = |ticks| [Taken { name: "cron".into(), pid: 9, ticks }];
        let ten = Duration::from_secs(10);
        let fine = judge(zero, quiet, &cron(50), ten);
        assert_eq!((fine.disturbed, &fine.reason), (false, &None));
        let both = judge(zero, CoreTime { steal: 20, ..quiet }, &cron(510), ten);
        let reason = "the hypervisor kept 2.0 % of the cores' time; \
                      other processes took 51 % of a core: cron (9) 51 %";
        assert_eq!(both.reason.as_deref(), Some(reason));
    }
}
