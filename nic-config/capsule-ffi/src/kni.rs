//! KNI, the kernel network interface of older DPDK, as stubs that fail.
//!
//! Debian's 22.11 comes without its kernel module, and DPDK 23.11 removed it. The types exist so
//! that capsule compiles; a configuration with `kni = true` is refused when the runtime is built,
//! with a line that names the way to go. Only `rte_kni_init` can ever be reached: without it capsule
//! allocates no interface.

use std::ffi::{c_char, c_int, c_uint};
use std::ptr;

use crate::{rte_mbuf, rte_mempool};

/// An interface that cannot exist.
#[repr(C)]
pub struct rte_kni {
    _private: [u8; 0],
}

/// What an interface would be made of.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct rte_kni_conf {
    /// Interface name, closed by a null byte.
    pub name: [c_char; 32],
    /// Port id.
    pub group_id: u16,
    /// Bytes of one mbuf.
    pub mbuf_size: c_uint,
    /// MAC address.
    pub mac_addr: [u8; 6],
}

/// Callbacks for changes that the kernel asks for; each gives 0 or a negative errno.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct rte_kni_ops {
    /// Port id.
    pub port_id: u16,
    /// New MTU in bytes.
    pub change_mtu: Option<unsafe extern "C" fn(u16, c_uint) -> c_int>,
    /// Up (1) or down (0).
    pub config_network_if: Option<unsafe extern "C" fn(u16, u8) -> c_int>,
    /// New MAC address, six bytes.
    pub config_mac_address: Option<unsafe extern "C" fn(u16, *mut u8) -> c_int>,
    /// Promiscuous on (1) or off (0).
    pub config_promiscusity: Option<unsafe extern "C" fn(u16, u8) -> c_int>,
}

/// Says on stderr that KNI is gone and gives `-ENOTSUP`, which ends capsule's start.
///
/// # Safety
///
/// None needed; `unsafe` because capsule calls it as a C function, as all of this module.
pub unsafe fn rte_kni_init(_interfaces: c_uint) -> c_int {
    eprintln!(
        "ports.kni: DPDK 22.11 has no KNI; set kni = false and let the kernel take its packets \
         beside an AF_XDP port, or through an exception port (net_tap, virtio-user)"
    );
    -libc::ENOTSUP
}

/// Gives null: no interface can be made.
///
/// # Safety
///
/// None needed.
pub unsafe fn rte_kni_alloc(
    _pool: *mut rte_mempool,
    _conf: *const rte_kni_conf,
    _ops: *mut rte_kni_ops,
) -> *mut rte_kni {
    ptr::null_mut()
}

/// Gives `-ENOTSUP`.
///
/// # Safety
///
/// None needed.
pub unsafe fn rte_kni_release(_kni: *mut rte_kni) -> c_int {
    -libc::ENOTSUP
}

/// Receives nothing.
///
/// # Safety
///
/// None needed.
pub unsafe fn rte_kni_rx_burst(_: *mut rte_kni, _: *mut *mut rte_mbuf, _: c_uint) -> c_uint {
    0
}

/// Sends nothing; the mbufs stay with the caller.
///
/// # Safety
///
/// None needed.
pub unsafe fn rte_kni_tx_burst(_: *mut rte_kni, _: *mut *mut rte_mbuf, _: c_uint) -> c_uint {
    0
}

/// Gives `-ENOTSUP`.
///
/// # Safety
///
/// None needed.
pub unsafe fn rte_kni_handle_request(_kni: *mut rte_kni) -> c_int {
    -libc::ENOTSUP
}

/// Gives an empty name.
///
/// # Safety
///
/// None needed.
pub unsafe fn rte_kni_get_name(_kni: *const rte_kni) -> *const c_char {
    c"".as_ptr()
}

/// Does nothing.
///
/// # Safety
///
/// None needed.
pub unsafe fn rte_kni_close() {}
