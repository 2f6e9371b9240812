//! The arithmetic of the model: from costs to messages per second.

use serde::Serialize;

/// Numbers of cores in the table.
pub(crate) const CORES: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Line rates in the table, Gbit/s.
pub(crate) const LINE_RATES: [u32; 3] = [10, 25, 100];
/// Bytes that a frame takes on the wire beyond those that DPDK counts: preamble and start delimiter 8, frame
/// check sequence 4, gap 12 (IEEE 802.3).
pub(crate) const WIRE_OVERHEAD_BYTES: f64 = 24.0;
/// How often a frame crosses the memory bus where the NIC does not write into the cache: written by the
/// NIC, read by the core, read by the NIC.
const CROSSINGS: f64 = 3.0;
/// Bytes on the memory bus for one touch: a cache line in, and out again because it was changed.
const TOUCH_BYTES: f64 = 128.0;

/// What was measured, and the one thing that is assumed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Costs {
    /// Nanoseconds of a core for a message.
    pub(crate) message_ns: f64,
    /// Cores with which the speedup was measured, at least 2.
    pub(crate) measured_cores: usize,
    /// Their messages per second over those of one.
    pub(crate) speedup: f64,
    /// Nanoseconds of both cores for one hand-off.
    pub(crate) handoff_ns: f64,
    /// Nanoseconds that a core waits for a line of a large table.
    pub(crate) touch_ns: f64,
    /// Mean frame in the direction that has the larger ones, without the wire's overhead.
    pub(crate) frame_bytes: f64,
    /// Assumed, bytes per second.
    pub(crate) memory_bandwidth: f64,
}

/// What a message costs beyond what was measured.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Work {
    /// Messages that any core may receive and one must have: of these all but one in as many as there
    /// are cores are handed off.
    pub(crate) handoffs: f64,
    /// Touches per message.
    pub(crate) touches: f64,
}

/// What ends the messages per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Limit {
    /// The cores are busy.
    Cores,
    /// The port is full.
    Line,
    /// The memory bandwidth is used up.
    Memory,
}

/// One cell of the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) cores: u32,
    /// Line rate in Gbit/s.
    pub(crate) gigabits: u32,
    /// Messages per second if each further core costs the others as much as the second cost the first.
    pub(crate) low: f64,
    /// Messages per second if all cores keep the efficiency that was measured.
    pub(crate) high: f64,
    /// What ends the lower figure.
    pub(crate) low_limit: Limit,
    /// What ends the higher figure.
    pub(crate) high_limit: Limit,
}

impl Costs {
    /// Every cell for this work.
    pub(crate) fn table(&self, work: Work) -> Vec<Cell> {
        let row = |cores| LINE_RATES.map(|gigabits| self.cell(work, cores, gigabits));
        CORES.into_iter().flat_map(row).collect()
    }

    fn cell(&self, work: Work, cores: u32, gigabits: u32) -> Cell {
        let ends = |by_cores: f64| {
            let limits = [
                (self.line(gigabits), Limit::Line),
                (self.by_memory(work), Limit::Memory),
                (by_cores, Limit::Cores),
            ];
            // Of equal ones the first: a port that is just full is full.
            limits.into_iter().reduce(|least, next| if next.0 < least.0 { next } else { least })
        };
        let [low, high] = self.by_cores(work, cores);
        let [low, high] = [low, high].map(|rate| ends(rate).unwrap_or((rate, Limit::Cores)));
        Cell { cores, gigabits, low: low.0, high: high.0, low_limit: low.1, high_limit: high.1 }
    }

    /// Messages per second that the cores could do, lower and higher extrapolation.
    pub(crate) fn by_cores(&self, work: Work, cores: u32) -> [f64; 2] {
        let one = 1e9 / self.work_ns(work, cores);
        self.scaling(cores).map(|speedup| one * speedup)
    }

    /// Nanoseconds of a core for a message with this work.
    pub(crate) fn work_ns(&self, work: Work, cores: u32) -> f64 {
        // Of what RSS spreads evenly, one in so many comes to the right core by chance.
        let handoffs = work.handoffs * (1.0 - 1.0 / f64::from(cores));
        self.message_ns + handoffs * self.handoff_ns + work.touches * self.touch_ns
    }

    /// Speedup of `cores`: by Amdahl's law with the serial share that the measured speedup implies, and
    /// by the measured efficiency of each core. A measured speedup above that of cores which share
    /// nothing is noise, and counts as that.
    fn scaling(&self, cores: u32) -> [f64; 2] {
        #[expect(clippy::cast_precision_loss, reason = "a small number of cores")]
        let measured = self.measured_cores as f64;
        let efficiency = (self.speedup / measured).clamp(1.0 / measured, 1.0);
        let serial = (1.0 / efficiency - 1.0) / (measured - 1.0);
        let cores = f64::from(cores);
        if cores <= 1.0 {
            return [1.0, 1.0];
        }
        let (amdahl, even) = (cores / (1.0 + serial * (cores - 1.0)), cores * efficiency);
        [amdahl.min(even), amdahl.max(even)]
    }

    /// Messages per second that fill a port in one direction.
    pub(crate) fn line(&self, gigabits: u32) -> f64 {
        f64::from(gigabits) * 1e9 / 8.0 / (self.frame_bytes + WIRE_OVERHEAD_BYTES)
    }

    fn by_memory(&self, work: Work) -> f64 {
        self.memory_bandwidth / (CROSSINGS * self.frame_bytes + TOUCH_BYTES * work.touches)
    }

    /// Cores that fill a port, by the higher and by the lower extrapolation; none if no number does, up to
    /// 1024.
    pub(crate) fn cores_to_fill(&self, work: Work, gigabits: u32) -> [Option<u32>; 2] {
        let fills = |which: usize| {
            (1..=1024).find(|cores| self.by_cores(work, *cores)[which] >= self.line(gigabits))
        };
        [fills(1), fills(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2.5 million messages/s and core, frames of 601 bytes: exactly 2, 5 and 20 million at line rate.
    fn costs(speedup: f64) -> Costs {
        Costs {
            message_ns: 400.0,
            measured_cores: 2,
            speedup,
            handoff_ns: 50.0,
            touch_ns: 100.0,
            frame_bytes: 601.0,
            memory_bandwidth: 100e9,
        }
    }

    fn cell(costs: &Costs, work: Work, cores: u32, gigabits: u32) -> Cell {
        let is_wanted = |cell: &Cell| (cell.cores, cell.gigabits) == (cores, gigabits);
        costs.table(work).into_iter().find(is_wanted).expect("in the table")
    }

    fn assert_near(value: f64, wanted: f64) {
        assert!((value / wanted - 1.0).abs() < 1e-9, "{value} is not {wanted}");
    }

    #[test]
    fn cores_that_share_nothing_go_on_until_the_line_is_full() {
        let costs = costs(2.0);
        let stateless = Work::default();
        assert_eq!(costs.table(stateless).len(), CORES.len() * LINE_RATES.len());
        for (cores, gigabits, rate, limit) in [
            (1, 10, 2e6, Limit::Line),
            (1, 25, 2.5e6, Limit::Cores),
            (2, 25, 5e6, Limit::Line),
            (4, 100, 10e6, Limit::Cores),
            (8, 100, 20e6, Limit::Line),
        ] {
            let cell = cell(&costs, stateless, cores, gigabits);
            assert_near(cell.low, rate);
            assert_near(cell.high, rate);
            assert_eq!((cell.low_limit, cell.high_limit), (limit, limit), "{cell:?}");
        }
        assert_eq!(costs.cores_to_fill(stateless, 100), [Some(8), Some(8)]);
    }

    #[test]
    fn a_loss_with_two_cores_is_extrapolated_both_ways() {
        let costs = costs(1.6); // Efficiency 0.8, serial share 0.25.
        let [low, high] = costs.by_cores(Work::default(), 2);
        assert_near(low, 4e6);
        assert_near(high, 4e6);
        let [low, high] = costs.by_cores(Work::default(), 64);
        assert_near(low, 2.5e6 * 64.0 / (1.0 + 0.25 * 63.0));
        assert_near(high, 2.5e6 * 64.0 * 0.8);
        assert_eq!(costs.cores_to_fill(Work::default(), 100), [Some(10), None]);
    }

    #[test]
    fn a_speedup_that_is_noise_counts_as_the_possible_one() {
        assert_near(costs(2.3).by_cores(Work::default(), 4)[1], 10e6);
        assert_near(costs(0.7).by_cores(Work::default(), 4)[0], 2.5e6);
    }

    #[test]
    fn stateful_work_costs_time_and_bandwidth() {
        let work = Work { handoffs: 2.0, touches: 5.0 };
        let costs = costs(2.0);
        assert_near(costs.work_ns(work, 1), 900.0); // Nobody to hand off to.
        assert_near(costs.work_ns(work, 2), 950.0);
        let narrow = Costs { memory_bandwidth: (3.0 * 601.0 + 128.0 * 5.0) * 3e6, ..costs };
        let cell = cell(&narrow, work, 64, 100);
        assert_near(cell.low, 3e6);
        assert_eq!(cell.low_limit, Limit::Memory);
    }
}
