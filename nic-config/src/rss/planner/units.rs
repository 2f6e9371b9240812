//! Flows as the hash sees them.

use std::collections::BTreeMap;

use super::{Elephant, Flow, InForce, Outcome};
use crate::rss::fields::{INPUT_BYTES_MAX, Input};
use crate::rss::spread::{QUEUE_WITHOUT_HASH, hash};
use crate::rss::toeplitz::Toeplitz;
use crate::rss::{Function, Reta, RssError, RssKey};

/// All flows; those with the same hashed bytes are one.
pub(super) struct Units {
    function: Function,
    queues: usize,
    size: usize,
    hashed: Vec<Unit>,
    /// What the port does not hash.
    rest: Option<Unit>,
    /// Load of all flows.
    pub(super) total: f64,
}

struct Unit {
    input: Option<Input>,
    weight: f64,
    heaviest: Flow,
    flows: usize,
}

impl Unit {
    fn add(&mut self, flow: Flow) {
        self.weight += flow.weight;
        self.flows += 1;
        if flow.weight > self.heaviest.weight {
            self.heaviest = flow;
        }
    }
}

impl Units {
    pub(super) fn of(flows: &[Flow], in_force: &InForce, queues: u16) -> Result<Self, RssError> {
        let mut units: BTreeMap<Option<Input>, Unit> = BTreeMap::new();
        for flow in flows {
            let input = Input::of(&flow.tuple, in_force.fields, in_force.function);
            let new = || Unit { input, weight: 0.0, heaviest: *flow, flows: 0 };
            units.entry(input).or_insert_with(new).add(*flow);
        }
        let rest = units.remove(&None);
        if units.is_empty() {
            return Err(RssError::NothingHashed(in_force.fields.to_string()));
        }
        let mut hashed: Vec<_> = units.into_values().collect();
        hashed.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let total = flows.iter().map(|flow| flow.weight).sum();
        let (function, size) = (in_force.function, in_force.reta.entries().len());
        Ok(Self { function, queues: queues.into(), size, hashed, rest, total })
    }

    fn all(&self) -> impl Iterator<Item = &Unit> {
        self.hashed.iter().chain(&self.rest)
    }

    pub(super) fn weights(&self) -> Vec<f64> {
        self.all().map(|unit| unit.weight).collect()
    }

    /// What the queues carry whatever the table.
    pub(super) fn fixed(&self) -> Vec<f64> {
        let mut fixed = vec![0.0; self.queues];
        fixed[usize::from(QUEUE_WITHOUT_HASH)] = self.rest.as_ref().map_or(0.0, |unit| unit.weight);
        fixed
    }

    /// The load of each entry; `None` as soon as one has `limit`.
    pub(super) fn entry_loads(&self, key: &RssKey, limit: f64) -> Option<Vec<f64>> {
        let toeplitz = Toeplitz::new(key, self.input_bytes());
        let mut loads = vec![0.0; self.size];
        for unit in &self.hashed {
            let Some(input) = &unit.input else { continue };
            let hash = hash(self.function, &toeplitz, input.bytes());
            let load = &mut loads[hash as usize & (self.size - 1)];
            *load += unit.weight;
            if *load >= limit {
                return None;
            }
        }
        Some(loads)
    }

    fn input_bytes(&self) -> usize {
        let lengths = self.hashed.iter().filter_map(|unit| unit.input.as_ref());
        lengths.map(|input| input.bytes().len()).max().unwrap_or(INPUT_BYTES_MAX)
    }

    pub(super) fn outcome(&self, key: &RssKey, reta: Reta) -> Outcome {
        let loads = self.entry_loads(key, f64::INFINITY).unwrap_or_default();
        let mut queue_loads = self.fixed();
        for (queue, load) in reta.entries().iter().zip(loads) {
            queue_loads[usize::from(*queue)] += load;
        }
        Outcome { key: key.clone(), reta, queue_loads }
    }

    #[expect(clippy::cast_precision_loss, reason = "at most QUEUES_MAX")]
    pub(super) fn elephants(&self, after: &Outcome) -> Vec<Elephant> {
        let mean = self.total / self.queues as f64;
        let toeplitz = Toeplitz::new(&after.key, INPUT_BYTES_MAX);
        let queue = |unit: &Unit| match &unit.input {
            Some(input) => {
                let hash = hash(self.function, &toeplitz, input.bytes());
                after.reta.entries()[after.reta.index(hash)]
            }
            None => QUEUE_WITHOUT_HASH,
        };
        let elephant = |unit: &Unit| Elephant {
            flow: unit.heaviest.tuple,
            flows: unit.flows,
            weight: unit.weight,
            queue: queue(unit),
        };
        // With one queue nothing is to be shared.
        let is_heavy = |unit: &&Unit| self.queues > 1 && unit.weight > mean;
        let mut elephants: Vec<_> = self.all().filter(is_heavy).map(elephant).collect();
        elephants.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        elephants
    }
}
