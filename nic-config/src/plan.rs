//! The plan: ports x queues x lcores x NUMA sockets, and the memory they take, checked against the
//! machine before EAL starts. Every refusal is one line which names the setting and what to do.

mod error;

use std::collections::BTreeSet;

pub use error::PlanError;

use crate::limits;
use crate::location::LocationCapacity;
use crate::machine::{Capability, Interface, Machine};
use crate::mempool::{self, PoolSize};
use crate::registrar;
use crate::rss::rebalance::Rebalance;
use crate::rss::{Reta, RssKey};
use crate::settings::{Device, HugepagePolicy, Idle, NicSettings, PortSettings};
use crate::transactions::TransactionCapacity;

/// How every instance's file prefix begins.
pub(crate) const FILE_PREFIX: &str = "trunkline-";

/// Then follows the process id of an instance on virtual devices alone.
pub(crate) const PID: &str = "pid-";

/// What the data plane will run: nothing in it needs to be asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicPlan {
    /// Ports in the order of the configuration file; the index is the port's number everywhere.
    pub ports: Vec<PortPlan>,
    /// Workers in ascending order of lcore; the i-th polls queue i of every port.
    pub workers: Vec<WorkerPlan>,
    /// The lcore that speaks with control. May be one of the workers'.
    pub service: u16,
    /// What a worker does after an empty poll.
    pub idle: Idle,
    /// Whether workers give stateless work to siblings that have time.
    pub spill: bool,
    /// Pools, and where DPDK's memory comes from.
    pub memory: MemoryPlan,
    /// DPDK's `--file-prefix`: the same for each start of this instance, and of no other. An
    /// instance on virtual devices alone has no such identity and is known by its process id.
    pub file_prefix: String,
    /// What works, but not well; one line each.
    pub warnings: Vec<String>,
}

/// One port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPlan {
    /// Name from the configuration file.
    pub name: String,
    /// What drives it.
    pub device: Device,
    /// The device's name in EAL: `net_af_xdp0`, `0000:3b:00.0`, `net_pcap0`.
    pub eal_device: String,
    /// What the device is called among all of this machine, for locks and file names: network
    /// namespace and index of an interface, address of a PCI device. A virtual device has none:
    /// every process may have its own.
    pub identity: Option<String>,
    /// The kernel interface of an AF_XDP port.
    pub interface: Option<Interface>,
    /// The kernel interface that has addresses, routes and neighbours of another port.
    pub kernel_interface: Option<String>,
    /// Queue pairs, one for each worker.
    pub queues: u16,
    /// Who spreads received packets over the queues.
    pub rss: Rss,
    /// Descriptors of a receive queue.
    pub rx_descriptors: u16,
    /// Descriptors of a transmit queue.
    pub tx_descriptors: u16,
    /// MTU in bytes.
    pub mtu: u16,
    /// Key that the port shall have; none: the driver's.
    pub rss_key: Option<RssKey>,
    /// When entries of the table move; none: they stay.
    pub rss_rebalance: Option<Rebalance>,
    /// Table that the port shall have; none: queues in turn, or what the interface's driver has.
    pub rss_reta: Option<Reta>,
    /// Whether checksums of received packets are verified.
    pub verify_checksums: bool,
    /// Whether the NIC computes the UDP checksums of what we send, if its driver can.
    pub checksum_offload: bool,
    /// NUMA socket of the device, where it has one.
    pub numa: Option<u16>,
}

impl PortPlan {
    /// The kernel interface's name, for an AF_XDP port.
    pub fn interface_name(&self) -> Option<&str> {
        match &self.device {
            Device::Interface(name) => Some(name),
            Device::Pci(_) | Device::Vdev(_) => None,
        }
    }

    /// Where the kernel keeps the port's addresses, routes and neighbours, if it has any.
    pub fn kernel_side(&self) -> Option<&str> {
        self.interface_name().or(self.kernel_interface.as_deref())
    }
}

/// Who spreads received packets over the queues of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rss {
    /// One queue: nobody.
    Off,
    /// DPDK programs the port's RSS.
    Port,
    /// The interface's kernel driver (`ethtool -x`): AF_XDP has no RSS calls.
    Interface,
}

/// One worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerPlan {
    /// Its lcore.
    pub lcore: u16,
    /// The queue it polls on every port.
    pub queue: u16,
    /// NUMA socket of the lcore, where the machine has them.
    pub numa: Option<u16>,
}

/// Memory of the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Size of each pool.
    pub pool: PoolSize,
    /// Pools: one for each NUMA socket among workers and service lcore.
    pub pools: u32,
    /// All that EAL may take, MiB.
    pub mebibytes: u32,
    /// Whether it comes from hugepages.
    pub hugepages: bool,
    /// Why so, for people.
    pub reason: String,
    /// Transactions that each worker can have at one time.
    pub transactions: u32,
    /// Blocks of [`transactions::BUFFER_BYTES`](crate::transactions::BUFFER_BYTES) that each worker
    /// keeps their messages in.
    pub message_buffers: u32,
    /// What they take in each worker, MiB, of ordinary pages and beside `mebibytes`.
    pub transaction_mebibytes: u32,
    /// Addresses-of-record and bindings that each worker has room for.
    pub location: LocationCapacity,
    /// What they take in each worker, MiB, of ordinary pages and beside `mebibytes`.
    pub location_mebibytes: u32,
    /// What each worker takes for nonces and failures of credentials, and for answers that wait for the store, MiB,
    /// of ordinary pages and beside `mebibytes`.
    pub registrar_mebibytes: u32,
}

/// Holds the settings against the machine.
///
/// # Errors
///
/// The first thing in the way, as one line that names the setting and what to do.
pub fn plan(settings: &NicSettings, machine: &Machine) -> Result<NicPlan, PlanError> {
    let workers = plan_workers(settings, machine)?;
    check_distinct(&settings.ports)?;
    let mut ports = Vec::with_capacity(settings.ports.len());
    let mut af_xdp = 0;
    for port in &settings.ports {
        ports.push(plan_port(port, machine, &workers, &mut af_xdp)?);
    }
    let memory = plan_memory(settings, machine, &ports, &workers)?;
    Ok(NicPlan {
        file_prefix: file_prefix(&ports, machine),
        warnings: warnings(settings, &ports, &workers),
        ports,
        workers,
        service: settings.lcores.service,
        idle: settings.lcores.idle,
        spill: settings.lcores.spill && settings.lcores.workers.len() > 1,
        memory,
    })
}

fn plan_workers(settings: &NicSettings, machine: &Machine) -> Result<Vec<WorkerPlan>, PlanError> {
    let lcores = &settings.lcores;
    if lcores.workers.is_empty() {
        return Err(PlanError::NoWorkers);
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = lcores.workers.iter().find(|lcore| !seen.insert(**lcore)) {
        return Err(PlanError::LcoreTwice(*twice));
    }
    // capsule gives queues to lcores in their numerical order.
    if !lcores.workers.is_sorted() {
        let sorted = seen.into_iter().collect();
        return Err(PlanError::LcoreOrder { given: lcores.workers.clone(), sorted });
    }
    lcore_numa("service", lcores.service, machine)?;
    let worker = |(queue, lcore): (u16, &u16)| {
        let numa = lcore_numa("workers", *lcore, machine)?;
        Ok(WorkerPlan { lcore: *lcore, queue, numa })
    };
    (0..).zip(&lcores.workers).map(worker).collect()
}

fn lcore_numa(
    setting: &'static str,
    lcore: u16,
    machine: &Machine,
) -> Result<Option<u16>, PlanError> {
    if lcore > limits::LCORE_MAX {
        return Err(PlanError::LcoreTooLarge { setting, lcore });
    }
    machine.lcores.get(&lcore).copied().ok_or_else(|| {
        let known = machine.lcores.keys().map(u16::to_string).collect::<Vec<_>>().join(", ");
        PlanError::NoLcore { setting, lcore, known }
    })
}

fn check_distinct(ports: &[PortSettings]) -> Result<(), PlanError> {
    if ports.is_empty() || ports.len() > limits::PORTS_MAX {
        return Err(PlanError::PortCount(ports.len()));
    }
    for (index, port) in ports.iter().enumerate() {
        for other in &ports[..index] {
            if other.name == port.name {
                return Err(PlanError::PortNameTwice(port.name.clone()));
            }
            let (key, value) = port.device.setting();
            if eal_device(&other.device) == eal_device(&port.device) {
                return Err(PlanError::DeviceTwice {
                    port: port.name.clone(),
                    key,
                    value: value.to_owned(),
                    other: other.name.clone(),
                });
            }
        }
    }
    Ok(())
}

/// What tells two devices apart: `net_pcap0,iface=a` and `net_pcap0,iface=b` are one.
fn eal_device(device: &Device) -> String {
    match device {
        Device::Interface(name) => name.clone(),
        Device::Pci(address) => address.to_ascii_lowercase(),
        Device::Vdev(arguments) => arguments.split(',').next().unwrap_or_default().to_owned(),
    }
}

fn plan_port(
    port: &PortSettings,
    machine: &Machine,
    workers: &[WorkerPlan],
    af_xdp: &mut u16,
) -> Result<PortPlan, PlanError> {
    let name = port.name.clone();
    if usize::from(port.queues) != workers.len() {
        let workers = workers.len();
        return Err(PlanError::QueuesNotWorkers { port: name, queues: port.queues, workers });
    }
    let mut eal_device = eal_device(&port.device);
    let mut interface = None;
    let mut identity = None;
    let mut numa = None;
    match &port.device {
        Device::Interface(interface_name) => {
            let found = check_interface(port, interface_name, machine)?;
            numa = found.numa;
            identity = Some(format!("{}-{}", machine.namespace, found.index));
            interface = Some(found.clone());
            eal_device = format!("net_af_xdp{af_xdp}");
            *af_xdp += 1;
        }
        Device::Pci(_) => {
            numa = check_pci(port, &eal_device, machine)?;
            identity = Some(eal_device.replace(':', "."));
        }
        Device::Vdev(_) => {}
    }
    check_privilege(port, machine)?;
    let rss = match port.device {
        _ if port.queues == 1 => Rss::Off,
        Device::Interface(_) => Rss::Interface,
        Device::Pci(_) | Device::Vdev(_) => Rss::Port,
    };
    check_rss(port)?;
    check_kernel_interface(port, machine)?;
    Ok(PortPlan {
        rss_key: port.rss_key.clone(),
        rss_reta: port.rss_reta.clone(),
        rss_rebalance: port.rss_rebalance,
        kernel_interface: port.kernel_interface.clone(),
        name,
        device: port.device.clone(),
        eal_device,
        identity,
        queues: port.queues,
        rss,
        rx_descriptors: port.rx_descriptors,
        tx_descriptors: port.tx_descriptors,
        mtu: check_mtu(port, interface.as_ref())?,
        verify_checksums: port.verify_checksums,
        checksum_offload: port.checksum_offload,
        interface,
        numa,
    })
}

/// A key and a table that no queue could ever see.
fn check_rss(port: &PortSettings) -> Result<(), PlanError> {
    let name = || port.name.clone();
    let asks = port.rss_key.is_some() || port.rss_reta.is_some() || port.rss_rebalance.is_some();
    if port.queues == 1 && asks {
        return Err(PlanError::RssOneQueue(name()));
    }
    let checked = port.rss_reta.as_ref().map_or(Ok(()), |reta| reta.check(port.queues));
    checked.map_err(|error| PlanError::RssReta { port: name(), error })
}

fn check_kernel_interface(port: &PortSettings, machine: &Machine) -> Result<(), PlanError> {
    match &port.kernel_interface {
        Some(interface) if !machine.interfaces.contains_key(interface) => {
            Err(PlanError::NoKernelInterface {
                port: port.name.clone(),
                interface: interface.clone(),
            })
        }
        _ => Ok(()),
    }
}

fn check_interface<'a>(
    port: &PortSettings,
    name: &str,
    machine: &'a Machine,
) -> Result<&'a Interface, PlanError> {
    let (port, queues, interface) = (port.name.clone(), port.queues, name.to_owned());
    let Some(found) = machine.interfaces.get(name) else {
        let known = machine.interfaces.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(PlanError::NoInterface { port, interface, known });
    };
    if !found.up {
        return Err(PlanError::InterfaceDown { port, interface });
    }
    let (rx, tx) = (found.rx_queues, found.tx_queues);
    if rx < queues || tx < queues {
        return Err(PlanError::FewQueues { port, queues, interface, rx, tx });
    }
    Ok(found)
}

/// Drivers that hand a device to user space, and those that DPDK works beside.
const PCI_DRIVERS: [&str; 6] =
    ["vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core", "mana"];

fn check_pci(
    port: &PortSettings,
    address: &str,
    machine: &Machine,
) -> Result<Option<u16>, PlanError> {
    let (port, address) = (port.name.clone(), address.to_owned());
    let Some(device) = machine.pci.get(&address) else {
        return Err(PlanError::NoPciDevice { port, address });
    };
    match device.driver.as_deref() {
        Some(driver) if PCI_DRIVERS.contains(&driver) => Ok(device.numa),
        driver => {
            let driver = driver.unwrap_or("no driver").to_owned();
            Err(PlanError::PciDriver { port, address, driver })
        }
    }
}

fn check_privilege(port: &PortSettings, machine: &Machine) -> Result<(), PlanError> {
    let needed: &[Capability] = match &port.device {
        Device::Interface(_) => {
            &[Capability::NetAdmin, Capability::NetRaw, Capability::SysAdmin, Capability::IpcLock]
        }
        Device::Pci(_) => &[Capability::IpcLock],
        Device::Vdev(arguments) if arguments.starts_with("net_tap") => &[Capability::NetAdmin],
        Device::Vdev(_) => &[],
    };
    let missing = needed.iter().filter(|capability| !machine.capabilities.has(**capability));
    let missing: Vec<_> = missing.map(|capability| capability.name()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (key, value) = port.device.setting();
    Err(PlanError::NoPrivilege {
        port: port.name.clone(),
        key,
        value: value.to_owned(),
        missing: missing.join(", "),
    })
}

fn check_mtu(port: &PortSettings, interface: Option<&Interface>) -> Result<u16, PlanError> {
    const ETHERNET: u32 = 1500;
    let own = interface.map_or(ETHERNET, |interface| interface.mtu);
    let mtu = port.mtu.map_or(own, u32::from);
    let name = port.name.clone();
    if let Device::Interface(interface) = &port.device
        && mtu > u32::from(limits::AF_XDP_MTU_MAX)
    {
        return Err(PlanError::MtuAfXdp { port: name, mtu, interface: interface.clone() });
    }
    match u16::try_from(mtu) {
        Ok(mtu) if (limits::MTU_MIN..=limits::MTU_MAX).contains(&mtu) => Ok(mtu),
        _ => Err(PlanError::Mtu { port: name, mtu }),
    }
}

fn plan_memory(
    settings: &NicSettings,
    machine: &Machine,
    ports: &[PortPlan],
    workers: &[WorkerPlan],
) -> Result<MemoryPlan, PlanError> {
    let count = u32::try_from(workers.len()).unwrap_or(u32::MAX);
    let needed = mempool::mbufs_needed(&settings.ports, count);
    if needed > limits::MBUFS_MAX {
        return Err(PlanError::TooManyMbufs(needed));
    }
    let chosen = settings.memory.mbufs;
    if let Some(mbufs) = chosen
        && !(needed..=limits::MBUFS_MAX).contains(&mbufs)
    {
        return Err(PlanError::Mbufs { mbufs, needed });
    }
    let mtus: Vec<_> = ports.iter().map(|port| port.mtu).collect();
    let pool = PoolSize::of(&settings.ports, &mtus, count, chosen);
    check_shared_pool(ports, pool)?;
    let service = machine.lcores.get(&settings.lcores.service).copied().flatten();
    let sockets: BTreeSet<_> = workers.iter().map(|worker| worker.numa).chain([service]).collect();
    let pools = u32::try_from(sockets.len()).unwrap_or(u32::MAX);
    let (hugepages, reason) = choose_pages(settings, machine, pool.mebibytes(pools, true))?;
    let mebibytes = pool.mebibytes(pools, hugepages);
    if let Some(limit) = settings.memory.megabytes
        && mebibytes > limit
    {
        return Err(PlanError::MemoryLimit { limit, needed: mebibytes });
    }
    let capacity = TransactionCapacity::of(&settings.memory);
    let TransactionCapacity { transactions, message_buffers } = capacity;
    if message_buffers < transactions {
        return Err(PlanError::MessageBuffers { message_buffers, transactions });
    }
    let transaction_mebibytes = capacity.mebibytes();
    let location = LocationCapacity::of(&settings.memory);
    check_location(location)?;
    let location_mebibytes = location.mebibytes();
    let registrar_mebibytes = registrar::digest_mebibytes() + registrar::held_mebibytes();
    let of_all = |each: u32| each.saturating_mul(count);
    let of_transactions = of_all(transaction_mebibytes);
    let of_location = of_all(location_mebibytes.saturating_add(registrar_mebibytes));
    let ours = of_transactions.saturating_add(of_location);
    let needed = if hugepages { ours } else { ours.saturating_add(mebibytes) };
    if needed > machine.memory_available {
        return Err(PlanError::Memory {
            needed,
            transactions: of_transactions,
            location: of_location,
            available: machine.memory_available,
        });
    }
    Ok(MemoryPlan {
        pool,
        pools,
        mebibytes,
        hugepages,
        reason,
        transactions,
        message_buffers,
        transaction_mebibytes,
        location,
        location_mebibytes,
        registrar_mebibytes,
    })
}

/// Each address-of-record in the table has a binding, and each binding some text.
fn check_location(location: LocationCapacity) -> Result<(), PlanError> {
    let LocationCapacity { aors, bindings, text_blocks } = location;
    if bindings < aors {
        return Err(PlanError::Bindings { bindings, aors });
    }
    if text_blocks < bindings {
        return Err(PlanError::LocationTextBlocks { text_blocks, bindings });
    }
    Ok(())
}

/// All ports share the pools, and an AF_XDP port cannot use large mbufs.
fn check_shared_pool(ports: &[PortPlan], pool: PoolSize) -> Result<(), PlanError> {
    let af_xdp = ports.iter().any(|port| port.interface.is_some());
    if !af_xdp || mempool::fits_af_xdp(pool.data_room) {
        return Ok(());
    }
    match ports.iter().max_by_key(|port| mempool::data_room(&port.device, port.mtu)) {
        Some(port) => Err(PlanError::MtuShared { port: port.name.clone(), mtu: port.mtu }),
        None => Ok(()),
    }
}

/// Whether to use hugepages for so many MiB, and why.
fn choose_pages(
    settings: &NicSettings,
    machine: &Machine,
    needed: u32,
) -> Result<(bool, String), PlanError> {
    let free = machine.hugepages_free();
    match settings.memory.hugepages {
        HugepagePolicy::Never => Ok((false, "memory.hugepages = \"never\"".into())),
        _ if free >= needed => Ok((true, format!("{free} MiB of hugepages are free"))),
        HugepagePolicy::Require => {
            Err(PlanError::NoHugepages { needed, free, pages: needed.div_ceil(2) })
        }
        HugepagePolicy::Auto if free == 0 => Ok((false, "no hugepages are free".into())),
        HugepagePolicy::Auto => {
            Ok((false, format!("only {free} MiB of hugepages are free, {needed} would be needed")))
        }
    }
}

/// The first device that nobody else can have gives the instance its name.
fn file_prefix(ports: &[PortPlan], machine: &Machine) -> String {
    match ports.iter().find_map(|port| port.identity.as_ref()) {
        Some(identity) => format!("{FILE_PREFIX}{identity}"),
        None => format!("{FILE_PREFIX}{PID}{}", machine.pid),
    }
}

fn warnings(settings: &NicSettings, ports: &[PortPlan], workers: &[WorkerPlan]) -> Vec<String> {
    let mut warnings = Vec::new();
    for port in ports {
        if let (Some(interface), Some(name)) = (&port.interface, port.interface_name())
            && interface.rx_queues > port.queues
        {
            let (all, polled) = (interface.rx_queues, port.queues);
            warnings.push(format!(
                "port {:?}: {name} has {all} receive queues and {polled} polled; SIP on the others \
                 goes to the kernel: raise queues or run: ethtool -L {name} combined {polled}",
                port.name,
            ));
        }
        for worker in workers {
            if let (Some(near), Some(far)) = (port.numa, worker.numa)
                && near != far
            {
                warnings.push(format!(
                    "port {:?} sits on NUMA socket {near}, worker lcore {} on socket {far}: choose \
                     lcores.workers from socket {near}",
                    port.name, worker.lcore,
                ));
            }
        }
    }
    let service = settings.lcores.service;
    let shared = workers.iter().any(|worker| worker.lcore == service);
    if shared && settings.lcores.idle == Idle::Poll {
        warnings.push(format!(
            "lcores.service = {service} is also a worker, which with idle = \"poll\" leaves it \
             little time: set idle = \"yield\" or another service lcore",
        ));
    }
    warnings
}

#[cfg(test)]
mod tests;
