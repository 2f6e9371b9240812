//! IOMMU and VFIO: can a PCI device be left to user space, and is memory safe from it.

use super::nic::{Nic, pci_path};
use super::server::driver;
use super::{Case, Finding, Findings, Level};
use crate::machine::read;
use crate::settings::Device;

pub(super) fn check(case: Case<'_>) -> Vec<Finding> {
    let mut found = Findings::of("iommu");
    let iommu = &case.server.iommu;
    // mlx5 and mana leave the device with the kernel's driver.
    let wants_vfio = |address: &str| {
        let nic = case.nics.iter().find(|nic| nic.pci.as_deref() == Some(address));
        nic.and_then(Nic::profile).is_none_or(|profile| profile.name != "mlx5")
    };
    let wanted: Vec<_> = case
        .ports()
        .iter()
        .filter_map(|port| match &port.device {
            Device::Pci(address) => Some(address.to_ascii_lowercase()),
            Device::Interface(_) | Device::Vdev(_) => None,
        })
        .filter(|address| wants_vfio(address))
        .collect();
    if wanted.is_empty() {
        let groups = iommu.groups.len();
        let kind = if groups == 0 { "no IOMMU".to_owned() } else { format!("{groups} groups") };
        let vfio = if iommu.has_vfio_pci { "vfio-pci is loaded" } else { "vfio-pci is not loaded" };
        found.ok(format!("{kind}, {vfio}; no port needs them"));
        return found.list;
    }
    if iommu.has_vfio_pci {
        found.ok("vfio-pci is loaded");
    } else {
        found.add(
            Level::Fault,
            "vfio-pci is not loaded",
            "no PCI device can be bound to it",
            "modprobe vfio-pci; echo vfio-pci > /etc/modules-load.d/vfio.conf",
        );
    }
    if iommu.groups.is_empty() {
        no_iommu(case, &mut found);
        return found.list;
    }
    pass_through(case, &mut found);
    for address in wanted {
        group(case, &mut found, &address);
    }
    found.list
}

fn no_iommu(case: Case<'_>, found: &mut Findings) {
    if case.server.iommu.is_noiommu {
        found.add(
            Level::Warning,
            "no IOMMU; VFIO does without (enable_unsafe_noiommu_mode)",
            "the NIC can write anywhere in memory, and DPDK needs physical addresses: root and hugepages",
            enable(case),
        );
        return;
    }
    let mend = if case.server.is_virtual {
        "a guest without an IOMMU: modprobe vfio enable_unsafe_noiommu_mode=1".to_owned()
    } else {
        enable(case)
    };
    found.add(Level::Fault, "no IOMMU groups", "vfio-pci refuses the device", mend);
}

fn enable(case: Case<'_>) -> String {
    let cpu_info = super::server::read_text(&case.server.root.join("proc/cpuinfo"));
    let parameters = if cpu_info.contains("AuthenticAMD") {
        "turn on AMD-Vi (IOMMU) in the BIOS; kernel command line: iommu=pt"
    } else {
        "turn on VT-d in the BIOS; kernel command line: intel_iommu=on iommu=pt"
    };
    parameters.to_owned()
}

fn pass_through(case: Case<'_>, found: &mut Findings) {
    if case.server.parameter("iommu") == Some("pt") {
        found.ok(format!("{} IOMMU groups, iommu=pt", case.server.iommu.groups.len()));
        return;
    }
    found.add(
        Level::Advice,
        "the kernel command line has no iommu=pt",
        "devices that stay with the kernel pay for translation too",
        "kernel command line: iommu=pt",
    );
}

/// A group is viable when none of its other devices has a driver of the kernel's, bridges apart.
fn group(case: Case<'_>, found: &mut Findings, address: &str) {
    let group: Option<u32> =
        crate::machine::link_name(&pci_path(&case.server.root, address).join("iommu_group"))
            .and_then(|name| name.parse().ok());
    let Some(group) = group else {
        let seen = format!("{address} is in no IOMMU group");
        found.add(Level::Fault, seen, "vfio-pci refuses it", enable(case));
        return;
    };
    let members = case.server.iommu.groups.get(&group).map_or(&[][..], |members| members);
    let bound = members.iter().filter(|member| *member != address).filter_map(|member| {
        let path = pci_path(&case.server.root, member);
        let class: String = read(&path.join("class")).unwrap_or_default();
        let driver = driver(&path).filter(|driver| driver != "vfio-pci" && driver != "pcieport")?;
        // 0x06: bridges, which VFIO lets be.
        (!class.starts_with("0x06")).then_some((member, driver))
    });
    let bound: Vec<_> = bound.collect();
    if bound.is_empty() {
        found.ok(format!("{address} is in IOMMU group {group}, which nothing else uses"));
        return;
    }
    let others: Vec<_> =
        bound.iter().map(|(member, driver)| format!("{member} ({driver})")).collect();
    let binds: Vec<_> = bound.iter().map(|(member, _)| member.as_str()).collect();
    found.add(
        Level::Fault,
        format!("{address} shares IOMMU group {group} with {}", others.join(", ")),
        "VFIO refuses the group: not viable",
        format!("dpdk-devbind.py --bind=vfio-pci {}, or another slot (ACS)", binds.join(" ")),
    );
}
