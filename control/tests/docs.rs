//! What the documentation shows is true.

use control::config::Config;
use control_api::DropReason;
use std::path::Path;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_example_of_the_configuration_page_is_accepted() {
    let page = document("docs/configuration.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let config =
        Config::parse(example.expect("an example"), Path::new("")).expect("the example is right");
    assert_eq!(config.routes.len(), 3);
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
