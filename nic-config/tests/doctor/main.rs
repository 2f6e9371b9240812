//! The doctor on servers that are not here: trees with the shape of real ones, healthy, and each with one thing wrong.

mod planted;
mod servers;
mod tree;

use nic_config::NicSettings;
use nic_config::doctor::ethtool::recorded;
use nic_config::doctor::server::Server;
use nic_config::doctor::{Finding, Level, Report, examine};
use planted::Planted;
use servers::{AMD_MLX5, CLOUD_ENA, GUEST_VIRTIO, Shape, XEON_ICE};
use tree::Tree;

/// What the doctor says of a server, with these lines of its tree and of its configuration changed.
fn report(shape: &Shape, planted: &str, config: &[(&str, &str)]) -> Report {
    let tree = Tree::of(&[shape.tree, planted]);
    let config = config.iter().fold(shape.config.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    let settings = NicSettings::from_toml(&config).expect("a configuration");
    let server = Server::read(tree.path()).expect("a server");
    examine(server, Some(&settings), &[], &recorded(tree.path())).expect("a report")
}

fn told(report: &Report) -> String {
    let line = |Finding { level, area, seen, mend, .. }: &Finding| {
        format!("{} {area}: {seen} | {mend}\n", level.name())
    };
    report.findings.iter().map(line).collect()
}

#[test]
fn a_healthy_server_is_told_to_be() {
    for shape in [XEON_ICE, AMD_MLX5, CLOUD_ENA, GUEST_VIRTIO] {
        let report = report(&shape, "", &[]);
        let worse = report.findings.iter().filter(|finding| finding.level != Level::Ok);
        assert_eq!(worse.count(), 0, "{}:\n{}", shape.name, told(&report));
        assert!(report.findings.len() > 8 && !report.has_faults(), "{}", told(&report));
    }
}

fn assert_found(shape: &Shape, cases: &[Planted]) {
    for (planted, config, level, [area, seen, mend]) in cases {
        let report = report(shape, planted, config);
        let is_it = |finding: &&Finding| {
            finding.level == *level
                && finding.area == *area
                && finding.seen.contains(seen)
                && finding.mend.contains(mend)
                && !finding.effect.is_empty()
        };
        let found = report.findings.iter().filter(is_it).count();
        let name = shape.name;
        assert_eq!(found, 1, "{name}: {level:?} {area} {seen:?} {mend:?}:\n{}", told(&report));
    }
}

#[test]
fn each_fault_is_found() {
    assert_found(&XEON_ICE, planted::ON_XEON);
    assert_found(&AMD_MLX5, planted::ON_AMD);
    assert_found(&CLOUD_ENA, planted::ON_ENA);
    assert_found(&GUEST_VIRTIO, planted::ON_VIRTIO);
}

#[test]
fn without_a_configuration_all_hardware_is_looked_at() {
    let tree = Tree::of(&[AMD_MLX5.tree]);
    let look = |interfaces: &[String]| {
        let server = Server::read(tree.path()).expect("a server");
        examine(server, None, interfaces, &recorded(tree.path()))
    };
    let report = look(&[]).expect("a report");
    let names: Vec<_> = report.nics.iter().map(|nic| nic.name.as_str()).collect();
    assert_eq!(names, ["ens1f0np0"]);
    let nic = &report.nics[0];
    assert_eq!(nic.pci.as_deref(), Some("0000:41:00.0"));
    assert_eq!(nic.profile().map(|profile| profile.name), Some("mlx5"));
    assert_eq!((nic.numa, nic.ethtool.reta, nic.ethtool.key_bytes), (Some(0), Some(8), Some(40)));
    assert_eq!(look(&["lo".into()]).expect("a report").nics[0].name, "lo");
    let error = look(&["eth7".into()]).expect_err("none");
    assert!(error.contains("eth7") && error.contains("ens1f0np0, lo"), "{error}");
}
