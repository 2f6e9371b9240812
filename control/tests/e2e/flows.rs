//! What the workers count of real calls, and what is planned and watched with it.

use crate::lab::{Lab, assert_passed, text, trunkline};
use serde_json::Value;

const API: [&str; 2] = ["--socket", "/run/trunkline/lab/api.sock"];
const DATAPLANE: [&str; 2] = ["--socket", "/run/trunkline/lab/dataplane.sock"];

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_plan_is_made_of_calls_that_run_and_they_are_watched() {
    let lab = Lab::up(2);
    let calls = ["--calls", "5000", "--rate", "1000", "--flows", "many"];
    assert_passed(&lab.call(&calls), 5_000);
    // veth shows no key and no table, so they are given.
    let plan = json(&["plan", "--live", "--port", "uac0", "--queues", "2", "--json", "-"], &API);
    assert!(plan["flows"].as_u64() > Some(1), "{plan:#}");
    // 4 messages of each call come from the callers; half a minute after the first all of them count still.
    let weight = plan["weight"].as_f64().expect("a number");
    assert!((100.0..10_000.0).contains(&weight), "{plan:#}");
    assert!(plan["after"]["max_over_mean"].as_f64() <= plan["before"]["max_over_mean"].as_f64());
    let output = trunkline(&[&["rss", "plan", "--live", "--port", "uac0"][..], &API].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("no RSS"), "{}", text(&output));

    let view = json(&["watch", "--port", "uac0", "--json"], &DATAPLANE);
    assert_eq!(view["queues"].as_array().map(Vec::len), Some(2), "{view:#}");
    let flow = &view["flows"][0];
    assert_eq!(flow["destination"], "10.77.1.1:5060", "{view:#}");
    assert!(flow["source"].as_str().is_some_and(|source| source.starts_with("10.77.1.")));
    assert!(view["no_plan"].as_str().is_some_and(|why| why.contains("no RSS")), "{view:#}");
    let output =
        trunkline(&[&["rss", "watch", "--port", "uac0", "--once"][..], &DATAPLANE].concat());
    assert!(text(&output).contains("port uac0   queues over 1."), "{}", text(&output));
    let output =
        trunkline(&[&["rss", "watch", "--port", "none", "--once"][..], &DATAPLANE].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

fn json(arguments: &[&str], socket: &[&str]) -> Value {
    let output = trunkline(&[&["rss"][..], arguments, socket].concat());
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)))
}
