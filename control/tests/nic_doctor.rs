//! `trunkline nic` as an operator runs it: on this machine, held against the system's own tools.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

fn trunkline(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.arg("nic").args(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// What another program says of this machine; nothing when it refuses.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it is installed");
    text(&output.stdout)
}

fn doctor(arguments: &[&str]) -> Value {
    let output = trunkline(&[&["doctor", "--json", "-"][..], arguments].concat());
    assert!(output.status.code() < Some(2), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let faults = report["counts"]["fault"].as_u64().expect("a count");
    assert_eq!(output.status.code(), Some(i32::from(faults > 0)));
    report
}

#[test]
fn the_doctor_says_of_this_machine_what_other_programs_say() {
    let report = doctor(&[]);
    let server = &report["server"];
    let lcores: BTreeSet<u64> =
        said("lscpu", &["-p=CPU"]).lines().filter_map(|line| line.parse().ok()).collect();
    let usable = server["cpus"]["usable"].as_array().expect("a list");
    let usable: BTreeSet<u64> = usable.iter().filter_map(Value::as_u64).collect();
    assert!(!usable.is_empty() && usable.is_subset(&lcores), "{usable:?} of {lcores:?}");
    let threads = said("lscpu", &[]);
    let is_threaded = !threads
        .lines()
        .any(|line| line.starts_with("Thread(s) per core:") && line.ends_with(" 1"));
    assert_eq!(!server["cpus"]["siblings"].as_object().expect("a table").is_empty(), is_threaded);
    let is_virtual = threads.contains("Hypervisor vendor:");
    assert_eq!(server["is_virtual"], is_virtual);
    let memory = std::fs::read_to_string("/proc/meminfo").expect("meminfo");
    let field = |key: &str| -> u64 {
        let line = memory.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("0");
        line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
    };
    let size = field("Hugepagesize:");
    let pages = server["hugepages"].as_array().expect("a list");
    let pages = pages.iter().find(|pages| pages["size_kib"] == size);
    assert_eq!(
        pages.map_or(0, |pages| pages["total"].as_u64().expect("a number")),
        field("HugePages_Total:")
    );
    let groups = std::fs::read_dir("/sys/kernel/iommu_groups").map_or(0, Iterator::count);
    assert_eq!(server["iommu"]["groups"].as_object().expect("a table").len(), groups);
    for nic in report["nics"].as_array().expect("a list") {
        nic_is_as_said(nic);
    }
}

/// Holds one NIC of the report against ip, ethtool and /proc/interrupts.
fn nic_is_as_said(nic: &Value) {
    let Some(name) = nic["interface"].as_str() else { return };
    let link: Value =
        serde_json::from_str(&said("ip", &["-j", "link", "show", name])).expect("JSON");
    assert_eq!(nic["mtu"], link[0]["mtu"]);
    assert_eq!(nic["state"], link[0]["operstate"].as_str().expect("a state").to_lowercase());
    let info = said("ethtool", &["-i", name]);
    let line = |key: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        line.filter(|text| !text.is_empty() && *text != "N/A")
    };
    assert_eq!(nic["driver"].as_str(), line("driver:"), "{info}");
    assert_eq!(nic["pci"].as_str(), line("bus-info:"), "{info}");
    assert_eq!(nic["firmware"].as_str(), line("firmware-version:"), "{info}");
    let features = said("ethtool", &["-k", name]);
    for feature in
        ["rx-checksumming", "tx-checksumming", "receive-hashing", "large-receive-offload"]
    {
        let state = features.lines().find_map(|line| line.strip_prefix(&format!("{feature}: ")));
        assert_eq!(
            nic["features"][feature]["on"].as_bool(),
            state.map(|state| state.starts_with("on"))
        );
    }
    let interrupts = std::fs::read_to_string("/proc/interrupts").expect("interrupts");
    for number in nic["interrupts"].as_array().expect("a list") {
        let head = format!("{number}:");
        assert!(interrupts.lines().any(|line| line.trim_start().starts_with(&head)), "{number}");
    }
}

#[test]
fn a_plan_that_this_machine_cannot_carry_is_a_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plan.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    let path = file.to_str().expect("text");
    write(
        "[[ports]]\nname = \"core\"\ninterface = \"no-such-if0\"\n[lcores]\nworkers = [0]\nservice = 0\n",
    );
    let output = trunkline(&["doctor", "--config", path]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("1 fault, ") && said.contains("FAULT    plan "), "{said}");
    assert!(
        said.contains("no such interface") && said.contains("effect      the data plane"),
        "{said}"
    );
    // What is not isolated here is said not to be.
    let isolated = std::fs::read_to_string("/sys/devices/system/cpu/isolated").unwrap_or_default();
    assert_eq!(said.contains("lcores 0 are not isolated"), !isolated.starts_with('0'), "{said}");
    write("[[ports]]\nname = \"core\"\ninterfaces = \"eth0\"\n");
    let output = trunkline(&["doctor", "--config", path]);
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("plan.toml: line "), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn wrong_arguments_are_one_clear_line() {
    for (arguments, why) in [
        (&["doctor", "--interface", "no-such-if0"][..], "no-such-if0: no such interface"),
        (&["doctor", "--config", "absent.toml"][..], "absent.toml"),
        (&["doctor", "--root", "/absent"][..], "/absent: proc and sys cannot be read"),
        (&["profiles", "e1000"][..], "there are ice, i40e, ixgbe, mlx5, ena, virtio"),
    ] {
        let output = trunkline(arguments);
        let error = text(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(why), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty() && error.lines().count() == 1, "{arguments:?}: {error}");
    }
}

#[test]
fn profiles_are_listed_and_shown() {
    let list = text(&trunkline(&["profiles"]).stdout);
    for name in
        ["ice", "i40e", "ixgbe", "mlx5", "ena", "virtio", "af_xdp", "af_packet", "memif", "tap"]
    {
        assert!(list.lines().any(|line| line.starts_with(&format!("{name} "))), "{list}");
    }
    let page = text(&trunkline(&["profiles", "net_ice"]).stdout);
    assert!(page.contains("512 entries (also 128)") && page.contains("52 bytes"), "{page}");
    let output = trunkline(&["profiles", "virtio_net", "--json"]);
    let virtio: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&virtio["rss"]["reta"], &virtio["rss"]["key_bytes"]), (&128.into(), &40.into()));
}

/// `rss` takes the length of key and table from the profile.
#[test]
fn a_driver_says_how_long_key_and_table_are() {
    let rss = |driver: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command
            .args(["rss", "show", "--queues", "8", "--driver", driver])
            .output()
            .expect("it starts")
    };
    let shown = text(&rss("ice").stdout);
    assert!(shown.contains("  504: ") && !shown.contains("  512: "), "{shown}");
    let key = shown.split("RSS hash key:\n").nth(1).expect("a key");
    assert_eq!(key.trim().split(':').count(), 52, "{key}");
    let output = rss("memif");
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("memif has no RSS"), "{error}");
}

#[test]
fn the_report_of_another_server_needs_nothing_of_this_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    write("proc/self/status", "Cpus_allowed_list: 0-3\n");
    write("proc/meminfo", "MemAvailable: 1048576 kB\n");
    write("sys/devices/system/cpu/online", "0-3\n");
    let link = folder.path().join("proc/self/ns/net");
    std::fs::create_dir_all(link.parent().expect("a folder")).expect("made");
    std::os::unix::fs::symlink("net:[4026531840]", link).expect("a link");
    let root = folder.path().to_str().expect("text");
    let report = doctor(&["--root", root]);
    assert_eq!(report["server"]["root"].as_str().map(Path::new), Some(folder.path()));
    assert_eq!(report["server"]["cpus"]["usable"], serde_json::json!([0, 1, 2, 3]));
    assert_eq!(report["nics"], serde_json::json!([]));
}

/// The tuning guide.
fn guide() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/nic-tuning.md");
    std::fs::read_to_string(page).expect("the guide")
}

/// The code blocks of a page with this info string.
fn blocks<'p>(page: &'p str, info: &str) -> Vec<&'p str> {
    let head = format!("```{info}\n");
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find(&head) {
        let (block, after) = rest[at + head.len()..].split_once("```").expect("a block ends");
        blocks.push(block);
        rest = after;
    }
    blocks
}

/// What only looks is run here, each command as it stands in the guide.
#[test]
fn the_guides_commands_that_look_run_here() {
    let page = guide();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("plan.toml"), blocks(&page, "toml")[0]).expect("written");
    let programs = Path::new(env!("CARGO_BIN_EXE_trunkline")).parent().expect("a folder");
    let path = std::env::var("PATH").expect("a path");
    let mut run = 0;
    for line in blocks(&page, "sh look").into_iter().flat_map(str::lines) {
        let mut command = Command::new("sh");
        command.current_dir(folder.path()).args(["-c", line]);
        let output = command.env("PATH", format!("{}:{path}", programs.display())).output();
        let output = output.expect("sh starts");
        // The doctor may find that this machine has faults.
        let is_fine = output.status.success()
            || (line.contains("nic doctor") && output.status.code() == Some(1));
        assert!(is_fine, "{line}: {}", text(&output.stderr));
        let is_written = folder.path().join("doctor.json").exists();
        assert!(!output.stdout.is_empty() || is_written, "{line} says nothing");
        run += 1;
    }
    assert_eq!(run, 9);
}

#[test]
fn the_guides_plan_is_accepted() {
    let page = guide();
    let plan = nic_config::NicSettings::from_toml(blocks(&page, "toml")[0]).expect("it is right");
    assert_eq!(usize::from(plan.ports[0].queues), plan.lcores.workers.len());
}

/// Each command of ours that the guide names is there, with each of its options.
#[test]
fn the_guide_names_commands_that_there_are() {
    let page = guide();
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/src/main.rs");
    let bench = std::fs::read_to_string(bench).expect("the bench's main");
    let lines = page.lines().map(|line| line.trim_start_matches("$ "));
    let spans = page.split('`').skip(1).step_by(2).filter(|span| !span.contains('\n'));
    let mut named = BTreeSet::new();
    for command in lines.chain(spans) {
        let command = command.split(['|', ';']).next().unwrap_or_default().trim();
        if let Some(rest) = command.strip_prefix("trunkline-bench ") {
            let word = rest.split(' ').next().unwrap_or_default();
            let variant = format!("    {}{}(", word[..1].to_uppercase(), &word[1..]);
            assert!(bench.contains(&variant), "{command}");
        }
        let Some(rest) = command.strip_prefix("trunkline ") else { continue };
        let words: Vec<_> = rest.split(' ').take_while(|word| !word.starts_with('-')).collect();
        let mut help = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        let help = help.args(&words).arg("--help").output().expect("it starts");
        assert!(help.status.success(), "{command}");
        let help = text(&help.stdout);
        for option in rest.split(' ').filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{command}: {option}");
        }
        named.insert(words[0].to_owned());
    }
    let wanted = ["audit", "check", "lab", "nic", "reload", "rss", "status", "top", "where"];
    assert_eq!(named, wanted.map(str::to_owned).into());
}
