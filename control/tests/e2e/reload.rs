//! Configurations that come and go, and those that are refused, while calls run.

use crate::lab::{Lab, assert_passed, text, trunkline};
use serde_json::Value;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[path = "../common/broken.rs"]
mod broken;

const FILE: &str = "/run/trunkline/lab/trunkline.toml";
const SOCKET: &str = "/run/trunkline/lab/api.sock";

/// A command that asks the lab's control.
pub(crate) fn ask(arguments: &[&str]) -> Output {
    let mut command = Command::new(crate::lab::binary("trunkline"));
    command.args(arguments).env("TRUNKLINE_API", SOCKET).output().expect("trunkline starts")
}

/// What `trunkline reload --json` and its like say.
fn report(arguments: &[&str]) -> Value {
    let output = ask(&[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("no report ({error}): {}", text(&output));
    })
}

fn read() -> String {
    std::fs::read_to_string(FILE).expect("the lab's configuration")
}

fn write(config: &str) {
    std::fs::write(FILE, config).expect("a configuration");
}

/// Starts calls that go on while something else happens.
fn start_calls(lab: &Lab, calls: u64, rate: u64) -> std::process::Child {
    let (calls, rate) = (calls.to_string(), rate.to_string());
    let mut command = lab.call_command(&["--calls", &calls, "--rate", &rate]);
    command.stdout(Stdio::piped()).spawn().expect("calls start")
}

fn end_calls(running: std::process::Child, calls: u64) {
    let output = running.wait_with_output().expect("calls end");
    assert_passed(&serde_json::from_slice(&output.stdout).expect("a report"), calls);
}

/// The n-th of many configurations, each of which differs from the one before.
fn variant(good: &str, number: usize) -> String {
    let retry = format!("name = \"lab\"\nretry_after = {}", 1 + number % 100);
    let config = good.replace("name = \"lab\"", &retry);
    match number % 4 {
        0 => config + "\n[[listen]]\naddress = \"10.77.1.1:5070\"\n",
        1 => config.replace("[[routes]]\nforward = \"uas\"", "[[routes]]\nmatch = { user_prefixes = [\"none\"] }\nreject = { code = 404, reason = \"Not Found\" }\n\n[[routes]]\nforward = \"uas\""),
        2 => config.replace("members = [{ address = \"10.77.2.2:5060\" }]", "members = [{ address = \"10.77.2.2:5060\", weight = 3 }, { address = \"10.77.2.2:5999\", weight = 0 }]"),
        _ => config + "\n[log]\nlevel = \"warn\"\n",
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn a_hundred_reloads_during_fifty_thousand_calls_lose_none() {
    let lab = Lab::up(1);
    let good = read();
    let calls = start_calls(&lab, 50_000, 2_000);
    sleep(Duration::from_secs(1));
    let mut epoch = 0;
    for number in 1..=100 {
        write(&variant(&good, number));
        let report = report(&["reload"]);
        assert_eq!(report["verdict"], "in_force", "{report:#}");
        let now = report["epoch"].as_u64().expect("every worker has it");
        assert!(now >= epoch, "{report:#}");
        epoch = now;
        sleep(Duration::from_millis(150));
    }
    end_calls(calls, 50_000);
    let summary = report_of_config();
    assert!(summary.starts_with("configuration generation 101 "), "{summary}");
    assert_eq!(ask(&["config", "history"]).stdout.lines_count(), 32);
}

/// What `trunkline config` prints.
fn report_of_config() -> String {
    let output = ask(&["config"]);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

trait Lines {
    fn lines_count(&self) -> usize;
}

impl Lines for Vec<u8> {
    fn lines_count(&self) -> usize {
        String::from_utf8_lossy(self).lines().count()
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn two_hundred_broken_files_are_refused_and_change_nothing() {
    let lab = Lab::up(1);
    let (good, epoch, before) = (read(), lab.status()["epoch"].clone(), report_of_config());
    let files = broken::broken(&good);
    assert!(files.len() >= 200, "only {}", files.len());
    let calls = start_calls(&lab, 5_000, 500);
    sleep(Duration::from_secs(2)); // It reads the file, too.
    for (file, _) in &files {
        write(file);
        let output = ask(&["reload"]);
        assert_eq!(output.status.code(), Some(2), "{}\n{file}", text(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let place = said.lines().next().and_then(|line| line.strip_prefix(&format!("{FILE}:")));
        let line = place.and_then(|place| place.split(':').next());
        assert!(line.is_some_and(|line| line.parse::<usize>().is_ok()), "{said}\n{file}");
    }
    write(&good);
    assert_eq!((&lab.status()["epoch"], report_of_config()), (&epoch, before));
    end_calls(calls, 5_000);
    let audit = ask(&["audit", "--json", "-n", "1000"]);
    let refused = String::from_utf8_lossy(&audit.stdout).matches("\"refused\"").count();
    assert_eq!(refused, files.len());
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn what_needs_a_restart_is_named_and_a_rollback_undoes_a_reload() {
    let lab = Lab::up(1);
    let good = read();
    let changed = good.replace("idle = \"sleep\"", "idle = \"yield\"");
    write(&changed.replace("name = \"lab\"", "name = \"lab\"\nretry_after = 9"));
    let dry = ask(&["reload", "--dry-run"]);
    let said = text(&dry);
    assert!(dry.status.success() && said.contains("+ appliance.retry_after: 9"), "{said}");
    assert!(
        said.contains("lcores.idle: \"sleep\" -> \"yield\"   (needs a restart of the data plane)"),
        "{said}"
    );
    let refused = ask(&["reload"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    lab.signal_control("-HUP");
    sleep(Duration::from_millis(300));
    assert!(
        report_of_config().starts_with("configuration generation 1 "),
        "{}",
        report_of_config()
    );
    let partial = report(&["reload", "--partial"]);
    assert_eq!(
        (&partial["verdict"], &partial["waiting"][0]),
        (&"in_force".into(), &"lcores.idle".into())
    );
    assert!(report_of_config().contains("waiting for a restart: lcores.idle"));
    let back = report(&["rollback"]);
    assert_eq!(
        (&back["verdict"], &back["generation"]),
        (&"in_force".into(), &3.into()),
        "{back:#}"
    );
    assert!(ask(&["config", "show"]).stdout.starts_with(good.trim_end().as_bytes()));
    assert!(report_of_config().contains("holds something else"));
    let running = ask(&["check", FILE, "--against", "running"]);
    // The interfaces are in the appliance's namespace; the file is right, and so is what differs.
    let said = text(&running);
    assert!(!running.status.success() || said.contains("appliance.retry_after"), "{said}");
    assert_passed(&lab.call(&["--calls", "500", "--rate", "500"]), 500);
}

fn kill(pid_file: &str) -> String {
    let pid = std::fs::read_to_string(pid_file).expect("a pid file");
    let status = Command::new("kill").args(["-9", pid.trim()]).status();
    assert!(status.expect("kill runs").success());
    pid
}

fn wait_for_another(pid_file: &str, before: &str) {
    let start = Instant::now();
    while std::fs::read_to_string(pid_file).is_ok_and(|pid| pid == before)
        || !std::path::Path::new(pid_file).exists()
    {
        assert!(start.elapsed() < Duration::from_secs(10), "nothing came back");
        sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn processes_that_die_while_the_file_is_broken_come_back_with_the_last_good_one() {
    let lab = Lab::up(1);
    let good = read();
    write(&good.replace("[appliance]", "[appliance"));
    for process in ["control", "dataplane"] {
        let file = format!("/run/trunkline/lab/{process}.pid");
        let before = kill(&file);
        wait_for_another(&file, &before);
    }
    let start = Instant::now();
    while lab.try_status().status.code() != Some(0) || lab.status()["epoch"] == 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "no epoch");
        sleep(Duration::from_millis(50));
    }
    let said = report_of_config();
    assert!(said.contains("was broken at the start, so this is the last good one"), "{said}");
    for log in ["control.log", "dataplane.log"] {
        let log = std::fs::read_to_string(format!("/run/trunkline/lab/{log}")).expect("a log");
        assert!(log.contains("IS BROKEN"), "{log}");
    }
    // The lab reads the file, too.
    write(&good);
    assert_passed(&lab.call(&["--calls", "500", "--rate", "500"]), 500);
    assert_eq!(report(&["reload"])["verdict"], "unchanged");
    assert!(report_of_config().contains("holds the same"), "{}", report_of_config());
}

#[test]
#[ignore = "needs root and the lab: make e2e"]
fn control_killed_and_restarted_under_load_fails_no_call() {
    let lab = Lab::up(1);
    let calls = start_calls(&lab, 20_000, 2_000);
    for _ in 0..4 {
        sleep(Duration::from_secs(2));
        kill("/run/trunkline/lab/control.pid");
    }
    end_calls(calls, 20_000);
    drop(trunkline(&["lab", "status"]));
}
