use std::prelude::v1::*;

use super::*;
use crate::names::NameTarget;

const SECOND: u64 = 1_000;

fn question(name: &str) -> NameQuestion {
    NameQuestion::new(name.as_bytes(), 0, None).unwrap()
}

fn answer(name: &str, outcome: NameOutcome) -> Arc<NameAnswer> {
    let question = question(name);
    Arc::new(NameAnswer { question, outcome, ttl_ms: 10_000, stale_ms: 100_000 })
}

fn found(last: u8) -> NameOutcome {
    let address = ([192, 0, 2, last], 5060).into();
    NameOutcome::Found(vec![NameTarget::new(address, Transport::Udp, 0, 0)])
}

/// What is known of a name.
fn known(names: &mut Names, name: &str) -> Option<NameOutcome> {
    let [at, way] = names.find(&question(name)).ok()?;
    Some(names.buckets[at][way].answer.as_ref()?.outcome.clone())
}

#[test]
fn an_answer_counts_for_its_time_and_is_asked_for_again_before_its_end() {
    let mut names = Names::new(7);
    assert_eq!(known(&mut names, "a.example"), None);
    assert_eq!(names.take_wanted(), Some(question("a.example")));
    assert!(names.learn(answer("a.example", found(1))).is_none());
    names.set_time(8 * SECOND);
    assert_eq!(known(&mut names, "A.example."), Some(found(1)));
    assert_eq!(names.take_wanted(), None);
    names.set_time(9 * SECOND);
    assert_eq!(known(&mut names, "a.example"), Some(found(1)));
    assert_eq!(names.take_wanted(), Some(question("a.example")));
    assert_eq!(known(&mut names, "a.example"), Some(found(1)));
    assert_eq!(names.take_wanted(), None, "once a second");
    let before = names.learn(answer("a.example", found(2))).unwrap();
    assert_eq!(before.outcome, found(1));
    names.set_time(18 * SECOND);
    assert_eq!(known(&mut names, "a.example"), Some(found(2)));
    names.set_time(19 * SECOND);
    assert_eq!(known(&mut names, "a.example"), None);
    let NameCounts { cached, hits, .. } = names.counts();
    assert_eq!((cached, hits), (1, 4));
}

#[test]
fn an_old_answer_goes_on_while_nobody_has_a_newer_one_but_not_for_ever() {
    let mut names = Names::new(7);
    names.learn(answer("a.example", found(1)));
    names.set_time(11 * SECOND);
    assert_eq!(known(&mut names, "a.example"), None);
    let failed = answer("a.example", NameOutcome::Failed);
    assert_eq!(names.learn(Arc::clone(&failed)).as_ref(), Some(&failed));
    assert_eq!(known(&mut names, "a.example"), Some(found(1)));
    assert_eq!(names.counts().stale, 1);
    // A name that is no more is no failure.
    names.learn(answer("a.example", NameOutcome::NoSuchName));
    assert_eq!(known(&mut names, "a.example"), Some(NameOutcome::NoSuchName));
    names.learn(answer("a.example", found(1)));
    names.set_time(122 * SECOND);
    names.learn(failed);
    assert_eq!(known(&mut names, "a.example"), Some(NameOutcome::Failed));
}

#[test]
fn a_full_table_puts_one_in_the_place_of_another() {
    let mut names = Names::with_room(4 * WAYS, 7);
    let mut retired = 0;
    for number in 0..64 {
        retired +=
            u64::from(names.learn(answer(&format!("a{number}.example"), found(1))).is_some());
    }
    let counts = names.counts();
    assert_eq!(counts.cached + retired, 64);
    assert!(counts.cached <= 4 * WAYS as u64 && counts.cached > 8, "{counts:?}");
    assert_eq!(known(&mut names, "a63.example"), Some(found(1)));
    assert!(Names::none().learn(answer("a.example", found(1))).is_some());
}
