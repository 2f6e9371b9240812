//! Shares, and what moves when members come, go or change weight.

use std::prelude::v1::*;

use core::net::SocketAddr;

use siphasher::sip::SipHasher13;

use super::*;
use crate::settings::{Algorithm, Member};

const CALLS: u64 = 1_000_000;

fn calls() -> impl Iterator<Item = u64> {
    let key = SipHasher13::new_with_keys(1, 2);
    (0..CALLS).map(move |n| key.hash(format!("{n}@10.77.1.2").as_bytes()))
}

fn member(index: u8, weight: u16) -> Member {
    Member { weight, ..Member::new(SocketAddr::from(([10, 0, 0, index], 5060))) }
}

fn settings(algorithm: Algorithm, weights: &[u16]) -> DestinationSet {
    let members = weights.iter().zip(1..).map(|(&weight, index)| member(index, weight)).collect();
    DestinationSet { algorithm, members, ..DestinationSet::default() }
}

fn set(algorithm: Algorithm, weights: &[u16]) -> Set {
    set_of(&settings(algorithm, weights))
}

/// A set of others, of whom none is asked for its load.
fn set_of(settings: &DestinationSet) -> Set {
    Set::new(0, settings, 0, &HashMap::new(), |_| false)
}

fn chosen(set: &Set) -> Vec<u16> {
    calls().map(|call| set.choose(|_| call).unwrap().index).collect()
}

fn counts(of: impl Iterator<Item = u16>) -> [u64; 10] {
    let mut counts = [0; 10];
    for member in of {
        counts[usize::from(member)] += 1;
    }
    counts
}

/// Within `parts` of a thousand.
#[track_caller]
fn assert_near(count: u64, wanted: u64, parts: u64) {
    assert!(count.abs_diff(wanted) * 1000 <= wanted * parts, "{count} instead of {wanted}");
}

#[test]
fn a_million_calls_follow_the_weights_within_two_percent() {
    for algorithm in [Algorithm::Rendezvous, Algorithm::Maglev] {
        let even = counts(chosen(&set(algorithm, &[1; 10])).into_iter());
        for count in even {
            assert_near(count, CALLS / 10, 20);
        }
        let weights = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let counts = counts(chosen(&set(algorithm, &weights)).into_iter());
        for (count, weight) in counts.into_iter().zip(weights) {
            assert_near(count, CALLS * u64::from(weight) / 55, 20);
        }
    }
}

#[test]
fn when_a_member_goes_only_its_calls_move_and_evenly() {
    let all = set(Algorithm::Rendezvous, &[1; 10]);
    let less = all.with_states([(3, MemberState::Down)].into_iter(), 0);
    let (before, after) = (chosen(&all), chosen(&less));
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
    assert!(moved.clone().all(|(before, _)| *before == 3));
    let gained = counts(moved.map(|(_, after)| *after));
    for (index, gained) in gained.into_iter().enumerate() {
        assert_near(gained, if index == 3 { 0 } else { CALLS / 90 }, 40);
    }
}

#[test]
fn with_maglev_few_others_move() {
    let all = set(Algorithm::Maglev, &[1; 10]);
    let less = all.with_states([(3, MemberState::Down)].into_iter(), 0);
    let (before, after) = (chosen(&all), chosen(&less));
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
    let others = moved.clone().filter(|(before, _)| **before != 3).count() as u64;
    assert!(others < CALLS / 50, "{others}");
    let gained = counts(moved.filter(|(before, _)| **before == 3).map(|(_, after)| *after));
    for (index, gained) in gained.into_iter().enumerate() {
        assert_near(gained, if index == 3 { 0 } else { CALLS / 90 }, 100);
    }
}

#[test]
fn when_a_weight_changes_at_most_the_changed_share_moves() {
    let before = chosen(&set(Algorithm::Rendezvous, &[10; 10]));
    let after = chosen(&set(Algorithm::Rendezvous, &[10, 10, 10, 5, 10, 10, 10, 10, 10, 10]));
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
    assert!(moved.clone().all(|(before, _)| *before == 3), "calls leave the lighter member only");
    // Its share falls from 10 of 100 to 5 of 95.
    assert_near(moved.count() as u64, CALLS / 10 - CALLS * 5 / 95, 20);
}

#[test]
fn the_order_of_members_does_not_matter() {
    for algorithm in [Algorithm::Rendezvous, Algorithm::Maglev] {
        let one = settings(algorithm, &[1, 2, 3, 4]);
        let mut other = one.clone();
        other.members.reverse();
        let (one, other) = (set_of(&one), set_of(&other));
        let address = |set: &Set, call| set.choose(|_| call).unwrap().address;
        assert!(calls().take(10_000).all(|call| address(&one, call) == address(&other, call)));
    }
}

#[test]
fn tiers_and_backups_wait_until_no_other_is_left() {
    let mut settings = settings(Algorithm::Rendezvous, &[1; 6]);
    settings.members[2].priority = 1;
    settings.members[3].priority = 1;
    settings.members[4].backup = true;
    settings.members[5].weight = 0;
    let mut set = set_of(&settings);
    for (used, then_down) in
        [(vec![0, 1], 0), (vec![1], 1), (vec![2, 3], 3), (vec![2], 2), (vec![4], 4)]
    {
        let found = counts(calls().take(1000).map(|call| set.choose(|_| call).unwrap().index));
        let found: Vec<_> = (0..10).filter(|&index| found[index] > 0).collect();
        assert_eq!(found, used);
        set = set.with_states([(then_down, MemberState::Down)].into_iter(), 0);
    }
    assert!(set.choose(|_| 1).is_none());
    let set = set.with_states([(1, MemberState::Up), (0, MemberState::Probing)].into_iter(), 0);
    assert_eq!(set.choose(|_| 1).unwrap().index, 1);
}

#[test]
fn outside_of_a_window_only_the_hash_is_asked() {
    let set = set(Algorithm::Rendezvous, &[1; 3]);
    assert!(set.is_plain());
    let changed = set.with_states([(0, MemberState::Draining)].into_iter(), 1_000);
    assert!(!changed.is_plain());
    let over = 1_000 + TRANSACTION_SECONDS_MAX * 1000;
    assert!(!changed.with_states([].into_iter(), over - 1).is_plain());
    assert!(changed.with_states([].into_iter(), over).is_plain());
    // Nothing changes for anybody when a member that is down is being probed.
    let down = set.with_states([(0, MemberState::Down)].into_iter(), 0);
    let down = down.with_states([].into_iter(), over);
    assert!(down.with_states([(0, MemberState::Probing)].into_iter(), over).is_plain());
}
