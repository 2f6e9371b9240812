//! `[transactions]`: how requests of stateful routes are sent on.

use serde::Deserialize;
use sip_core::{MergedRequests, TransactionSettings};

/// `[transactions]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transactions {
    /// T1 in milliseconds: the interval of the first retransmission. Default 500; 10 to 10,000.
    pub t1_ms: u32,
    /// T2 in milliseconds: the longest interval of retransmissions. Default 4,000; T1 to 60,000.
    pub t2_ms: u32,
    /// T4 in milliseconds: how long a message stays in the network. Default 5,000; 0 to 60,000.
    pub t4_ms: u32,
    /// Timer C: how long a callee may ring. Default 200; 1 to 3,600.
    pub timer_c_seconds: u32,
    /// How long a destination may be silent while there is another one, in milliseconds. Default
    /// 4,000; 0 (as long as the request is sent) to 64 T1.
    pub failover_ms: u32,
    /// Destinations that are tried for one request. Default 3; 1 to 8.
    pub attempts: u8,
    /// Whether requests within our dialogs get a transaction when some route is stateful. Default
    /// true.
    pub in_dialog: bool,
    /// Whether 3xx responses are followed. Default false: they are passed on.
    pub recurse: bool,
    /// What becomes of a request that came on another way already. Default `refuse`: 482; or
    /// `forward`.
    pub merged: MergedRequests,
    /// A port for each worker, which its Vias name and its requests leave from. Default none: the port that the
    /// request came to.
    pub via_ports: Vec<u16>,
}

impl Default for Transactions {
    fn default() -> Self {
        let TransactionSettings {
            t1_ms,
            t2_ms,
            t4_ms,
            timer_c_ms,
            failover_ms,
            attempts,
            in_dialog,
            recurse,
            merged,
        } = TransactionSettings::default();
        let timer_c_seconds = timer_c_ms / 1_000;
        Self {
            t1_ms,
            t2_ms,
            t4_ms,
            timer_c_seconds,
            failover_ms,
            attempts,
            in_dialog,
            recurse,
            merged,
            via_ports: Vec::new(),
        }
    }
}

impl Transactions {
    /// The same as the router knows it.
    pub(super) fn to_sip(&self) -> TransactionSettings {
        let Self { t1_ms, t2_ms, t4_ms, failover_ms, attempts, in_dialog, recurse, merged, .. } =
            *self;
        TransactionSettings {
            t1_ms,
            t2_ms,
            t4_ms,
            timer_c_ms: self.timer_c_seconds.saturating_mul(1_000),
            failover_ms,
            attempts,
            in_dialog,
            recurse,
            merged,
        }
    }
}
