//! The search for a key and a table that share the load of known flows evenly.
//!
//! Each key throws the flows into the entries of the table in its own way; the entries are then put
//! on queues by [`super::balance`]. Few heavy flows need a key that keeps them apart, many light ones
//! are even with any key: so keys are drawn at random, and those that put too much into one entry are
//! given up early. No clock is read here: the caller ends the search when it likes.

mod candidates;
mod units;

use self::candidates::Candidates;
use self::units::Units;
use super::balance::Assignment;
use super::bound::{Bound, bound};
use super::{Fields, Function, QUEUES_MAX, Reta, RssError, RssKey, Tuple};

/// The search ends when no more than this is left to gain.
pub const NEAR: f64 = 1.001;
/// A table in force is mended rather than made anew where that costs no more than this.
const MENDED: f64 = 1.002;

/// A flow and how much comes in over it, in any unit that is the same for all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// Its addresses and ports, as they arrive.
    pub tuple: Tuple,
    /// Above 0.
    pub weight: f64,
}

/// How a port hashes, and its key and table in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// How the hash is made.
    pub function: Function,
    /// What is hashed.
    pub fields: Fields,
    /// The key.
    pub key: RssKey,
    /// The table; the plan has one of the same size.
    pub reta: Reta,
}

/// Which keys the plan may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Any.
    Any,
    /// Those that give a flow and its answers one hash: there are 65,535 of them.
    Symmetric,
    /// Only the one in force: no flow moves but those of the entries that change.
    AsItIs,
}

/// How far the search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Keys to try at most.
    pub keys: u32,
    /// Where the random keys begin; the same seed gives the same plan.
    pub seed: u64,
}

/// A key, a table, and the load that each queue gets with them.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The key.
    pub key: RssKey,
    /// The table.
    pub reta: Reta,
    /// Load of each queue, in the unit of the weights.
    pub queue_loads: Vec<f64>,
}

impl Outcome {
    /// The load of the fullest queue.
    pub fn max(&self) -> f64 {
        self.queue_loads.iter().copied().fold(0.0, f64::max)
    }
}

/// Flows that no key can part: they are one to the hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Elephant {
    /// The flow, or the heaviest of those that the hash takes for one.
    pub flow: Tuple,
    /// How many flows that are.
    pub flows: usize,
    /// What they weigh together.
    pub weight: f64,
    /// The queue that has them with the plan.
    pub queue: u16,
}

/// Why the search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Less than a thousandth was left to gain.
    NearBest,
    /// Every key that it may try was tried.
    Keys,
    /// The caller ended it; another run may get further.
    Caller,
}

/// The result.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is in force.
    pub before: Outcome,
    /// What is proposed.
    pub after: Outcome,
    /// How low the fullest queue could be with whole flows, whatever the key and the table.
    pub best_possible: Bound,
    /// Flows heavier than the mean load of a queue, heaviest first.
    pub elephants: Vec<Elephant>,
    /// Load of all flows.
    pub total: f64,
    /// Keys tried.
    pub keys_tried: u32,
    /// Why no more were.
    pub end: End,
}

impl Plan {
    /// The load of a queue if all had the same.
    #[expect(clippy::cast_precision_loss, reason = "at most QUEUES_MAX")]
    pub fn mean(&self) -> f64 {
        self.total / self.before.queue_loads.len() as f64
    }

    /// Entries of the table that the plan changes.
    pub fn entries_changed(&self) -> usize {
        let pairs = self.before.reta.entries().iter().zip(self.after.reta.entries());
        pairs.filter(|(before, after)| before != after).count()
    }
}

/// Finds key and table for these flows on `queues` queues. After each key `go_on` hears how many
/// were tried and how much the fullest queue has as a multiple of the best possible.
pub fn plan(
    flows: &[Flow],
    queues: u16,
    in_force: &InForce,
    keys: Keys,
    limits: Limits,
    go_on: &mut dyn FnMut(u32, f64) -> bool,
) -> Result<Plan, RssError> {
    check(flows, queues, in_force)?;
    let units = Units::of(flows, in_force, queues)?;
    let mut best_possible = bound(&units.weights(), queues);
    let before = units.outcome(&in_force.key, in_force.reta.clone());
    let mut search = Search { units: &units, in_force, best: None };
    if keys != Keys::Symmetric || in_force.is_symmetric() {
        search.best = Some(before.clone());
        search.mend();
        search.try_key(&in_force.key);
    }
    let mut candidates = Candidates::new(in_force, keys, limits.seed);
    let mut keys_tried = 1;
    let end = loop {
        let found = search.best.as_ref().map_or(f64::INFINITY, Outcome::max);
        let gap = found / best_possible.lower;
        if gap <= NEAR {
            break End::NearBest;
        }
        if keys_tried >= limits.keys.max(1) {
            break End::Keys;
        }
        // Without any plan yet there is nothing to end with.
        if !go_on(keys_tried, gap) && search.best.is_some() {
            break End::Caller;
        }
        let Some(key) = candidates.next() else { break End::Keys };
        search.try_key(&key);
        keys_tried += 1;
    };
    let after = search.best.unwrap_or_else(|| before.clone());
    best_possible.known = best_possible.known.min(after.max());
    let elephants = units.elephants(&after);
    let total = units.total;
    Ok(Plan { before, after, best_possible, elephants, total, keys_tried, end })
}

fn check(flows: &[Flow], queues: u16, in_force: &InForce) -> Result<(), RssError> {
    if !(1..=QUEUES_MAX).contains(&queues) {
        return Err(RssError::Queues(queues.into()));
    }
    let size = in_force.reta.entries().len();
    if usize::from(queues) > size {
        return Err(RssError::MoreQueuesThanEntries { queues, size });
    }
    in_force.reta.check(queues)?;
    if flows.is_empty() {
        return Err(RssError::NoFlow);
    }
    match flows.iter().find(|flow| !(flow.weight > 0.0 && flow.weight.is_finite())) {
        Some(flow) => Err(RssError::Weight(flow.tuple.to_string(), flow.weight.to_string())),
        None => Ok(()),
    }
}

impl InForce {
    /// Whether a flow and its answers have one hash.
    pub fn is_symmetric(&self) -> bool {
        self.function.is_symmetric() || self.key.is_symmetric()
    }
}

struct Search<'a> {
    units: &'a Units,
    in_force: &'a InForce,
    best: Option<Outcome>,
}

impl Search<'_> {
    /// Moves entries of the table in force, as few as lighten the fullest queue.
    fn mend(&mut self) {
        let Some(loads) = self.units.entry_loads(&self.in_force.key, f64::INFINITY) else { return };
        let fixed = self.units.fixed();
        let mended = Assignment::moved_from(self.in_force.reta.entries(), &loads, &fixed);
        let is_good = mended.max() <= Assignment::balanced(&loads, &fixed).max() * MENDED;
        if is_good {
            self.offer(&self.in_force.key, &mended);
        }
    }

    fn try_key(&mut self, key: &RssKey) {
        let limit = self.best.as_ref().map_or(f64::INFINITY, Outcome::max);
        let Some(loads) = self.units.entry_loads(key, limit) else { return };
        let assignment = Assignment::balanced(&loads, &self.units.fixed());
        // What a mended table of the key in force lacks to the best one is no reason to change more entries.
        let is_same = self.best.as_ref().is_some_and(|best| best.key == *key);
        let wanted = if is_same { limit / MENDED } else { limit };
        if assignment.max() < wanted {
            self.offer(key, &assignment);
        }
    }

    fn offer(&mut self, key: &RssKey, assignment: &Assignment) {
        let limit = self.best.as_ref().map_or(f64::INFINITY, Outcome::max);
        if assignment.max() >= limit {
            return;
        }
        // The size is that of the table in force.
        if let Ok(reta) = Reta::new(assignment.queue_of().to_vec()) {
            self.best = Some(self.units.outcome(key, reta));
        }
    }
}

#[cfg(test)]
mod tests;
