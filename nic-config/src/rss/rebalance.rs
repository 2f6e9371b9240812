//! Live rebalance: as few entries of the table in force as need be go from the fullest queue to the emptiest.
//!
//! [`Load`] is what known flows put on each entry of the table; [`moves`] chooses the entries. Nothing here reads a clock or
//! writes a port.

use super::apply::InPort;
use super::balance::{least, most};
use super::planner::Flow;
use super::{Function, RssError, Spread};
use serde::Deserialize;

/// When entries of a port's table move, and how many: `rss_rebalance` of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub struct Rebalance {
    /// Max/mean above which the queues are uneven, in thousandths; 1,050 to 16,000.
    pub above_permille: u16,
    /// For how long they must have been, 5 to 3,600 seconds; each time anew.
    pub for_seconds: u16,
    /// Entries that move at one time at most, 1 to 64.
    pub entries: u16,
    /// With fewer messages each second on the whole port nothing moves; 1 or more.
    pub messages: u32,
}

impl Default for Rebalance {
    fn default() -> Self {
        Self { above_permille: 1_250, for_seconds: 30, entries: 4, messages: 1_000 }
    }
}

impl Rebalance {
    /// Max/mean above which the queues are uneven.
    pub fn above(&self) -> f64 {
        f64::from(self.above_permille) / 1_000.0
    }

    /// Max/mean that is good enough: half way between even and uneven, so that what is moved does not come back soon.
    pub fn enough(&self) -> f64 {
        f64::midpoint(1.0, self.above())
    }
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    above: f64,
    for_seconds: u16,
    entries: u16,
    messages: u32,
}

impl Default for Table {
    fn default() -> Self {
        let Rebalance { for_seconds, entries, messages, .. } = Rebalance::default();
        Self { above: Rebalance::default().above(), for_seconds, entries, messages }
    }
}

impl TryFrom<Table> for Rebalance {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let Table { above, for_seconds, entries, messages } = table;
        let refused =
            |setting: &str, wanted: &str| Err(format!("rss_rebalance: {setting}: write {wanted}"));
        if !(1.05..=16.0).contains(&above) {
            return refused(
                &format!("above = {above}"),
                "1.05 to 16, the load of the fullest queue over the mean",
            );
        }
        if !(5..=3_600).contains(&for_seconds) {
            return refused(&format!("for_seconds = {for_seconds}"), "5 to 3600");
        }
        if !(1..=64).contains(&entries) {
            return refused(&format!("entries = {entries}"), "1 to 64");
        }
        if messages == 0 {
            return refused("messages = 0", "1 or more, messages each second on the whole port");
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "1,050 to 16,000"
        )]
        let above_permille = (above * 1_000.0).round() as u16;
        Ok(Self { above_permille, for_seconds, entries, messages })
    }
}

/// What it takes to move an entry: the fullest queue must lose so much of the mean load by it.
const GAIN_MIN: f64 = 0.02;

/// Loads of entries and queues under a key and a table in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Of each entry.
    pub entries: Vec<f64>,
    /// Of each queue.
    pub queues: Vec<f64>,
    /// The part of all that came to another queue than the one that was reckoned, 0 to 1.
    pub strayed: f64,
}

impl Load {
    /// That of these flows, of which each came last to the queue beside it.
    ///
    /// # Errors
    /// A table that names a queue beyond `queues`; a driver that keeps its key to itself.
    pub fn of(flows: &[(Flow, u16)], shown: &InPort, queues: u16) -> Result<Self, LoadError> {
        let key = shown.key.as_ref().ok_or(LoadError::HiddenKey)?;
        shown.reta.check(queues)?;
        let fields = shown.fields.unwrap_or_default();
        let spread = Spread::new(Function::Toeplitz, fields, key, shown.reta.clone());
        let size = shown.reta.entries().len();
        let mut load =
            Self { entries: vec![0.0; size], queues: vec![0.0; queues.into()], strayed: 0.0 };
        let mut total = 0.0;
        for (Flow { tuple, weight }, came_to) in flows {
            let place = spread.queue(tuple);
            if let Some((_, entry)) = place.hashed {
                load.entries[entry] += weight;
            }
            load.queues[usize::from(place.queue)] += weight;
            total += weight;
            if place.queue != *came_to {
                load.strayed += weight;
            }
        }
        load.strayed = if total > 0.0 { load.strayed / total } else { 0.0 };
        Ok(load)
    }

    /// All queues together.
    pub fn total(&self) -> f64 {
        self.queues.iter().sum()
    }

    /// The load of the fullest queue as a multiple of the mean; 1 without any load.
    pub fn max_over_mean(&self) -> f64 {
        max_over_mean(&self.queues)
    }
}

/// Why loads are not known.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Without a key nobody knows which flow has which entry.
    #[error("its driver keeps the key to itself")]
    HiddenKey,
    /// The table is not one of this port.
    #[error(transparent)]
    Rss(#[from] RssError),
}

/// The fullest as a multiple of the mean; 1 without any load.
pub fn max_over_mean(loads: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most QUEUES_MAX")]
    let mean = loads.iter().sum::<f64>() / loads.len() as f64;
    if mean > 0.0 { loads[most(loads)] / mean } else { 1.0 }
}

/// An entry that goes to another queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Move {
    /// Its index.
    pub entry: usize,
    /// The queue that has it.
    pub from: u16,
    /// The queue that gets it.
    pub to: u16,
    /// Its load.
    pub load: f64,
}

/// The moves that make the queues as even as asked for, or as far as it can be done; none when no single entry would help: then
/// the fullest queue carries too much in one entry.
pub fn moves(load: &Load, table: &[u16], asked: &Rebalance) -> Vec<Move> {
    let (mut queues, mut table) = (load.queues.clone(), table.to_vec());
    #[expect(clippy::cast_precision_loss, reason = "at most QUEUES_MAX")]
    let mean = load.total() / queues.len() as f64;
    let mut moves: Vec<Move> = Vec::new();
    while moves.len() < usize::from(asked.entries) && max_over_mean(&queues) > asked.enough() {
        let (from, to) = (most(&queues), least(&queues));
        let fuller = |load: f64| (queues[from] - load).max(queues[to] + load);
        let of_fullest = (0..table.len()).filter(|entry| usize::from(table[*entry]) == from);
        let best = of_fullest
            .map(|entry| (entry, load.entries[entry]))
            .min_by(|(_, a), (_, b)| fuller(*a).total_cmp(&fuller(*b)));
        let Some((entry, weight)) = best else { break };
        if queues[from] - fuller(weight) < GAIN_MIN * mean {
            break;
        }
        queues[from] -= weight;
        queues[to] += weight;
        #[expect(clippy::cast_possible_truncation, reason = "at most QUEUES_MAX")]
        let (from, to) = (from as u16, to as u16);
        table[entry] = to;
        moves.push(Move { entry, from, to, load: weight });
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rss::{Fields, Reta, RssKey, Tuple};
    use proptest::prelude::*;

    fn shown(queues: u16) -> InPort {
        let key = Some(RssKey::microsoft(40).unwrap());
        InPort { key, reta: Reta::in_turn(64, queues).unwrap(), fields: Some(Fields::default()) }
    }

    fn flow(peer: u16, weight: f64) -> Flow {
        let [a, b] = peer.to_be_bytes();
        let source = ([10, 0, a, b], 5060).into();
        Flow { tuple: Tuple::new(source, ([192, 0, 2, 1], 5060).into()).unwrap(), weight }
    }

    fn load(entries: &[f64], table: &[u16], queues: usize) -> Load {
        let mut load = Load { entries: entries.to_vec(), queues: vec![0.0; queues], strayed: 0.0 };
        for (queue, weight) in table.iter().zip(entries) {
            load.queues[usize::from(*queue)] += weight;
        }
        load
    }

    #[test]
    fn flows_put_their_load_on_entries_and_queues() {
        let shown = shown(2);
        let spread = Spread::new(
            Function::Toeplitz,
            Fields::default(),
            shown.key.as_ref().unwrap(),
            shown.reta.clone(),
        );
        let flows: Vec<_> = (0..200)
            .map(|peer| {
                let flow = flow(peer, f64::from(peer + 1));
                (flow, spread.queue(&flow.tuple).queue)
            })
            .collect();
        let load = Load::of(&flows, &shown, 2).unwrap();
        assert!((load.total() - 20_100.0).abs() < 1e-6 && load.strayed == 0.0);
        assert!((load.entries.iter().sum::<f64>() - 20_100.0).abs() < 1e-6);
        // A NIC that hashes otherwise is found out.
        let elsewhere: Vec<_> = flows.iter().map(|(flow, queue)| (*flow, 1 - queue)).collect();
        assert!((Load::of(&elsewhere, &shown, 2).unwrap().strayed - 1.0).abs() < 1e-9);
        let hidden = InPort { key: None, ..shown.clone() };
        assert!(matches!(Load::of(&flows, &hidden, 2), Err(LoadError::HiddenKey)));
        assert!(matches!(Load::of(&flows, &shown, 1), Err(LoadError::Rss(_))));
        let nothing = Load::of(&[], &shown, 2).unwrap();
        assert!((nothing.max_over_mean() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_entry_that_helps_most_goes_first_and_no_more_go_than_needed() {
        let mut entries = [1.0; 64];
        (entries[0], entries[2]) = (20.0, 11.0);
        let table: Vec<u16> = (0..64).map(|entry| entry % 2).collect();
        let load = load(&entries, &table, 2);
        assert_eq!(load.queues, [61.0, 32.0]);
        let asked = Rebalance::default();
        let found = moves(&load, &table, &asked);
        // 11 leaves 50 and 43; 20 would leave 41 and 52.
        assert_eq!(found, [Move { entry: 2, from: 0, to: 1, load: 11.0 }]);
        let often = Rebalance { above_permille: 1_050, ..asked };
        assert_eq!(moves(&load, &table, &often).len(), 4, "the most that go at one time");
    }

    #[test]
    fn an_entry_that_is_too_heavy_by_itself_stays() {
        let mut entries = [0.0; 64];
        (entries[0], entries[1]) = (90.0, 10.0);
        let table: Vec<u16> = (0..64).map(|entry| entry % 2).collect();
        assert_eq!(moves(&load(&entries, &table, 2), &table, &Rebalance::default()), []);
    }

    proptest! {
        #[test]
        fn moves_never_make_a_queue_fuller_than_the_fullest_was(
            entries in prop::collection::vec(0.0..100.0_f64, 64),
            queues in 2_u16..9,
            table in prop::collection::vec(any::<u16>(), 64),
            most in 1_u16..64,
        ) {
            let mut table: Vec<u16> = table.iter().map(|queue| queue % queues).collect();
            let before = load(&entries, &table, queues.into());
            let asked = Rebalance { entries: most, above_permille: 1_050, ..Rebalance::default() };
            let found = moves(&before, &table, &asked);
            prop_assert!(found.len() <= most.into());
            for Move { entry, from, to, .. } in &found {
                prop_assert_eq!(table[*entry], *from);
                table[*entry] = *to;
            }
            let after = load(&entries, &table, queues.into());
            prop_assert!(after.max_over_mean() <= before.max_over_mean() + 1e-9);
            prop_assert!(found.is_empty() || after.max_over_mean() < before.max_over_mean());
        }
    }
}
