//! What is due later. All delays are a few fixed ones, so each has a queue of its own, in which what was put in first
//! is due first.

use std::collections::VecDeque;

/// What happens when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The caller sends its INVITE again.
    Invite,
    /// The callee sends its 200 again.
    Answer,
    /// The caller hangs up.
    HangUp,
    /// The caller sends its BYE again.
    Bye,
}

/// Something of a call that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Later {
    /// When, in nanoseconds.
    pub(super) at_ns: u64,
    /// The number of the call.
    pub(super) call: u32,
    pub(super) what: Due,
    /// How often it has happened before.
    pub(super) step: u8,
}

/// T1 of callers and callees, in nanoseconds (RFC 3261 section 17.1.1.1).
pub(super) const T1_NS: u64 = 500_000_000;
/// T2, the longest interval of what is no INVITE.
const T2_NS: u64 = 8 * T1_NS;
/// After so long nobody waits any longer.
const GIVE_UP_NS: u64 = 64 * T1_NS;

/// One queue for each power of two of T1 up to 32, and one for the time that calls last.
#[derive(Debug)]
pub(super) struct Delays {
    queues: [VecDeque<Later>; 7],
    hold_ns: u64,
}

impl Delays {
    /// Nothing is due; calls last `hold_ns`.
    pub(super) fn new(hold_ns: u64) -> Self {
        Self { queues: std::array::from_fn(|_| VecDeque::new()), hold_ns }
    }

    /// Notes that something has happened for the `step`th time at `now_ns`. Gives false when it does not happen again,
    /// since it has been tried for 64 T1.
    pub(super) fn again(&mut self, now_ns: u64, call: u32, what: Due, step: u8) -> bool {
        if what == Due::HangUp {
            self.put(6, Later { at_ns: now_ns + self.hold_ns, call, what, step });
            return true;
        }
        let doubled = T1_NS << step.min(6);
        let capped = if what == Due::Invite { doubled } else { doubled.min(T2_NS) };
        if elapsed(what, step) + capped > GIVE_UP_NS {
            return false;
        }
        self.put(
            capped.ilog2() - T1_NS.ilog2(),
            Later { at_ns: now_ns + capped, call, what, step: step + 1 },
        );
        true
    }

    fn put(&mut self, queue: u32, later: Later) {
        self.queues[queue as usize].push_back(later);
    }

    /// The next one that is due at `now_ns`.
    pub(super) fn next(&mut self, now_ns: u64) -> Option<Later> {
        let due = |queue: &&mut VecDeque<Later>| queue.front().is_some_and(|it| it.at_ns <= now_ns);
        self.queues.iter_mut().find(due)?.pop_front()
    }

    /// When the next one is due.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.queues.iter().filter_map(|queue| queue.front().map(|later| later.at_ns)).min()
    }
}

/// For how long something has been tried after so many times.
fn elapsed(what: Due, times: u8) -> u64 {
    let interval = |step: u8| {
        let doubled = T1_NS << step.min(6);
        if what == Due::Invite { doubled } else { doubled.min(T2_NS) }
    };
    (0..times).map(interval).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds after the first time at which it happens again.
    fn times(what: Due) -> Vec<f64> {
        let mut delays = Delays::new(1);
        let (mut now_ns, mut step, mut times) = (0, 0, vec![]);
        while delays.again(now_ns, 7, what, step) {
            assert_eq!(delays.next(delays.earliest().unwrap() - 1), None);
            let later = delays.next(delays.earliest().unwrap()).unwrap();
            (now_ns, step) = (later.at_ns, later.step);
            times.push(Duration::from_nanos(now_ns).as_secs_f64());
        }
        times
    }

    use core::time::Duration;

    #[test]
    fn requests_are_sent_again_as_rfc_3261_says() {
        assert_eq!(times(Due::Invite), [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]);
        assert_eq!(times(Due::Bye)[..5], [0.5, 1.5, 3.5, 7.5, 11.5]);
        assert_eq!(times(Due::Bye).len(), 10);
    }

    #[test]
    fn what_is_due_first_comes_first() {
        let mut delays = Delays::new(20);
        assert!(delays.again(0, 1, Due::Invite, 0) && delays.again(5, 2, Due::HangUp, 0));
        assert_eq!(delays.earliest(), Some(25));
        assert_eq!(delays.next(24), None);
        assert_eq!(delays.next(25).map(|later| later.call), Some(2));
        assert_eq!(delays.earliest(), Some(T1_NS));
    }
}
