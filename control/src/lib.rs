//! The slow path of Trunkline, and the operator's command.
//!
//! - [`config`]: the one TOML file, read strictly.
//! - [`service`]: the control process: [`publisher`] keeps the data plane on the newest epoch over
//!   [`dataplane_link`], [`fallback`] answers what reaches the kernel, [`state`] survives restarts.
//! - [`configuration`]: what is in force, what was; [`live`] is what follows it; [`audit`] says who changed it.
//! - [`api`]: HTTP and JSON for operators and programs; [`metrics`] for Prometheus.
//! - [`location`]: the store of bindings.
//! - [`connections`]: TCP, TLS and WebSocket.
//! - [`health`]: members of destination sets are probed; [`operator`] is where operators ask and drain.
//! - [`supervisor`]: both processes, kept alive.
//! - [`check`], [`status_report`], [`member_report`], [`connection_report`], [`whereis`], [`top`]: what the operator asks.
//! - [`rss`]: plans for the queues of a port; [`nic`]: what a server lacks for its NICs.
//! - [`lab`]: a small network on one machine, with the appliance in it.
#![forbid(unsafe_code)]

pub mod api;
pub mod audit;
pub mod check;
pub mod cluster;
pub mod config;
pub mod configuration;
pub mod connection_report;
pub mod connections;
pub mod credentials;
pub mod dataplane_link;
pub mod dns;
pub mod fallback;
pub mod health;
pub mod lab;
pub mod leaving;
pub mod limits;
pub mod live;
pub mod location;
pub mod logging;
pub mod member_report;
pub mod metrics;
pub mod names_report;
pub mod nic;
pub mod operator;
pub mod process;
pub mod publisher;
pub mod realm_report;
pub mod rss;
pub mod service;
pub mod state;
pub mod status_report;
pub mod supervisor;
pub mod systemd;
#[cfg(test)]
mod testing;
pub mod top;
pub mod whereis;
