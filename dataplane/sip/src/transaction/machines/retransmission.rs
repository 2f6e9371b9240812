//! The timers that send a message again: A, E and G of RFC 3261.

use super::{Tick, Transport};

/// When a message is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retransmission {
    /// Milliseconds from the last time until `next`; 0: never again.
    interval: u32,
    next: Tick,
}

impl Retransmission {
    /// Starts the timer; reliable transports need none.
    pub(super) const fn start(now: Tick, interval: u32, transport: Transport) -> Self {
        let interval = match transport {
            Transport::Unreliable => interval,
            Transport::Reliable => 0,
        };
        Self { interval, next: now.plus(interval) }
    }

    /// Stops the timer.
    pub(super) const fn stop(&mut self) {
        self.interval = 0;
    }

    /// The intervals after the next retransmission are this long.
    pub(super) const fn slow_down(&mut self, interval: u32) {
        if self.interval != 0 {
            self.interval = interval;
        }
    }

    /// Whether the message is due. The next interval is twice as long, up to `longest`; it counts
    /// from when this one should have ended, unless the caller comes too late for that.
    pub(super) const fn fire(&mut self, now: Tick, longest: u32) -> bool {
        if self.interval == 0 || !self.next.has_come(now) {
            return false;
        }
        self.interval = self.interval.saturating_mul(2);
        if self.interval > longest {
            self.interval = longest;
        }
        self.next = self.next.plus(self.interval);
        if self.next.has_come(now) {
            self.next = now.plus(self.interval);
        }
        true
    }

    /// When to look again at a state that ends at `end` at the latest.
    pub(super) const fn next_before(self, end: Tick) -> Tick {
        if self.interval == 0 { end } else { self.next.sooner(end) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Retransmission, Tick, Transport};

    #[test]
    fn a_late_caller_sends_once_and_does_not_hurry_to_catch_up() {
        let at = Tick::of_ms;
        let mut timer = Retransmission::start(at(0), 500, Transport::Unreliable);
        assert!(!timer.fire(at(499), 4_000));
        // A little late: the rhythm stays 500, 1500, 3500.
        assert!(timer.fire(at(510), 4_000));
        assert_eq!(timer.next_before(at(32_000)), at(1_500));
        // Later than the interval after: it starts anew.
        assert!(timer.fire(at(9_000), 4_000) && !timer.fire(at(9_000), 4_000));
        assert_eq!(timer.next_before(at(32_000)), at(11_000));
        assert_eq!(timer.next_before(at(10_000)), at(10_000));
    }

    #[test]
    fn reliable_transports_repeat_nothing() {
        let mut timer = Retransmission::start(Tick::of_ms(0), 500, Transport::Reliable);
        timer.slow_down(4_000);
        assert!(!timer.fire(Tick::of_ms(60_000), 4_000));
    }
}
