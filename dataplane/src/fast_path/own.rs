//! Messages of our own, which transactions have made.

use super::FastPath;
use crate::packet::PacketBuf;
use crate::parcel::Parcel;
use crate::verdict::OwnVerdict;
use control_api::DropReason;

impl FastPath {
    /// Whether there are transactions, or may soon be: timers run, and siblings hand messages over.
    #[inline]
    pub fn has_transactions(&self) -> bool {
        false
    }

    /// Runs at most `budget` timers that are due; the time has been said. Gives whether more are due.
    pub fn expire(&mut self, _budget: u32) -> bool {
        false
    }

    /// Whether messages of our own wait to be sent.
    #[inline]
    pub fn has_own_messages(&self) -> bool {
        false
    }

    /// Makes the frame of the next message of our own in a new packet. On `Oversize` the message stays:
    /// [`Self::pack_own`] or [`Self::discard_own`] comes next.
    pub fn make_own<P: PacketBuf>(&mut self, _packet: &mut P) -> OwnVerdict {
        OwnVerdict::Drop(DropReason::NoEpoch)
    }

    /// Puts the message of an `Oversize` verdict into a parcel. Gives false when it does not fit; it is
    /// forgotten then.
    pub fn pack_own(&mut self, _parcel: &mut Parcel) -> bool {
        false
    }

    /// Forgets the next message of our own.
    pub fn discard_own(&mut self) {}
}
