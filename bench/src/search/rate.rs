//! The search for the highest rate that passes, in a bounded number of trials.
//!
//! After RFC 2544 section 26.1 (the rate at which nothing is lost) and the idea of the multiple loss ratio
//! search: short trials while the bracket is wide, a long one to confirm.
//!
//! ```text
//!   double ──pass──> double ... ──fail──> bisect until narrow ──> confirm long ──pass──> the rate
//!   (the first one fails: halve)                                       │ fail: a step down, again
//! ```

use anyhow::Result;

/// Doublings before the search gives up to find a rate that fails.
const DOUBLINGS_MAX: u32 = 24;
/// Halvings below a first rate that fails.
const HALVINGS_MAX: u32 = 7;
/// Steps down before a search that cannot confirm gives its last rate.
const STEPS_DOWN_MAX: u32 = 8;

/// What one trial says.
#[derive(Clone, Debug)]
pub(crate) struct Outcome<T> {
    /// Whether the rate passed.
    pub(crate) passed: bool,
    /// Whether other load on the machine makes the trial worth nothing.
    pub(crate) disturbed: bool,
    /// Whether it was the generator that could not keep up.
    pub(crate) generator_limited: bool,
    /// What else there is to know.
    pub(crate) detail: T,
}

/// How to search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// First rate, per second.
    pub(crate) start: f64,
    /// Highest rate tried.
    pub(crate) max: f64,
    /// Ratio of the bracket's ends at which the search stops, above 1.
    pub(crate) precision: f64,
    /// Length of trials while the bracket is wide, in seconds.
    pub(crate) short: f64,
    /// Length of the trial that confirms, in seconds.
    pub(crate) long: f64,
}

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Found<T> {
    /// The highest rate that was confirmed; none when even the lowest failed.
    pub(crate) rate: Option<f64>,
    /// Whether the generator, not the target, set the limit.
    pub(crate) generator_limited: bool,
    /// The trial that confirmed it, or the last one.
    pub(crate) confirmed: Outcome<T>,
    /// Trials made: rate and whether it passed.
    pub(crate) trials: Vec<(f64, bool)>,
}

/// Searches with `trial(rate, seconds)`. A failed trial that was disturbed is made once more.
///
/// # Errors
/// When a trial cannot be made.
pub(crate) fn highest<T>(
    plan: &Plan,
    mut trial: impl FnMut(f64, f64) -> Result<Outcome<T>>,
) -> Result<Found<T>> {
    let mut trials = Vec::new();
    let mut attempt = |rate: f64, seconds: f64| -> Result<Outcome<T>> {
        let mut outcome = trial(rate, seconds)?;
        if !outcome.passed && outcome.disturbed {
            outcome = trial(rate, seconds)?;
        }
        trials.push((rate, outcome.passed));
        Ok(outcome)
    };
    let (mut low, mut high) = (0.0, plan.start.min(plan.max));
    let mut generator_limited = false;
    for _ in 0..DOUBLINGS_MAX {
        let outcome = attempt(high, plan.short)?;
        if !outcome.passed {
            generator_limited = outcome.generator_limited;
            break;
        }
        low = high;
        if high >= plan.max {
            break;
        }
        high = (high * 2.0).min(plan.max);
    }
    // Even the first rate failed: look below it.
    for _ in 0..HALVINGS_MAX {
        if low > 0.0 {
            break;
        }
        let half = high / 2.0;
        if attempt(half, plan.short)?.passed {
            low = half;
        } else {
            high = half;
        }
    }
    low = if low > 0.0 { low } else { high / 2.0 };
    while high / low > plan.precision {
        let middle = (low * high).sqrt();
        let outcome = attempt(middle, plan.short)?;
        if outcome.passed {
            low = middle;
        } else {
            generator_limited = outcome.generator_limited;
            high = middle;
        }
    }
    let mut confirmed = attempt(low, plan.long)?;
    for _ in 0..STEPS_DOWN_MAX {
        if confirmed.passed {
            break;
        }
        generator_limited = confirmed.generator_limited;
        low /= plan.precision;
        confirmed = attempt(low, plan.long)?;
    }
    let rate = confirmed.passed.then_some(low);
    Ok(Found { rate, generator_limited, confirmed, trials })
}

/// Middle of an odd or even number of values; none of none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) =
        (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(low.midpoint(*high))
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Plan, highest, median};

    const PLAN: Plan = Plan { start: 1_000.0, max: 1e6, precision: 1.05, short: 1.0, long: 3.0 };

    fn capacity(limit: f64) -> impl FnMut(f64, f64) -> anyhow::Result<Outcome<f64>> {
        move |rate, seconds| {
            Ok(Outcome {
                passed: rate <= limit,
                disturbed: false,
                generator_limited: false,
                detail: seconds,
            })
        }
    }

    #[test]
    fn the_limit_is_found_within_the_precision() {
        for limit in [50.0, 900.0, 1_000.0, 33_333.0, 999_000.0] {
            let found = highest(&PLAN, capacity(limit)).unwrap();
            let rate = found.rate.unwrap();
            assert!(rate <= limit && rate * 1.06 >= limit, "{limit}: {rate}");
            assert!(found.confirmed.detail > 2.0);
            assert!(found.trials.len() < 130, "{}", found.trials.len());
        }
    }

    #[test]
    fn ends_are_ends() {
        assert_eq!(highest(&PLAN, capacity(1e9)).unwrap().rate, Some(1e6));
        assert_eq!(highest(&PLAN, capacity(0.0)).unwrap().rate, None);
    }

    #[test]
    fn a_disturbed_failure_is_tried_again() {
        let mut count = 0;
        let found = highest(&PLAN, |rate, _| {
            count += 1;
            let disturbed = count == 3;
            Ok(Outcome {
                passed: rate <= 20_000.0 && !disturbed,
                disturbed,
                generator_limited: false,
                detail: (),
            })
        });
        assert!(found.unwrap().rate.unwrap() > 19_000.0);
    }

    #[test]
    fn a_long_trial_that_fails_takes_the_rate_down() {
        let found = highest(&PLAN, |rate, seconds| {
            let limit = if seconds > 2.0 { 18_000.0 } else { 20_000.0 };
            Ok(Outcome {
                passed: rate <= limit,
                disturbed: false,
                generator_limited: false,
                detail: (),
            })
        });
        let rate = found.unwrap().rate.unwrap();
        assert!((16_500.0..=18_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }
}
