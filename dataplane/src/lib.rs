//! The SIP data plane.
