//! Messages between control and the data plane.
