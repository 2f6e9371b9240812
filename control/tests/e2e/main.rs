//! The real appliance on DPDK in its lab, with real clients.
//!
//! Needs root, the release binaries (their folder in `TRUNKLINE_BIN_DIR`) and the machine for itself:
//! there is one lab. `make e2e` runs these tests one after the other; they are `#[ignore]`d so that
//! a plain `cargo test` passes on any machine.

mod aliases;
mod api;
mod backups;
mod bench;
mod browser;
mod calls;
mod cluster;
mod connections;
mod database;
mod digest;
mod disks;
mod doctor;
mod flows;
mod health;
mod hostile;
mod interop;
mod kernel;
mod lab;
mod large;
mod loads;
mod locations;
mod names;
mod nat;
mod overload;
mod phone;
mod phones;
mod refusals;
mod registrar;
mod reload;
mod restarts;
mod return_affinity;
mod rss;
mod running;
mod sipp;
mod stateful;
mod store;
mod supervisor;
mod takeover;
mod veth_rss;
