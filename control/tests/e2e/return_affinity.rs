//! Return affinity: with a port for each worker, responses come back to the worker that waits for them.

use crate::lab::{Lab, assert_passed, text};
use crate::stateful::transactions_on_all_routes;
use crate::veth_rss::rss;
use serde_json::Value;

const CALLS: u64 = 4_000;

/// The servers' responses as they arrive, one flow for each family.
const SERVERS: &str = "source,source_port,destination,destination_port,weight\n\
                       10.77.2.2,5060,10.77.2.1,5060,1\n\
                       fd77:2::2,5060,fd77:2::1,5060,1\n";

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn no_response_is_handed_over_when_each_worker_has_its_port() {
    let lab = Lab::up_with(&["--queues", "2", "--rss"]);
    lab.reconfigure(transactions_on_all_routes);
    let [handed_off, responses] = place(&lab, "4");
    println!("one port for all: {handed_off} of {responses} responses handed over");
    assert!(handed_off > responses / 4, "{handed_off} of {responses}");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("servers.csv");
    std::fs::write(&file, SERVERS).expect("a peer list");
    let file = file.display().to_string();
    let output = rss(&["via-ports", "--port", "uas0", "--peers", &file, "--json"], "");
    assert!(output.status.success(), "{}", text(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).expect("a plan");
    assert_eq!((&plan["handed_off_before"], &plan["handed_off"]), (&0.5.into(), &0.0.into()));
    let ports = &plan["via_ports"];
    lab.reconfigure(|config| format!("{config}\n[transactions]\nvia_ports = {ports}\n"));
    for family in ["4", "6"] {
        let [handed_off, responses] = place(&lab, family);
        println!("ports {ports}, IPv{family}: {handed_off} of {responses} responses handed over");
        // A call of before that had to be sent again may still come by the old port.
        assert!(handed_off * 50 < responses, "{handed_off} of {responses}");
    }
}

/// Places calls; gives the messages that were handed over, and those that came from the servers.
fn place(lab: &Lab, family: &str) -> [u64; 2] {
    let calls = CALLS.to_string();
    let report = lab.call(&["--calls", &calls, "--rate", "800", "--family", family]);
    assert_passed(&report, CALLS);
    let queues = report["dataplane"]["queues"].as_array().expect("queues");
    let received = |port: &str, queue: u64| -> u64 {
        let is_it = |one: &&Value| one["port"] == port && one["queue"] == queue;
        queues.iter().find(is_it).and_then(|one| one["received"].as_u64()).expect("a count")
    };
    // Both workers have transactions.
    assert!(received("uac0", 0) > CALLS && received("uac0", 1) > CALLS, "{report:#}");
    let handed_off = report["dataplane"]["total"]["handed_off"].as_u64().expect("a count");
    [handed_off, received("uas0", 0) + received("uas0", 1)]
}
