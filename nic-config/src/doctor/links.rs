//! Driver, firmware, link and PCIe link of each NIC.

use super::nic::{Nic, PcieLink};
use super::{Case, Finding, Findings, Level};
use crate::settings::Device;

/// Where DPDK's ice driver looks for the package, and the kernel's as well.
const ICE_PACKAGES: [&str; 2] =
    ["lib/firmware/updates/intel/ice/ddp/ice.pkg", "lib/firmware/intel/ice/ddp/ice.pkg"];

pub(super) fn check(case: Case<'_>) -> Vec<Finding> {
    let mut found = Findings::of("driver");
    for nic in case.nics {
        driver(case, nic, &mut found);
    }
    let mut links = Findings::of("link");
    for nic in case.nics {
        link(case, nic, &mut links);
        if let Some(pcie) = &nic.pcie {
            pcie_link(nic, pcie, &mut links);
        }
    }
    found.list.append(&mut links.list);
    found.list
}

fn driver(case: Case<'_>, nic: &Nic, found: &mut Findings) {
    let name = nic.driver.as_deref().unwrap_or("none");
    let version = nic.ethtool.version.as_ref().map_or_else(String::new, |text| format!(" {text}"));
    let firmware = nic.ethtool.firmware.as_deref().unwrap_or("not told");
    let seen = format!("{}: driver {name}{version}, firmware {firmware}", nic.name);
    match nic.profile() {
        Some(profile) => found.ok(format!("{seen}; trunkline nic profiles {}", profile.name)),
        None => found.add(
            Level::Advice,
            seen,
            "there is no profile of this driver: what it can do is seen only when it runs",
            "measure before you rely on it: trunkline-bench search",
        ),
    }
    let is_ice = nic.profile().is_some_and(|profile| profile.name == "ice");
    let has_package = ICE_PACKAGES.iter().any(|path| case.server.root.join(path).exists());
    if is_ice && !has_package {
        let by_dpdk = case.port_of(nic).is_some_and(|port| matches!(port.device, Device::Pci(_)));
        let (level, effect) = if by_dpdk {
            (Level::Fault, "DPDK's driver does not start")
        } else {
            (Level::Warning, "the NIC is in safe mode: one queue, no RSS, no checksums")
        };
        let seen = format!("{}: no DDP package in /lib/firmware/intel/ice/ddp", nic.name);
        found.add(
            level,
            seen,
            effect,
            "install intel/ice/ddp of linux-firmware, then load ice again",
        );
    }
}

fn link(case: Case<'_>, nic: &Nic, found: &mut Findings) {
    let Some(state) = &nic.state else { return };
    let name = &nic.name;
    let is_up = case.server.machine.interfaces.get(name).is_some_and(|known| known.up);
    if state == "down" || state == "lowerlayerdown" {
        let wanted = case.port_of(nic).is_some();
        let level = if wanted { Level::Fault } else { Level::Advice };
        let mend = if is_up {
            format!("look at cable, transceiver and switch: ethtool -m {name}")
        } else {
            format!("ip link set dev {name} up")
        };
        found.add(level, format!("{name} is down"), "nothing arrives", mend);
        return;
    }
    let speed = nic.speed.map_or_else(String::new, |speed| format!(", {speed} Mbit/s"));
    let mtu = nic.mtu.map_or_else(String::new, |mtu| format!(", MTU {mtu}"));
    found.ok(format!("{name} is {state}{speed}{mtu}"));
}

/// A card in a slot that is too narrow or too old does not reach line rate, and nobody says so.
fn pcie_link(nic: &Nic, pcie: &PcieLink, found: &mut Findings) {
    let seen = format!(
        "{}: PCIe {} x{} of {} x{}",
        nic.name, pcie.speed, pcie.width, pcie.speed_max, pcie.width_max
    );
    // Virtual functions and virtual devices have no link of their own.
    if pcie.width == 0 || pcie.width_max == 0 || pcie.speed_max.starts_with("Unknown") {
        return;
    }
    if pcie.speed == pcie.speed_max && pcie.width >= pcie.width_max {
        found.ok(seen);
        return;
    }
    found.add(
        Level::Warning,
        seen,
        "the bus, not the network, bounds the rate; small frames suffer first",
        "seat the card in a slot with all its lanes; look for bifurcation and link speed in the BIOS",
    );
}
