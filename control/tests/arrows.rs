//! Dependencies between our packages point one way. This test reads `cargo metadata` and fails on
//! every arrow that the architecture does not have.

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::BTreeSet;

/// Who may depend on whom among our packages; everything else is refused.
const ARROWS: &[(&str, &[&str])] = &[
    ("sip-core", &[]),
    ("control-api", &[]),
    ("capsule-ffi", &[]),
    ("plot", &[]),       // charts know nothing of what they show
    ("nic-config", &[]), // the plan alone: control uses it and must not link DPDK
    ("dataplane", &["sip-core", "control-api", "nic-config", "capsule-ffi"]),
    ("control", &["sip-core", "control-api", "nic-config", "plot"]),
    (
        "bench",
        &["sip-core", "control-api", "nic-config", "capsule-ffi", "dataplane", "control", "plot"],
    ),
];

/// The only packages that may see capsule, and with it mbufs.
const SEE_CAPSULE: &[&str] = &["dataplane", "bench"];

#[test]
fn dependencies_point_one_way() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            wrong.push(format!("{name} is not in the list of this test: decide what it may use"));
            continue;
        };
        for dependency in &package.dependencies {
            let to = dependency.name.as_str();
            if ours.contains(to) && !allowed.contains(&to) {
                wrong.push(format!("{name} -> {to} ({})", kind(dependency.kind)));
            }
            if to == "capsule" && !SEE_CAPSULE.contains(&name) {
                wrong.push(format!("{name} -> capsule ({})", kind(dependency.kind)));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows the architecture does not have:\n{}", wrong.join("\n"));
}

fn kind(kind: DependencyKind) -> &'static str {
    match kind {
        DependencyKind::Development => "dev",
        DependencyKind::Build => "build",
        _ => "normal",
    }
}
