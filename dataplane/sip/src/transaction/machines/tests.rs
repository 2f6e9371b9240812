//! What the tests of the machines share, and what holds for all four under random events.

use alloc::string::String;
use alloc::vec::Vec;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    InviteClient, InviteServer, NonInviteClient, NonInviteServer, Reaction, Tick, Timers, Transport,
};

/// The default values of RFC 3261.
pub(super) const TIMERS: Timers =
    Timers { t1: 500, t2: 4_000, t4: 5_000, transport: Transport::Unreliable };

/// The same over a connection.
pub(super) const RELIABLE: Timers = Timers { transport: Transport::Reliable, ..TIMERS };

/// When the tests begin: time wraps around within the first minute.
pub(super) const START: Tick = Tick::of_ms(u32::MAX as u64 - 20_000);

/// A machine to which things happen.
pub(super) trait Machine: Copy {
    /// What can happen to it; the first words of the rows of its table.
    const EVENTS: &'static [&'static str];
    /// In its first state at [`START`].
    fn new(timers: &Timers) -> Self;
    /// One of [`Self::EVENTS`].
    fn event(&mut self, event: &str, now: Tick, timers: &Timers) -> Reaction;
    /// Its `expire`.
    fn timer(&mut self, now: Tick) -> Reaction;
    /// Its `deadline`.
    fn due(&self) -> Option<Tick>;
    /// The name of its state.
    fn name(&self) -> &'static str;
    /// Its `is_over`.
    fn over(&self) -> bool;
}

/// Holds a machine against its table. Each row has a state, an event and `reaction → state`, after
/// `|` that of reliable transports where it is another one. The event `timer` is the next deadline.
pub(super) fn check_table<M: Machine>(
    states: &[&str],
    reach: impl Fn(&str, &Timers) -> M,
    table: &str,
) {
    let mut rows = BTreeSet::new();
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (state, rest) = row.split_once(' ').expect("a state");
        let (event, outcomes) = rest.trim().split_once(' ').expect("an event");
        let (unreliable, reliable) = outcomes.split_once('|').unwrap_or((outcomes, outcomes));
        assert!(rows.insert((state, event)), "twice: {row}");
        for (timers, wanted) in [(TIMERS, unreliable), (RELIABLE, reliable)] {
            let mut machine = reach(state, &timers);
            assert_eq!(machine.name(), state, "{row}");
            let reaction = if event == "timer" {
                machine.timer(machine.due().unwrap_or(START.plus(600_000)))
            } else {
                machine.event(event, START.plus(100), &timers)
            };
            let got = std::format!("{}→ {}", words(reaction), machine.name());
            assert_eq!(got, wanted.trim(), "{:?}: {row}", timers.transport);
            assert_eq!(machine.over(), machine.name() == "terminated");
        }
    }
    let events = || M::EVENTS.iter().chain(&["timer"]);
    let all = states.iter().flat_map(|&state| events().map(move |&event| (state, event)));
    assert_eq!(rows, all.collect(), "each event in each state");
}

/// The orders of a reaction, each with a space after it.
fn words(reaction: Reaction) -> String {
    let Reaction { pass, resend, ack, timed_out, ended } = reaction;
    let orders = [
        (pass, "pass "),
        (resend, "resend "),
        (ack, "ack "),
        (timed_out, "timed-out "),
        (ended, "ended "),
    ];
    orders.iter().filter(|order| order.0).map(|order| order.1).collect()
}

/// Lets time pass until nothing is due: milliseconds from [`START`] of each order.
pub(super) fn run_out(mut machine: impl Machine) -> Vec<(i32, String)> {
    let mut log = Vec::new();
    while let Some(due) = machine.due() {
        let reaction = machine.timer(due);
        log.push((due.since(START), words(reaction).trim_end().into()));
    }
    log
}

/// What [`run_out`] gives for repetitions at these times and this at the end.
pub(super) fn resends(at: &[i32], end: (i32, &str)) -> Vec<(i32, String)> {
    let resends = at.iter().map(|&at| (at, "resend".into()));
    resends.chain([(end.0, end.1.into())]).collect()
}

/// Random events, each some milliseconds after the one before.
fn events() -> impl Strategy<Value = Vec<(usize, u32)>> {
    let step = prop_oneof![Just(0_u32), 0..2_000_u32, 0..40_000_u32];
    proptest::collection::vec((0..16_usize, step), 0..60)
}

/// Time in one state is bounded, whatever happens; what is due lies ahead; the end comes once.
fn live<M: Machine>(timers: &Timers, events: &[(usize, u32)]) -> Result<(), TestCaseError> {
    let mut machine = M::new(timers);
    let (mut now, mut entered) = (START, START);
    let mut ends = 0;
    for &(event, pause) in events {
        now = now.plus(pause);
        let (before, had_deadline) = (machine.name(), machine.due().is_some());
        let fired = machine.timer(now);
        prop_assert!(machine.due().is_none_or(|due| !due.has_come(now)), "due at {now:?}");
        let happened = match M::EVENTS.get(event) {
            Some(event) => machine.event(event, now, timers),
            None => Reaction::NOTHING,
        };
        prop_assert!(machine.due().is_none_or(|due| !due.has_come(now)), "due at {now:?}");
        prop_assert!(ends == 0 || words(fired).is_empty() && words(happened).is_empty());
        ends += u32::from(fired.ended) + u32::from(happened.ended);
        prop_assert_eq!(ends, u32::from(machine.over()));
        // Timer F runs on from Trying to Proceeding.
        let same = before == machine.name() || (before, machine.name()) == ("trying", "proceeding");
        if !same || !had_deadline {
            entered = now;
        }
        let bounded = machine.due().is_none() || now.since(entered) < 32_000;
        prop_assert!(bounded, "in {} since {entered:?} at {now:?}", machine.name());
    }
    Ok(())
}

proptest! {
    #[test]
    fn nothing_keeps_a_machine_alive_beyond_its_bound(events in events(), reliable: bool) {
        let timers = if reliable { RELIABLE } else { TIMERS };
        live::<InviteClient>(&timers, &events)?;
        live::<NonInviteClient>(&timers, &events)?;
        live::<InviteServer>(&timers, &events)?;
        live::<NonInviteServer>(&timers, &events)?;
    }
}

#[test]
fn machines_are_small() {
    assert_eq!(size_of::<InviteClient>(), 16);
    assert_eq!(size_of::<NonInviteClient>(), 16);
    assert_eq!(size_of::<InviteServer>(), 16);
    assert_eq!(size_of::<NonInviteServer>(), 8);
}
