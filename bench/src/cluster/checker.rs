//! Goes through a history and says what must not have happened.

use super::history::{Attempt, Event, Purpose};
use super::message::{Contact, Flow};
use serde::Serialize;
use std::collections::BTreeMap;

/// How long it may take until a user is reachable again, and two answers are one again, in milliseconds.
pub(super) const PATIENCE: u64 = 3_000;

/// What the history shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Verdict {
    /// Users with a binding that was answered with 200 and not reached when all was well again; each counted at each
    /// check.
    pub(super) lost_bindings: u64,
    /// Some of them: who, and when in milliseconds.
    pub(super) lost: Vec<String>,
    /// Longest time that a caller needed, from the fault or from its first INVITE, whichever came later.
    pub(super) slowest_reach_seconds: f64,
    /// Calls that never got through, however often they were tried.
    pub(super) unreached_calls: u64,
    /// Calls that were refused at some time, though a later attempt may have got through.
    pub(super) refused_calls: u64,
    /// Calls that heard 480 at some time, as if their user had not registered, or both of his flows were lost.
    pub(super) denied_calls: u64,
    /// Calls that were up and whose BYE was not answered with 200.
    pub(super) unended_calls: u64,
    /// The same of registrations, which a phone tries again and again.
    pub(super) slowest_register_seconds: f64,
    /// Calls that were answered at a Contact that was not the newest any more.
    pub(super) stale_answers: u64,
    /// How long after the newer Contact was answered with 200, and after all faults and healings, that still happened.
    pub(super) longest_stale_seconds: f64,
    /// Operations that ended well.
    pub(super) registrations: u64,
    /// See [`Self::registrations`].
    pub(super) calls: u64,
}

impl Verdict {
    /// Whether the cluster kept what it promises.
    pub(super) fn is_good(&self) -> bool {
        let patience = seconds(PATIENCE);
        self.lost_bindings == 0
            && self.unreached_calls == 0
            && self.unended_calls == 0
            && self.slowest_reach_seconds <= patience
            && self.longest_stale_seconds <= patience
            && self.registrations > 0
            && self.calls > 0
    }
}

/// Judges a history.
pub(super) fn check(events: &[Event]) -> Verdict {
    let mut verdict = Verdict::default();
    let changes = changes(events);
    let acknowledged = acknowledged(events);
    for attempts in operations(events).values() {
        judge(attempts, &changes, &acknowledged, &mut verdict);
    }
    verdict
}

/// When something was broken or healed.
#[derive(Clone, Copy)]
struct Change {
    at: u64,
    is_fault: bool,
}

fn changes(events: &[Event]) -> Vec<Change> {
    let change = |event: &Event| match event {
        Event::Fault(at, _) => Some(Change { at: *at, is_fault: true }),
        Event::Healed(at) => Some(Change { at: *at, is_fault: false }),
        Event::Attempt(_) => None,
    };
    events.iter().filter_map(change).collect()
}

/// From when on an operation was in trouble: where all was well at its beginning, from the fault that came then.
fn trouble_began(began: u64, ended: u64, changes: &[Change]) -> u64 {
    let was_broken =
        changes.iter().rfind(|change| change.at <= began).is_some_and(|change| change.is_fault);
    let later =
        changes.iter().find(|change| change.is_fault && change.at > began && change.at <= ended);
    later.filter(|_| !was_broken).map_or(began, |change| change.at)
}

/// For each flow, the Contacts that were answered with 200, and when.
fn acknowledged(events: &[Event]) -> BTreeMap<Flow, Vec<(u64, u32)>> {
    let mut all: BTreeMap<Flow, Vec<(u64, u32)>> = BTreeMap::new();
    for event in events {
        if let Event::Attempt(Attempt {
            purpose: Purpose::Register,
            answer: 200,
            contact: Some(contact),
            ended,
            ..
        }) = event
        {
            all.entry(contact.flow).or_default().push((*ended, contact.generation));
        }
    }
    all
}

fn operations(events: &[Event]) -> BTreeMap<u32, Vec<&Attempt>> {
    let mut all: BTreeMap<u32, Vec<&Attempt>> = BTreeMap::new();
    for event in events {
        if let Event::Attempt(attempt) = event {
            all.entry(attempt.operation).or_default().push(attempt);
        }
    }
    all
}

fn judge(
    attempts: &[&Attempt],
    changes: &[Change],
    acknowledged: &BTreeMap<Flow, Vec<(u64, u32)>>,
    verdict: &mut Verdict,
) {
    let (Some(first), Some(last)) = (attempts.first(), attempts.last()) else { return };
    let took = seconds(last.ended - trouble_began(first.began, last.ended, changes));
    let succeeded = last.answer == 200;
    match last.purpose {
        Purpose::Register => {
            verdict.slowest_register_seconds = verdict.slowest_register_seconds.max(took);
            verdict.registrations += u64::from(succeeded);
            return;
        }
        Purpose::HangUp => {
            verdict.unended_calls += u64::from(!succeeded);
            return;
        }
        Purpose::Call => {
            verdict.slowest_reach_seconds = verdict.slowest_reach_seconds.max(took);
            verdict.unreached_calls += u64::from(!succeeded);
        }
        Purpose::Check if !succeeded => {
            verdict.lost_bindings += 1;
            if verdict.lost.len() < 20 {
                verdict
                    .lost
                    .push(format!("user{} at {} ms: {}", last.user, last.began, last.answer));
            }
        }
        Purpose::Check => {}
    }
    verdict.calls += u64::from(succeeded);
    verdict.refused_calls += u64::from(attempts.iter().any(|attempt| attempt.answer >= 300));
    verdict.denied_calls += u64::from(attempts.iter().any(|attempt| attempt.answer == 480));
    let Some(contact) = last.contact else { return };
    if let Some(since) = stale_since(contact, last.began, acknowledged) {
        verdict.stale_answers += 1;
        let change =
            changes.iter().rfind(|change| change.at <= last.began).map_or(0, |change| change.at);
        let age = seconds(last.began.saturating_sub(since.max(change)));
        verdict.longest_stale_seconds = verdict.longest_stale_seconds.max(age);
    }
}

/// When a newer Contact of the same flow was acknowledged, if that was before `now`.
fn stale_since(
    contact: Contact,
    now: u64,
    acknowledged: &BTreeMap<Flow, Vec<(u64, u32)>>,
) -> Option<u64> {
    let newer = acknowledged.get(&contact.flow)?.iter();
    newer
        .filter(|(at, generation)| *at < now && *generation > contact.generation)
        .map(|(at, _)| *at)
        .min()
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of some hours")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::{Verdict, check};
    use crate::cluster::history::{Attempt, Event, Purpose};
    use crate::cluster::message::{Contact, Flow};

    /// An attempt of this operation for user 1.
    fn attempt(
        operation: u32,
        purpose: Purpose,
        times: [u64; 2],
        answer: u16,
        generation: u32,
    ) -> Event {
        let contact = Contact { flow: Flow { user: 1, flow: 0 }, generation };
        Event::Attempt(Attempt {
            operation,
            purpose,
            user: 1,
            node: "f1".into(),
            contact: (answer == 200 || purpose == Purpose::Register).then_some(contact),
            began: times[0],
            ended: times[1],
            answer,
        })
    }

    fn registered(operation: u32, at: u64, generation: u32) -> Event {
        attempt(operation, Purpose::Register, [at, at + 5], 200, generation)
    }

    #[test]
    fn what_is_well_is_good() {
        let events = [
            registered(1, 0, 1),
            attempt(2, Purpose::Call, [100, 110], 200, 1),
            registered(3, 200, 2),
            attempt(4, Purpose::Check, [300, 310], 200, 2),
        ];
        let verdict = check(&events);
        assert!(verdict.is_good(), "{verdict:?}");
        let expected = Verdict {
            slowest_reach_seconds: 0.01,
            slowest_register_seconds: 0.005,
            registrations: 2,
            calls: 2,
            ..Verdict::default()
        };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn who_is_not_reached_when_all_is_well_is_lost() {
        let events = [registered(1, 0, 1), attempt(2, Purpose::Check, [100, 10_100], 480, 0)];
        let verdict = check(&events);
        assert!(!verdict.is_good());
        assert_eq!((verdict.lost_bindings, verdict.lost), (1, vec!["user1 at 100 ms: 480".into()]));
    }

    #[test]
    fn reach_counts_from_the_fault_or_the_first_attempt() {
        let call = |begin| {
            let fault = Event::Fault(1_000, "kill p1".into());
            let events = [
                registered(1, 0, 1),
                fault,
                attempt(2, Purpose::Call, [begin, begin + 500], 0, 0),
                attempt(2, Purpose::Call, [begin + 500, 4_500], 200, 1),
            ];
            check(&events)
        };
        assert!((call(800).slowest_reach_seconds - 3.5).abs() < 1e-9 && !call(800).is_good());
        assert!((call(2_000).slowest_reach_seconds - 2.5).abs() < 1e-9 && call(2_000).is_good());
    }

    #[test]
    fn an_old_contact_may_answer_for_a_short_time_only() {
        let stale = |at, healed| {
            let events = [
                registered(1, 0, 1),
                registered(2, 1_000, 2),
                Event::Healed(healed),
                attempt(3, Purpose::Call, [at, at + 5], 200, 1),
            ];
            check(&events)
        };
        let soon = stale(3_000, 0);
        assert!((soon.stale_answers, soon.is_good()) == (1, true), "{soon:?}");
        assert!(!stale(4_500, 0).is_good());
        assert!(stale(4_500, 2_000).is_good(), "what was healed needs its time");
    }

    #[test]
    fn a_call_that_cannot_be_ended_is_counted() {
        let call = |answer| {
            let bye = attempt(3, Purpose::HangUp, [10, 20], answer, 0);
            check(&[registered(1, 0, 1), attempt(2, Purpose::Call, [5, 9], 200, 1), bye])
        };
        assert_eq!((call(481).unended_calls, call(481).is_good()), (1, false));
        assert_eq!((call(200).unended_calls, call(200).is_good()), (0, true));
    }

    #[test]
    fn a_call_that_never_gets_through_is_counted() {
        let verdict = check(&[registered(1, 0, 1), attempt(2, Purpose::Call, [10, 20], 503, 0)]);
        let counts = (verdict.unreached_calls, verdict.refused_calls);
        assert_eq!((counts, verdict.is_good()), ((1, 1), false));
    }
}
