//! What receive side scaling spreads packets with, keys and redirection tables of ports that run; and what flows they
//! receive.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

/// What is asked of the RSS of a port. Answered by `PortRss` or `Refused`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RssRequest {
    /// Name of the port; without it the only one.
    pub port: Option<String>,
    /// What to do.
    pub action: RssAction,
}

/// What to do with the RSS of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RssAction {
    /// Read it.
    Show,
    /// Write it, read it back, and put back what was there when that fails.
    Apply {
        /// The key; without it the one in force stays.
        key: Option<Vec<u8>>,
        /// Queue of each entry of the table; without it the one in force stays.
        reta: Option<Vec<u16>>,
    },
    /// Put back what was there before the last `Apply`.
    Undo,
}

/// What a port has in force, as its driver shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRss {
    /// Name of the port.
    pub port: String,
    /// The driver, such as `net_virtio`, or the kernel interface that has it.
    pub driver: String,
    /// Receive queues.
    pub queues: u16,
    /// The key; some drivers keep it to themselves.
    pub key: Option<Vec<u8>>,
    /// Queue of each entry of the table.
    pub reta: Vec<u16>,
    /// What is hashed, some of `ipv4,ipv6,ipv4-udp,ipv6-udp`, where the driver says it.
    pub fields: Option<String>,
    /// Changes that can be undone.
    pub undo_steps: u16,
    /// Whether this request changed the key.
    pub key_changed: bool,
    /// Entries of the table that this request changed.
    pub entries_changed: u16,
}

/// The flows that a port receives now, as moving averages of what its workers have counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortFlows {
    /// Name of the port.
    pub port: String,
    /// Seconds that the averages go back: less than usual soon after a start.
    pub seconds: f64,
    /// Those with the most messages, these first.
    pub flows: Vec<FlowRate>,
    /// Further flows that are known.
    pub other_flows: u32,
    /// Messages each second over these.
    pub other_messages: f64,
    /// Bytes each second over these.
    pub other_bytes: f64,
}

/// One flow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowRate {
    /// Who sends.
    pub source: SocketAddr,
    /// To which of our addresses and ports.
    pub destination: SocketAddr,
    /// The queue that brought it last.
    pub queue: u16,
    /// Messages each second.
    pub messages: f64,
    /// Bytes each second, from the Ethernet header on.
    pub bytes: f64,
}
