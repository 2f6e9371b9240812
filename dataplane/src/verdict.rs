//! What becomes of a packet. Every packet that is received, or made, ends in exactly one of these.

use crate::awaiting::Awaited;
use crate::fib::NextHop;
use control_api::DropReason;

/// The end of a packet's way through the stages.
///
/// Punt to control joins this list with the first messages that need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The frame now holds the rewritten message; it leaves through this port.
    Forward {
        /// Index of the port.
        port: u8,
    },
    /// The frame now holds our own answer; it leaves through this port.
    Reply {
        /// Index of the port.
        port: u8,
    },
    /// The rewritten message leaves as a parcel: it goes over a connection, or it is larger than the MTU and the
    /// kernel is to send it in fragments.
    Elsewhere {
        /// Whether it is our own answer.
        is_reply: bool,
    },
    /// A transaction has taken the message, and it goes no further.
    Absorb,
    /// A REGISTER has been taken, and its answer waits for the store.
    Held,
    /// The frame is as received; this other worker owns its transaction.
    Handoff(u8),
    /// The frame is as received; it waits until the kernel has found this neighbour.
    Park(NextHop),
    /// The message is as received; it waits until control says where the name of its next hop leads, or what other
    /// appliances know of its user.
    Await(Awaited),
    /// The frame ends here, because this neighbour does not answer; the kernel is asked again.
    Unreachable(NextHop),
    /// The frame ends here.
    Drop(DropReason),
}

/// What becomes of a message of our own, which a transaction has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnVerdict {
    /// The frame now holds it; it leaves through this port.
    Send {
        /// Index of the port.
        port: u8,
    },
    /// It leaves as a parcel: over a connection, or in fragments.
    Elsewhere,
    /// It ends here, because this neighbour is not known, or does not answer; the kernel is asked. A
    /// timer will send it again.
    NoNeighbour(NextHop),
    /// It ends here.
    Drop(DropReason),
}
