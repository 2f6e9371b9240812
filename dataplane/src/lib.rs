//! The SIP data plane: poll-mode workers on DPDK, one per lcore, that share nothing.
//!
//! # Life of a packet
//!
//! ```text
//! NIC queue → rx burst → decode → parse → route → adjacency → rewrite → encode → tx burst
//! ```
//!
//! The modules stand in the order in which a packet meets them.
//!
//! - [`boot`] starts everything in order, [`poll_loop`] is how capsule runs a worker.
//! - [`worker`] orders the stages and counts each packet once in and once out.
//! - [`packet_io`] receives and transmits; [`mbuf`] does so on DPDK. [`packet`] is the buffer.
//! - [`decode`] reads Ethernet, VLAN, IP and UDP headers.
//! - [`fast_path`] takes the SIP stages, whose code is `sip-core`.
//! - [`fib`] knows the next hop's MAC address; [`parked`] keeps messages while it does not, and [`awaiting`]
//!   those whose next hop is a name that nobody has resolved yet.
//! - [`encode`] writes the new headers, [`checksum`] their sums.
//! - [`flows`] counts the flows that a worker receives.
//! - [`verdict`] is how each packet ends, [`stats`] counts it; [`load_counters`] say what members say of their load.
//! - [`handoff`] takes it to the worker that owns its transaction; [`spill`] takes stateless work to one that has time.
//! - [`parcel`] carries messages larger than the MTU between a worker and the kernel's sockets.
//! - [`location_log`] carries changed bindings to the store, [`held_replies`] keeps answers until they are there.
//! - [`rss`] says which queue, and so which worker, gets a flow.
//! - [`mailbox`] links a worker with the [`service`] core, which speaks with control and, through
//!   [`kernel`], with the kernel. Both, and the hand-off, run over rings ([`ring`]).

pub mod awaiting;
pub mod boot;
pub mod checksum;
pub mod decode;
pub mod encode;
pub mod fast_path;
pub mod fib;
pub mod flows;
pub mod handoff;
pub mod held_replies;
pub mod huge_pages;
pub mod kernel;
pub mod limits;
pub mod load_counters;
pub mod location_log;
pub mod mailbox;
pub mod mbuf;
mod mixing;
pub mod packet;
pub mod packet_io;
pub mod parcel;
pub mod parked;
pub mod poll_loop;
pub mod probe;
pub mod ring;
pub mod rss;
pub mod service;
pub mod spill;
pub mod stats;
pub mod testing;
pub mod verdict;
pub mod worker;
