//! One NIC: the interface, its PCI device, its driver and what that grants.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ethtool::{Ask, Ethtool};
use super::server::{Server, driver, read_text};
use crate::machine::{entries, link_name, read};
use crate::profile::Profile;
use crate::settings::is_pci_address;

/// What is known of a NIC.
#[derive(Clone, Debug, Serialize)]
pub struct Nic {
    /// Interface, or PCI address where the kernel has none.
    pub name: String,
    /// Kernel interface.
    pub interface: Option<String>,
    /// PCI address.
    pub pci: Option<String>,
    /// Kernel driver of the device; `veth` and the like for virtual interfaces.
    pub driver: Option<String>,
    #[serde(rename = "profile")]
    known: Option<Known>,
    /// NUMA node; none where it has none, or firmware does not tell.
    pub numa: Option<u16>,
    /// The PCIe link.
    pub pcie: Option<PcieLink>,
    /// IOMMU group.
    pub iommu_group: Option<u32>,
    /// Interrupts by number.
    pub interrupts: Vec<u32>,
    /// State as the kernel says it: `up`, `down`, `unknown`.
    pub state: Option<String>,
    /// Speed of the link in Mbit/s, where the kernel knows it.
    pub speed: Option<u32>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Bits of virtio that host and guest agreed on, as they stand in sysfs: bit 0 comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtio: Option<String>,
    /// What the kernel's driver grants.
    #[serde(flatten)]
    pub ethtool: Ethtool,
}

/// A profile, which is known by its name.
#[derive(Clone, Copy, Debug)]
struct Known(&'static Profile);

impl Serialize for Known {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
    }
}

/// A PCIe link, now and at best.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PcieLink {
    /// For example `8.0 GT/s PCIe`.
    pub speed: String,
    /// What device and slot could do.
    pub speed_max: String,
    /// Lanes.
    pub width: u16,
    /// Lanes that the device has.
    pub width_max: u16,
}

impl Nic {
    /// A kernel interface.
    pub fn interface(server: &Server, name: &str, ask: Ask<'_>) -> Self {
        let path = server.root.join("sys/class/net").join(name);
        let address = pci_address(&path.join("device"));
        let ethtool = Ethtool::read(name, ask);
        let known = server.machine.interfaces.get(name);
        let bound = known.and_then(|known| known.driver.clone());
        Self {
            name: name.to_owned(),
            interface: Some(name.to_owned()),
            driver: bound.or_else(|| ethtool.driver.clone()),
            state: read(&path.join("operstate")),
            // The kernel says -1 when it does not know.
            speed: read(&path.join("speed")),
            mtu: known.map(|known| known.mtu),
            virtio: read(&path.join("device/features")),
            ethtool,
            ..Self::device(server, address)
        }
        .with_profile()
    }

    /// A PCI device that no interface stands for; none when it is not there.
    pub fn pci(server: &Server, address: &str) -> Option<Self> {
        let pci = server.machine.pci.get(address)?;
        let found = Self::device(server, Some(address.to_owned()));
        Some(Self { name: address.to_owned(), driver: pci.driver.clone(), ..found }.with_profile())
    }

    /// What the PCI device alone says; nothing when there is none.
    fn device(server: &Server, address: Option<String>) -> Self {
        let nothing = Self {
            name: String::new(),
            interface: None,
            pci: None,
            driver: None,
            known: None,
            numa: None,
            pcie: None,
            iommu_group: None,
            interrupts: Vec::new(),
            state: None,
            speed: None,
            mtu: None,
            virtio: None,
            ethtool: Ethtool::default(),
        };
        let Some(address) = address else { return nothing };
        let path = pci_path(&server.root, &address);
        let ids = id(&path.join("vendor")).zip(id(&path.join("device")));
        let interrupts = entries(&path.join("msi_irqs")).unwrap_or_default();
        Self {
            driver: driver(&path),
            known: ids.and_then(|(vendor, device)| Profile::of_pci(vendor, device)).map(Known),
            numa: server.machine.pci.get(&address).and_then(|known| known.numa),
            pcie: pcie(&path),
            iommu_group: link_name(&path.join("iommu_group")).and_then(|name| name.parse().ok()),
            interrupts: interrupts.into_iter().filter_map(|(name, _)| name.parse().ok()).collect(),
            pci: Some(address),
            ..nothing
        }
    }

    /// By the ids of the device, else by the name of its driver.
    fn with_profile(mut self) -> Self {
        let named = self.driver.as_deref().and_then(Profile::named);
        self.known = self.known.or(named.map(Known));
        self
    }

    /// The profile of the driver.
    pub fn profile(&self) -> Option<&'static Profile> {
        self.known.map(|known| known.0)
    }

    /// Whether the kernel's driver left it to user space.
    pub fn is_vfio(&self) -> bool {
        self.driver.as_deref() == Some("vfio-pci")
    }

    /// Whether host and guest agreed on a bit of virtio.
    pub fn has_virtio(&self, bit: usize) -> bool {
        self.virtio.as_ref().is_some_and(|bits| bits.as_bytes().get(bit) == Some(&b'1'))
    }
}

/// Where sysfs has a PCI device.
pub(super) fn pci_path(root: &Path, address: &str) -> PathBuf {
    root.join("sys/bus/pci/devices").join(address)
}

/// The nearest PCI device above what `link` leads to: virtio has a device of its own beneath it.
fn pci_address(link: &Path) -> Option<String> {
    let path = fs::canonicalize(link).ok()?;
    let parts = path.components().rev().map(|part| part.as_os_str().to_string_lossy().into_owned());
    parts.into_iter().find(|part| is_pci_address(part))
}

fn pcie(path: &Path) -> Option<PcieLink> {
    let text = |name: &str| Some(read_text(&path.join(name))).filter(|text| !text.is_empty());
    Some(PcieLink {
        speed: text("current_link_speed")?,
        speed_max: text("max_link_speed")?,
        width: read(&path.join("current_link_width"))?,
        width_max: read(&path.join("max_link_width"))?,
    })
}

/// An id such as `0x8086`.
fn id(file: &Path) -> Option<u16> {
    u16::from_str_radix(read_text(file).trim_start_matches("0x"), 16).ok()
}
