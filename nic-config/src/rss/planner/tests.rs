//! Plans for lists as operators have them.

use std::net::{Ipv4Addr, SocketAddr};

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{Flow, InForce, Keys, Limits, Plan, plan};
use crate::rss::key::KEY_BYTES;
use crate::rss::{Fields, Function, Reta, RssError, RssKey, Tuple};

const LIMITS: Limits = Limits { keys: 2_000, seed: 1 };

fn in_force(size: usize, queues: u16) -> InForce {
    InForce {
        function: Function::Toeplitz,
        fields: Fields::default(),
        key: RssKey::microsoft(KEY_BYTES).expect("40 bytes"),
        reta: Reta::in_turn(size, queues).expect("a table"),
    }
}

fn planned(flows: &[Flow], queues: u16, keys: Keys) -> Plan {
    plan(flows, queues, &in_force(128, queues), keys, LIMITS, &mut |_, _| true).expect("a plan")
}

/// A peer somewhere on the Internet that sends from port 5060 to ours.
fn peer(rng: &mut SmallRng, weight: f64) -> Flow {
    let source = SocketAddr::from((Ipv4Addr::from_bits(rng.random()), 5060));
    let ours = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 1), 5060));
    Flow { tuple: Tuple::new(source, ours).expect("one family"), weight }
}

/// `trunks` peers that carry 80 %, each its own part of it, and 500 with the rest.
fn skewed(trunks: u32, seed: u64) -> Vec<Flow> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let parts: Vec<f64> = (0..trunks).map(|_| rng.random_range(0.5..1.5)).collect();
    let sum: f64 = parts.iter().sum();
    let weights = parts.into_iter().map(|part| 8_000.0 * part / sum);
    let small: Vec<f64> = (0..500).map(|_| rng.random_range(1.0..7.0)).collect();
    weights.chain(small).map(|weight| peer(&mut rng, weight)).collect()
}

fn zipf(count: u32, seed: u64) -> Vec<Flow> {
    let mut rng = SmallRng::seed_from_u64(seed);
    (1..=count).map(|rank| peer(&mut rng, 1e6 / f64::from(rank))).collect()
}

#[test]
fn skewed_lists_come_within_five_percent_of_the_best_possible() {
    for queues in [4, 8, 16] {
        for seed in 0..4 {
            let lists = [
                skewed(5, seed),
                skewed(12, seed),
                skewed(30, seed),
                zipf(500, seed),
                zipf(60, seed),
            ];
            for (list, flows) in lists.iter().enumerate() {
                let plan = planned(flows, queues, Keys::Any);
                let gap = plan.after.max() / plan.best_possible.lower;
                assert!(gap < 1.05, "list {list}, seed {seed}, {queues} queues: {gap}");
                assert!(plan.after.max() <= plan.before.max());
            }
        }
    }
}

#[test]
fn elephants_are_named() {
    let mut rng = SmallRng::seed_from_u64(3);
    let mut flows: Vec<_> = (0..99).map(|_| peer(&mut rng, 1.0)).collect();
    flows.push(peer(&mut rng, 101.0));
    let plan = planned(&flows, 4, Keys::Any);
    assert_eq!(plan.elephants.len(), 1);
    let elephant = &plan.elephants[0];
    assert_eq!((elephant.flow, elephant.flows), (flows[99].tuple, 1));
    assert!((plan.best_possible.lower / plan.mean() - 101.0 / 50.0).abs() < 1e-9);
    // It has a queue for itself, or nearly so.
    let load = plan.after.queue_loads[usize::from(elephant.queue)];
    assert!(load < 101.0 * 1.05, "{load}");
}

#[test]
fn flows_that_the_hash_cannot_part_are_one() {
    let mut rng = SmallRng::seed_from_u64(4);
    let one = peer(&mut rng, 30.0);
    let mut source = one.tuple.source();
    source.set_port(5070);
    let tuple = Tuple::new(source, one.tuple.destination()).expect("one family");
    let flows = [one, Flow { tuple, weight: 40.0 }, peer(&mut rng, 30.0)];
    let mut addresses = in_force(64, 2);
    addresses.fields = "ipv4".parse().expect("field sets");
    let plan = plan(&flows, 2, &addresses, Keys::Any, LIMITS, &mut |_, _| true).expect("a plan");
    assert_eq!((plan.elephants[0].flows, plan.elephants[0].flow), (2, tuple));
    assert!((plan.best_possible.lower - 70.0).abs() < 1e-9);
}

#[test]
fn a_symmetric_plan_has_a_symmetric_key() {
    let plan = planned(&skewed(5, 9), 8, Keys::Symmetric);
    assert!(plan.after.key.is_symmetric());
    assert!(plan.after.max() / plan.best_possible.lower < 1.05);
}

#[test]
fn a_key_that_stays_moves_few_entries() {
    let flows = skewed(30, 2);
    let plan = planned(&flows, 4, Keys::AsItIs);
    assert_eq!(plan.after.key, plan.before.key);
    let changed = plan.entries_changed();
    assert!(plan.after.max() < plan.before.max() && (1..40).contains(&changed), "{changed}");
}

#[test]
fn the_caller_ends_the_search() {
    let ours = in_force(64, 16);
    let mut asked = 0;
    let plan = plan(&zipf(60, 7), 16, &ours, Keys::Any, LIMITS, &mut |_, _| {
        asked += 1;
        asked < 3
    });
    let plan = plan.expect("a plan");
    assert!(
        (plan.end, plan.keys_tried) == (super::End::Caller, 3) || plan.end == super::End::NearBest
    );
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let mut rng = SmallRng::seed_from_u64(5);
    let flow = peer(&mut rng, 1.0);
    let why = |flows: &[Flow], queues, in_force: &InForce| {
        let refused = plan(flows, queues, in_force, Keys::Any, LIMITS, &mut |_, _| true);
        refused.expect_err("refused")
    };
    assert_eq!(why(&[], 4, &in_force(128, 4)), RssError::NoFlow);
    assert_eq!(why(&[flow], 0, &in_force(128, 4)), RssError::Queues(0));
    let many = RssError::MoreQueuesThanEntries { queues: 65, size: 64 };
    assert_eq!(why(&[flow], 65, &in_force(64, 4)), many);
    assert!(matches!(why(&[flow], 4, &in_force(128, 8)), RssError::RetaQueue { index: 4, .. }));
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let flows = [Flow { weight, ..flow }];
        assert!(matches!(why(&flows, 4, &in_force(128, 4)), RssError::Weight(..)));
    }
    let mut six = in_force(128, 4);
    six.fields = "ipv6".parse().expect("field sets");
    assert!(matches!(why(&[flow], 4, &six), RssError::NothingHashed(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn plans_keep_their_promises(
        weights in proptest::collection::vec(1_u32..10_000, 1..60),
        queues in 1_u16..20,
        size in proptest::sample::select(vec![64_usize, 128, 256, 512]),
        seed in any::<u64>(),
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let flows: Vec<_> = weights.iter().map(|weight| peer(&mut rng, f64::from(*weight))).collect();
        let limits = Limits { keys: 20, seed };
        let once = || plan(&flows, queues, &in_force(size, queues), Keys::Any, limits, &mut |_, _| true);
        let first = once().expect("a plan");
        prop_assert!(first.after.reta.check(queues).is_ok());
        prop_assert_eq!(first.after.reta.entries().len(), size);
        prop_assert!(first.after.max() <= first.before.max());
        prop_assert!(first.after.max() >= first.best_possible.lower * (1.0 - 1e-9));
        let sum: f64 = first.after.queue_loads.iter().sum();
        prop_assert!((sum - first.total).abs() < 1e-6 * first.total);
        let second = once().expect("a plan");
        prop_assert_eq!(&first.after.reta, &second.after.reta);
        prop_assert_eq!(&first.after.key, &second.after.key);
    }
}
