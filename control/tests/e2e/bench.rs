//! The benches run and say what they promise to say. What they measure is no test.

use crate::lab::{binary, text, trunkline};
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
fn the_pipeline_bench_measures_calls_with_transactions() {
    let report = report(&[
        "pipeline",
        "--scenario",
        "stateful",
        "--seconds",
        "1",
        "--alive",
        "50000",
        "--json",
        "-",
    ]);
    for key in ["ns_per_call", "calls_per_second", "bytes_per_transaction"] {
        assert!(report[key].as_f64() > Some(0.0), "{key}: {report:#}");
    }
    assert_eq!(report["allocations_per_call"], 0.0, "{report:#}");
}

/// The commands of docs/benchmarking.md on registrations, small: each gives what is documented, and the worker
/// allocates nothing.
#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn the_pipeline_bench_measures_registrations() {
    let registers = &["ns_per_register", "registers_per_second", "bytes_per_aor"][..];
    let expiry = &["expired", "refreshed_bindings"][..];
    for (scenario, keys, allocations) in [
        ("register", registers, "allocations_per_register"),
        (
            "register-digest",
            &[registers, &["ns_per_challenge"]].concat(),
            "allocations_per_register",
        ),
        ("locate", &["ns_per_call", "calls_per_second"], "allocations_per_call"),
        ("expiry", expiry, "allocations_per_register"),
        ("load", &["aors", "aors_per_second", "bytes_per_record"], "allocations_per_aor"),
    ] {
        let short = ["--seconds", "0.2", "--alive", "10000", "--json", "-"];
        let report = report(&[&["pipeline", "--scenario", scenario][..], &short].concat());
        assert_eq!(report["scenario"], scenario, "{report:#}");
        assert!(report["disturbed"].is_boolean(), "{report:#}");
        for &key in keys {
            assert!(report[key].as_f64() > Some(0.0), "{scenario}, {key}: {report:#}");
        }
        assert_eq!(report[allocations], 0.0, "{scenario}: {report:#}");
        if scenario == "expiry" {
            assert_eq!(report["expired"], 10_000, "{report:#}");
            for (kind, count) in [("expiring", 2), ("control", 1)] {
                let samples = report[kind]["samples"].as_array().map(Vec::len);
                assert_eq!(samples, Some(count), "{report:#}");
                for way in ["as_measured", "per_cpu"] {
                    assert!(report[kind][way]["median"].as_f64() > Some(0.0), "{report:#}");
                }
            }
        }
    }
}

/// Short, and with a capacity that any machine has: what is offered is what was asked for, and the ring is never full
/// of it.
#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn the_overload_bench_offers_more_than_can_be_carried() {
    let short = ["--seconds", "0.2", "--warm-up", "0.3", "--hold-seconds", "0.1", "--flood", "1"];
    let given = ["overload", "--capacity", "20000", "--factors", "1,50", "--json", "-"];
    for work in ["stateless", "stateful"] {
        let report = report(&[&given[..], &short, &["--work", work]].concat());
        let points = report["points"].as_array().expect("points");
        let factors: Vec<_> = points.iter().map(|point| point["factor"].as_f64()).collect();
        assert_eq!(factors, [1.0, 50.0, 1.0, 50.0].map(Some), "{report:#}");
        let goodput = |at: usize| points[at]["goodput_of_capacity"].as_f64();
        assert!(goodput(2) > Some(0.5), "{report:#}");
        assert!(points[1]["silent"].as_u64() > Some(0), "{report:#}");
        assert_eq!(points[3]["silent"], 0, "{report:#}");
        assert_eq!(report["floods"].as_array().map(Vec::len), Some(4), "{report:#}");
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
        [("kamailio", "stateless"), ("kamailio", "register-digest"), ("trunkline", "register")]
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

#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn the_micro_benches_print_one_json_list() {
    let list = report(&["micro", "--quick", "--only", "parse", "--json", "-"]);
    let rows = list.as_array().expect("one list");
    let names: Vec<_> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert!(names.contains(&"parse_invite_600"), "{names:?}");
    assert!(names.iter().all(|name| name.contains("parse")), "{names:?}");
    for row in rows {
        assert_eq!(row.as_object().map(serde_json::Map::len), Some(4), "{row}");
        assert!(row["ns"].as_f64() > Some(0.0), "{row}");
        assert!(row["instructions"].as_u64() > Some(0), "{row}");
        let is_peer = row["name"].as_str().is_some_and(|name| name.starts_with("peer_"));
        assert!(is_peer || row["allocations"] == 0, "{row}");
    }
}

/// The generator against itself, in a namespace's loopback, and over its DPDK ring.
#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn the_generator_completes_every_call_with_itself() {
    for (scenario, wire) in [
        ("proxy200", "sockets"),
        ("invite-cancel", "sockets"),
        ("options", "sockets"),
        ("proxy200", "ring"),
    ] {
        let report = report(&[
            "load",
            scenario,
            "--direct",
            "--wire",
            wire,
            "--rate",
            "2000",
            "--seconds",
            "1",
            "--quiet",
            "--json",
            "-",
        ]);
        let counts = &report["counts"];
        assert!(counts["calls"].as_u64() > Some(1_500), "{report:#}");
        assert_eq!(counts["completed"], counts["calls"], "{report:#}");
        assert_eq!(counts["lost"], 0, "{report:#}");
    }
}

#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn injected_faults_are_reported_as_what_they_are() {
    let report = report(&[
        "load",
        "--direct",
        "--rate",
        "2000",
        "--seconds",
        "2",
        "--ring-ms",
        "2",
        "--quiet",
        "--json",
        "-",
        "--inject",
        "loss=0.01,duplicate=0.01,reorder=0.01",
    ]);
    let (counts, injected) = (&report["counts"], &report["injected"]);
    assert_eq!(counts["completed"], counts["calls"], "{report:#}");
    let near = |seen: &serde_json::Value, put_in: &serde_json::Value| {
        let (seen, put_in) = (seen.as_u64().unwrap_or(0), put_in.as_u64().unwrap_or(0));
        // A lost copy and a doubled copy of the same message cancel out.
        put_in > 50 && seen.abs_diff(put_in) * 20 <= put_in
    };
    assert!(near(&counts["lost"], &injected["lost"]), "{report:#}");
    assert!(near(&counts["duplicates"], &injected["duplicated"]), "{report:#}");
    assert!(counts["reordered"].as_u64() > Some(0), "{report:#}");
    assert_eq!(counts["wrong"]["body"], 0, "{report:#}");
}

#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn what_cannot_be_measured_is_said_in_one_line() {
    for (arguments, expected) in [
        (&["load", "no-such-scenario", "--direct"][..], "proxy200"),
        (&["load", "--target", "127.0.0.1:9"], "nothing listens on 127.0.0.1:9"),
        (&["load", "--direct", "--wire", "smoke"], "sockets, ring, af_xdp"),
        (&["load", "--wire", "ring", "--target", "192.0.2.1:5060"], "--direct"),
        (&["search", "opensips", "stateless"], "missing"),
    ] {
        let mut command = Command::new(binary("trunkline-bench"));
        let output = command.args(arguments).output().expect("trunkline-bench starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(expected), "{arguments:?}: {}", text(&output));
    }
    let _held = std::net::UdpSocket::bind("127.0.0.1:6000").expect("a port of our own");
    let mut command = Command::new(binary("trunkline-bench"));
    let output = command.args(["load", "--direct"]).output().expect("trunkline-bench starts");
    assert!(text(&output).contains("cannot bind 127.0.0.1:6000"), "{}", text(&output));
}

/// The whole comparison, short: ours, a peer, and one that is missing.
#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn the_comparison_leaves_its_table_and_plots() {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/compare");
    let mut command = Command::new(binary("trunkline-bench"));
    command.args(["compare", "--works", "stateless", "--repeat", "1", "--seconds", "0.3"]);
    command.args(["--systems", "trunkline,kamailio,opensips", "--no-stages", "--output", folder]);
    let output = command.output().expect("trunkline-bench starts");
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("missing: "), "{}", text(&output));
    let file = std::path::Path::new(folder).join("compare.json");
    let json = std::fs::read(file).expect("compare.json");
    let comparison: serde_json::Value = serde_json::from_slice(&json).expect("one object");
    let rows = comparison["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "{comparison:#}");
    for row in rows {
        for key in ["calls_per_second", "messages_per_second", "cpu_us_per_message", "p50_us"] {
            assert!(row[key].as_f64() > Some(0.0), "{key}: {row:#}");
        }
        assert!(row["memory_bytes"].as_u64() > Some(0), "{row:#}");
        assert!(row["disturbed"].is_boolean(), "{row:#}");
    }
    for plot in ["stateless-latency.svg", "stateless-latency.png", "stateless-loss.svg"] {
        assert!(std::path::Path::new(folder).join(plot).is_file(), "{plot}");
    }
}

/// What the bench prints, as JSON.
fn report(arguments: &[&str]) -> serde_json::Value {
    let mut command = Command::new(binary("trunkline-bench"));
    let output = command.args(arguments).output().expect("trunkline-bench starts");
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).expect("one object")
}

/// What is to be seen with 420,000, with a thousand.
#[test]
#[ignore = "needs root and the machine for itself: make e2e"]
fn phones_on_standing_connections_register_and_call_each_other() {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/connections.json");
    let mut command = Command::new(binary("trunkline-bench"));
    command.args(["connections", "--connections", "2000", "--tls", "60", "--threads", "3"]);
    command.args(["--rate", "50", "--seconds", "2", "--json", file]);
    let output = command.output().expect("trunkline-bench starts");
    assert!(output.status.success(), "{}", text(&output));
    let json = std::fs::read_to_string(file).expect("the result");
    let stood: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert!(stood["connections"].as_u64() >= Some(2_000), "{stood:#}");
    assert_eq!(stood["tls_connections"], 60, "{stood:#}");
    for key in ["tcp", "tls"].map(|name| format!("user_bytes_per_idle_{name}_connection")) {
        assert!(stood[&key].is_i64(), "{key} in {stood:#}");
    }
    assert!(stood["kernel_bytes_per_connection"].as_i64() > Some(1_000), "{stood:#}");
    for calls in ["at_few", "at_all"].map(|when| &stood["response_ms"][when]) {
        assert!(calls["calls"].as_u64() >= Some(90) && calls["failed"] == 0, "{stood:#}");
        assert!(calls["median"].as_f64() > Some(0.0) && calls["p99"].as_f64() > Some(0.0));
    }
    for left in ["/run/netns/tlb-gen", "/run/netns/tlb-sut"] {
        assert!(!std::path::Path::new(left).exists(), "{left} is left");
    }
}

/// What is to be seen with nine topologies and 150,000 users, with few.
#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_cluster_is_counted_and_its_users_are_called() {
    trunkline(&["lab", "down"]);
    let short = ["--users", "2000", "--seconds", "2", "--rate", "600", "--cost-seconds", "0.2"];
    let arguments = [&["cluster-scale", "--topologies", "s1p1,s2p2"], &short[..]].concat();
    let (status, scale) = measured(&arguments, "scale.json");
    assert!(matches!(status, Some(0 | 1)), "{scale:#}");
    assert_eq!(scale["failed"], 0, "{scale:#}");
    assert!(scale["first_stage_ratio"].as_f64() > Some(0.5), "{scale:#}");
    for seen in scale["topologies"].as_array().expect("topologies") {
        // Two messages of a registration and eleven of a call; one and five.
        for (stage, messages) in [("first_stage", 13.0), ("second_stage", 6.0)] {
            let counted = seen[stage]["messages"].as_f64().expect("a number");
            assert!((counted / messages - 1.0).abs() < 0.1, "{stage}: {seen:#}");
            let shares = seen[stage]["shares"].as_array().expect("shares");
            let sum: f64 = shares.iter().filter_map(serde_json::Value::as_f64).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{seen:#}");
        }
    }

    let short = ["--users", "2000", "--seconds", "2", "--call-rate", "300"];
    let arguments = [&["cluster-users", "--topology", "s2p2"], &short[..]].concat();
    let (status, users) = measured(&arguments, "cluster-users.json");
    assert_eq!(status, Some(0), "{users:#}");
    assert_eq!(users["registrations"]["done"], 2_000, "{users:#}");
    assert!(users["calls"]["done"].as_u64() > Some(200), "{users:#}");
    // Each user is kept by both nodes.
    assert_eq!(users["copies"], 2_000, "{users:#}");
}

/// The exit status of a bench of the cluster, and its result.
fn measured(arguments: &[&str], file: &str) -> (Option<i32>, serde_json::Value) {
    let file = format!("{}/{file}", env!("CARGO_TARGET_TMPDIR"));
    let mut command = Command::new(binary("trunkline-bench"));
    let output = command.args(arguments).args(["--json", &file]).output().expect("it starts");
    let json = std::fs::read(&file).unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
    (output.status.code(), serde_json::from_slice(&json).expect("one object"))
}
