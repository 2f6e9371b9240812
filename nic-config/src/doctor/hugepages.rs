//! Hugepages: size, how many are free, on which node, against what the plan needs.

use std::collections::BTreeSet;

use super::server::Pages;
use super::{Case, Finding, Findings, Level};
use crate::mempool::PoolSize;
use crate::settings::{Device, HugepagePolicy, NicSettings};

const EFFECT: &str = "the data plane runs on ordinary pages: more misses of the TLB for each frame";

pub(super) fn check(case: Case<'_>) -> Vec<Finding> {
    let mut found = Findings::of("hugepages");
    let Some(settings) = case.settings else {
        without_plan(case, &mut found);
        return found.list;
    };
    if settings.memory.hugepages == HugepagePolicy::Never {
        let seen = "memory.hugepages = \"never\"";
        found.add(Level::Advice, seen, EFFECT, "set memory.hugepages = \"auto\"");
        return found.list;
    }
    let short = match settings.memory.hugepages {
        HugepagePolicy::Require => {
            (Level::Fault, "memory.hugepages = \"require\": the data plane does not start")
        }
        HugepagePolicy::Auto | HugepagePolicy::Never => (Level::Warning, EFFECT),
    };
    let needed = pool_mebibytes(case, settings);
    let nodes = nodes(case, settings);
    if nodes.is_empty() {
        compare(&mut found, None, &case.server.hugepages, needed, short);
    }
    for node in nodes {
        let pages = case.server.numa.get(&node).map_or(&[][..], |node| &node.hugepages);
        compare(&mut found, Some(node), pages, needed, short);
    }
    found.list
}

fn without_plan(case: Case<'_>, found: &mut Findings) {
    let reserved: Vec<_> = case.server.hugepages.iter().filter(|pages| pages.total > 0).collect();
    if reserved.is_empty() {
        found.add(
            Level::Advice,
            "none reserved",
            EFFECT,
            "sysctl vm.nr_hugepages=512; --config says how many a plan needs",
        );
    }
    for pages in reserved {
        found.ok(format!("{} of {} pages of {} KiB free", pages.free, pages.total, pages.size_kib));
    }
}

/// Memory of the pool of one node and of EAL, MiB.
fn pool_mebibytes(case: Case<'_>, settings: &NicSettings) -> u32 {
    const ETHERNET: u32 = 1500;
    let own = |device: &Device| match device {
        Device::Interface(name) => case.server.machine.interfaces.get(name).map(|found| found.mtu),
        Device::Pci(_) | Device::Vdev(_) => None,
    };
    let mtu = |mtu: u32| u16::try_from(mtu).unwrap_or(u16::MAX);
    let ports = settings.ports.iter();
    let mtus =
        ports.map(|port| port.mtu.unwrap_or_else(|| mtu(own(&port.device).unwrap_or(ETHERNET))));
    let mtus: Vec<_> = mtus.collect();
    let workers = u32::try_from(settings.lcores.workers.len()).unwrap_or(u32::MAX);
    PoolSize::of(&settings.ports, &mtus, workers, settings.memory.mbufs).mebibytes(1, true)
}

/// The nodes that get a pool: those of workers and service lcore.
fn nodes(case: Case<'_>, settings: &NicSettings) -> BTreeSet<u16> {
    let lcores = settings.lcores.workers.iter().chain([&settings.lcores.service]);
    let node = |lcore| case.server.machine.lcores.get(lcore).copied().flatten();
    lcores.filter_map(node).filter(|node| case.server.numa.contains_key(node)).collect()
}

fn compare(
    found: &mut Findings,
    node: Option<u16>,
    pages: &[Pages],
    needed: u32,
    (level, effect): (Level, &str),
) {
    let free: u32 = pages.iter().map(Pages::free_mebibytes).sum();
    let place = node.map_or_else(String::new, |node| format!("node {node}: "));
    let sizes: Vec<_> = pages
        .iter()
        .filter(|pages| pages.total > 0)
        .map(|pages| format!("{} of {} pages of {} KiB", pages.free, pages.total, pages.size_kib))
        .collect();
    let sizes = if sizes.is_empty() { "none reserved".to_owned() } else { sizes.join(", ") };
    let seen = format!("{place}{free} MiB free ({sizes}), {needed} MiB needed");
    if free >= needed {
        found.ok(seen);
        return;
    }
    let (size, total) = pages.first().map_or((2048, 0), |pages| (pages.size_kib, pages.total));
    let missing = u64::from(needed - free) * 1024;
    let count = u64::from(total) + missing.div_ceil(u64::from(size.max(1)));
    let mend = match node {
        Some(node) => format!(
            "echo {count} > /sys/devices/system/node/node{node}/hugepages/hugepages-{size}kB/nr_hugepages"
        ),
        None => format!("sysctl vm.nr_hugepages={count}"),
    };
    found.add(level, seen, effect, mend);
}
