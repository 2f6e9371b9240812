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
    let given: Vec<&CStr> = (0..count)
        // SAFETY: the caller promises `argc` valid strings.
        .map(|index| unsafe { CStr::from_ptr(*argv.add(index)) })
        .collect();
    let arguments = translated(&given);
    let mut pointers: Vec<*mut c_char> =
        arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    pointers.push(ptr::null_mut());
    // SAFETY: `argc` strings and a closing null, alive until EAL has copied what it keeps.
    unsafe { bindings::rte_eal_init(argc, pointers.as_mut_ptr()) }
}

/// EAL's arguments as 22.11 wants them.
fn translated(given: &[&CStr]) -> Vec<CString> {
    let next = given.iter().skip(1).map(Some).chain([None]);
    let argument = |(argument, next): (&&CStr, Option<&&CStr>)| match next {
        // capsule knows PCI addresses without hexadecimal letters only, and takes the others for
        // virtual devices.
        Some(device) if *argument == c"--vdev" && is_pci_address(device.to_bytes()) => {
            c"--allow".to_owned()
        }
        _ => renamed(argument),
    };
    given.iter().zip(next).map(argument).collect()
}

/// `0000:3b:00.0`: domain, bus, device and function in hexadecimal digits.
fn is_pci_address(text: &[u8]) -> bool {
    const FORM: &[u8] = b"xxxx:xx:xx.x";
    text.len() == FORM.len()
        && text.iter().zip(FORM).all(|(byte, form)| match form {
            b'x' => byte.is_ascii_hexdigit(),
            _ => byte == form,
        })
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
    use super::{renamed, translated};

    #[test]
    fn pci_devices_that_capsule_takes_for_virtual_ones_are_allowed() {
        let given = [c"x", c"--vdev", c"0000:3b:00.0", c"--vdev", c"net_null0", c"--vdev"];
        let wanted = [c"x", c"--allow", c"0000:3b:00.0", c"--vdev", c"net_null0", c"--vdev"];
        assert_eq!(translated(&given), wanted.map(ToOwned::to_owned));
    }

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
