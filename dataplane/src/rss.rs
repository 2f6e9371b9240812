//! The RSS of ports: written when a port has started and before any worker polls, and changed while they do.
//! What is written is read back and compared ([`nic_config::rss::apply`]).

use capsule_ffi::{
    RSS_FIELDS, RSS_IPV4, RSS_IPV4_UDP, RSS_IPV6, RSS_IPV6_UDP, port_by_name, port_grant,
    port_info, port_reta, port_rss_hash, set_port_reta, set_port_rss_hash,
};
use nic_config::plan::{NicPlan, PortPlan, Rss};
use nic_config::rss::apply::{ApplyError, Change, InPort, Part, RssPort, WriteError, apply};
use nic_config::rss::{FieldSet, Fields, Reta, RssKey, kernel};
use std::io;

/// Has each port get its key and its table right after it has started.
pub fn write_at_start(plan: &NicPlan) {
    let ports: Vec<_> = plan.ports.iter().filter(|port| port.rss == Rss::Port).cloned().collect();
    capsule_ffi::on_port_started(move |id| {
        let is_it = |port: &&PortPlan| port_by_name(&port.eal_device) == Some(id);
        ports.iter().find(is_it).map_or(Ok(()), |port| start_port(id, port))
    });
}

/// The same for the interfaces of AF_XDP ports, where the configuration says something about them.
///
/// # Errors
/// What the driver refuses.
pub fn write_to_interfaces(plan: &NicPlan) -> anyhow::Result<()> {
    for port in &plan.ports {
        let change = wanted(port);
        let (Some(interface), false) = (port.interface_name(), change == Change::default()) else {
            continue;
        };
        let refused =
            |error: String| anyhow::anyhow!("port {:?}: RSS of {interface}: {error}", port.name);
        let mut ours = kernel::open(interface, port.queues).map_err(|e| refused(e.to_string()))?;
        apply(&mut *ours, &change).map_err(|error| refused(error.to_string()))?;
    }
    Ok(())
}

fn wanted(port: &PortPlan) -> Change {
    Change { key: port.rss_key.clone(), reta: port.rss_reta.clone(), fields: None }
}

/// Writes what the configuration says; without a word of it, queues in turn and the key that the driver has.
fn start_port(id: u16, port: &PortPlan) -> Result<(), String> {
    let mut ours = DpdkPort { id, queues: port.queues };
    let mut change = wanted(port);
    let is_asked = change != Change::default();
    let in_turn = |shown: &InPort| Reta::in_turn(shown.reta.entries().len(), port.queues).ok();
    if change.reta.is_none() {
        change.reta = ours.read().ok().as_ref().and_then(in_turn);
    }
    match apply(&mut ours, &change) {
        Ok(applied) => {
            let granted = fields_of(port_grant(id).map_or(0, |grant| grant.rss_hf));
            if let Some(shown) = applied.after.fields.filter(|shown| !shown.contain(granted)) {
                tracing::warn!("port {:?} hashes {shown}, not {granted}", port.name);
            }
            Ok(())
        }
        // Drivers without RSS (memif, pcap): whoever sends decides about the queue.
        Err(ApplyError::NoRss(_) | ApplyError::Empty) if !is_asked => Ok(()),
        Err(error) => Err(format!("RSS: {error}")),
    }
}

/// Where the RSS of a port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RssDevice {
    /// A device of EAL.
    Eal(String),
    /// An interface of the kernel.
    Interface(String),
}

impl RssDevice {
    /// That of a port of the plan.
    pub fn of(port: &PortPlan) -> Self {
        match port.interface_name() {
            Some(interface) => Self::Interface(interface.to_owned()),
            None => Self::Eal(port.eal_device.clone()),
        }
    }

    /// Finds the device.
    ///
    /// # Errors
    /// No such device, or an interface without RSS.
    pub fn open(&self, queues: u16) -> io::Result<Box<dyn RssPort>> {
        match self {
            Self::Interface(name) => kernel::open(name, queues),
            Self::Eal(device) => {
                let absent = || io::Error::from_raw_os_error(nix::errno::Errno::ENODEV as i32);
                let id = port_by_name(device).ok_or_else(absent)?;
                Ok(Box::new(DpdkPort { id, queues }))
            }
        }
    }

    /// Its driver, or the interface.
    pub fn driver(&self) -> String {
        match self {
            Self::Interface(name) => format!("kernel interface {name}"),
            Self::Eal(device) => {
                let info = port_by_name(device).and_then(port_info);
                info.map_or_else(String::new, |info| info.driver)
            }
        }
    }
}

/// A port that DPDK drives.
#[derive(Debug)]
pub struct DpdkPort {
    /// DPDK's number of it.
    pub id: u16,
    /// Its receive queues.
    pub queues: u16,
}

impl RssPort for DpdkPort {
    fn queues(&self) -> u16 {
        self.queues
    }

    fn read(&self) -> io::Result<InPort> {
        let (key, fields) = port_rss_hash(self.id)?;
        let key = RssKey::new(key).map_err(io::Error::other)?;
        let reta = Reta::new(port_reta(self.id)?).map_err(io::Error::other)?;
        Ok(InPort { key: Some(key), reta, fields: Some(fields_of(fields)) })
    }

    fn write(&mut self, before: &InPort, wanted: &InPort) -> Result<(), WriteError> {
        let refused = |part| move |error| WriteError { part, error };
        // The table first: a refusal of it is the likelier one, and then the key need not be taken back, which
        // would move nearly all flows twice.
        if before.reta != wanted.reta {
            set_port_reta(self.id, wanted.reta.entries()).map_err(refused(Part::Reta))?;
        }
        if let (true, Some(key)) = (before.key != wanted.key, &wanted.key) {
            // DPDK sets both at once; the fields are what the driver has.
            let (_, fields) = port_rss_hash(self.id).map_err(refused(Part::Fields))?;
            set_port_rss_hash(self.id, key.bytes(), fields).map_err(refused(Part::Key))?;
        }
        Ok(())
    }
}

/// DPDK's bits in our words.
pub(crate) fn fields_of(bits: u64) -> Fields {
    let bits = bits & RSS_FIELDS;
    let sets = [
        (RSS_IPV4, FieldSet::Ipv4),
        (RSS_IPV6, FieldSet::Ipv6),
        (RSS_IPV4_UDP, FieldSet::Ipv4Udp),
        (RSS_IPV6_UDP, FieldSet::Ipv6Udp),
    ];
    sets.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, set)| set).collect()
}
