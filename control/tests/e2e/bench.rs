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
