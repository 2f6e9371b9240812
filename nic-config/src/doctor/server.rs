//! What a server has, read from `/proc` and `/sys` below a root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::machine::{Machine, cpu_list, entries, field, link_name, read};

/// The parts of a server that checks look at.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// Where its `proc` and `sys` lie.
    pub root: PathBuf,
    /// What a plan depends on.
    #[serde(skip)]
    pub machine: Machine,
    /// Its kernel's command line.
    pub command_line: String,
    /// Lcores.
    pub cpus: Cpus,
    /// NUMA nodes by number; none where the kernel has no NUMA.
    pub numa: BTreeMap<u16, Node>,
    /// Hugepages of the whole machine, by size.
    pub hugepages: Vec<Pages>,
    /// IOMMU and VFIO.
    pub iommu: Iommu,
    /// Interrupts by number, those that have a device.
    #[serde(skip)]
    pub interrupts: BTreeMap<u32, Interrupt>,
    /// Whether it is a virtual machine, as far as its CPU says.
    pub is_virtual: bool,
}

/// Lcores and what the kernel does on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpus {
    /// Lcores that are online and allowed to us.
    pub usable: BTreeSet<u16>,
    /// Kept from the scheduler (`isolcpus=`).
    pub isolated: BTreeSet<u16>,
    /// Without a timer tick while one thread runs (`nohz_full=`).
    pub nohz_full: BTreeSet<u16>,
    /// Whose RCU callbacks run elsewhere (`rcu_nocbs=`, which `nohz_full=` implies).
    pub rcu_nocbs: BTreeSet<u16>,
    /// The other lcores of the same core.
    pub siblings: BTreeMap<u16, Vec<u16>>,
    /// Frequency governors; no entry where firmware or hypervisor decides.
    pub governors: BTreeMap<u16, String>,
}

/// A NUMA node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Distances to the nodes, by their number (10 is near).
    pub distances: Vec<u16>,
    /// Its hugepages, by size.
    pub hugepages: Vec<Pages>,
    /// Whether it has memory at all.
    pub has_memory: bool,
}

/// Hugepages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pages {
    /// Size of one page, KiB.
    pub size_kib: u32,
    /// Reserved.
    pub total: u32,
    /// Of these, in use by nobody.
    pub free: u32,
}

impl Pages {
    /// Memory of the free ones, MiB.
    pub fn free_mebibytes(&self) -> u32 {
        let kib = u64::from(self.size_kib) * u64::from(self.free);
        u32::try_from(kib / 1024).unwrap_or(u32::MAX)
    }
}

/// What stands between devices and memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Iommu {
    /// PCI devices of each group; none without an IOMMU.
    pub groups: BTreeMap<u32, Vec<String>>,
    /// Whether the driver vfio-pci is loaded.
    pub has_vfio_pci: bool,
    /// Whether VFIO may do without an IOMMU (`enable_unsafe_noiommu_mode`).
    pub is_noiommu: bool,
}

/// An interrupt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interrupt {
    /// Name in `/proc/interrupts`.
    pub name: String,
    /// How often it came since the start of the machine, on all lcores.
    pub count: u64,
    /// Where it goes.
    pub cpus: Vec<u16>,
}

impl Server {
    /// Reads the tree that has `proc` and `sys` under `root`.
    ///
    /// # Errors
    /// When `/proc` or `/sys` cannot be read at all; a part that is absent counts as none.
    pub fn read(root: &Path) -> io::Result<Self> {
        let machine = Machine::probe_at(root)?;
        let command_line = read_text(&root.join("proc/cmdline"));
        let cpu_info = read_text(&root.join("proc/cpuinfo"));
        let flags = cpu_info.lines().find(|line| line.starts_with("flags"));
        Ok(Self {
            cpus: cpus(&machine, &root.join("sys/devices/system/cpu"), &command_line),
            numa: numa(&root.join("sys/devices/system/node"))?,
            hugepages: pages(&root.join("sys/kernel/mm/hugepages"))?,
            iommu: iommu(&root.join("sys"))?,
            interrupts: interrupts(&root.join("proc")),
            is_virtual: flags.is_some_and(|line| line.split(' ').any(|flag| flag == "hypervisor")),
            root: root.to_owned(),
            machine,
            command_line,
        })
    }

    /// Distance between two nodes; none when the kernel does not tell.
    pub fn distance(&self, from: u16, to: u16) -> Option<u16> {
        self.numa.get(&from)?.distances.get(usize::from(to)).copied()
    }

    /// The value of a parameter of the kernel's command line.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.command_line, name)
    }
}

fn cpus(machine: &Machine, directory: &Path, command_line: &str) -> Cpus {
    let file = |name: &str| numbers(&read_text(&directory.join(name)));
    let parameter = |name| parameter(command_line, name).map(numbers).unwrap_or_default();
    let mut nohz_full = file("nohz_full");
    nohz_full.extend(parameter("nohz_full"));
    let mut rcu_nocbs = parameter("rcu_nocbs");
    rcu_nocbs.extend(&nohz_full);
    let mut cpus = Cpus {
        usable: machine.lcores.keys().copied().collect(),
        isolated: file("isolated"),
        nohz_full,
        rcu_nocbs,
        ..Cpus::default()
    };
    for lcore in &cpus.usable {
        let cpu = directory.join(format!("cpu{lcore}"));
        let threads = cpu_list(&read_text(&cpu.join("topology/thread_siblings_list")));
        let others: Vec<_> = threads.into_iter().filter(|other| other != lcore).collect();
        if !others.is_empty() {
            cpus.siblings.insert(*lcore, others);
        }
        if let Some(governor) = read(&cpu.join("cpufreq/scaling_governor")) {
            cpus.governors.insert(*lcore, governor);
        }
    }
    cpus
}

fn parameter<'a>(command_line: &'a str, name: &str) -> Option<&'a str> {
    let words = command_line.split_whitespace();
    words
        .filter_map(|word| word.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A list of lcores; words such as `domain` of `isolcpus=` are no numbers and fall out.
fn numbers(text: &str) -> BTreeSet<u16> {
    cpu_list(text).into_iter().collect()
}

fn numa(directory: &Path) -> io::Result<BTreeMap<u16, Node>> {
    let mut nodes = BTreeMap::new();
    for (name, path) in entries(directory)? {
        let Some(Ok(number)) = name.strip_prefix("node").map(str::parse) else { continue };
        let distances = read_text(&path.join("distance"));
        let distances = distances.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let memory = read_text(&path.join("meminfo"));
        let total = memory.lines().find_map(|line| line.split_once("MemTotal:"));
        let has_memory = total.is_some_and(|(_, rest)| !rest.trim_start().starts_with("0 "));
        let hugepages = pages(&path.join("hugepages"))?;
        nodes.insert(number, Node { distances, hugepages, has_memory });
    }
    Ok(nodes)
}

fn pages(directory: &Path) -> io::Result<Vec<Pages>> {
    let size = |name: &str| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok();
    let pages = |(name, path): (String, PathBuf)| {
        let total = read(&path.join("nr_hugepages"))?;
        let free: u32 = read(&path.join("free_hugepages"))?;
        let promised = read(&path.join("resv_hugepages")).unwrap_or(0);
        Some(Pages { size_kib: size(&name)?, total, free: free.saturating_sub(promised) })
    };
    let mut pages: Vec<_> = entries(directory)?.into_iter().filter_map(pages).collect();
    pages.sort_by_key(|pages| pages.size_kib);
    Ok(pages)
}

fn iommu(sys: &Path) -> io::Result<Iommu> {
    let mut groups = BTreeMap::new();
    for (name, path) in entries(&sys.join("kernel/iommu_groups"))? {
        let Ok(number) = name.parse() else { continue };
        let devices = entries(&path.join("devices"))?.into_iter().map(|(name, _)| name).collect();
        groups.insert(number, devices);
    }
    let noiommu: Option<String> =
        read(&sys.join("module/vfio/parameters/enable_unsafe_noiommu_mode"));
    Ok(Iommu {
        groups,
        has_vfio_pci: sys.join("bus/pci/drivers/vfio-pci").exists(),
        is_noiommu: noiommu.is_some_and(|value| value == "Y" || value == "1"),
    })
}

fn interrupts(proc: &Path) -> BTreeMap<u32, Interrupt> {
    let text = read_text(&proc.join("interrupts"));
    let columns = text.lines().next().map_or(0, |head| head.split_whitespace().count());
    let mut found = BTreeMap::new();
    for line in text.lines().skip(1) {
        let Some((number, rest)) = line.split_once(':') else { continue };
        let Ok(number) = number.trim().parse::<u32>() else { continue };
        let mut words = rest.split_whitespace();
        let counts = words.by_ref().take(columns).filter_map(|word| word.parse::<u64>().ok());
        let count = counts.sum();
        let name = words.next_back().unwrap_or_default().to_owned();
        let irq = proc.join("irq").join(number.to_string());
        let effective = read_text(&irq.join("effective_affinity_list"));
        let list = if effective.trim().is_empty() {
            read_text(&irq.join("smp_affinity_list"))
        } else {
            effective
        };
        found.insert(number, Interrupt { name, count, cpus: cpu_list(&list) });
    }
    found
}

/// The text of a file; nothing when it is not there.
pub(super) fn read_text(file: &Path) -> String {
    fs::read_to_string(file).map(|text| text.trim_end().to_owned()).unwrap_or_default()
}

/// The kernel driver of a PCI device or interface.
pub(super) fn driver(device: &Path) -> Option<String> {
    link_name(&device.join("driver"))
}

/// A field of a text of `key: value` lines.
pub(super) fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    field(text, key)
}
