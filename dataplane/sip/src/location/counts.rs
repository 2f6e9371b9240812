//! What the location of a worker counts.

/// A reading of all counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocationCounts {
    /// AoRs that are known now; those without bindings that the store does not know yet count.
    pub aors: u64,
    /// Bindings now.
    pub bindings: u64,
    /// AoRs now whose last change the store has not been given.
    pub waiting: u64,
    /// Blocks of text that are in use now.
    pub text_blocks_used: u64,
    /// Milliseconds that the oldest timer that is due has waited.
    pub timer_lag_ms: u64,
    /// New bindings.
    pub registered: u64,
    /// Bindings that were refreshed.
    pub refreshed: u64,
    /// Bindings that were removed by a REGISTER.
    pub removed: u64,
    /// Bindings that were over.
    pub expired: u64,
    /// REGISTERs that only asked.
    pub queries: u64,
    /// REGISTERs that came again.
    pub retransmitted: u64,
    /// REGISTERs that cannot be read (400).
    pub malformed: u64,
    /// REGISTERs for what is no user of ours (404).
    pub unknown: u64,
    /// REGISTERs by somebody else (403).
    pub forbidden: u64,
    /// REGISTERs with a CSeq that came too late (500).
    pub out_of_order: u64,
    /// REGISTERs that ask for too short a time (423).
    pub too_brief: u64,
    /// REGISTERs that require what we do not have (420), or flows through a first hop without them (439).
    pub unsupported: u64,
    /// REGISTERs beyond the limits of an AoR or of a source (403).
    pub over_limit: u64,
    /// REGISTERs that found no room (503).
    pub refused_full: u64,
    /// REGISTERs and lookups before all was loaded (503).
    pub loading: u64,
    /// Requests that were located.
    pub located: u64,
    /// Requests for users that have no binding (480).
    pub not_registered: u64,
    /// Keep-alives that were sent to bindings behind NAT.
    pub keepalives: u64,
    /// Of our OPTIONS among them, those that were answered.
    pub keepalives_answered: u64,
    /// Bindings that were taken away because their flow has failed.
    pub flows_failed: u64,
}

/// What came of loading records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadCounts {
    /// AoRs that have bindings now.
    pub aors: u64,
    /// Bindings of them.
    pub bindings: u64,
    /// Bindings that were over.
    pub expired: u64,
    /// AoRs that found no room.
    pub refused: u64,
    /// AoRs of other workers, which were left out.
    pub foreign: u64,
}

impl core::ops::AddAssign for LoadCounts {
    fn add_assign(&mut self, other: Self) {
        self.aors += other.aors;
        self.bindings += other.bindings;
        self.expired += other.expired;
        self.refused += other.refused;
        self.foreign += other.foreign;
    }
}
