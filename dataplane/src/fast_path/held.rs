//! Answers to REGISTER that wait for the store.

use super::own::encode_alone;
use super::{FastPath, Scratch};
use crate::held_replies::HeldReplies;
use crate::packet::PacketBuf;
use crate::parcel::Parcel;
use crate::verdict::OwnVerdict;
use control_api::DropReason;

impl FastPath {
    /// Gets room for answers that wait, which it has none of before.
    pub fn give_held_replies(&mut self, held: HeldReplies) {
        self.scratch.held = held;
    }

    /// The answers that wait.
    #[inline]
    pub fn held_replies(&mut self) -> &mut HeldReplies {
        &mut self.scratch.held
    }

    /// Makes the frame of the oldest answer that may leave. It stays.
    pub fn make_held<P: PacketBuf>(&mut self, packet: &mut P) -> OwnVerdict {
        let (Some(epoch), Some(fib)) = (&self.epoch, &self.fib) else {
            return OwnVerdict::Drop(DropReason::NoEpoch);
        };
        let Scratch { held, adjacencies, egress, .. } = &mut self.scratch;
        let Some(reply) = held.first() else { return OwnVerdict::Drop(DropReason::NoRoute) };
        encode_alone(packet, &reply, (epoch, fib), adjacencies, egress)
    }

    /// Puts that answer, when it is larger than the MTU, into a parcel. Gives false when it does not fit.
    pub fn pack_held(&mut self, parcel: &mut Parcel) -> bool {
        let Scratch { held, egress, .. } = &self.scratch;
        (parcel.source, parcel.target) = (egress.source, egress.target);
        held.first().is_some_and(|reply| parcel.fill(reply.message, &[]))
    }
}
