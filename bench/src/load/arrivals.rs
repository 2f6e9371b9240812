//! When calls begin. The generator is open-loop: the plan does not wait for the target.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// How calls follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Process {
    /// Independent of each other, as the calls of many users are
    Poisson,
    /// Evenly spaced
    Constant,
}

/// The instants at which calls are due, in nanoseconds since the run began.
#[derive(Debug)]
pub(crate) struct Arrivals {
    process: Process,
    /// Mean nanoseconds between two calls.
    gap: f64,
    next: f64,
    end: f64,
    random: SmallRng,
}

impl Arrivals {
    /// `rate` calls per second for `seconds`.
    pub(crate) fn new(process: Process, rate: f64, seconds: f64, seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(seed);
        let mut arrivals = Self { process, gap: 1e9 / rate, next: 0.0, end: seconds * 1e9, random };
        arrivals.step();
        arrivals
    }

    /// When the next call is due; none when all have begun.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, < 2^53")]
    pub(crate) fn next_due(&self) -> Option<u64> {
        (self.next < self.end).then_some(self.next as u64)
    }

    /// Takes the next call if it is due.
    pub(crate) fn pop(&mut self, now: u64) -> Option<u64> {
        let due = self.next_due().filter(|due| *due <= now)?;
        self.step();
        Some(due)
    }

    fn step(&mut self) {
        self.next += match self.process {
            Process::Constant => self.gap,
            // The gaps of a Poisson process are exponential.
            Process::Poisson => -self.gap * (1.0 - self.random.random::<f64>()).ln(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, Process};

    #[test]
    fn the_rate_is_kept() {
        for process in [Process::Poisson, Process::Constant] {
            let mut arrivals = Arrivals::new(process, 10_000.0, 10.0, 1);
            let mut count = 0;
            let mut last = 0;
            while let Some(due) = arrivals.pop(u64::MAX) {
                assert!(due >= last);
                (count, last) = (count + 1, due);
            }
            assert!((99_000..=101_000).contains(&count), "{process:?}: {count}");
        }
    }
}
