//! How requests that get a transaction are sent on.

/// Whether a rule keeps state for the requests that it sends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Relay {
    /// None (RFC 3261 section 16.11): the fast path.
    #[default]
    Stateless,
    /// A transaction (RFC 3261 section 16.2): retransmissions are absorbed and repaired, another
    /// destination is tried when one fails.
    Stateful(Fork),
}

/// To how many members of a destination set a request goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Fork {
    /// To one; to another one only when that fails.
    #[default]
    No,
    /// To all that can be used, those of a tier at once, tier after tier.
    Parallel,
    /// To all that can be used, one after the other.
    Serial,
}

/// What becomes of a request that has reached us on another way already (RFC 3261 section 8.2.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum MergedRequests {
    /// It is answered with 482.
    #[default]
    Refuse,
    /// It is a request like any other.
    Forward,
}

/// How transactions run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TransactionSettings {
    /// T1, an estimate of the round-trip time, in milliseconds (RFC 3261 section 17.1.1.1); 10 to 10,000.
    pub t1_ms: u32,
    /// T2, the longest interval between retransmissions, in milliseconds; T1 to 60,000.
    pub t2_ms: u32,
    /// T4, how long a message stays in the network, in milliseconds; 0 to 60,000.
    pub t4_ms: u32,
    /// Timer C, how long a callee may ring without a further provisional response, in milliseconds;
    /// above 180,000 by RFC 3261 section 16.6 step 11, 1,000 to 3,600,000 here.
    pub timer_c_ms: u32,
    /// How long a destination may stay silent while there is another one to be tried, in
    /// milliseconds; 0 waits for timer B or F. To 64 T1.
    pub failover_ms: u32,
    /// Destinations that are tried for one request, one after the other; 1 to 8.
    pub attempts: u8,
    /// Whether requests of a dialog that has our Record-Route get a transaction too, when some rule
    /// is stateful.
    pub in_dialog: bool,
    /// Whether a 3xx response is followed instead of passed on (RFC 3261 section 16.7 step 4).
    pub recurse: bool,
    /// What becomes of merged requests.
    pub merged: MergedRequests,
}

impl Default for TransactionSettings {
    fn default() -> Self {
        Self {
            t1_ms: 500,
            t2_ms: 4_000,
            t4_ms: 5_000,
            timer_c_ms: 200_000,
            failover_ms: 4_000,
            attempts: 3,
            in_dialog: true,
            recurse: false,
            merged: MergedRequests::Refuse,
        }
    }
}
