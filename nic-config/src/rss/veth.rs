//! RSS for a veth pair, which has none: a BPF program on the sender's side (`xdp/rss_spread.bpf.c`, egress of tc)
//! hashes each frame as a NIC would on arrival, and chooses the transmit queue by the table. A veth hands what leaves
//! by queue q to the other side's receive queue q, where an AF_XDP port polls.
//!
//! Key and table are maps of the program, so they change while frames flow. BPF objects belong to no network
//! namespace: whoever owns the receiving interface finds the program by it, though it is attached elsewhere.

use super::apply::{InPort, Part, RssPort, WriteError};
use super::key::KEY_BYTES;
use super::reta::SIZE;
use super::{Fields, Reta, RssKey};
use crate::bpf::{map, with_causes};
use aya::maps::{Array, Map, MapData, MapError};
use aya::programs::tc::{NlOptions, TcAttachOptions, qdisc_add_clsact};
use aya::programs::{SchedClassifier, TcAttachType, loaded_programs};
use aya::{Ebpf, include_bytes_aligned};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use std::error::Error;
use std::io;
use std::os::unix::fs::MetadataExt;

/// Name of the program's function: how ours is told from another's.
const PROGRAM: &str = "rss_spread";

/// The compiled program.
static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/rss_spread.o"));

/// `struct plan` of the program: the key, and a word for each entry of the table.
type Plan = [u8; KEY_BYTES + 2 * SIZE];

/// Most queues that a plan can name; the program counts the frames of each.
const QUEUES_MAX: u16 = 128;

/// The interface at which the frames arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Inode of its network namespace.
    pub namespace: u64,
    /// Its index there.
    pub interface: u32,
    /// Its receive queues, 1 to 128.
    pub queues: u16,
}

impl Receiver {
    /// An interface of the network namespace that this thread is in, with so many receive queues.
    ///
    /// # Errors
    /// No such interface, or more queues than a plan can name.
    pub fn here(interface: &str, queues: u16) -> io::Result<Self> {
        if !(1..=QUEUES_MAX).contains(&queues) {
            let text =
                format!("{interface}: {queues} queues; RSS on a veth takes 1 to {QUEUES_MAX}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let namespace = std::fs::metadata("/proc/thread-self/ns/net")?.ino();
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        Ok(Self { namespace, interface: name_to_index(&socket, interface)?, queues })
    }

    /// `struct receiver` of the program.
    fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.namespace.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.interface.to_ne_bytes());
        bytes[12..].copy_from_slice(&u32::from(self.queues).to_ne_bytes());
        bytes
    }
}

/// Attaches the program to `sender`, an interface of the network namespace that this thread is in and the other end
/// of `receiver`. It begins with the key of Microsoft's verification suite and queues in turn, and stays until the
/// interface goes, or `tc qdisc delete dev SENDER clsact`.
///
/// # Errors
/// Without the privilege, on an interface that has a `clsact` already, and what else the kernel refuses.
pub fn attach(sender: &str, receiver: Receiver) -> io::Result<()> {
    let mut bpf = load(receiver)?;
    let program = program(&mut bpf)?;
    qdisc_add_clsact(sender).map_err(|error| failed(&error))?;
    let options = TcAttachOptions::Netlink(NlOptions::default());
    let link = program
        .attach_with_options(sender, TcAttachType::Egress, options)
        .and_then(|id| program.take_link(id))
        .map_err(|error| failed(&error))?;
    // Dropped, it would take the program off.
    std::mem::forget(link);
    Ok(())
}

/// Loads the program without attaching it; it lives as long as what is given back.
///
/// # Errors
/// Without the privilege, and what else the kernel refuses.
pub fn load(receiver: Receiver) -> io::Result<Ebpf> {
    let mut bpf = Ebpf::load(OBJECT).map_err(|error| failed(&error))?;
    let begins_with = || -> Result<Plan, super::RssError> {
        let reta = Reta::in_turn(SIZE, receiver.queues)?;
        Ok(plan(&RssKey::microsoft(KEY_BYTES)?, &reta))
    };
    let begins_with = begins_with().map_err(io::Error::other)?;
    set(&mut bpf, "rss_plans", begins_with).map_err(|error| failed(&error))?;
    set(&mut bpf, "rss_receiver", receiver.bytes()).map_err(|error| failed(&error))?;
    program(&mut bpf)?.load().map_err(|error| failed(&error))?;
    Ok(bpf)
}

fn program(bpf: &mut Ebpf) -> io::Result<&mut SchedClassifier> {
    let program = bpf.program_mut(PROGRAM).ok_or_else(|| io::Error::other(PROGRAM))?;
    program.try_into().map_err(|error| failed(&error))
}

/// Writes the first element of a map.
fn set<const N: usize>(bpf: &mut Ebpf, name: &str, value: [u8; N]) -> Result<(), MapError> {
    let absent = || MapError::InvalidName { name: name.to_owned() };
    let mut array = Array::<_, [u8; N]>::try_from(bpf.map_mut(name).ok_or_else(absent)?)?;
    array.set(0, value, 0)
}

/// The RSS of a receiving interface, as the program on the other end does it.
pub struct VethPort {
    plans: Array<MapData, Plan>,
    in_force: Array<MapData, u32>,
    queues: u16,
}

impl VethPort {
    /// Finds the program that sends to this interface of the network namespace that this thread is in.
    ///
    /// # Errors
    /// No such interface.
    pub fn find(interface: &str) -> io::Result<Option<Self>> {
        Ok(Self::of(Receiver::here(interface, 1)?))
    }

    /// The same by what identifies the interface, whatever its queues.
    pub fn of(receiver: Receiver) -> Option<Self> {
        // Programs of others come and go while we look: what cannot be read is not ours.
        let named = |program: &aya::programs::ProgramInfo| program.name_as_str() == Some(PROGRAM);
        let programs = loaded_programs().filter_map(Result::ok).filter(named);
        programs
            .filter_map(|program| program.map_ids().ok().flatten())
            .find_map(|maps| Self::with(&maps, receiver).ok().flatten())
    }

    /// With these maps, if they are those of the program that sends to `receiver`.
    fn with(maps: &[u32], receiver: Receiver) -> Result<Option<Self>, MapError> {
        let of: Array<MapData, [u8; 16]> = Map::Array(map(maps, "rss_receiver")?).try_into()?;
        let (found, wanted) = (of.get(&0, 0)?, receiver.bytes());
        if found[..12] != wanted[..12] {
            return Ok(None);
        }
        Ok(Some(Self {
            plans: Map::Array(map(maps, "rss_plans")?).try_into()?,
            in_force: Map::Array(map(maps, "rss_in_force")?).try_into()?,
            queues: u16::from_ne_bytes([found[12], found[13]]),
        }))
    }

    /// Allows a table these queues only, which are polled, though the interface may have more.
    #[must_use]
    pub fn with_queues(self, queues: u16) -> Self {
        Self { queues: self.queues.min(queues), ..self }
    }

    /// Writes the plan that is not in force, and then has it in force: no frame meets half of it.
    fn set(&mut self, plan: &Plan) -> Result<(), MapError> {
        let other = 1 - self.in_force.get(&0, 0)?.min(1);
        self.plans.set(other, plan, 0)?;
        self.in_force.set(0, other, 0)
    }
}

impl RssPort for VethPort {
    fn queues(&self) -> u16 {
        self.queues
    }

    fn read(&self) -> io::Result<InPort> {
        let plan = self.in_force.get(&0, 0).and_then(|index| self.plans.get(&index, 0));
        let plan = plan.map_err(|error| failed(&error))?;
        let (key, entries) = plan.split_at(KEY_BYTES);
        let entries =
            entries.as_chunks().0.iter().map(|entry| u16::from_ne_bytes(*entry)).collect();
        let key = RssKey::new(key).map_err(io::Error::other)?;
        let reta = Reta::new(entries).map_err(io::Error::other)?;
        Ok(InPort { key: Some(key), reta, fields: Some(Fields::default()) })
    }

    fn write(&mut self, before: &InPort, wanted: &InPort) -> Result<(), WriteError> {
        let refused = |part, error| WriteError { part, error };
        if before.fields != wanted.fields {
            return Err(refused(Part::Fields, io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
        }
        let key = wanted.key.as_ref().or(before.key.as_ref());
        let key = key.ok_or_else(|| refused(Part::Key, io::Error::other("there is none")))?;
        self.set(&plan(key, &wanted.reta)).map_err(|error| refused(Part::Reta, failed(&error)))
    }
}

/// A key of 40 bytes and a table of 128 entries as the program reads them.
fn plan(key: &RssKey, reta: &Reta) -> Plan {
    let mut plan = [0; KEY_BYTES + 2 * SIZE];
    let entries = reta.entries().iter().flat_map(|queue| queue.to_ne_bytes());
    for (to, from) in plan.iter_mut().zip(key.bytes().iter().copied().chain(entries)) {
        *to = from;
    }
    plan
}

fn failed(error: &dyn Error) -> io::Error {
    io::Error::other(with_causes(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_an_interface_that_is_there() {
        let loopback = Receiver::here("lo", 2).unwrap();
        assert!(loopback.namespace > 0 && loopback.interface > 0);
        assert_eq!(loopback.bytes()[12..], 2_u32.to_ne_bytes());
        let error = Receiver::here("no-such-if0", 2).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        for queues in [0, 129] {
            let error = Receiver::here("lo", queues).unwrap_err().to_string();
            assert!(error.contains("takes 1 to 128"), "{error}");
        }
    }

    #[test]
    fn a_plan_is_laid_out_as_the_program_reads_it() {
        let key = RssKey::microsoft(KEY_BYTES).unwrap();
        let plan = plan(&key, &Reta::in_turn(SIZE, 3).unwrap());
        assert_eq!(&plan[..40], key.bytes());
        let entry = |index: usize| u16::from_ne_bytes([plan[40 + 2 * index], plan[41 + 2 * index]]);
        assert_eq!([0, 1, 2, 3, 127].map(entry), [0, 1, 2, 0, 1]);
    }
}
