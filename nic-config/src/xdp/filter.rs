use std::collections::HashSet;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};

use super::{XdpError, netlink, program};
use crate::bpf::{map, with_causes};
use crate::limits;

/// `struct listen_point` of the program: 16 bytes of address, 2 bytes of port, network order.
type Key = [u8; 18];

/// What errors call the maps.
const LISTEN_POINTS: &str = "map listen_points";
const OUTCOMES: &str = "map outcomes";
const OWN_ADDRESS: &str = "map own_address";

/// The listen points of the program on one interface.
pub struct SipFilter {
    interface: String,
    listen_points: HashMap<MapData, Key, u8>,
    outcomes: PerCpuArray<MapData, u64>,
}

/// What became of datagrams for a listen point since the program was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Given to the AF_XDP socket of their queue.
    pub to_socket: u64,
    /// Left to the kernel, as their queue has no socket: more queues on the interface than in
    /// `queues`, or the data plane is away.
    pub to_kernel: u64,
}

impl SipFilter {
    /// Finds the program that DPDK's driver attached to `interface`, and tells it the interface's MAC address: from now on
    /// frames for other hosts are left to the kernel.
    ///
    /// # Errors
    ///
    /// When no program is attached, when it is not ours, or without the privilege to reach it.
    pub fn find(interface: &str) -> Result<Self, XdpError> {
        let attached = netlink::attached(interface)?
            .ok_or_else(|| XdpError::NotAttached(interface.to_owned()))?;
        let program = program(interface, attached.program)?;
        let maps = program
            .map_ids()
            .map_err(|error| bpf_error(interface, "program", &error))?
            .unwrap_or_default();
        let listen_points = map(&maps, "listen_points")
            .and_then(|data| HashMap::try_from(Map::HashMap(data)))
            .map_err(|error| bpf_error(interface, LISTEN_POINTS, &error))?;
        let outcomes = map(&maps, "outcomes")
            .and_then(|data| PerCpuArray::try_from(Map::PerCpuArray(data)))
            .map_err(|error| bpf_error(interface, OUTCOMES, &error))?;
        if let Some(mac) = attached.mac {
            map(&maps, "own_address")
                .and_then(|data| Array::<_, [u8; 8]>::try_from(Map::Array(data)))
                .and_then(|mut own| own.set(0, own_address(mac), 0))
                .map_err(|error| bpf_error(interface, OWN_ADDRESS, &error))?;
        }
        Ok(Self { interface: interface.to_owned(), listen_points, outcomes })
    }

    /// Makes the map hold exactly these addresses and ports. New ones come in before old ones go.
    ///
    /// # Errors
    ///
    /// With more than [`limits::LISTEN_POINTS_MAX`] of them, or when the kernel refuses.
    pub fn set(&mut self, points: &[SocketAddr]) -> Result<(), XdpError> {
        let wanted: HashSet<Key> = points.iter().map(key).collect();
        if wanted.len() > limits::LISTEN_POINTS_MAX {
            return Err(XdpError::TooManyListenPoints(wanted.len()));
        }
        self.replace(&wanted).map_err(|error| bpf_error(&self.interface, LISTEN_POINTS, &error))
    }

    /// Leaves all SIP to the kernel.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn clear(&mut self) -> Result<(), XdpError> {
        self.set(&[])
    }

    /// The counters, summed over CPUs.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn outcomes(&self) -> Result<Outcomes, XdpError> {
        // The order of `enum outcome` in the program.
        const TO_SOCKET: u32 = 0;
        const TO_KERNEL: u32 = 1;
        let sum = |outcome: u32| match self.outcomes.get(&outcome, 0) {
            Ok(counts) => Ok(counts.iter().sum()),
            Err(error) => Err(bpf_error(&self.interface, OUTCOMES, &error)),
        };
        Ok(Outcomes { to_socket: sum(TO_SOCKET)?, to_kernel: sum(TO_KERNEL)? })
    }

    fn replace(&mut self, wanted: &HashSet<Key>) -> Result<(), MapError> {
        let present = self.listen_points.keys().collect::<Result<HashSet<_>, _>>()?;
        // A full map takes no new entry until an old one is gone.
        let crowded = present.union(wanted).count() > limits::LISTEN_POINTS_MAX;
        if crowded {
            self.remove(present.difference(wanted))?;
        }
        for point in wanted.difference(&present) {
            self.listen_points.insert(point, 1, 0)?;
        }
        if !crowded {
            self.remove(present.difference(wanted))?;
        }
        Ok(())
    }

    fn remove<'a>(&mut self, points: impl Iterator<Item = &'a Key>) -> Result<(), MapError> {
        for point in points {
            self.listen_points.remove(point)?;
        }
        Ok(())
    }
}

/// `struct own_address` of the program.
fn own_address(mac: [u8; 6]) -> [u8; 8] {
    let mut value = [0, 0, 0, 0, 0, 0, 1, 0];
    value[..6].copy_from_slice(&mac);
    value
}

fn bpf_error(interface: &str, object: &'static str, error: &dyn Error) -> XdpError {
    XdpError::Bpf { interface: interface.to_owned(), object, reason: with_causes(error) }
}

fn key(point: &SocketAddr) -> Key {
    let address = match point.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let mut key = [0; 18];
    key[..16].copy_from_slice(&address.octets());
    key[16..].copy_from_slice(&point.port().to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_laid_out_as_the_program_reads_them() {
        let v4 = key(&"10.77.1.1:5060".parse().unwrap());
        assert_eq!(v4, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 77, 1, 1, 0x13, 0xc4]);
        let v6 = key(&"[fd77:1::1]:5060".parse().unwrap());
        assert_eq!(v6, [0xfd, 0x77, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x13, 0xc4]);
    }
}
