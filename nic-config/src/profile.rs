//! What each driver can do, as DPDK 22.11 has it: hashing, offloads, limits.
//!
//! The facts are read from the sources of DPDK 22.11.11, whose files each profile names; none of the physical NICs was at
//! hand. What a port really grants is asked at the start and stands in `trunkline status`: a profile tells what to expect
//! before there is a port.

use serde::Serialize;

mod table;

pub use table::PROFILES;

/// Whether a driver can do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Support {
    /// It can.
    Yes,
    /// It depends, as the note says.
    Partly,
    /// It cannot.
    No,
}

impl Support {
    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Partly => "partly",
            Self::No => "no",
        }
    }
}

/// An ability and what there is to know about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ability {
    /// Whether.
    pub support: Support,
    /// On what it depends; empty when there is nothing to add.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub note: &'static str,
}

impl Ability {
    const fn yes() -> Self {
        Self { support: Support::Yes, note: "" }
    }

    const fn no() -> Self {
        Self { support: Support::No, note: "" }
    }

    /// `note` says how.
    const fn yes_by(note: &'static str) -> Self {
        Self { support: Support::Yes, note }
    }

    /// `note` says when.
    const fn partly(note: &'static str) -> Self {
        Self { support: Support::Partly, note }
    }

    /// `note` says who does it instead.
    const fn no_but(note: &'static str) -> Self {
        Self { support: Support::No, note }
    }
}

/// How a driver hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RssProfile {
    /// Field sets that it can hash, in the words of [`Fields`](crate::rss::Fields).
    pub fields: &'static str,
    /// Entries of the table with which it begins.
    pub reta: usize,
    /// Entries that it can have beside those.
    pub other_reta: &'static [usize],
    /// Bytes of the key.
    pub key_bytes: usize,
    /// The key with which it begins.
    pub first_key: &'static str,
}

/// What one driver can do.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Profile {
    /// The name that everybody uses.
    pub name: &'static str,
    /// NICs, or what else it drives.
    pub devices: &'static str,
    /// Names of DPDK's driver.
    pub dpdk: &'static [&'static str],
    /// Names of the kernel's driver for the same device.
    pub kernel: &'static [&'static str],
    /// How the device comes to Trunkline.
    pub binding: &'static str,
    /// Hashing through DPDK; none when the driver has none.
    pub rss: Option<RssProfile>,
    /// The table can be changed while packets flow.
    pub live_reta: Ability,
    /// Both directions of a flow reach one queue.
    pub symmetric: Ability,
    /// Flow rules that send a UDP flow to a queue (`rte_flow`).
    pub rte_flow: Ability,
    /// UDP checksums of sent frames.
    pub tx_udp_checksum: Ability,
    /// IPv4 and UDP checksums of received frames.
    pub rx_checksum: Ability,
    /// Time stamps of received frames in the mbuf.
    pub rx_timestamp: Ability,
    /// Frames in several mbufs on receipt. Trunkline makes mbufs large enough and does without.
    pub rx_scatter: Ability,
    /// Most receive queues; none where the device says.
    pub queues_max: Option<u16>,
    /// Most descriptors of a queue; none where the device says.
    pub descriptors_max: Option<u16>,
    /// What else to know.
    pub limits: &'static [&'static str],
    /// Files of DPDK 22.11 that say so.
    pub sources: &'static [&'static str],
    /// PCI vendor and devices by which a NIC is known when no kernel driver has it.
    #[serde(skip)]
    pub(crate) pci: (u16, &'static [u16]),
}

impl Profile {
    /// The abilities with their names, in the order in which they are printed.
    pub fn abilities(&self) -> [(&'static str, Ability); 7] {
        [
            ("live_reta", self.live_reta),
            ("symmetric", self.symmetric),
            ("rte_flow", self.rte_flow),
            ("tx_udp_checksum", self.tx_udp_checksum),
            ("rx_checksum", self.rx_checksum),
            ("rx_timestamp", self.rx_timestamp),
            ("rx_scatter", self.rx_scatter),
        ]
    }

    /// The profile of this name: its own, DPDK's, or that of the kernel's driver.
    pub fn named(name: &str) -> Option<&'static Self> {
        let is_it = |profile: &&Self| {
            profile.name == name || profile.dpdk.contains(&name) || profile.kernel.contains(&name)
        };
        PROFILES.iter().find(is_it)
    }

    /// The profile of the PCI device with these ids, whatever driver it is bound to.
    pub fn of_pci(vendor: u16, device: u16) -> Option<&'static Self> {
        let is_it = |profile: &&Self| profile.pci.0 == vendor && profile.pci.1.contains(&device);
        PROFILES.iter().find(is_it)
    }

    /// All names, for messages.
    pub fn names() -> Vec<&'static str> {
        PROFILES.iter().map(|profile| profile.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rss::{Fields, Reta, RssKey};

    #[test]
    fn a_profile_has_many_names() {
        for name in ["virtio", "net_virtio", "virtio_net", "virtio-pci"] {
            assert_eq!(Profile::named(name).map(|profile| profile.name), Some("virtio"), "{name}");
        }
        assert_eq!(Profile::of_pci(0x15b3, 0x101d).map(|profile| profile.name), Some("mlx5"));
        assert!(Profile::named("e1000").is_none() && Profile::of_pci(0x8086, 0x100e).is_none());
    }

    #[test]
    fn the_facts_fit_the_model() {
        for profile in PROFILES {
            assert!(!profile.sources.is_empty() && !profile.limits.is_empty(), "{}", profile.name);
            assert_eq!(profile.pci.0 == 0, profile.pci.1.is_empty(), "{}", profile.name);
            for (name, ability) in profile.abilities() {
                let is_explained = ability.support != Support::Partly || !ability.note.is_empty();
                assert!(is_explained, "{} {name}", profile.name);
            }
            let Some(rss) = profile.rss else { continue };
            rss.fields.parse::<Fields>().unwrap();
            RssKey::microsoft(rss.key_bytes).unwrap();
            for size in rss.other_reta.iter().chain([&rss.reta]) {
                Reta::in_turn(*size, 2).unwrap();
            }
        }
    }
}
