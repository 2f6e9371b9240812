//! Timers: the end of bindings, and when those behind NAT are kept alive.

use smallvec::SmallVec;

use super::layer::Location;
use crate::route::tables::Tables;
use crate::settings::KeepAlive;
use crate::transaction::Tick;

/// Timers that are taken from the wheel before the first of them is looked into.
const TICKS_AT_ONCE: usize = 16;
/// No timer is set further ahead than ticks can tell, twelve days: it fires then and is set again.
const AHEAD_MS_MAX: u64 = 1 << 30;

impl Location {
    /// Does what is due, in pieces: each timer and each step of the wheel costs one of `budget`. Gives
    /// whether something is left to do, after the outbox has been emptied.
    pub fn expire(&mut self, budget: u32, tables: &Tables) -> bool {
        let mut left = budget;
        while left > 0 {
            if self.outbox.is_crowded() {
                return true;
            }
            // Some at once, so that their records come from memory side by side.
            let mut due = SmallVec::<[u32; TICKS_AT_ONCE]>::new();
            while due.len() < TICKS_AT_ONCE
                && let Some(slot) = self.wheel.next(self.tick(), &mut left)
            {
                core::hint::black_box(self.table.touch_binding(slot));
                due.push(slot);
            }
            if due.is_empty() {
                break;
            }
            for &slot in &due {
                if let Some(binding) = self.table.binding(slot) {
                    core::hint::black_box(self.table.first_of(binding.aor));
                }
            }
            for slot in due {
                self.fire(slot, tables);
            }
        }
        left == 0
    }

    /// The timer of a binding; it may be early, since it stays when a binding is refreshed.
    fn fire(&mut self, slot: u32, tables: &Tables) {
        let Some(binding) = self.table.binding(slot) else { return };
        if binding.expires_ms <= self.now_ms {
            let aor = binding.aor;
            self.remove(slot);
            self.counts.expired += 1;
            self.changed(aor, tables);
            return;
        }
        if binding.is_flow {
            self.keep_alive(slot, tables);
        }
        self.arm_anew(slot, tables);
    }

    /// Sets the timer of a binding that has none.
    pub(super) fn arm_anew(&mut self, slot: u32, tables: &Tables) {
        let due = self.due(slot, tables);
        if let Some(binding) = self.table.binding_mut(slot) {
            binding.timer = due;
            self.wheel.settle(slot, due);
        }
    }

    /// The same for one that is set, which is left as it is unless it is too late.
    #[inline]
    pub(super) fn arm_sooner(&mut self, slot: u32, tables: &Tables) {
        let due = self.due(slot, tables);
        if let Some(binding) = self.table.binding_mut(slot)
            && due.since(binding.timer) < 0
        {
            binding.timer = due;
            self.wheel.settle(slot, due);
        }
    }

    /// When the timer of a binding must fire.
    #[inline]
    fn due(&self, slot: u32, tables: &Tables) -> Tick {
        let Some(binding) = self.table.binding(slot) else { return self.tick() };
        let settings = tables.registrar();
        let mut due = binding.expires_ms.min(self.now_ms + AHEAD_MS_MAX);
        if binding.is_flow && settings.keepalive != KeepAlive::Off {
            due = due.min(self.now_ms + u64::from(settings.keepalive_s) * 1000);
        }
        Tick::of_ms(due)
    }
}
