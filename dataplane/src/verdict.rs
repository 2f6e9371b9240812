//! What becomes of a packet. Every packet that is received ends in exactly one of these.

use crate::fib::NextHop;
use control_api::DropReason;

/// The end of a packet's way through the stages.
///
/// Hand-off to another core and punt to control join this list with the first messages that need
/// them; stateless forwarding over UDP needs neither.
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
    /// The rewritten message is larger than the MTU: the kernel is to send it in fragments.
    Oversize {
        /// Whether it is our own answer.
        is_reply: bool,
    },
    /// The frame is as received; it waits until the kernel has found this neighbour.
    Park(NextHop),
    /// The frame ends here, because this neighbour does not answer; the kernel is asked again.
    Unreachable(NextHop),
    /// The frame ends here.
    Drop(DropReason),
}
