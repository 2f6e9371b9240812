//! The way between two hosts, cut at the switch: each of them still reaches all others.

use super::plan::Node;
use super::{SWITCH, current};
use crate::lab::shell::{run, run_with_input};
use anyhow::Result;
use serde_json::Value;

/// What the switch does with a frame from a port to a port.
const RULES: &str = "\
table bridge lab {
    set cut {
        type ifname . ifname
    }
    chain forward {
        type filter hook forward priority 0
        iifname . oifname @cut drop
    }
}
";

/// Gives the switch a list of pairs of ports between which nothing passes.
pub(super) fn prepare() -> Result<()> {
    run_with_input("ip", &["netns", "exec", SWITCH, "nft", "-f", "-"], RULES).map(drop)
}

/// Cuts the way between two hosts, in both directions.
///
/// # Errors
/// When no topology is up.
pub fn cut_link(a: Node, b: Node) -> Result<()> {
    current()?;
    change("add", a, b)
}

/// Heals the way between two hosts; nothing happens when it is whole.
///
/// # Errors
/// When no topology is up.
pub fn heal_link(a: Node, b: Node) -> Result<()> {
    let [one, other] = [a.name(), b.name()];
    let is_cut =
        cut_links()?.iter().any(|(x, y)| (x, y) == (&one, &other) || (x, y) == (&other, &one));
    if is_cut { change("delete", a, b) } else { Ok(()) }
}

/// The pairs of hosts whose way is cut, by name.
///
/// # Errors
/// When no topology is up.
pub fn cut_links() -> Result<Vec<(String, String)>> {
    current()?;
    let json =
        run("ip", &["netns", "exec", SWITCH, "nft", "-j", "list", "set", "bridge", "lab", "cut"])?;
    Ok(pairs(&serde_json::from_str(&json)?))
}

fn change(verb: &str, a: Node, b: Node) -> Result<()> {
    let (a, b) = (a.name(), b.name());
    let line =
        format!("{verb} element bridge lab cut {{ \"{a}\" . \"{b}\", \"{b}\" . \"{a}\" }}\n");
    run_with_input("ip", &["netns", "exec", SWITCH, "nft", "-f", "-"], &line).map(drop)
}

/// The pairs in what `nft -j list set` prints, each once.
fn pairs(json: &Value) -> Vec<(String, String)> {
    let sets = json["nftables"].as_array().into_iter().flatten();
    let elements = sets.filter_map(|one| one["set"]["elem"].as_array()).flatten();
    let names = |element: &Value| {
        let name = |index: usize| element["concat"][index].as_str().map(str::to_owned);
        Some((name(0)?, name(1)?))
    };
    let mut all: Vec<_> = elements.filter_map(names).filter(|(a, b)| a < b).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::pairs;
    use serde_json::json;

    #[test]
    fn each_pair_is_read_once() {
        let json = json!({ "nftables": [
            { "metainfo": { "json_schema_version": 1 } },
            { "set": { "family": "bridge", "name": "cut", "elem": [
                { "concat": ["p1", "f1"] }, { "concat": ["f1", "p1"] }, { "concat": ["d1", "p3"] },
            ] } },
        ] });
        let expected = [("d1", "p3"), ("f1", "p1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(pairs(&json), expected);
        assert_eq!(pairs(&json!({ "nftables": [{ "set": { "name": "cut" } }] })), []);
    }
}
