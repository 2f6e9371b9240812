//! What the documentation shows is true.

use control::config::Config;
use control_api::DropReason;
use std::path::Path;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_examples_of_the_configuration_page_are_accepted() {
    let page = document("docs/configuration.md");
    let examples = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let config = |text| Config::parse(text, Path::new("")).expect("the example is right");
    let routes: Vec<_> = examples.map(|text| config(text).routes.len()).collect();
    assert_eq!(routes, [3, 2]);
}

#[test]
fn the_example_of_the_api_page_is_accepted() {
    let page = document("docs/api.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let config = Config::parse(example.expect("an example"), Path::new("")).expect("it is right");
    assert_eq!(config.api.tokens.len(), 1);
}

#[test]
fn the_example_of_two_stages_is_accepted() {
    let page = document("docs/cluster.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let config = Config::parse(example.expect("an example"), Path::new("")).expect("it is right");
    assert!(config.appliance.secret_file.is_some() && config.routes[0].path);
}

#[test]
fn the_example_of_shared_location_is_accepted_beside_it() {
    let page = document("docs/cluster.md");
    let examples = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let text: String = examples.take(2).collect();
    let config = Config::parse(&text, Path::new("")).expect("it is right");
    assert_eq!(config.cluster.expect("a cluster").engine.len(), 3);
}

#[test]
fn the_example_of_both_stages_is_accepted() {
    let page = document("docs/cluster.md");
    let example = page.split("```toml\n").nth(3).and_then(|rest| rest.split("```").next());
    let config = Config::parse(example.expect("an example"), Path::new("")).expect("it is right");
    assert_eq!((config.routes.len(), config.listen.len()), (3, 1));
    assert!(config.destination_sets[0].members[0].is_own && config.cluster.is_some());
}

#[test]
fn the_example_of_an_address_that_others_have_is_accepted() {
    let page = document("docs/takeover.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let config = Config::parse(example.expect("an example"), Path::new("")).expect("it is right");
    assert_eq!(config.appliance.shared_addresses.len(), 1);
}

#[test]
fn every_path_of_the_api_is_on_its_page() {
    let page = document("docs/api.md");
    let openapi: serde_json::Value =
        serde_json::from_str(&document("control/src/api/openapi.json")).expect("JSON");
    for path in openapi["paths"].as_object().expect("paths").keys() {
        let path = path.replace("/undrain", "/drain");
        assert!(page.contains(&format!("`{path}`")), "docs/api.md lacks {path}");
    }
}

#[test]
fn every_metric_of_a_cluster_is_on_its_page() {
    let page = document("docs/cluster.md");
    let source = document("control/src/metrics/cluster.rs");
    let names: Vec<_> = source
        .lines()
        .filter_map(|line| line.split_once("name: \"cluster_"))
        .filter_map(|(_, rest)| {
            Some((rest.split('"').next()?, rest.contains("Count(") || rest.contains("seconds(&")))
        })
        .collect();
    assert!(names.len() > 20);
    for (name, is_counter) in names {
        let name = format!("`trunkline_cluster_{name}{}`", if is_counter { "_total" } else { "" });
        assert!(page.contains(&name), "docs/cluster.md lacks {name}");
    }
}

#[test]
fn units_start_programs_that_there_are() {
    for (unit, program) in [("dataplane", "trunkline-dataplane"), ("control", "trunkline-control")]
    {
        let unit = document(&format!("docs/systemd/trunkline-{unit}.service"));
        let start = format!("ExecStart=/usr/bin/{program} --config ");
        assert!(unit.contains(&start) && unit.contains("WatchdogSec="), "{unit}");
    }
}

#[test]
fn every_drop_reason_is_explained_to_operators() {
    let page = document("docs/operations.md");
    for reason in DropReason::ALL {
        let row = format!("| `{}` | {} |", reason.name(), reason.help());
        assert!(page.contains(&row), "docs/operations.md lacks: {row}");
    }
}

#[test]
fn the_readme_names_the_two_commands() {
    let readme = document("README.md");
    let makefile = document("Makefile");
    for target in ["run", "test"] {
        assert!(readme.contains(&format!("make {target}")), "README.md lacks make {target}");
        assert!(makefile.contains(&format!("\n{target}:")), "the Makefile lacks {target}");
    }
}

#[test]
fn every_command_that_operators_type_is_explained_to_them() {
    let page = document("docs/operations.md");
    let main = document("control/src/bin/trunkline/main.rs");
    let commands = [
        "run",
        "status",
        "health",
        "connections",
        "top",
        "reload",
        "rollback",
        "config",
        "audit",
        "check",
        "destinations",
        "drain",
        "where",
        "nic",
        "rss",
        "lab",
    ];
    for command in commands {
        let variant = format!("{}{}(", command[..1].to_uppercase(), &command[1..]);
        assert!(main.contains(&variant), "{variant}");
        assert!(page.contains(&format!("trunkline {command}")), "docs/operations.md: {command}");
    }
}

/// What the RFC map names exists: each file of its third column, each function, type or constant
/// behind a file, each test of the fourth.
#[test]
fn the_rfc_map_names_what_exists() {
    let sources = sources(&[
        "dataplane/sip/src",
        "dataplane/sip/tests",
        "dataplane/src",
        "dataplane/tests",
        "control/src",
        "control/tests",
    ]);
    let page = document("docs/rfc-map.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let mut rules = 0;
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" |").collect();
        let [_, _, code, test] = cells.as_slice() else { panic!("four cells make a row: {row}") };
        if test.trim() == "test" {
            continue;
        }
        rules += 1;
        let files = check_code(code, row);
        let tests = quoted(test);
        for name in &tests {
            let head = format!("fn {name}(");
            assert!(sources.iter().any(|text| text.contains(&head)), "no test `{name}`: {row}");
        }
        let has_reason = code.contains("not ours") || code.contains("not yet");
        assert!(has_reason || (files > 0 && !tests.is_empty()), "neither held nor excused: {row}");
    }
    assert!(rules > 60, "only {rules} rules");
}

/// Checks the files and names of a cell and tells how many files there were. What stands before
/// the first file is no code.
fn check_code(cell: &str, row: &str) -> usize {
    let (mut file, mut files) = (None, 0);
    for name in quoted(cell) {
        if Path::new(name).extension().is_some_and(|extension| extension == "rs") {
            let is_whole = ["dataplane/", "control/"].iter().any(|top| name.starts_with(top));
            let folder = if is_whole { "" } else { "dataplane/sip/src/" };
            (file, files) = (Some(document(&format!("{folder}{name}"))), files + 1);
        } else if let Some(text) = &file {
            let is_there = ["fn", "struct", "const"].iter().any(|kind| {
                let ends = ["(", "<", " ", ":"];
                ends.iter().any(|end| text.contains(&format!("{kind} {name}{end}")))
            });
            assert!(is_there, "no `{name}` there: {row}");
        }
    }
    files
}

/// The texts between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The Rust files below these folders of the repository.
fn sources(folders: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(std::fs::read_to_string(&path).expect("text"));
            }
        }
    }
    found
}
