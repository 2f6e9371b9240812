//! The bench of the README runs and says what it promises to say. What it measures is no test.

use crate::lab::{binary, text};
use std::process::Command;

#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn the_pipeline_bench_prints_one_json_object() {
    let mut command = Command::new(binary("trunkline-bench"));
    let output = command.args(["pipeline", "--seconds", "1", "--json", "-"]).output();
    let output = output.expect("trunkline-bench starts");
    assert!(output.status.success(), "{}", text(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!((&report["scenario"], &report["cores"]), (&"stateless".into(), &1.into()));
    for key in ["messages_per_second", "ns_per_message", "ratio_to_testpmd_macswap"] {
        assert!(report[key].as_f64() > Some(0.0), "{key}: {report:#}");
    }
    assert_eq!(report["allocations_per_message"], 0.0, "{report:#}");
    assert_eq!(report["dropped"], 0, "{report:#}");
}

/// Both are the same command; that each answers is what `hold` waits for before it says anything.
#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn systems_under_test_come_up_and_leave_nothing() {
    for (system, work) in
        [("kamailio", "stateless"), ("kamailio", "register-digest"), ("trunkline", "stateless")]
    {
        let mut command = Command::new(binary("trunkline-bench"));
        let output = command.args(["hold", system, work, "--seconds", "2", "--json", "-"]).output();
        let output = output.expect("trunkline-bench starts");
        assert!(output.status.success(), "{system}: {}", text(&output));
        let held: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
        assert_eq!((&held["system"], &held["scenario"]), (&system.into(), &work.into()));
        assert!(held["version"].as_str().expect("a version").starts_with(system), "{held:#}");
        assert!(held["memory_bytes"].as_u64() > Some(1 << 20), "{held:#}");
        assert!(held["disturbance"]["disturbed"].is_boolean(), "{held:#}");
        for left in ["/run/netns/tlb-gen", "/run/netns/tlb-sut"] {
            assert!(!std::path::Path::new(left).exists(), "{system} left {left}");
        }
    }
}

#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn a_work_that_a_system_cannot_do_is_missing() {
    let mut command = Command::new(binary("trunkline-bench"));
    let output = command.args(["hold", "socket-floor", "register", "--seconds", "1"]).output();
    let output = output.expect("trunkline-bench starts");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("missing: "), "{}", text(&output));
}
