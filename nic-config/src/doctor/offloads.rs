//! Checksums, scatter, aggregation and time stamps: what a kernel driver grants, and what stands in AF_XDP's way.

use super::nic::Nic;
use super::{Case, Finding, Findings, Level};
use crate::profile::Support;
use crate::settings::{Device, PortSettings};

/// Bits of virtio (VIRTIO 1.2, 5.1.3): the host hands over partial checksums and merged frames, unless the guest may turn
/// that off.
const CTRL_GUEST_OFFLOADS: usize = 2;
const GUEST_OFFLOADS: [usize; 5] = [1, 7, 8, 9, 10];

pub(super) fn check(case: Case<'_>) -> Vec<Finding> {
    let mut found = Findings::of("offloads");
    for nic in case.nics {
        let port = case.port_of(nic);
        let by_dpdk =
            nic.is_vfio() || port.is_some_and(|port| matches!(port.device, Device::Pci(_)));
        if by_dpdk {
            dpdk(nic, port, &mut found);
        } else {
            kernel(nic, &mut found);
            xdp(nic, port, &mut found);
        }
    }
    found.list
}

/// By the profile; a port that runs shows what it was granted in `trunkline status`.
fn dpdk(nic: &Nic, port: Option<&PortSettings>, found: &mut Findings) {
    let Some(profile) = nic.profile() else { return };
    let word = |support: Support| support.name();
    found.ok(format!(
        "{}: DPDK's {}: UDP checksums sent {}, received {}; time stamps {}",
        nic.name,
        profile.name,
        word(profile.tx_udp_checksum.support),
        word(profile.rx_checksum.support),
        word(profile.rx_timestamp.support),
    ));
    let is_slower = profile.tx_udp_checksum.note.contains("off the vector path");
    if is_slower && port.is_some_and(|port| port.checksum_offload) {
        found.add(
            Level::Advice,
            format!("{}: with checksum offload {} leaves its vector path", nic.name, profile.name),
            "sending a frame may cost more than the checksum saves",
            "measure with checksum_offload = false as well",
        );
    }
}

fn kernel(nic: &Nic, found: &mut Findings) {
    let granted = |feature: &str| match nic.ethtool.is_on(feature) {
        Some(true) => "on",
        Some(false) => "off",
        None => "unknown",
    };
    let stamps = ["hardware-receive", "software-receive"];
    let stamps =
        stamps.into_iter().find(|stamp| nic.ethtool.timestamps.iter().any(|has| has == stamp));
    found.ok(format!(
        "{}: rx checksum {}, tx checksum {}, scatter {}, receive hash {}, time stamps {}",
        nic.name,
        granted("rx-checksumming"),
        granted("tx-checksumming"),
        granted("scatter-gather"),
        granted("receive-hashing"),
        stamps.unwrap_or("none"),
    ));
}

/// What keeps XDP from the driver, or changes frames before XDP sees them.
fn xdp(nic: &Nic, port: Option<&PortSettings>, found: &mut Findings) {
    let name = &nic.name;
    let wanted = port.is_some();
    let level = if wanted { Level::Warning } else { Level::Advice };
    if nic.ethtool.is_on("large-receive-offload") == Some(true) {
        found.add(
            level,
            format!("{name}: large-receive-offload is on"),
            "several drivers refuse XDP, or leave their own path for a slower one",
            format!("ethtool -K {name} lro off"),
        );
    }
    let is_forced = !nic.has_virtio(CTRL_GUEST_OFFLOADS);
    if nic.virtio.is_some() && is_forced && GUEST_OFFLOADS.iter().any(|bit| nic.has_virtio(*bit)) {
        found.add(
            level,
            format!("{name}: the host merges frames or leaves checksums to us, and lets nobody turn that off"),
            "virtio_net refuses XDP in the driver: the kernel builds each packet first, which is slow",
            "on the host: guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off, or ctrl_guest_offloads=on (QEMU)",
        );
    }
    let verifies = port.is_some_and(|port| port.verify_checksums);
    if nic.driver.as_deref() == Some("veth") && verifies {
        found.add(
            Level::Fault,
            format!("{name} is veth, and verify_checksums = true"),
            "peers on this machine leave checksums to the NIC that is not there: their messages are dropped",
            "verify_checksums = false",
        );
    }
}
