//! SIPp's own scenarios, unchanged, through the appliance.

use crate::lab::{Lab, assert_passed};
use serde_json::Value;

const CALLS: u64 = 20_000;

fn place(lab: &Lab, family: &str) -> Value {
    let calls = CALLS.to_string();
    let options = ["--calls", &calls, "--rate", "2000", "--family", family, "--flows", "many"];
    let report = lab.call(&options);
    assert_passed(&report, CALLS);
    report
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn twenty_thousand_calls_with_one_queue() {
    let lab = Lab::up(1);
    place(&lab, "4");
    place(&lab, "6");
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn twenty_thousand_calls_with_two_queues_that_both_carry_traffic() {
    let lab = Lab::up(2);
    for family in ["4", "6"] {
        let report = place(&lab, family);
        for queue in [0, 1] {
            let queues = report["dataplane"]["queues"].as_array().expect("queues");
            let received = queues
                .iter()
                .filter(|entry| entry["queue"] == queue && entry["port"] == "uac0")
                .filter_map(|entry| entry["received"].as_u64())
                .sum::<u64>();
            assert!(received > 0, "queue {queue} of the callers' port carried nothing: {report:#}");
        }
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn calls_cross_between_the_families() {
    let lab = Lab::up(1);
    for (family, user) in [("4", "six"), ("6", "four")] {
        let report = lab.call(&["--calls", "2000", "--family", family, "--user", user]);
        assert_passed(&report, 2_000);
    }
}
