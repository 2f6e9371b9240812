//! The location messages: bindings on their way between the data plane, which has them, and control,
//! which stores them. They travel on a connection of their own to the management socket, so that bulk never
//! delays what is asked on the others.
//!
//! ```text
//!   control                          data plane
//!      │ ─────────── Attach ──────────► │   `Hello` on both sides came first
//!      │ ◄────────── Attached ───────── │
//!      │ ───── Load, Load, … Loaded ──► │   unless it has its bindings already
//!      │ ◄───────── Changes 7 ───────── │
//!      │ ◄───────── Changes 8 ───────── │
//!      │ ────────── Flushed 8 ────────► │   both are on stable storage
//!      │ ────────── Replace ──────────► │   another appliance has changed them
//!      │ ◄─────────── Asked ─────────── │   a worker knows no binding of an AoR
//!      │ ────────── Replace ──────────► │   the engine does
//!      │ ────────── Answered ─────────► │
//! ```
//!
//! Records are bytes to this crate; `sip-core` writes and reads them.

use crate::frame::PACKET_MAX;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Most bytes of records in one message: with what is around them they fill one packet.
pub const RECORDS_MAX: usize = PACKET_MAX - 64;

/// Most answers in one message.
pub const ANSWERS_MAX: usize = 1_024;

/// From control to the data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToLocation {
    /// First message: this connection is for location from now on, in place of an older one. Answered
    /// by `Attached`.
    Attach {
        /// Whether control can be `Asked` for bindings that the workers do not have: several appliances share them.
        is_shared: bool,
    },
    /// Stored records, for whichever worker owns them.
    Load {
        /// Whole records, one behind the other; at most [`RECORDS_MAX`] bytes.
        #[serde(with = "serde_bytes")]
        records: Vec<u8>,
    },
    /// All that is stored has been sent: workers answer for location from now on. Answered by `Loaded`.
    Loaded,
    /// Records that other appliances have changed, for whichever worker owns them: each takes the place of what a
    /// worker has of its AoR, unless that has a change on its way here.
    Replace {
        /// Number of this message; each is above the one before it, also of a control process before this one.
        number: u64,
        /// Whole records; at most [`RECORDS_MAX`] bytes. Without any it only tells the number.
        #[serde(with = "serde_bytes")]
        records: Vec<u8>,
    },
    /// The worker has been given what there is of the AoRs that it has asked for.
    Answered {
        /// Index of the worker.
        worker: u16,
        /// The numbers of its questions; at most [`ANSWERS_MAX`].
        numbers: Vec<u64>,
    },
    /// All changes of this worker up to this number are on stable storage.
    Flushed {
        /// Index of the worker.
        worker: u16,
        /// Number of the last of them.
        number: u64,
    },
    /// The store takes nothing: workers answer from memory until `StoreWell`.
    StoreIll {
        /// What failed, and what to do.
        reason: String,
    },
    /// The store takes changes.
    StoreWell {
        /// Where an older store lies that could not be read.
        set_aside: Option<String>,
    },
}

/// From the data plane to control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromLocation {
    /// The answer to `Attach`.
    Attached {
        /// Whether the workers have their bindings already; otherwise they wait for `Loaded`, or have
        /// begun without.
        is_loaded: bool,
    },
    /// Changed records of one worker. Answered by `Flushed`, in order; what was not answered on one
    /// connection comes again on the next.
    Changes {
        /// Index of the worker.
        worker: u16,
        /// Number of this message; each worker counts its own, from 1.
        number: u64,
        /// Number of the last `Replace` that the worker had seen before it wrote them; 0 before the first.
        replaced: u64,
        /// Whole records, the newest state of each AoR; at most [`RECORDS_MAX`] bytes.
        #[serde(with = "serde_bytes")]
        records: Vec<u8>,
    },
    /// A worker has no binding of this AoR. Answered by `Answered`, behind the `Replace` that brings what there is of it;
    /// not answered while nobody can say it.
    Asked {
        /// Index of the worker.
        worker: u16,
        /// What the worker knows the question by.
        number: u64,
        /// The AoR.
        aor: String,
    },
    /// The answer to `Loaded`.
    Loaded {
        /// Records that workers took.
        taken: u64,
        /// Records without a binding that is still alive: they are forgotten.
        expired: u64,
        /// Records that found no room, or that nobody could read.
        refused: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::{ANSWERS_MAX, FromLocation, RECORDS_MAX, ToLocation};
    use crate::frame::encode;
    use crate::{FromDataplane, ToDataplane};
    use alloc::vec;

    #[test]
    fn a_full_message_is_one_packet() {
        let records = vec![7; RECORDS_MAX];
        let load = ToDataplane::<()>::Location(ToLocation::Load { records: records.clone() });
        assert_eq!(encode(&load).unwrap().len(), 1);
        let changes = FromLocation::Changes {
            worker: u16::MAX,
            number: u64::MAX,
            replaced: u64::MAX,
            records,
        };
        assert_eq!(encode(&FromDataplane::Location(changes)).unwrap().len(), 1);
        let answered =
            ToLocation::Answered { worker: u16::MAX, numbers: vec![u64::MAX; ANSWERS_MAX] };
        assert_eq!(encode(&ToDataplane::<()>::Location(answered)).unwrap().len(), 1);
    }
}
