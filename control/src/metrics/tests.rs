//! What is exported is read by a parser that is not ours, and lacks nothing of the status.

use super::{Snapshot, encode};
use crate::api::Configuration;
use crate::cluster::report::{ClusterReport, MemberShare};
use crate::cluster::{Load, Node, Picture};
use crate::configuration::history::Generation;
use control_api::operator::{
    ConnectionThread, ConnectionsStatus, Count, MemberReport, MemberState, RealmReport,
    TransportStatus,
};
use control_api::status::MemberLoad;
use control_api::status::{
    Degraded, QueueStatus, RebalanceStatus, SpillStatus, Status, WorkerStatus,
};
use control_api::{DropReason, NamesStatus};
use openmetrics_parser::openmetrics::parse_openmetrics;
use serde_json::Value;

fn snapshot(dataplane: Option<Status>) -> Snapshot {
    let generation = Generation {
        number: 77_001,
        since: "2024-01-01T00:00:00.000Z".into(),
        by: "start".into(),
        file: "/etc/trunkline/trunkline.toml".into(),
    };
    let configuration =
        Configuration { generation, file_differs: true, broken_file: None, waiting: vec![] };
    let member = MemberReport {
        set: "core \"x\"".into(),
        address: "192.0.2.1:5060".parse().unwrap(),
        state: MemberState::Down,
        is_in_use: false,
        for_ms: 5,
        reason: String::new(),
        load: Some(MemberLoad {
            percent: 77,
            left_ms: 5,
            heard: 77_003,
            diverted: 77_004,
            refused: 77_005,
        }),
    };
    let realm = RealmReport { realm: "a".into(), users: Some(5), trouble: None };
    Snapshot {
        dataplane,
        members: vec![member],
        realms: vec![realm],
        connections: connections(),
        names: NamesStatus::default(),
        cluster: Some(cluster()),
        configuration,
    }
}

fn cluster() -> ClusterReport {
    let member = MemberShare {
        address: "192.0.2.21:5060".parse().unwrap(),
        node: Some("s1".into()),
        is_here: true,
        state: MemberState::Up,
        weight: 1,
        gets: 0.25,
        holds: 0.5,
    };
    let node = Node { name: "s1".into(), age_ms: 1_500, aors: 88_001, ..Node::default() };
    let picture = Picture {
        is_connected: true,
        nodes: vec![node],
        aors_held: 88_002,
        changes_waiting: 88_003,
        written: 88_004,
        refused: 88_005,
        followed: 88_006,
        lag_ms: 250,
        last_load: Some(Load { aors: 88_007, for_ms: 750 }),
        loads: 88_008,
        loaded: Load { aors: 88_009, for_ms: 12_500 },
        engine_losses: 88_010,
        ..Picture::default()
    };
    ClusterReport { picture: Some(picture), members: vec![member] }
}

fn connections() -> ConnectionsStatus {
    let count = |reason: &str| vec![Count { reason: reason.into(), count: 1 }];
    ConnectionsStatus {
        threads: vec![ConnectionThread::default()],
        transports: vec![TransportStatus { transport: "tls".into(), ..TransportStatus::default() }],
        refused: count("full"),
        ended: count("peer"),
        ..ConnectionsStatus::default()
    }
}

/// A status in which every number is another one.
fn all_different() -> (Status, Vec<u64>) {
    let queue = QueueStatus {
        port: "outside".into(),
        dropped: vec![0; DropReason::COUNT],
        ..QueueStatus::default()
    };
    let mut status =
        Status { queues: vec![queue], workers: vec![WorkerStatus::default()], ..Status::default() };
    status.spills = vec![SpillStatus::default()];
    status.rebalances = vec![RebalanceStatus::default()];
    status.store.degraded = Some(Degraded::default());
    let mut value = serde_json::to_value(&status).unwrap();
    let mut numbers = Vec::new();
    number(&mut value, &mut numbers);
    (serde_json::from_value(value).unwrap(), numbers)
}

fn number(value: &mut Value, numbers: &mut Vec<u64>) {
    match value {
        Value::Number(_) => {
            let next = 10_000 + 3 * numbers.len() as u64;
            numbers.push(next);
            *value = next.into();
        }
        Value::Array(entries) => entries.iter_mut().for_each(|entry| number(entry, numbers)),
        Value::Object(fields) => fields.values_mut().for_each(|field| number(field, numbers)),
        _ => {}
    }
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn every_number_of_the_status_is_exported() {
    let (status, numbers) = all_different();
    assert!(numbers.len() > 120, "only {} numbers", numbers.len());
    let text = encode(snapshot(Some(status))).unwrap();
    let there = |number: f64| {
        text.lines().any(|line| {
            let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
            !line.starts_with('#') && value.is_some_and(|value| (value - number).abs() < 1e-12)
        })
    };
    for number in numbers {
        let (exact, label) = (number as f64, format!("=\"{number}\""));
        let is_there = [1.0, 1e3, 1e6, 1e9].iter().any(|unit| there(exact / unit));
        assert!(is_there || text.contains(&label), "{number} is missing in\n{text}");
    }
}

#[test]
fn every_number_of_the_connections_is_exported() {
    let mut value = serde_json::to_value(connections()).unwrap();
    let mut numbers = Vec::new();
    number(&mut value, &mut numbers);
    let connections = serde_json::from_value(value).unwrap();
    let text = encode(Snapshot { connections, ..snapshot(None) }).unwrap();
    for number in numbers {
        assert!(text.contains(&format!(" {number}\n")), "{number} is missing in\n{text}");
    }
}

#[test]
fn the_text_is_openmetrics() {
    let (status, _) = all_different();
    for status in [None, Some(status)] {
        let is_up = status.is_some();
        let text = encode(snapshot(status)).unwrap();
        assert!(text.ends_with("# EOF\n"));
        let parsed = parse_openmetrics(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
        assert!(parsed.families.contains_key("trunkline_up"));
        assert_eq!(parsed.families.contains_key("trunkline_dropped"), is_up);
        for (name, family) in &parsed.families {
            assert!(family.help.len() > 8 && family.help.ends_with('.'), "{name}: {}", family.help);
        }
    }
}

#[test]
fn help_texts_of_drop_reasons_are_those_of_the_list() {
    let text = encode(snapshot(Some(all_different().0))).unwrap();
    for reason in DropReason::ALL {
        let (name, help) = (reason.name(), reason.help());
        let line = format!("trunkline_drop_reason_info{{reason=\"{name}\",help=\"{help}\"}} 1\n");
        assert!(text.contains(&line), "{line}");
    }
}

#[test]
fn the_cluster_is_exported_whole() {
    let text = encode(snapshot(None)).unwrap();
    for line in [
        "member_gets_ratio{member=\"192.0.2.21:5060\"} 0.25",
        "member_holds_ratio{member=\"192.0.2.21:5060\"} 0.5",
        "engine_connected 1",
        "engine_losses_total 88010",
        "trouble 0",
        "nodes_there 1",
        "aors 88002",
        "changes_waiting 88003",
        "written_total 88004",
        "refused_total 88005",
        "followed_total 88006",
        "lag_seconds 0.25",
        "loading 0",
        "loads_total 88008",
        "loaded_aors_total 88009",
        "load_seconds_total 12.5",
        "last_load_aors 88007",
        "last_load_seconds 0.75",
        "node_there{node=\"s1\"} 1",
        "node_heard_seconds{node=\"s1\"} 1.5",
        "node_aors{node=\"s1\"} 88001",
    ] {
        assert!(
            text.contains(&format!("\ntrunkline_cluster_{line}\n")),
            "{line} is missing in\n{text}"
        );
    }
    let alone = Snapshot { cluster: None, ..snapshot(None) };
    assert!(!encode(alone).unwrap().contains("trunkline_cluster"));
}
