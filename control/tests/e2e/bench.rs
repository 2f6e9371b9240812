//! The benches run and say what they promise to say. What they measure is no test.

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

#[test]
#[ignore = "needs the release binaries and valgrind: make e2e"]
fn the_micro_benches_print_one_json_list() {
    let mut command = Command::new(binary("trunkline-bench"));
    let output = command.args(["micro", "--quick", "--only", "parse", "--json", "-"]).output();
    let output = output.expect("trunkline-bench starts");
    assert!(output.status.success(), "{}", text(&output));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("one list");
    let names: Vec<_> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert!(names.contains(&"parse_invite_600"), "{names:?}");
    assert!(names.iter().all(|name| name.contains("parse")), "{names:?}");
    for row in &rows {
        assert_eq!(row.as_object().map(serde_json::Map::len), Some(4), "{row}");
        assert!(row["ns"].as_f64() > Some(0.0), "{row}");
        assert!(row["instructions"].as_u64() > Some(0), "{row}");
        let is_peer = row["name"].as_str().is_some_and(|name| name.starts_with("peer_"));
        assert!(is_peer || row["allocations"] == 0, "{row}");
    }
}
