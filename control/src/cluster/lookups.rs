//! AoRs that workers have no binding of, and that other nodes may know: while a share moves, and of users of others.

use crate::limits::{LOOKUP_PATIENCE, LOOKUPS_MAX};
use std::collections::HashMap;
use std::time::Instant;

/// The question of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Index of the worker.
    pub worker: u16,
    /// What the worker knows it by.
    pub number: u64,
}

/// Who has asked for one AoR.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    pub(super) askers: Vec<Asker>,
    since: Instant,
}

/// What has been asked and not answered, by AoR.
#[derive(Debug, Default)]
pub(super) struct Lookups(HashMap<String, Lookup>);

impl Lookups {
    /// Takes a question; beyond [`LOOKUPS_MAX`] AoRs it is lost, and the worker waits in vain.
    pub(super) fn add(&mut self, aor: String, asker: Asker, now: Instant) {
        if self.0.len() < LOOKUPS_MAX || self.0.contains_key(&aor) {
            let new = || Lookup { askers: vec![], since: now };
            let askers = &mut self.0.entry(aor).or_insert_with(new).askers;
            if !askers.contains(&asker) {
                askers.push(asker);
            }
        }
    }

    /// Takes all of them, but for those whose workers do not wait any more.
    pub(super) fn take(&mut self, now: Instant) -> Vec<(String, Lookup)> {
        let all = std::mem::take(&mut self.0).into_iter();
        all.filter(|(_, lookup)| now.duration_since(lookup.since) < LOOKUP_PATIENCE).collect()
    }

    /// Takes back what was taken and could not be answered.
    pub(super) fn put_back(&mut self, lookups: Vec<(String, Lookup)>) {
        for (aor, Lookup { askers, since }) in lookups {
            for asker in askers {
                self.add(aor.clone(), asker, since);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Asker, Lookups};
    use crate::limits::{LOOKUP_PATIENCE, LOOKUPS_MAX};
    use std::time::{Duration, Instant};

    #[test]
    fn who_asks_for_one_aor_is_answered_together_unless_it_has_waited_too_long() {
        let (mut lookups, now) = (Lookups::default(), Instant::now());
        let ask = |lookups: &mut Lookups, number| {
            lookups.add("a@x".into(), Asker { worker: 0, number }, now);
        };
        ask(&mut lookups, 1);
        ask(&mut lookups, 2);
        let taken = lookups.take(now);
        assert_eq!(taken[0].1.askers.len(), 2);
        lookups.put_back(taken);
        ask(&mut lookups, 2);
        let taken = lookups.take(now + Duration::from_millis(1));
        assert_eq!(taken[0].1.askers.len(), 2, "the same question is one");
        lookups.put_back(taken);
        assert!(lookups.take(now + LOOKUP_PATIENCE).is_empty());
    }

    #[test]
    fn no_more_aors_than_there_is_room_for() {
        let (mut lookups, now) = (Lookups::default(), Instant::now());
        for user in 0..LOOKUPS_MAX + 5 {
            lookups.add(format!("{user}@x"), Asker { worker: 0, number: 1 }, now);
        }
        lookups.add("0@x".into(), Asker { worker: 1, number: 1 }, now);
        let taken = lookups.take(now);
        assert_eq!(taken.len(), LOOKUPS_MAX);
        assert_eq!(
            taken.iter().map(|(_, lookup)| lookup.askers.len()).sum::<usize>(),
            LOOKUPS_MAX + 1
        );
    }
}
