//! Ports, queues, lcores and memory: the plan that is checked before EAL starts, and what the
//! kernel must be told beside it.
//!
//! In the order of a start:
//!
//! 1. [`settings`]: the hardware part of the configuration file.
//! 2. [`machine`]: what this machine has.
//! 3. [`mod@plan`]: the two held against each other; every refusal is one line that says what to do.
//! 4. [`lock`]: one data plane per device.
//! 5. [`cleanup`]: what a crash left behind is removed.
//! 6. [`eal`]: the plan as capsule's runtime configuration and EAL arguments.
//! 7. [`xdp`]: the program that hands SIP to the AF_XDP ports and the rest to the kernel.
//!
//! Beside it stand [`rss`], which knows where a flow goes, how the queues could be even, and changes what is in a port,
//! [`profile`], which knows what each driver can do, and [`doctor`], which says what on a server holds the plan back and
//! how to mend it.
//!
//! Nothing here links DPDK: control uses the same plan for `trunkline check`.
#![deny(unsafe_code)]

mod bpf;
pub mod cleanup;
pub mod doctor;
pub mod eal;
pub mod last_good;
pub mod limits;
pub mod location;
pub mod lock;
pub mod machine;
pub mod mempool;
pub mod plan;
mod plan_report;
pub mod profile;
pub mod registrar;
pub mod rss;
pub mod settings;
pub mod transactions;
pub mod xdp;

pub use machine::Machine;
pub use plan::{NicPlan, PlanError, plan};
pub use settings::NicSettings;
