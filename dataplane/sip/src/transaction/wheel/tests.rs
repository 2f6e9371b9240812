use alloc::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::time::Tick;
use super::Wheel;

const ENTRIES: u32 = 40;
const UNLIMITED: u32 = u32::MAX;

#[derive(Clone, Debug)]
enum Step {
    Arm(u32, u32),
    Disarm(u32),
    /// Time passes and the wheel is asked, with this budget per call.
    Pass(u32, u32),
}

/// Times near, in each level, and very far.
fn span() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..20_u32,
        4 => 0..2_000_u32,
        2 => 0..200_000_u32,
        1 => 0..20_000_000_u32,
        1 => 0..0x7000_0000_u32,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..ENTRIES + 2, span()).prop_map(|(entry, ms)| Step::Arm(entry, ms)),
        1 => (0..ENTRIES + 2).prop_map(Step::Disarm),
        4 => (span(), 1..200_u32).prop_map(|(ms, budget)| Step::Pass(ms, budget)),
    ]
}

/// What the wheel must do: dues by entry, in milliseconds that do not wrap.
#[derive(Default)]
struct Model {
    now: u64,
    dues: BTreeMap<u32, u64>,
}

impl Model {
    fn oldest(&self) -> Option<u64> {
        self.dues.values().min().copied()
    }
}

fn all_due(wheel: &mut Wheel, model: &mut Model, budget: u32) -> Result<(), TestCaseError> {
    let now = Tick::of_ms(model.now);
    loop {
        let mut left = budget;
        let fired = wheel.next(now, &mut left);
        prop_assert!(left <= budget);
        let oldest = model.oldest().filter(|due| *due <= model.now);
        if let Some(oldest) = oldest {
            prop_assert!(u64::from(wheel.lag(now)) >= model.now - oldest || fired.is_some());
        }
        match fired {
            Some(entry) => {
                prop_assert_eq!(model.dues.remove(&entry), oldest, "in order, and never early");
                prop_assert!(!wheel.is_armed(entry));
            }
            None if left == 0 => {}
            None => {
                prop_assert_eq!(oldest, None);
                prop_assert_eq!(wheel.lag(now), 0);
                return Ok(());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_does_what_a_sorted_map_does(
        start in prop_oneof![Just(0_u64), 0xffff_0000..0x1_0000_0000_u64, any::<u32>().prop_map(u64::from)],
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut model = Model { now: start, ..Model::default() };
        let mut wheel = Wheel::new(ENTRIES, Tick::of_ms(start));
        for step in steps {
            match step {
                Step::Arm(entry, ms) => {
                    let due = model.now + u64::from(ms);
                    wheel.arm(entry, Tick::of_ms(due));
                    if entry < ENTRIES {
                        let old = model.dues.entry(entry).or_insert(due);
                        *old = due.min(*old);
                    }
                }
                Step::Disarm(entry) => {
                    wheel.disarm(entry);
                    model.dues.remove(&entry);
                }
                Step::Pass(ms, budget) => {
                    // Never over a due by more than half of the numbers that a tick has.
                    let limit = model.oldest().map_or(u64::MAX, |due| due + 0x4000_0000);
                    model.now = (model.now + u64::from(ms)).min(limit.max(model.now));
                    all_due(&mut wheel, &mut model, budget)?;
                }
            }
            for entry in 0..ENTRIES + 2 {
                prop_assert_eq!(wheel.is_armed(entry), model.dues.contains_key(&entry));
            }
        }
    }
}

/// A cheap sequence of numbers that look random.
fn scatter(number: u32) -> u32 {
    let mixed = (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 33) as u32
}

#[test]
fn a_million_timers_of_one_second_fire_in_time_with_a_budget() {
    const TIMERS: u32 = 1_000_000;
    const BUDGET: u32 = 256;
    const CALLS_PER_MS: u32 = 50; // A burst each 20 us.
    let mut wheel = Wheel::new(TIMERS, Tick::of_ms(0));
    let due = |entry| 32_000 + scatter(entry) % 1_000;
    for entry in 0..TIMERS {
        wheel.arm(entry, Tick::of_ms(u64::from(due(entry))));
    }
    let (mut fired, mut latest) = (0, 0);
    for ms in 0..34_000_u32 {
        for _ in 0..CALLS_PER_MS {
            let mut budget = BUDGET;
            while let Some(entry) = wheel.next(Tick::of_ms(u64::from(ms)), &mut budget) {
                assert!(due(entry) <= ms, "entry {entry} was fired early");
                latest = latest.max(ms - due(entry));
                fired += 1;
            }
        }
        if fired == TIMERS {
            break;
        }
    }
    assert_eq!(fired, TIMERS);
    assert!(latest <= 20, "the last was {latest} ms late: a slot of 256 ms at 12,800 entries a ms");
}

#[test]
fn a_later_due_does_not_move_a_timer_and_a_sooner_one_does() {
    let at = |ms| Tick::of_ms(ms);
    let mut wheel = Wheel::new(2, at(0));
    wheel.arm(0, at(100));
    wheel.arm(0, at(50_000));
    wheel.arm(1, at(50_000));
    wheel.arm(1, at(99));
    assert_eq!(wheel.next(at(98), &mut UNLIMITED.clone()), None);
    let mut budget = UNLIMITED;
    let fired: Vec<u32> = core::iter::from_fn(|| wheel.next(at(100), &mut budget)).collect();
    assert_eq!(fired, [1, 0]);
}

#[test]
fn a_long_pause_costs_as_many_steps_as_there_are_slots_with_entries() {
    let mut wheel = Wheel::new(4, Tick::of_ms(0));
    for (entry, ms) in [(0, 1), (1, 500), (2, 200_000), (3, 3_600_000)] {
        wheel.arm(entry, Tick::of_ms(ms));
    }
    let mut budget = 30;
    let now = Tick::of_ms(4_000_000);
    let fired = core::iter::from_fn(|| wheel.next(now, &mut budget)).count();
    assert_eq!(fired, 4);
    assert!(budget > 0);
}

#[test]
fn no_capacity_and_entries_beyond_it_are_without_effect() {
    let mut wheel = Wheel::new(0, Tick::of_ms(7));
    wheel.arm(0, Tick::of_ms(8));
    wheel.arm(u32::MAX, Tick::of_ms(8));
    wheel.disarm(u32::MAX);
    assert!(!wheel.is_armed(0));
    assert_eq!(wheel.next(Tick::of_ms(9), &mut UNLIMITED.clone()), None);
    assert_eq!(wheel.nodes.len() * size_of::<super::Node>(), Wheel::memory(0));
}

/// A host that has been up for 30 days, more than half of what a tick can tell.
#[test]
fn a_wheel_that_was_made_long_ago_begins_anew() {
    let mut wheel = Wheel::new(ENTRIES, Tick::of_ms(0));
    let now = Tick::of_ms(30 * 86_400_000);
    wheel.begin(now);
    wheel.arm(1, now.plus(500));
    assert_eq!(wheel.lag(now), 0);
    assert_eq!(wheel.next(now.plus(499), &mut UNLIMITED.clone()), None);
    assert_eq!(wheel.next(now.plus(500), &mut UNLIMITED.clone()), Some(1));
}
