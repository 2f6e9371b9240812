//! The bench of the README runs and says what it promises to say. What it measures is no test.

use crate::lab::{binary, text};
use std::process::Command;

#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn the_pipeline_bench_prints_one_json_object() {
    let report = report(&["pipeline", "--seconds", "1", "--json", "-"]);
    assert_eq!((&report["scenario"], &report["cores"]), (&"stateless".into(), &1.into()));
    for key in ["messages_per_second", "ns_per_message", "ratio_to_testpmd_macswap"] {
        assert!(report[key].as_f64() > Some(0.0), "{key}: {report:#}");
    }
    assert_eq!(report["allocations_per_message"], 0.0, "{report:#}");
    assert_eq!(report["dropped"], 0, "{report:#}");
}

#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn the_pipeline_bench_measures_two_cores_beside_one() {
    let arguments = ["pipeline", "--seconds", "1", "--lcores", "0,1", "--json", "-"];
    let report = report(&arguments);
    assert_eq!(report["cores"], 2, "{report:#}");
    assert_eq!(report["per_core"].as_array().map(Vec::len), Some(2), "{report:#}");
    for key in ["messages_per_second", "one_core_messages_per_second", "speedup"] {
        assert!(report[key].as_f64() > Some(0.0), "{key}: {report:#}");
    }
}

#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn the_model_prints_its_table_and_draws_it() {
    let plots = concat!(env!("CARGO_TARGET_TMPDIR"), "/model");
    let report = report(&["model", "--quick", "--json", "-", "--plots", plots]);
    for (work, cells) in [("stateless", 21), ("stateful", 21)] {
        let table = report[work].as_array().expect("cells");
        assert_eq!(table.len(), cells, "{report:#}");
        for cell in table {
            assert!(cell["low"].as_f64() <= cell["high"].as_f64(), "{cell}");
            assert!(["cores", "line", "memory"].map(Some).contains(&cell["low_limit"].as_str()));
        }
    }
    let checks = report["check"].as_array().expect("checks");
    assert_eq!(checks.len(), 2, "{report:#}");
    assert!(checks.iter().all(|check| check["measured_to_modelled"].as_f64() > Some(0.0)));
    for file in ["model-cores.svg", "model-cores.png", "model-stages.svg", "model-memory.svg"] {
        assert!(std::path::Path::new(plots).join(file).is_file(), "{file}");
    }
}

#[test]
#[ignore = "needs root: make e2e"]
fn the_model_refuses_one_core() {
    let mut command = Command::new(binary("trunkline-bench"));
    let output = command.args(["model", "--lcores", "1"]).output().expect("trunkline-bench starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("a hand-off needs two cores"), "{}", text(&output));
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

/// What the bench prints, as JSON.
fn report(arguments: &[&str]) -> serde_json::Value {
    let mut command = Command::new(binary("trunkline-bench"));
    let output = command.args(arguments).output().expect("trunkline-bench starts");
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).expect("one object")
}
