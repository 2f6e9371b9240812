//! NIC, lcores and memory on one NUMA node.

use super::{Case, Finding, Findings, Level};

pub(super) fn check(case: Case<'_>) -> Vec<Finding> {
    let mut found = Findings::of("numa");
    let server = case.server;
    if server.numa.len() < 2 {
        found.ok(match server.numa.len() {
            0 => "the kernel knows no NUMA nodes",
            _ => "one node: everything is near",
        });
        return found.list;
    }
    for nic in case.nics.iter().filter(|nic| nic.pci.is_some()) {
        let Some(near) = nic.numa else {
            found.add(
                Level::Advice,
                format!("{}: firmware does not say on which node it sits", nic.name),
                "nobody can tell which lcores are near",
                "update the BIOS; the manual of the board says which slots belong to which socket",
            );
            continue;
        };
        let lcores: Vec<_> = server
            .machine
            .lcores
            .iter()
            .filter(|(_, node)| **node == Some(near))
            .map(|(l, _)| *l)
            .collect();
        let near_lcores = super::list(lcores.iter().copied());
        let far: Vec<_> =
            case.workers().iter().copied().filter(|lcore| !lcores.contains(lcore)).collect();
        if far.is_empty() {
            let workers = if case.workers().is_empty() { "" } else { ", and so are the workers" };
            found.ok(format!("{} is on node {near} (lcores {near_lcores}){workers}", nic.name));
            continue;
        }
        let node =
            far.first().and_then(|lcore| server.machine.lcores.get(lcore).copied().flatten());
        let distance = node.and_then(|node| server.distance(node, near));
        let distance = distance
            .map_or_else(String::new, |distance| format!(", distance {distance} (near is 10)"));
        found.add(
            Level::Warning,
            format!(
                "{} is on node {near}, workers {} are not{distance}",
                nic.name,
                super::list(far)
            ),
            "each frame and each descriptor crosses the link between the sockets",
            format!("choose lcores.workers from {near_lcores}"),
        );
    }
    for (node, memory) in server.numa.iter().filter(|(_, node)| !node.has_memory) {
        let workers = case.workers().iter();
        let mut on_it =
            workers.filter(|lcore| server.machine.lcores.get(*lcore) == Some(&Some(*node)));
        let far = memory.distances.iter().max().copied().unwrap_or(0);
        if on_it.next().is_some() {
            found.add(
                Level::Warning,
                format!("node {node} has no memory of its own (distances up to {far})"),
                "its workers keep tables and frames on another node",
                format!("fit memory to the socket of node {node}"),
            );
        }
    }
    found.list
}
