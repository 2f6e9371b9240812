//! How even any assignment of whole flows to queues could be: identical machines, indivisible jobs,
//! least makespan (P||Cmax).
//!
//! The lower bound is proven: the mean, the heaviest flow, the flows that must share a queue because
//! there are more of them than queues, and the best assignment of the heaviest flows alone, found by
//! branch and bound. The other side of it is an assignment that is known.

use super::balance::{Assignment, least};

/// So many flows are moved and swapped to find a good assignment; the rest fills up.
const MOVED_MAX: usize = 512;
/// So many of the heaviest are tried in every order.
const HEAVY_MAX: usize = 64;
/// Steps of branch and bound, a twentieth of a second. Ten times as many bring the two bounds a thousandth nearer
/// at best.
const STEPS_MAX: u64 = 400_000;
/// Bounds that are as near as this are one.
const NEAR: f64 = 1e-4;

/// The least load of the fullest queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// No assignment of whole flows to queues has less on its fullest queue.
    pub lower: f64,
    /// An assignment with this load is known.
    pub known: f64,
}

/// Bounds for flows of these weights on `queues` queues.
pub fn bound(weights: &[f64], queues: u16) -> Bound {
    let mut weights = weights.to_vec();
    weights.sort_by(|a, b| b.total_cmp(a));
    let queues = usize::from(queues.max(1));
    let (heavy, light) = weights.split_at(weights.len().min(MOVED_MAX));
    let moved = Assignment::balanced(heavy, &vec![0.0; queues]);
    let mut found =
        Bound { lower: simple(&weights, queues), known: filled(moved.queues().to_vec(), light) };
    let mut steps = STEPS_MAX;
    let heaviest = weights.len().min(HEAVY_MAX);
    // One more than a multiple of the queues is where a queue must take one more.
    let counts = (queues + 1..heaviest).step_by(queues).chain([heaviest]);
    for count in counts {
        if found.known <= found.lower * (1.0 + NEAR) || steps == 0 {
            break;
        }
        let (heavy, light) = weights.split_at(count);
        let mut search = Search::new(heavy, queues, found, steps);
        search.place(0);
        if let Some(queues) = search.best_queues.take() {
            found.known = found.known.min(filled(queues, light));
        }
        steps = search.steps;
        if steps > 0 {
            found.lower = found.lower.max(search.best);
        }
    }
    // Rounding may put the one a hair beyond the other.
    Bound { lower: found.lower.min(found.known), known: found.known }
}

/// The mean; and for each k, one queue has at least k + 1 of the k * queues + 1 heaviest flows.
fn simple(weights: &[f64], queues: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most QUEUES_MAX")]
    let mean = weights.iter().sum::<f64>() / queues as f64;
    let shared = |k: usize| weights[k * queues - k..=k * queues].iter().sum();
    let last = weights.len().saturating_sub(1) / queues;
    (0..=last).filter(|_| !weights.is_empty()).map(shared).fold(mean, f64::max)
}

/// The fullest queue after the light flows, heaviest first, went where least was.
fn filled(mut queues: Vec<f64>, light: &[f64]) -> f64 {
    for weight in light {
        let queue = least(&queues);
        queues[queue] += weight;
    }
    queues.into_iter().fold(0.0, f64::max)
}

/// Branch and bound over the heaviest flows.
struct Search<'a> {
    weights: &'a [f64],
    /// What is left from each flow on.
    rest: Vec<f64>,
    queues: Vec<f64>,
    enough: f64,
    /// Only assignments below this are looked for.
    best: f64,
    best_queues: Option<Vec<f64>>,
    steps: u64,
}

impl<'a> Search<'a> {
    fn new(weights: &'a [f64], queues: usize, found: Bound, steps: u64) -> Self {
        let mut rest = vec![0.0; weights.len() + 1];
        for (place, weight) in weights.iter().enumerate().rev() {
            rest[place] = rest[place + 1] + weight;
        }
        Self {
            weights,
            rest,
            queues: vec![0.0; queues],
            enough: found.lower * (1.0 + 1e-9),
            best: found.known,
            best_queues: None,
            steps,
        }
    }

    fn place(&mut self, flow: usize) {
        let Some(weight) = self.weights.get(flow).copied() else {
            self.best = self.queues.iter().copied().fold(0.0, f64::max);
            self.best_queues = Some(self.queues.clone());
            return;
        };
        if self.steps == 0 || self.best <= self.enough || self.has_no_room(flow) {
            return;
        }
        self.steps -= 1;
        let mut order: Vec<usize> = (0..self.queues.len()).collect();
        order.sort_by(|a, b| self.queues[*a].total_cmp(&self.queues[*b]));
        let mut last = None;
        for queue in order {
            let load = self.queues[queue];
            // Queues of the same load are the same queue; fuller ones have no room either.
            if last == Some(load.to_bits()) {
                continue;
            }
            if load + weight >= self.best * (1.0 - 1e-12) {
                return;
            }
            last = Some(load.to_bits());
            self.queues[queue] = load + weight;
            self.place(flow + 1);
            self.queues[queue] = load;
        }
    }

    /// Whether the flows left do not fit below the best; room too small for the lightest one is none.
    fn has_no_room(&self, flow: usize) -> bool {
        let lightest = self.weights[self.weights.len() - 1];
        let room = self.queues.iter().map(|load| self.best - load).filter(|room| *room > lightest);
        room.sum::<f64>() <= self.rest[flow]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * b.abs().max(1.0)
    }

    #[test]
    fn known_cases() {
        let cases: [(&[f64], u16, f64); 6] = [
            (&[16.0, 16.0, 16.0, 16.0, 16.0], 4, 32.0),
            (&[50.0, 10.0, 10.0], 4, 50.0),
            (&[3.0, 3.0, 2.0, 2.0, 2.0], 2, 6.0),
            // Nine of a kind on four queues: three of them meet.
            (&[1.0; 9], 4, 3.0),
            // The mean; the greedy rule alone gives 10.
            (&[5.0, 5.0, 4.0, 4.0, 3.0, 3.0, 3.0], 3, 9.0),
            // Neither the mean (11.5) nor a pair says 12.
            (&[8.0, 7.0, 4.0, 4.0], 2, 12.0),
        ];
        for (weights, queues, best) in cases {
            let found = bound(weights, queues);
            assert!(near(found.lower, best) && near(found.known, best), "{weights:?}: {found:?}");
        }
        assert_eq!(bound(&[], 4), Bound { lower: 0.0, known: 0.0 });
    }

    /// Every assignment there is.
    fn by_brute_force(weights: &[f64], queues: &mut Vec<f64>) -> f64 {
        let Some((first, rest)) = weights.split_first() else {
            return queues.iter().copied().fold(0.0, f64::max);
        };
        let each = (0..queues.len()).map(|queue| {
            queues[queue] += first;
            let best = by_brute_force(rest, queues);
            queues[queue] -= first;
            best
        });
        each.fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #[test]
        fn bounds_hold_the_best(
            weights in proptest::collection::vec(1_u32..1_000, 1..8),
            queues in 1_u16..4,
        ) {
            let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
            let found = bound(&weights, queues);
            let best = by_brute_force(&weights, &mut vec![0.0; queues.into()]);
            prop_assert!(found.lower <= best * (1.0 + 1e-9), "{found:?} {best}");
            prop_assert!(found.known >= best * (1.0 - 1e-9), "{found:?} {best}");
            // So few flows are solved.
            prop_assert!(found.known <= found.lower * (1.0 + NEAR) + 1e-9, "{found:?} {best}");
        }
    }
}
