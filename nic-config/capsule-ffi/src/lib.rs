//! DPDK 22.11 for capsule.
