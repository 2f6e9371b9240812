//! Names of DPDK 19.11 that capsule uses, with what they mean in 22.11.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use crate::bindings;

/// How a port spreads packets over its receive queues.
pub mod rte_eth_rx_mq_mode {
    pub use crate::bindings::rte_eth_rx_mq_mode::*;
    /// By the hash of the packet's addresses and ports.
    pub const ETH_MQ_RX_RSS: Type = RTE_ETH_MQ_RX_RSS;
}

/// `RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE`: sent mbufs all come from one pool, with one reference.
pub const DEV_TX_OFFLOAD_MBUF_FAST_FREE: u64 = bindings::TX_OFFLOAD_MBUF_FAST_FREE;
/// `RTE_ETH_RSS_IP`: hash over the IP addresses.
pub const ETH_RSS_IP: u64 = bindings::RSS_IP;
/// `RTE_ETH_RSS_UDP`: hash over addresses and UDP ports.
pub const ETH_RSS_UDP: u64 = bindings::RSS_UDP;
/// `RTE_ETH_RSS_TCP`: hash over addresses and TCP ports.
pub const ETH_RSS_TCP: u64 = bindings::RSS_TCP;
/// `RTE_ETH_RSS_SCTP`: hash over addresses and SCTP ports.
pub const ETH_RSS_SCTP: u64 = bindings::RSS_SCTP;

/// EAL options renamed in DPDK 20.11, old name first.
const RENAMED: [(&[u8], &[u8]); 3] = [
    (b"--master-lcore", b"--main-lcore"),
    (b"--pci-whitelist", b"--allow"),
    (b"--pci-blacklist", b"--block"),
];

/// Starts EAL with the options of 19.11 turned into those of 22.11. Gives what DPDK gives: the
/// number of arguments it took, or a negative value with `rte_errno` set.
///
/// # Safety
///
/// `argv` points to `argc` C strings. EAL must not have been started in this process.
pub unsafe fn rte_eal_init(argc: c_int, argv: *mut *mut c_char) -> c_int {
    let count = usize::try_from(argc).unwrap_or(0);
    let arguments: Vec<CString> = (0..count)
        // SAFETY: the caller promises `argc` valid strings.
        .map(|index| renamed(unsafe { CStr::from_ptr(*argv.add(index)) }))
        .collect();
    let mut pointers: Vec<*mut c_char> =
        arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    pointers.push(ptr::null_mut());
    // SAFETY: `argc` strings and a closing null, alive until EAL has copied what it keeps.
    unsafe { bindings::rte_eal_init(argc, pointers.as_mut_ptr()) }
}

/// One EAL argument, under its new name if it has one; `--old=value` keeps its value.
fn renamed(argument: &CStr) -> CString {
    let bytes = argument.to_bytes();
    for (old, new) in RENAMED {
        if let Some(rest) = bytes.strip_prefix(old)
            && (rest.is_empty() || rest[0] == b'=')
        {
            // Both parts come from strings without a null byte, so this is never the default.
            return CString::new([new, rest].concat()).unwrap_or_default();
        }
    }
    argument.to_owned()
}

#[cfg(test)]
mod tests {
    use super::renamed;

    #[test]
    fn renamed_options_are_translated() {
        assert_eq!(renamed(c"--master-lcore").as_c_str(), c"--main-lcore");
        assert_eq!(renamed(c"--master-lcore=3").as_c_str(), c"--main-lcore=3");
        assert_eq!(renamed(c"--pci-whitelist").as_c_str(), c"--allow");
        assert_eq!(renamed(c"--pci-blacklist=0000:01:00.0").as_c_str(), c"--block=0000:01:00.0");
    }

    #[test]
    fn everything_else_stays() {
        for argument in
            [c"trunkline", c"-l", c"0", c"--vdev", c"net_null0", c"--master-lcores", c""]
        {
            assert_eq!(renamed(argument).as_c_str(), argument);
        }
    }
}
