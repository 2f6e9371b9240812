//! What tests and benches are built from; not part of the packet's way.

pub mod appliance;
pub mod frames;
pub mod lcore;
