//! The capture, the port that plays it, and the measurement on one or more lcores.

use super::lcore::{Found, Rate, Task, work};
use super::report::StageCost;
use crate::{corpus, hugepages, pcap};
use anyhow::{Context, Result, ensure};
use dataplane::testing::{appliance::Appliance, lcore::run_on_lcores};
use nic_config::machine::Machine;
use nic_config::plan::{NicPlan, Rss};
use nic_config::settings::NicSettings;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;
use tempfile::TempDir;

/// Different calls in the capture: enough that no two neighbours share a Call-ID, few enough that the
/// capture stays in the cache as packets from a NIC with DDIO would.
const CALLS: usize = 64;

/// What is needed to measure, as long as it lives.
pub(crate) struct Setup {
    folder: TempDir,
    plan: NicPlan,
    _hugepages: hugepages::Reserved,
}

/// What all lcores found.
pub(crate) struct Measured {
    /// The last lcore while the others slept, in each run.
    pub(crate) alone: Vec<Rate>,
    /// Each lcore with its rate in each run, while all worked.
    pub(crate) together: Vec<(u16, Vec<Rate>)>,
    pub(crate) allocations_per_message: f64,
    pub(crate) messages: u64,
    pub(crate) forwarded: u64,
    pub(crate) dropped: u64,
    pub(crate) mean_frame_bytes: f64,
    pub(crate) mean_sent_frame_bytes: f64,
    pub(crate) stages: Vec<StageCost>,
}

impl Setup {
    /// Writes the capture, reserves hugepages if possible, and plans a port for `lcores` (ascending).
    ///
    /// # Errors
    /// When the machine has no such lcore, or the capture cannot be written.
    pub(crate) fn new(lcores: &[u16]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("trunkline-bench-").tempdir()?;
        let capture = capture(&folder);
        pcap::write(&capture, &corpus::proxy_200(&mut Appliance::default(), CALLS))?;
        let hugepages = hugepages::reserve();
        Ok(Self { plan: plan(lcores, &capture)?, folder, _hugepages: hugepages })
    }

    pub(crate) fn capture(&self) -> PathBuf {
        capture(&self.folder)
    }

    pub(crate) fn plan(&self) -> &NicPlan {
        &self.plan
    }

    /// The lcore that is measured alone: the last, because EAL's main thread sits on the first
    /// if all lcores of a machine measure.
    pub(crate) fn first_lcore(&self) -> u16 {
        self.plan.workers.last().map_or(0, |worker| worker.lcore)
    }

    /// Measures, each time for `length`. Once in the life of a process, as EAL.
    ///
    /// # Errors
    /// When EAL does not start, or messages were dropped, for then the rate says nothing.
    pub(crate) fn measure(&self, length: Duration) -> Result<Measured> {
        let lcores: Vec<u16> = self.plan.workers.iter().map(|worker| worker.lcore).collect();
        let (count, meeting) = (lcores.len(), Barrier::new(lcores.len()));
        let found = run_on_lcores(&self.plan, Path::new(""), move |index, queues| {
            work(queues, &Task { length, is_first: index + 1 == count, meeting: &meeting })
        })?;
        add_up(lcores, found)
    }
}

fn capture(folder: &TempDir) -> PathBuf {
    folder.path().join("proxy-200.pcap")
}

/// One pcap port with a queue for each lcore; every queue plays the whole capture.
pub(super) fn plan(lcores: &[u16], capture: &Path) -> Result<NicPlan> {
    let main = u16::from(lcores.last() == Some(&0));
    let receive = format!(",rx_pcap={}", capture.display()).repeat(lcores.len());
    let text = format!(
        "[[ports]]\nname = \"bench\"\nqueues = {}\nvdev = \"net_pcap0{receive},infinite_rx=1\"\n\
         [lcores]\nworkers = {lcores:?}\nservice = {main}\n",
        lcores.len(),
    );
    let settings = NicSettings::from_toml(&text)?;
    let machine = Machine::probe().context("cannot look at this machine")?;
    let mut plan = nic_config::plan::plan(&settings, &machine)?;
    plan.ports[0].rss = Rss::Off; // Nothing to spread: each queue has its own capture.
    Ok(plan)
}

#[expect(clippy::cast_precision_loss, reason = "a report, not an account")]
fn add_up(lcores: Vec<u16>, mut found: Vec<Found>) -> Result<Measured> {
    let sum = |part: fn(&Found) -> u64| found.iter().map(part).sum::<u64>();
    let messages = sum(|lcore| lcore.messages);
    let dropped = sum(|lcore| lcore.dropped);
    ensure!(dropped == 0, "{dropped} messages were dropped");
    let forwarded = sum(|lcore| lcore.forwarded);
    let mean_frame_bytes = sum(|lcore| lcore.received_bytes) as f64 / messages as f64;
    let mean_sent_frame_bytes = sum(|lcore| lcore.transmitted_bytes) as f64 / forwarded as f64;
    let first = found.last_mut().context("no lcore measured")?;
    let costs = first.costs.take().context("the lcore found no costs")?;
    Ok(Measured {
        alone: std::mem::take(&mut first.alone),
        together: lcores.into_iter().zip(found.into_iter().map(|lcore| lcore.together)).collect(),
        allocations_per_message: costs.allocations_per_message,
        messages,
        forwarded,
        dropped,
        mean_frame_bytes,
        mean_sent_frame_bytes,
        stages: costs.stages,
    })
}

impl Measured {
    /// Median, lowest and highest of the lcore alone.
    pub(crate) fn one_core(&self, by: By) -> [f64; 3] {
        spread(self.alone.iter().map(by).collect())
    }

    /// Median, lowest and highest of all lcores together; of the lcore alone if it is the only one.
    pub(crate) fn all_cores(&self, by: By) -> [f64; 3] {
        if self.together.len() == 1 { self.one_core(by) } else { spread(self.totals(by)) }
    }

    /// Median of the ratios of all lcores to the one, each of two measurements that follow one another.
    pub(crate) fn speedup(&self, by: By) -> f64 {
        if self.together.len() == 1 {
            return 1.0;
        }
        let pairs = self.totals(by).into_iter().zip(&self.alone);
        spread(pairs.map(|(all, one)| all / by(one)).collect())[0]
    }

    /// Each lcore with the median of its rates beside the others.
    pub(crate) fn per_core(&self, by: By) -> impl Iterator<Item = (u16, f64)> {
        let is_single = self.together.len() == 1;
        self.together.iter().map(move |(lcore, together)| {
            let rates = if is_single { &self.alone } else { together };
            (*lcore, spread(rates.iter().map(by).collect())[0])
        })
    }

    fn totals(&self, by: By) -> Vec<f64> {
        (0..self.alone.len())
            .map(|run| self.together.iter().map(|(_, rates)| by(&rates[run])).sum())
            .collect()
    }
}

/// Which of the two times of a rate counts.
type By = fn(&Rate) -> f64;

/// Median, lowest, highest.
pub(super) fn spread(mut rates: Vec<f64>) -> [f64; 3] {
    rates.sort_by(f64::total_cmp);
    [rates[rates.len() / 2], rates[0], rates[rates.len() - 1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "taken over unchanged")]
    fn speedup_is_the_median_of_ratios_of_neighbours() {
        let rates = |rates: [f64; 3]| {
            rates.map(|rate| Rate { per_second: rate, per_cpu_second: 2.0 * rate }).to_vec()
        };
        let by: By = |rate| rate.per_second;
        let measured = Measured {
            alone: rates([10.0, 5.0, 20.0]),
            together: vec![(0, rates([9.0, 4.0, 20.0])), (1, rates([10.0, 5.0, 10.0]))],
            allocations_per_message: 0.0,
            messages: 1,
            forwarded: 1,
            dropped: 0,
            mean_frame_bytes: 488.0,
            mean_sent_frame_bytes: 500.0,
            stages: vec![],
        };
        assert_eq!(measured.one_core(by), [10.0, 5.0, 20.0]);
        assert_eq!(measured.one_core(|rate| rate.per_cpu_second)[0], 20.0);
        assert_eq!(measured.all_cores(by), [19.0, 9.0, 30.0]);
        assert!((measured.speedup(by) - 1.8).abs() < 1e-12);
        assert_eq!(measured.per_core(by).collect::<Vec<_>>(), [(0, 9.0), (1, 10.0)]);
    }
}
