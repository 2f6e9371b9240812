//! How registrations are taken and kept (RFC 3261 section 10).

use alloc::string::String;
use alloc::vec::Vec;

/// How the registrar works, for rules that register.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct RegistrarSettings {
    /// Shortest time that a binding may be asked for, in seconds: less is answered with 423. 1 to 3,600.
    pub min_expires_s: u32,
    /// Time of bindings that name none, in seconds; between the shortest and the longest.
    pub default_expires_s: u32,
    /// Longest time, in seconds: more is shortened to it. To 31,536,000.
    pub max_expires_s: u32,
    /// Bindings of one AoR; 1 to [`CONTACTS_MAX`](crate::limits::CONTACTS_MAX).
    pub contacts_per_aor: u8,
    /// AoRs that one source address may register, per worker; 0 sets no limit.
    pub aors_per_source: u32,
    /// When a binding is reached where it registered from instead of where its Contact says.
    pub nat: Nat,
    /// What is sent to bindings behind NAT so that they stay reachable.
    pub keepalive: KeepAlive,
    /// Seconds between two of them; 5 to 600.
    pub keepalive_s: u16,
    /// Whether flows are kept for clients that ask for it (RFC 5626).
    pub outbound: bool,
    /// Value of Flow-Timer, in seconds (RFC 5626 section 10); 0 leaves the header out. To 3,600.
    pub flow_timer_s: u16,
    /// Whether instances get GRUUs (RFC 5627).
    pub gruu: bool,
    /// URIs of the Service-Route of our 200 (RFC 3608), in order; at most 8, with `lr`.
    pub service_route: Vec<String>,
    /// Where bindings outlive the process.
    pub store: Store,
    /// When a change of bindings is answered; without a store [`Durability::Memory`].
    pub durability: Durability,
    /// How long, under [`Durability::Flushed`], answers wait for a store that is away, in
    /// milliseconds; then they are given from memory until it is back. 0 to 60,000.
    pub flush_patience_ms: u32,
}

/// When a binding is reached where it registered from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Nat {
    /// When its Contact names another address than the one its REGISTER came from, and no Path.
    #[default]
    Auto,
    /// Always when there is no Path.
    Always,
    /// Never, flows of RFC 5626 apart.
    Never,
}

/// What is sent to bindings behind NAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum KeepAlive {
    /// Nothing: clients keep their NAT open themselves.
    #[default]
    Off,
    /// CRLF CRLF, which needs no answer.
    Crlf,
    /// OPTIONS, whose answer also opens NATs that look at what comes from inside only.
    Options,
}

/// Where bindings outlive the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Store {
    /// In the embedded store of the control process.
    #[default]
    Disk,
    /// Nowhere: they are in memory, and changes are not even collected.
    None,
}

/// When a change of bindings is answered with 200.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Durability {
    /// When it is in memory; the store follows.
    Memory,
    /// When it is in the store, on stable storage.
    #[default]
    Flushed,
}

impl Default for RegistrarSettings {
    fn default() -> Self {
        Self {
            min_expires_s: 60,
            default_expires_s: 3_600,
            max_expires_s: 7_200,
            contacts_per_aor: 10,
            aors_per_source: 0,
            nat: Nat::Auto,
            keepalive: KeepAlive::Off,
            keepalive_s: 30,
            outbound: true,
            flow_timer_s: 120,
            gruu: true,
            service_route: Vec::new(),
            store: Store::Disk,
            durability: Durability::Flushed,
            flush_patience_ms: 5_000,
        }
    }
}
