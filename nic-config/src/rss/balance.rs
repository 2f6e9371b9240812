//! A table for given loads of its entries: longest processing time first (Graham, "Bounds on
//! Multiprocessing Timing Anomalies", 1969), then moves and swaps away from the fullest queue for as
//! long as they help.

/// Steps of improvement; each makes the fullest queue lighter, few lists need a hundred.
const STEPS_MAX: usize = 2_000;
/// What rounding may look like.
const GAIN_MIN: f64 = 1e-12;

/// Entries on queues.
#[derive(Clone, Debug)]
pub struct Assignment<'a> {
    loads: &'a [f64],
    queue_of: Vec<u16>,
    queues: Vec<f64>,
}

impl<'a> Assignment<'a> {
    /// Puts entries with these loads on as many queues as `fixed` has members, which say what each
    /// queue has to carry anyway. Entries without a load are spread evenly, for flows still unknown.
    pub fn balanced(loads: &'a [f64], fixed: &[f64]) -> Self {
        let mut this = Self { loads, queue_of: vec![0; loads.len()], queues: fixed.to_vec() };
        let mut order: Vec<usize> = (0..loads.len()).filter(|entry| loads[*entry] > 0.0).collect();
        order.sort_by(|a, b| loads[*b].total_cmp(&loads[*a]));
        for entry in order {
            this.place(entry, least(&this.queues));
        }
        this.improve();
        this.spread_empty();
        this
    }

    /// Begins with the entries where they are and takes only the steps that lighten the fullest queue.
    pub fn moved_from(queue_of: &[u16], loads: &'a [f64], fixed: &[f64]) -> Self {
        let mut this = Self { loads, queue_of: queue_of.to_vec(), queues: fixed.to_vec() };
        for (queue, load) in queue_of.iter().zip(loads) {
            this.queues[usize::from(*queue)] += load;
        }
        this.improve();
        this
    }

    /// The queue of each entry.
    pub fn queue_of(&self) -> &[u16] {
        &self.queue_of
    }

    /// The load of each queue.
    pub fn queues(&self) -> &[f64] {
        &self.queues
    }

    /// The load of the fullest queue.
    pub fn max(&self) -> f64 {
        self.queues.iter().copied().fold(0.0, f64::max)
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most QUEUES_MAX queues")]
    fn place(&mut self, entry: usize, queue: usize) {
        self.queue_of[entry] = queue as u16;
        self.queues[queue] += self.loads[entry];
    }

    fn improve(&mut self) {
        for _ in 0..STEPS_MAX {
            let Some((step, _)) = self.best_step() else { return };
            let (from, to) = (usize::from(self.queue_of[step.entry]), step.queue);
            self.queues[from] -= self.loads[step.entry];
            self.place(step.entry, to);
            if let Some(back) = step.back {
                self.queues[to] -= self.loads[back];
                self.place(back, from);
            }
        }
    }

    /// The move or swap that leaves the least in the fuller of its two queues, and what that is.
    fn best_step(&self) -> Option<(Step, f64)> {
        let fullest = most(&self.queues);
        let full = self.queues[fullest];
        let mut best: Option<(Step, f64)> = None;
        let mut offer = |step, load: f64| {
            let rival = best.as_ref().map_or(full * (1.0 - GAIN_MIN), |(_, rival)| *rival);
            if load < rival {
                best = Some((step, load));
            }
        };
        let is_on_fullest = |entry: &usize| usize::from(self.queue_of[*entry]) == fullest;
        for entry in (0..self.loads.len()).filter(is_on_fullest) {
            let load = self.loads[entry];
            if load <= 0.0 {
                continue;
            }
            for (queue, other) in self.queues.iter().enumerate().filter(|(q, _)| *q != fullest) {
                offer(Step { entry, queue, back: None }, (full - load).max(other + load));
            }
            for back in (0..self.loads.len()).filter(|back| !is_on_fullest(back)) {
                let gain = load - self.loads[back];
                if gain > 0.0 {
                    let queue = usize::from(self.queue_of[back]);
                    let fuller = (full - gain).max(self.queues[queue] + gain);
                    offer(Step { entry, queue, back: Some(back) }, fuller);
                }
            }
        }
        best
    }

    fn spread_empty(&mut self) {
        let mut entries = vec![0_usize; self.queues.len()];
        let is_empty = |entry: usize| self.loads[entry] <= 0.0;
        for entry in (0..self.loads.len()).filter(|entry| !is_empty(*entry)) {
            entries[usize::from(self.queue_of[entry])] += 1;
        }
        for entry in (0..self.loads.len()).filter(|entry| is_empty(*entry)).collect::<Vec<_>>() {
            let few = |a: &usize, b: &usize| {
                entries[*a].cmp(&entries[*b]).then(self.queues[*a].total_cmp(&self.queues[*b]))
            };
            let queue = (0..entries.len()).min_by(few).unwrap_or(0);
            entries[queue] += 1;
            self.place(entry, queue);
        }
    }
}

/// An entry leaves the fullest queue, and another one may come back for it.
struct Step {
    entry: usize,
    queue: usize,
    back: Option<usize>,
}

/// The place of the smallest, the first one of equals.
pub(super) fn least(loads: &[f64]) -> usize {
    (0..loads.len()).min_by(|a, b| loads[*a].total_cmp(&loads[*b])).unwrap_or(0)
}

/// The place of the largest, the first one of equals.
pub(super) fn most(loads: &[f64]) -> usize {
    (0..loads.len()).rev().max_by(|a, b| loads[*a].total_cmp(&loads[*b])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_mend_what_the_greedy_rule_misses() {
        // The greedy rule gives 7: 3 + 2 + 2 beside 3 + 2.
        let loads = [3.0, 3.0, 2.0, 2.0, 2.0];
        let assignment = Assignment::balanced(&loads, &[0.0; 2]);
        assert!((assignment.max() - 6.0).abs() < 1e-9, "{assignment:?}");
    }

    #[test]
    fn empty_entries_are_shared_evenly() {
        let mut loads = [0.0; 64];
        loads[5] = 10.0;
        let assignment = Assignment::balanced(&loads, &[0.0; 4]);
        for queue in 0..4 {
            let entries = assignment.queue_of().iter().filter(|of| **of == queue).count();
            assert_eq!(entries, 16);
        }
    }

    #[test]
    fn a_table_in_force_changes_little() {
        let loads: Vec<f64> = (0..64).map(|entry| if entry < 2 { 5.0 } else { 1.0 }).collect();
        let before: Vec<u16> = (0..64).map(|entry| u16::from(entry >= 32)).collect();
        let assignment = Assignment::moved_from(&before, &loads, &[0.0; 2]);
        let changed = before.iter().zip(assignment.queue_of()).filter(|(a, b)| a != b).count();
        assert!((assignment.max() - 36.0).abs() < 1e-9, "{}", assignment.max());
        assert!(changed <= 2, "{changed}");
    }

    #[test]
    fn what_a_queue_carries_anyway_counts() {
        let assignment = Assignment::balanced(&[1.0; 64], &[32.0, 0.0]);
        assert!((assignment.max() - 48.0).abs() < 1e-9, "{}", assignment.max());
    }
}
