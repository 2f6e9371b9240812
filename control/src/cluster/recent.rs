//! What the engine got lately. Its masters answer before their replicas have it, so that one that dies may take some of it
//! along: then it is written again.

use super::fields::Change;
use crate::limits::{RECENT_FOR, RECENT_MAX};
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Changes that were written, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Written>);

#[derive(Debug)]
struct Written {
    at: Instant,
    shard: u8,
    aor: String,
    changes: Vec<Change>,
}

impl Recent {
    /// Changes of an AoR were written; what is too old, or too much, is forgotten.
    pub(super) fn add(&mut self, shard: u8, aor: String, changes: Vec<Change>, at: Instant) {
        self.forget(at);
        if self.0.len() >= RECENT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Written { at, shard, aor, changes });
    }

    /// Takes what was written to a shard: of each binding the last change.
    pub(super) fn take(&mut self, shard: u8, now: Instant) -> HashMap<String, Vec<Change>> {
        self.forget(now);
        let mut all = HashMap::<String, Vec<Change>>::new();
        let (taken, left) =
            std::mem::take(&mut self.0).into_iter().partition(|one| one.shard == shard);
        self.0 = left;
        let taken: VecDeque<Written> = taken;
        for written in taken {
            let changes = all.entry(written.aor).or_default();
            for change in written.changes {
                changes.retain(|earlier| earlier.id != change.id);
                changes.push(change);
            }
        }
        all
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|one| now.duration_since(one.at) > RECENT_FOR) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Recent};
    use crate::limits::RECENT_FOR;
    use std::time::{Duration, Instant};

    #[test]
    fn the_last_change_of_each_binding_of_a_shard_is_kept_for_a_while() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let change = |id: u8, seconds| Change::removed([id; 8], at(seconds));
        let mut recent = Recent::default();
        recent.add(1, "old".into(), vec![change(1, 0)], start);
        let late = RECENT_FOR.as_secs() + 1;
        recent.add(1, "alice".into(), vec![change(1, 1), change(2, 1)], at(late));
        recent.add(2, "bob".into(), vec![change(1, 2)], at(late));
        recent.add(1, "alice".into(), vec![change(1, 3)], at(late));
        let taken = recent.take(1, at(late));
        assert_eq!(taken.len(), 1);
        assert_eq!(taken["alice"], [change(2, 1), change(1, 3)]);
        assert!(recent.take(1, at(late)).is_empty());
        assert_eq!(recent.take(2, at(late)).len(), 1);
    }
}
