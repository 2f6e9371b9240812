//! The slow path of Trunkline, and the operator's command.
//!
//! - [`config`]: the one TOML file, read strictly.
//! - [`service`]: the control process: [`publisher`] keeps the data plane on the newest epoch over
//!   [`dataplane_link`], [`fallback`] answers what reaches the kernel, [`state`] survives restarts.
//! - [`supervisor`]: both processes, kept alive.
//! - [`check`], [`status_report`]: what the operator asks.
//! - [`lab`]: a small network on one machine, with the appliance in it.
#![forbid(unsafe_code)]

pub mod check;
pub mod config;
pub mod dataplane_link;
pub mod fallback;
pub mod lab;
pub mod limits;
pub mod logging;
pub mod process;
pub mod publisher;
pub mod service;
pub mod state;
pub mod status_report;
pub mod supervisor;
#[cfg(test)]
mod testing;
