//! What is known about a port: name, addresses, abilities, statistics. Not for the packet path.

use std::ffi::{CStr, CString};

use crate::bindings;

/// Id of the port whose device is called `device` (a PCI address, `net_af_xdp0`, ...).
pub fn port_by_name(device: &str) -> Option<u16> {
    let device = CString::new(device).ok()?;
    let mut port = 0;
    // SAFETY: a C string and a place to write to.
    let result = unsafe { bindings::rte_eth_dev_get_port_by_name(device.as_ptr(), &raw mut port) };
    (result == 0).then_some(port)
}

/// Name of a port's device.
pub(crate) fn device_name(port: u16) -> Option<String> {
    let mut name = [0; bindings::RTE_ETH_NAME_MAX_LEN as usize];
    // SAFETY: DPDK writes a C string of at most RTE_ETH_NAME_MAX_LEN bytes.
    if unsafe { bindings::rte_eth_dev_get_name_by_port(port, name.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: on success the name is closed by a null byte.
    Some(unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
}

/// MAC address of a port; none when there is no such port.
pub fn port_mac(port: u16) -> Option<[u8; 6]> {
    let mut address = bindings::rte_ether_addr::default();
    // SAFETY: a place to write to.
    let result = unsafe { bindings::rte_eth_macaddr_get(port, &raw mut address) };
    (result == 0).then_some(address.addr_bytes)
}

/// What a port's driver can do.
#[derive(Clone, Debug)]
pub struct PortInfo {
    /// Driver, such as `net_af_xdp`.
    pub driver: String,
    /// Most receive queues.
    pub max_rx_queues: u16,
    /// Most transmit queues.
    pub max_tx_queues: u16,
    /// `RTE_ETH_RSS_*` hash fields; 0 for a driver without RSS.
    pub rss_offloads: u64,
    /// Bytes of its RSS key; 0 where the driver does not say.
    pub rss_key_size: u8,
    /// Entries of its redirection table; 0 without one.
    pub reta_size: u16,
    /// `RTE_ETH_RX_OFFLOAD_*`.
    pub rx_offloads: u64,
    /// `RTE_ETH_TX_OFFLOAD_*`.
    pub tx_offloads: u64,
    /// Largest MTU in bytes.
    pub max_mtu: u16,
    /// Memory socket; none for a virtual device.
    pub socket: Option<u32>,
}

/// Abilities of a port; none when there is no such port.
pub fn port_info(port: u16) -> Option<PortInfo> {
    let info = device_info(port)?;
    let driver = if info.driver_name.is_null() {
        String::new()
    } else {
        // SAFETY: a driver's name is a C string that lives as long as the driver.
        unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy().into_owned()
    };
    Some(PortInfo {
        driver,
        max_rx_queues: info.max_rx_queues,
        max_tx_queues: info.max_tx_queues,
        rss_offloads: info.flow_type_rss_offloads,
        rss_key_size: info.hash_key_size,
        reta_size: info.reta_size,
        rx_offloads: info.rx_offload_capa,
        tx_offloads: info.tx_offload_capa,
        max_mtu: info.max_mtu,
        // SAFETY: any port number may be asked for.
        socket: u32::try_from(unsafe { bindings::rte_eth_dev_socket_id(port) }).ok(),
    })
}

/// DPDK's own description of a port.
pub(crate) fn device_info(port: u16) -> Option<bindings::rte_eth_dev_info> {
    let mut info = bindings::rte_eth_dev_info::default();
    // SAFETY: a place to write to.
    let result = unsafe { bindings::rte_eth_dev_info_get(port, &raw mut info) };
    (result == 0).then_some(info)
}

/// Packets as the driver counts them, since the port was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Received.
    pub ipackets: u64,
    /// Sent.
    pub opackets: u64,
    /// Dropped by the NIC because no receive descriptor was free: we polled too slowly.
    pub imissed: u64,
    /// Received in error.
    pub ierrors: u64,
    /// Failed to be sent.
    pub oerrors: u64,
    /// Not received because the mempool was empty.
    pub rx_nombuf: u64,
}

/// Statistics of a port; none when there is no such port or its driver has none.
pub fn port_stats(port: u16) -> Option<PortStats> {
    let mut stats = bindings::rte_eth_stats::default();
    // SAFETY: a place to write to.
    if unsafe { bindings::rte_eth_stats_get(port, &raw mut stats) } != 0 {
        return None;
    }
    Some(PortStats {
        ipackets: stats.ipackets,
        opackets: stats.opackets,
        imissed: stats.imissed,
        ierrors: stats.ierrors,
        oerrors: stats.oerrors,
        rx_nombuf: stats.rx_nombuf,
    })
}
