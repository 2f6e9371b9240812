//! What is due later. Most delays are a few fixed ones, so each has a queue of its own, in which what was put in first
//! is due first. How long a call lasts is random, so that calls which began together do not end together.

use core::cmp::Reverse;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand_distr::{Distribution as _, Exp};
use std::collections::{BinaryHeap, VecDeque};

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

/// One queue for each power of two of T1 up to 32, and calls that end.
#[derive(Debug)]
pub(super) struct Delays {
    queues: [VecDeque<Later>; 6],
    /// When callers hang up, and who.
    ends: BinaryHeap<Reverse<(u64, u32)>>,
    holds: Exp<f64>,
    random: SmallRng,
}

impl Delays {
    /// Nothing is due; calls last for `hold_ns` on average, one as likely as another to end now.
    #[expect(clippy::cast_precision_loss, reason = "an average")]
    pub(super) fn new(hold_ns: u64) -> Self {
        Self {
            queues: std::array::from_fn(|_| VecDeque::new()),
            ends: BinaryHeap::new(),
            holds: Exp::new(1.0 / hold_ns.max(1) as f64).expect("a positive rate"),
            random: SmallRng::seed_from_u64(11),
        }
    }

    /// The caller of this call will hang up.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "nanoseconds")]
    pub(super) fn hold(&mut self, now_ns: u64, call: u32) {
        let hold_ns = self.holds.sample(&mut self.random) as u64;
        self.ends.push(Reverse((now_ns + hold_ns, call)));
    }

    /// Notes that something has happened for the `step`th time at `now_ns`. Gives false when it does not happen again,
    /// since it has been tried for 64 T1.
    pub(super) fn again(&mut self, now_ns: u64, call: u32, what: Due, step: u8) -> bool {
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
        if let Some(Reverse((at_ns, call))) = self.ends.peek().copied()
            && at_ns <= now_ns
        {
            self.ends.pop();
            return Some(Later { at_ns, call, what: Due::HangUp, step: 0 });
        }
        let due = |queue: &&mut VecDeque<Later>| queue.front().is_some_and(|it| it.at_ns <= now_ns);
        self.queues.iter_mut().find(due)?.pop_front()
    }

    /// When the next one is due.
    pub(super) fn earliest(&self) -> Option<u64> {
        let end = self.ends.peek().map(|Reverse((at_ns, _))| *at_ns);
        let again = self.queues.iter().filter_map(|queue| queue.front().map(|later| later.at_ns));
        again.chain(end).min()
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
        assert!(delays.again(0, 1, Due::Invite, 0));
        delays.hold(5, 2);
        let end_ns = delays.earliest().unwrap();
        assert!((5..5_000).contains(&end_ns), "{end_ns}");
        assert_eq!(delays.next(end_ns - 1), None);
        assert_eq!(
            delays.next(end_ns).map(|later| (later.call, later.what)),
            Some((2, Due::HangUp))
        );
        assert_eq!(delays.earliest(), Some(T1_NS));
    }
}
