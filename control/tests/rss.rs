//! `trunkline rss` as an operator runs it.

use serde_json::Value;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

fn trunkline(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.current_dir(folder).arg("rss").args(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Five trunks with 16 % of the calls each, 500 phones with the rest.
fn skewed() -> String {
    let mut list = "source,source_port,destination,destination_port,weight\n".to_owned();
    let mut line = |network: &str, host: u32, weight: f64| {
        let (high, low) = (host / 250, host % 250 + 1);
        writeln!(list, "{network}.{high}.{low},5060,198.51.100.1,5060,{weight}").expect("memory");
    };
    (0..5).for_each(|trunk| line("192.0", trunk * 37, 1_600.0));
    (0..500).for_each(|phone| line("203.0", phone, 4.0));
    list
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("peers.csv"), skewed()).expect("written");
    folder
}

fn planned(folder: &Path, queues: &str, more: &[&str]) -> Value {
    let fixed = ["plan", "--queues", queues, "--peers", "peers.csv", "--json", "-"];
    let output = trunkline(folder, &[&fixed[..], more].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

#[test]
fn a_skewed_list_comes_within_five_percent_of_the_best_possible() {
    let folder = folder();
    // Five elephants: two share one of four queues, each has one of eight or sixteen.
    for (queues, best) in [("4", 1.28), ("8", 1.28), ("16", 2.56)] {
        let plan = planned(folder.path(), queues, &[]);
        let ratio = |which: &str| plan[which]["max_over_mean"].as_f64().expect("a number");
        let (before, after, possible) = (ratio("before"), ratio("after"), ratio("best_possible"));
        assert!((possible - best).abs() < 1e-9, "{possible}");
        assert!(after <= before && after >= possible && after < possible * 1.05, "{after}");
        let reta = plan["reta"].as_array().expect("a table");
        let queues: u64 = queues.parse().expect("a number");
        assert!(reta.len() == 128 && reta.iter().all(|queue| queue.as_u64() < Some(queues)));
        let key: Vec<_> = plan["key"].as_str().expect("a key").split(':').collect();
        assert!(key.len() == 40 && key.iter().all(|byte| byte.len() == 2), "{key:?}");
        let elephants = plan["elephants"].as_array().expect("a list");
        assert_eq!(elephants.len(), if queues == 4 { 0 } else { 5 });
    }
}

#[test]
fn the_same_seed_gives_the_same_plan() {
    let folder = folder();
    let all = |seed| planned(folder.path(), "16", &["--seed", seed, "--seconds", "60"]);
    assert_eq!(all("7"), all("7"));
    assert_ne!(all("7")["key"], all("8")["key"]);
}

/// The lists of the tuning guide, its commands, and what they print.
#[test]
fn the_guide_shows_what_is_printed() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/nic-tuning.md");
    let page = std::fs::read_to_string(page).expect("the guide");
    let blocks = |kind: &str| -> Vec<String> {
        let head = format!("```{kind}\n");
        let parts = page.split(&head).skip(1);
        parts.filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
    };
    let folder = folder();
    for (list, name) in blocks("csv").iter().zip(["peers.csv", "servers.csv"]) {
        std::fs::write(folder.path().join(name), list).expect("written");
    }
    let mut commands = 0;
    for block in blocks("console") {
        let (command, expected) = block.split_once('\n').expect("a command and its output");
        let Some(arguments) = command.strip_prefix("$ trunkline rss ") else { continue };
        let output = trunkline(folder.path(), &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(text(&output.stdout), expected, "{command}");
        commands += 1;
    }
    assert_eq!(commands, 3);
}

#[test]
fn what_the_plan_promises_show_confirms() {
    let folder = folder();
    let plan = planned(folder.path(), "8", &["--symmetric"]);
    let key = plan["key"].as_str().expect("a key");
    std::fs::write(folder.path().join("reta.txt"), plan["reta"].to_string()).expect("written");
    for elephant in plan["elephants"].as_array().expect("a list") {
        let ends = ["source", "destination"].map(|end| elephant[end].as_str().expect("an end"));
        for [source, destination] in [[ends[0], ends[1]], [ends[1], ends[0]]] {
            let output = trunkline(
                folder.path(),
                &[
                    &["show", "--key", key, "--reta", "reta.txt", "--json"][..],
                    &["--source", source, "--destination", destination],
                ]
                .concat(),
            );
            assert!(output.status.success(), "{}", text(&output.stderr));
            let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(shown["queue"], elephant["queue"]);
        }
    }
}

#[test]
fn the_report_has_the_form_of_ethtool_and_is_read_again() {
    let folder = folder();
    let plan = ["plan", "--queues", "8", "--peers", "peers.csv", "--plot", "queues.svg"];
    let output = trunkline(folder.path(), &plan);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = text(&output.stdout);
    for part in ["before", "best possible", "Elephants", "RSS hash key:\n", "hkey ", "  120: "] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let chart = std::fs::read_to_string(folder.path().join("queues.svg")).expect("a chart");
    assert!(chart.contains("trunkline rss plan --queues 8 on peers.csv"));
    let output = trunkline(folder.path(), &[&plan[..5], &["--ethtool"]].concat());
    std::fs::write(folder.path().join("plan.txt"), output.stdout).expect("written");
    // From there on nothing is left to gain.
    let key = planned(folder.path(), "8", &[])["key"].as_str().expect("a key").to_owned();
    let again = ["--reta", "plan.txt", "--key", &key, "--keep-key"];
    let plan = planned(folder.path(), "8", &again);
    assert_eq!((&plan["before"]["reta"], &plan["entries_changed"]), (&plan["reta"], &0.into()));
}

#[test]
fn show_gives_the_published_hash() {
    let folder = folder();
    let flow = ["--source", "66.9.149.187:2794", "--destination", "161.142.100.80:1766"];
    let output = trunkline(folder.path(), &[&["show", "--queues", "8"][..], &flow].concat());
    let shown = text(&output.stdout);
    assert!(shown.contains("hash   0x51ccc178") && shown.contains("queue  0\n"), "{shown}");
    let fragment = [&["show", "--queues", "8", "--fragment"][..], &flow].concat();
    let shown = text(&trunkline(folder.path(), &fragment).stdout);
    assert!(shown.contains("hash   0x323e8fc2"), "{shown}");
}

#[test]
fn wrong_input_is_one_clear_line() {
    let folder = folder();
    let write = |name, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    let head = "source,source_port,destination,destination_port,weight\n";
    write("empty.csv", head);
    write("mixed.csv", &format!("{head}192.0.2.1,5060,2001:db8::1,5060,1\n"));
    write("zero.csv", &format!("{head}192.0.2.1,5060,192.0.2.2,5060,0\n"));
    write("short.txt", "0 1 2 3");
    write("high.txt", &"9 ".repeat(64));
    let plan = |more: &[&'static str]| [&["plan", "--peers", "peers.csv"][..], more].concat();
    let cases = [
        (plan(&[]), "how many queues?"),
        (plan(&["--queues", "0"]), "0 queues; write 1 to 512"),
        (plan(&["--queues", "200"]), "200 queues cannot all be reached"),
        (plan(&["--queues", "8", "--key", "6d:5a"]), "the RSS key has 2 bytes"),
        (plan(&["--queues", "8", "--key", "zz"]), "\"zz\""),
        (plan(&["--queues", "8", "--key-bytes", "41"]), "the RSS key has 41 bytes"),
        (plan(&["--queues", "8", "--reta-size", "100"]), "the table has 100 entries"),
        (plan(&["--queues", "8", "--reta", "short.txt"]), "the table has 4 entries"),
        (plan(&["--queues", "8", "--reta", "high.txt"]), "names queue 9"),
        (plan(&["--queues", "8", "--fields", "tcp"]), "\"tcp\""),
        (plan(&["--queues", "8", "--fields", "ipv6"]), "no flow is hashed"),
        (vec!["plan", "--queues", "8", "--peers", "empty.csv"], "no flow is in it"),
        (vec!["plan", "--queues", "8", "--peers", "mixed.csv"], "mixed.csv:2: "),
        (vec!["plan", "--queues", "8", "--peers", "zero.csv"], "zero.csv:2: weight 0"),
        (vec!["plan", "--queues", "8", "--peers", "absent.csv"], "absent.csv cannot be read"),
        (vec!["plan", "--queues", "8", "--pcap", "peers.csv"], "is no capture"),
        (vec!["plan", "--queues", "8"], "--peers"),
    ];
    for (arguments, why) in cases {
        let output = trunkline(folder.path(), &arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(why) && output.stdout.is_empty(), "{arguments:?}: {error}");
    }
    let output = trunkline(folder.path(), &["show", "--interface", "no-such-if0"]);
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("no-such-if0"), "{error}");
}
