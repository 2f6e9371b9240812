//! What this machine has, read once from `/sys` and `/proc` before a plan is made.
//!
//! `/sys` must be the one of the process's network namespace, as `ip netns exec` mounts it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The parts of a machine that a plan depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Lcores that are online and allowed to this process, with their NUMA socket.
    pub lcores: BTreeMap<u16, Option<u16>>,
    /// Kernel interfaces of this network namespace by name.
    pub interfaces: BTreeMap<String, Interface>,
    /// PCI devices by address (`0000:3b:00.0`).
    pub pci: BTreeMap<String, PciDevice>,
    /// Hugepages, one entry for each size the kernel offers.
    pub hugepages: Vec<Hugepages>,
    /// Memory that can be had without swapping, MiB.
    pub memory_available: u32,
    /// Effective capabilities of this process.
    pub capabilities: Capabilities,
    /// Inode of the network namespace: interface indexes are unique within it only.
    pub namespace: u64,
    /// Id of this process.
    pub pid: u32,
}

/// A kernel interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Interface index.
    pub index: u32,
    /// MTU in bytes.
    pub mtu: u32,
    /// Hardware address as the kernel prints it.
    pub mac: String,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Driver, `None` for a virtual interface such as veth.
    pub driver: Option<String>,
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// NUMA socket, where there is one.
    pub numa: Option<u16>,
}

/// A PCI device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PciDevice {
    /// Kernel driver it is bound to.
    pub driver: Option<String>,
    /// NUMA socket, where there is one.
    pub numa: Option<u16>,
}

/// Hugepages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hugepages {
    /// Size of one page, KiB.
    pub size_kib: u32,
    /// Pages nobody uses.
    pub free: u32,
}

/// A set of Linux capabilities (capabilities(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

/// A capability a port may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// Attach an XDP program.
    NetAdmin = 12,
    /// Open an AF_XDP socket.
    NetRaw = 13,
    /// Pin the memory that the NIC or the kernel writes packets to.
    IpcLock = 14,
    /// Load an XDP program and reach its map by id.
    SysAdmin = 21,
}

impl Capability {
    /// Its name in capabilities(7).
    pub fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::IpcLock => "CAP_IPC_LOCK",
            Self::SysAdmin => "CAP_SYS_ADMIN",
        }
    }
}

impl Capabilities {
    /// Every capability.
    pub const ALL: Self = Self(u64::MAX);

    /// Whether the set has this one.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << (capability as u8)) != 0
    }
}

impl Machine {
    /// Looks at the machine this process runs on.
    ///
    /// # Errors
    ///
    /// When `/proc` or `/sys` cannot be read at all; a part that is absent counts as none.
    pub fn probe() -> io::Result<Self> {
        Self::probe_at(Path::new("/"))
    }

    /// Looks at a tree that has `proc` and `sys` under `root`.
    ///
    /// # Errors
    ///
    /// As [`Machine::probe`].
    pub fn probe_at(root: &Path) -> io::Result<Self> {
        let sys = root.join("sys");
        let status = fs::read_to_string(root.join("proc/self/status"))?;
        let capabilities = field(&status, "CapEff:").map(|hex| u64::from_str_radix(hex, 16));
        Ok(Self {
            lcores: lcores(&sys.join("devices/system"), field(&status, "Cpus_allowed_list:"))?,
            interfaces: interfaces(&sys.join("class/net"))?,
            pci: pci_devices(&sys.join("bus/pci/devices"))?,
            hugepages: hugepages(&sys.join("kernel/mm/hugepages"))?,
            memory_available: memory_available(&root.join("proc/meminfo"))?,
            capabilities: Capabilities(capabilities.and_then(Result::ok).unwrap_or(0)),
            namespace: namespace(&root.join("proc/self/ns/net"))?,
            pid: std::process::id(),
        })
    }

    /// Free hugepage memory of all sizes, MiB.
    pub fn hugepages_free(&self) -> u32 {
        let kib = |pages: &Hugepages| u64::from(pages.size_kib) * u64::from(pages.free);
        let free: u64 = self.hugepages.iter().map(kib).sum();
        u32::try_from(free / 1024).unwrap_or(u32::MAX)
    }
}

fn lcores(system: &Path, allowed: Option<&str>) -> io::Result<BTreeMap<u16, Option<u16>>> {
    let online = cpu_list(&fs::read_to_string(system.join("cpu/online"))?);
    let allowed = allowed.map(cpu_list);
    let usable = |lcore: &u16| allowed.as_ref().is_none_or(|list| list.contains(lcore));
    let mut lcores: BTreeMap<_, _> =
        online.into_iter().filter(usable).map(|lcore| (lcore, None)).collect();
    for (name, path) in entries(&system.join("node"))? {
        let Some(Ok(socket)) = name.strip_prefix("node").map(str::parse) else { continue };
        for lcore in cpu_list(&fs::read_to_string(path.join("cpulist")).unwrap_or_default()) {
            if let Some(numa) = lcores.get_mut(&lcore) {
                *numa = Some(socket);
            }
        }
    }
    Ok(lcores)
}

/// The kernel's list form: `0-3,8,10-11`.
pub(crate) fn cpu_list(text: &str) -> Vec<u16> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse(), last.parse::<u16>()) {
            cpus.extend(first..=last);
        }
    }
    cpus
}

fn interfaces(class: &Path) -> io::Result<BTreeMap<String, Interface>> {
    // A plain file such as bonding_masters has no ifindex.
    let present = |(_, path): &(String, PathBuf)| path.join("ifindex").exists();
    Ok(entries(class)?.into_iter().filter(present).map(|(n, path)| (n, interface(&path))).collect())
}

fn interface(path: &Path) -> Interface {
    let flags = read::<String>(&path.join("flags")).unwrap_or_default();
    let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
    let queues = entries(&path.join("queues")).unwrap_or_default();
    let count = |prefix| {
        let named = queues.iter().filter(|(name, _)| name.starts_with(prefix));
        u16::try_from(named.count()).unwrap_or(u16::MAX)
    };
    const IFF_UP: u32 = 1;
    Interface {
        index: read(&path.join("ifindex")).unwrap_or(0),
        mtu: read(&path.join("mtu")).unwrap_or(0),
        mac: read(&path.join("address")).unwrap_or_default(),
        up: flags & IFF_UP != 0,
        driver: link_name(&path.join("device/driver")),
        rx_queues: count("rx-"),
        tx_queues: count("tx-"),
        numa: numa_node(&path.join("device")),
    }
}

fn pci_devices(devices: &Path) -> io::Result<BTreeMap<String, PciDevice>> {
    let device =
        |path: &Path| PciDevice { driver: link_name(&path.join("driver")), numa: numa_node(path) };
    Ok(entries(devices)?.into_iter().map(|(name, path)| (name, device(&path))).collect())
}

fn hugepages(directory: &Path) -> io::Result<Vec<Hugepages>> {
    let size = |name: &str| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok();
    let pages = |(name, path): (String, PathBuf)| {
        // Others may have been promised some that they have not touched yet: a database, for one.
        let promised: u32 = read(&path.join("resv_hugepages")).unwrap_or(0);
        let free: u32 = read(&path.join("free_hugepages"))?;
        Some(Hugepages { size_kib: size(&name)?, free: free.saturating_sub(promised) })
    };
    Ok(entries(directory)?.into_iter().filter_map(pages).collect())
}

fn memory_available(meminfo: &Path) -> io::Result<u32> {
    let text = fs::read_to_string(meminfo)?;
    let kib: u64 = field(&text, "MemAvailable:").and_then(|kib| kib.parse().ok()).unwrap_or(0);
    Ok(u32::try_from(kib / 1024).unwrap_or(u32::MAX))
}

/// The link reads `net:[4026531840]`.
fn namespace(link: &Path) -> io::Result<u64> {
    let target = fs::read_link(link)?;
    let digits: String = target.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    digits.parse().map_err(io::Error::other)
}

/// The first word after a key of a `Key: value` file.
pub(crate) fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()
}

/// -1 means that the device sits on no particular socket.
fn numa_node(device: &Path) -> Option<u16> {
    read(&device.join("numa_node"))
}

pub(crate) fn link_name(link: &Path) -> Option<String> {
    Some(fs::read_link(link).ok()?.file_name()?.to_string_lossy().into_owned())
}

pub(crate) fn read<T: FromStr>(file: &Path) -> Option<T> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Names and paths within a directory, sorted; none when there is no such directory.
pub(crate) fn entries(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    for entry in listing {
        let entry = entry?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree(files: &[(&str, &str)], links: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let place = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        for (path, content) in files {
            fs::write(place(path), content).unwrap();
        }
        for (path, target) in links {
            symlink(target, place(path)).unwrap();
        }
        root
    }

    #[test]
    fn a_machine_is_read_from_its_files() {
        let root = tree(
            &[
                (
                    "proc/self/status",
                    "Name:\tx\nCapEff:\t0000000000003000\nCpus_allowed_list:\t0-2\n",
                ),
                ("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    2097152 kB\n"),
                ("sys/devices/system/cpu/online", "0-3,8\n"),
                ("sys/devices/system/node/node0/cpulist", "0,1\n"),
                ("sys/devices/system/node/node1/cpulist", "2-3\n"),
                ("sys/devices/system/node/online", "0-1\n"),
                ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "130\n"),
                ("sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "30\n"),
                ("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1\n"),
                ("sys/class/net/bonding_masters", "\n"),
                ("sys/class/net/eth1/ifindex", "7\n"),
                ("sys/class/net/eth1/mtu", "1500\n"),
                ("sys/class/net/eth1/address", "02:00:00:00:00:01\n"),
                ("sys/class/net/eth1/flags", "0x1003\n"),
                ("sys/class/net/eth1/queues/rx-0/x", ""),
                ("sys/class/net/eth1/queues/rx-1/x", ""),
                ("sys/class/net/eth1/queues/tx-0/x", ""),
                ("sys/class/net/eth1/device/numa_node", "-1\n"),
                ("sys/bus/pci/devices/0000:3b:00.0/numa_node", "1\n"),
            ],
            &[
                ("proc/self/ns/net", "net:[4026531840]"),
                ("sys/class/net/eth1/device/driver", "../../../bus/virtio/drivers/virtio_net"),
                ("sys/bus/pci/devices/0000:3b:00.0/driver", "../drivers/vfio-pci"),
            ],
        );
        let machine = Machine::probe_at(root.path()).unwrap();
        assert_eq!(machine.lcores, BTreeMap::from([(0, Some(0)), (1, Some(0)), (2, Some(1))]));
        let eth1 = &machine.interfaces["eth1"];
        assert_eq!((eth1.index, eth1.mtu, eth1.up), (7, 1500, true));
        assert_eq!((eth1.rx_queues, eth1.tx_queues, eth1.numa), (2, 1, None));
        assert_eq!(eth1.driver.as_deref(), Some("virtio_net"));
        assert_eq!(machine.interfaces.len(), 1);
        let nic = &machine.pci["0000:3b:00.0"];
        assert_eq!((nic.driver.as_deref(), nic.numa), (Some("vfio-pci"), Some(1)));
        assert_eq!(machine.hugepages_free(), 1024 + 200);
        assert_eq!((machine.memory_available, machine.namespace), (2048, 4_026_531_840));
        assert!(machine.capabilities.has(Capability::NetAdmin));
        assert!(!machine.capabilities.has(Capability::SysAdmin));
    }

    #[test]
    fn the_kernels_lists_are_read() {
        assert_eq!(cpu_list("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(cpu_list("\n"), [0_u16; 0]);
    }

    #[test]
    fn this_machine_can_be_read() {
        let machine = Machine::probe().unwrap();
        assert!(!machine.lcores.is_empty());
        assert!(machine.memory_available > 0);
    }
}
