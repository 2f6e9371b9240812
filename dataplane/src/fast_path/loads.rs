//! What members of destination sets say of their load.

use super::FastPath;
use crate::load_counters::LoadCounters;

impl FastPath {
    /// Lets others see what the members have said, when there is anything new.
    #[inline]
    pub fn publish_loads(&mut self, counters: &LoadCounters) {
        if self.scratch.choices.take_load_news() {
            self.publish_all_loads(counters);
        }
    }

    #[cold]
    fn publish_all_loads(&self, counters: &LoadCounters) {
        let Some(epoch) = &self.epoch else { return };
        for (place, member) in epoch.tables.asked_members() {
            counters.publish(place, &self.scratch.choices.member_load(place, member));
        }
    }
}
