//! DPDK 22.11 under the names that capsule 0.1.5 expects.
//!
//! capsule was written for DPDK 19.11 and reaches it through a crate of this name and version. The
//! workspace puts this one in its place (`[patch.crates-io]`), so that capsule builds unchanged on
//! Debian 12's shared libraries. What it holds, by who uses it:
//!
//! **For capsule**
//! - [`bindings`](self): what bindgen writes from an explicit list in `build.rs`, and the inline
//!   functions of DPDK, given symbols in `src/shim.c` (`_rte_eth_rx_burst` and the like).
//! - `compat`: names that DPDK changed since, and EAL options it renamed (`--master-lcore` to
//!   `--main-lcore`, `--pci-whitelist` to `--allow`).
//! - `kni`: the kernel interface that DPDK no longer has, as stubs that fail with a clear line.
//! - `profile`: capsule configures ports with fixed arguments. The functions it calls for this are
//!   ours, apply a [`PortProfile`] set beforehand (RSS, MTU, offloads, data room) and then call
//!   DPDK's.
//! - `_rte_mempool_put_bulk` gives each mbuf back to its own pool; capsule assumes one pool.
//!
//! **For the data plane and for checks before it starts**
//! - `burst`: [`QueuePair`], which receives into and sends from arrays of the caller, where
//!   capsule's `PortQueue` allocates a `Vec` per burst.
//! - `mbuf`: the fields of [`rte_mbuf`] are read and written in place, without a call; the offsets
//!   are asserted on both sides when the crate compiles. [`free`] and [`free_bulk`] end an mbuf.
//! - `pool`: [`Pool`], to allocate from; [`mempool_in_use`], to prove that nothing leaks.
//! - `port`: names, MAC addresses, abilities, statistics.
//! - `rss`: key, hash fields and redirection table of a port that has started.
//! - `lcore`: [`thread_register`], which gives a thread of capsule's its mempool cache.
//!
//! **Two queues on veth.** `src/channels.c` defines `ioctl` for the executable, which completes the
//! kernel's answer about channels, so that AF_XDP accepts more than one queue on a veth interface.
//! The drivers see it only if the executable exports it; each package with such a binary says in
//! its `build.rs`: `cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=ioctl`.
//! [`channels_completed`] tells whether it took effect.

mod burst;
mod compat;
mod kni;
mod lcore;
mod mbuf;
mod pool;
mod port;
mod profile;
mod rss;

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;
pub use burst::QueuePair;
pub use kni::*;
pub use lcore::{channels_completed, thread_register, thread_unregister};
pub use mbuf::{free, free_bulk, leave_udp_checksum, prefetch, rss_hash};
pub use pool::{Pool, mempool_in_use};
pub use port::{PortInfo, PortStats, port_by_name, port_info, port_mac, port_stats};
pub use profile::{
    PortGrant, PortProfile, on_port_started, port_grant, set_data_room, set_port_profile,
};
pub use rss::{RSS_FIELDS, port_reta, port_rss_hash, set_port_reta, set_port_rss_hash};

// Named one by one, these stand before what bindgen wrote under the same names.
pub use compat::{
    DEV_TX_OFFLOAD_MBUF_FAST_FREE, ETH_RSS_IP, ETH_RSS_SCTP, ETH_RSS_TCP, ETH_RSS_UDP,
    rte_eal_init, rte_eth_rx_mq_mode,
};
pub use pool::{rte_mempool_free, rte_pktmbuf_pool_create};
pub use profile::{rte_eth_dev_configure, rte_eth_dev_start, rte_eth_rx_queue_setup};
