//! Transactions: the stateful half of the proxy (RFC 3261 sections 16 and 17, RFC 6026).
//!
//! Everything here belongs to one worker and is made at the start: nothing is allocated later.

#[allow(dead_code, reason = "being built")]
mod buffers;
#[allow(dead_code, reason = "being built")]
mod machines;
#[allow(dead_code, reason = "being built")]
mod time;
#[allow(dead_code, reason = "being built")]
mod wheel;
