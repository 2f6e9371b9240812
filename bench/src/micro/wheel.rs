//! The timer wheel.

use super::cases::{Work, repeat};
use super::messages::Arrived;
use sip_core::measuring::Timers;
use std::hint::black_box;

/// Timers that are armed all the time.
const ARMED: u32 = 1_000_000;

/// How long each is armed for, in milliseconds. 500 of them fire in the 256 ms of one slot above the
/// lowest level: as many as there are iterations when instructions are counted, so that their count has the
/// moves from level to level in it, as the time has.
const LENGTH_MS: u64 = 512_000;

/// One timer fires and is armed anew, with all others armed: their moves down the levels included. The
/// timers follow one another in memory in no order, as transactions do.
pub(super) fn arm_and_fire(_: &Arrived) -> Work {
    let mut timers = Timers::new(ARMED);
    let due = |number: u64| number * LENGTH_MS / u64::from(ARMED);
    let mut entry = 0;
    for number in 0..u64::from(ARMED) {
        timers.arm(entry, due(number));
        entry = (entry + 618_033) % ARMED; // No common factor: each comes once.
    }
    let mut fired = 0;
    repeat(move || {
        let now = due(fired);
        let mut budget = u32::MAX;
        let entry = timers.next(now, &mut budget).expect("one is due");
        timers.arm(black_box(entry), now + LENGTH_MS);
        fired += 1;
    })
}
