//! The messages of the management socket (Unix `SOCK_SEQPACKET`).
//!
//! The data plane listens, control (or an operator's command) connects. Each side sends its
//! `Hello` first. Then control asks and the data plane answers, in order. The routing settings are a type
//! parameter, because they belong to `sip-core`, on which this crate does not depend.

use crate::status::Status;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// From control, or an operator's command, to the data plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToDataplane<S> {
    /// First message on a connection.
    Hello {
        /// [`crate::API_VERSION`] of the sender.
        api_version: u16,
    },
    /// A whole configuration epoch, already validated. Answered by `Applied` or `Refused`.
    Apply {
        /// Number of the epoch.
        epoch: u64,
        /// The routing settings that every worker builds its tables from.
        settings: S,
    },
    /// Asks for `Status`.
    Status,
    /// Makes a worker panic, to see that the process ends and is started again. Answered by
    /// `Refused` unless the data plane was started with `--allow-faults`.
    PanicWorker {
        /// Index of the worker, in the order of `lcores.workers`.
        worker: u16,
    },
}

/// From the data plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromDataplane {
    /// First message on a connection.
    Hello {
        /// [`crate::API_VERSION`] of the sender.
        api_version: u16,
        /// The epoch in force; 0 asks control for one.
        epoch: u64,
    },
    /// Every worker runs on this epoch.
    Applied {
        /// Number of the epoch.
        epoch: u64,
    },
    /// What was asked was refused whole; the old epoch stays in force.
    Refused {
        /// Number of the refused epoch; for another request, of the epoch in force.
        epoch: u64,
        /// The setting and what is wrong with it.
        reason: String,
    },
    /// The answer to `ToDataplane::Status`.
    Status(Status),
}
