use std::net::SocketAddr;

use super::QUEUES_MAX;
use super::key::{KEY_BYTES_MAX, KEY_BYTES_MIN};
use super::reta::SIZES;
use thiserror::Error;

/// What was given describes no RSS that a NIC could do.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant says it")]
pub enum RssError {
    #[error("{0} and {1} are of two families; write two IPv4 or two IPv6 addresses")]
    Families(SocketAddr, SocketAddr),
    #[error(
        "the RSS key has {0} bytes; NICs take {KEY_BYTES_MIN} to {KEY_BYTES_MAX} in steps of 4: 40 is the usual length, 52 that of ice and i40e"
    )]
    KeyLength(usize),
    #[error("the RSS key has {0:?} where two hexadecimal digits should be; write it as 6d:5a:...")]
    KeyDigits(String),
    #[error("the table has {0} entries; write one of {SIZES:?}, as `ethtool -x` shows it")]
    RetaSize(usize),
    #[error("entry {index} of the table names queue {queue}, but there are queues 0 to {last}")]
    RetaQueue { index: usize, queue: u32, last: u16 },
    #[error("line {line} of the table: {text:?} is no queue number")]
    RetaText { line: usize, text: String },
    #[error("{0} queues; write 1 to {QUEUES_MAX}")]
    Queues(usize),
    #[error("{queues} queues cannot all be reached through a table of {size} entries")]
    MoreQueuesThanEntries { queues: u16, size: usize },
    #[error("there is no such hash field set as {0:?}; write some of ipv4,ipv6,ipv4-udp,ipv6-udp")]
    Fields(String),
    #[error("{ports} ports to choose from are fewer than {workers} workers")]
    Ports { ports: usize, workers: u16 },
    #[error("there is no flow to plan for")]
    NoFlow,
    #[error("the weight of {0} is {1}; write a number above 0")]
    Weight(String, String),
    #[error(
        "no flow is hashed: the port hashes {0}, which none of the flows has; all go to queue 0"
    )]
    NothingHashed(String),
}
