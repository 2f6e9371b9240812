//! Active health: members of destination sets are probed with OPTIONS, and who fails is taken out of
//! use. [`machine`] decides about one member, [`prober`] asks, [`monitor`] runs them for all members,
//! [`memory`] lets what is known survive a restart of control.
//!
//! What comes out are the members that are not simply in use ([`States`]); [`states`] writes it into the
//! settings that the data plane gets. The workers know nothing of probes.

pub mod machine;
pub mod memory;
pub mod monitor;
mod prober;
pub mod states;

pub use monitor::{Impaired, Monitor, MonitorHandle, States};
