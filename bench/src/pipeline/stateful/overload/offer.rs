//! What comes whether or not it is answered: calls at random times, and a flood.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand_distr::{Distribution as _, Exp};

/// What a flood is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    /// Bytes that are no SIP.
    Garbage,
    /// INVITEs, each of a call of its own.
    Invites,
}

/// Calls of honest callers, and what somebody else sends.
pub(super) struct Offer {
    gaps: Option<Exp<f64>>,
    random: SmallRng,
    next_ns: f64,
    /// What, and how many messages of it per second, evenly.
    flood: Option<(Flood, f64)>,
    flooded: u64,
    flood_began_ns: u64,
}

impl Offer {
    /// So many calls per second that know nothing of each other (a Poisson process), and no flood.
    pub(super) fn new(calls_per_second: f64) -> Self {
        Self {
            gaps: Exp::new(calls_per_second / 1e9).ok(),
            random: SmallRng::seed_from_u64(7),
            next_ns: 0.0,
            flood: None,
            flooded: 0,
            flood_began_ns: 0,
        }
    }

    /// From now on calls come at another rate, and a flood.
    pub(super) fn change(
        &mut self,
        now_ns: u64,
        calls_per_second: f64,
        flood: Option<(Flood, f64)>,
    ) {
        self.gaps = Exp::new(calls_per_second / 1e9).ok();
        (self.flood, self.flooded, self.flood_began_ns) = (flood, 0, now_ns);
    }

    /// Nothing comes any more.
    pub(super) fn stop(&mut self) {
        (self.gaps, self.flood) = (None, None);
    }

    /// Calls that have begun until now.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds are exact for months")]
    pub(super) fn calls(&mut self, now_ns: u64) -> usize {
        let Some(gaps) = self.gaps else { return 0 };
        let mut count = 0;
        while self.next_ns <= now_ns as f64 {
            self.next_ns += gaps.sample(&mut self.random);
            count += 1;
        }
        count
    }

    /// Messages of the flood that have come until now, and what they are.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "fewer than 2^53"
    )]
    pub(super) fn flood(&mut self, now_ns: u64) -> (usize, Flood) {
        let Some((kind, per_second)) = self.flood else { return (0, Flood::Garbage) };
        let due = ((now_ns - self.flood_began_ns) as f64 / 1e9 * per_second) as u64;
        let count = due - self.flooded;
        self.flooded = due;
        (count as usize, kind)
    }

    /// When the next of them comes.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds"
    )]
    pub(super) fn earliest(&self) -> Option<u64> {
        let call = self.gaps.map(|_| self.next_ns as u64 + 1);
        let flood = self.flood.map(|(_, per_second)| {
            let after_ns = (self.flooded + 1) as f64 / per_second * 1e9;
            self.flood_began_ns + after_ns as u64 + 1
        });
        call.into_iter().chain(flood).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_come_at_their_rate() {
        let mut offer = Offer::new(10_000.0);
        offer.change(0, 10_000.0, Some((Flood::Garbage, 1_000.0)));
        let (mut calls, mut flood) = (0, 0);
        for ms in 0..=10_000 {
            calls += offer.calls(ms * 1_000_000);
            flood += offer.flood(ms * 1_000_000).0;
        }
        assert!((99_000..101_000).contains(&calls), "{calls}");
        assert_eq!(flood, 10_000);
        offer.stop();
        assert_eq!((offer.calls(u64::MAX / 2), offer.earliest()), (0, None));
    }
}
