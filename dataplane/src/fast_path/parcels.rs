//! The SIP stages for messages that go through the kernel: the same decisions, another buffer.

use super::stateful::Remember;
use super::{FastPath, Outgoing, Scratch, Way};
use crate::decode::Datagram;
use crate::encode::{Egress, encode};
use crate::packet::PacketBuf;
use crate::parcel::{PAYLOAD_MAX, Parcel, WorkerParcels};
use crate::probe::Probe;
use crate::verdict::Verdict;
use control_api::DropReason;
use sip_core::Oversize;

impl FastPath {
    /// Takes a message from the kernel, or from a connection, to the end of the rewriting; a neighbour that is not
    /// known does not stop it, since it may leave through the kernel again. Gives whether the parcel now holds our own reply.
    ///
    /// # Errors
    /// The verdict, when the message ends here or belongs to another worker.
    #[cold]
    pub fn process_parcel(
        &mut self,
        parcel: &mut Parcel,
        probe: &mut impl Probe,
    ) -> Result<bool, Verdict> {
        let (Some(epoch), Some(fib)) = (&self.epoch, &self.fib) else {
            return Err(Verdict::Drop(DropReason::NoEpoch));
        };
        let (source, target) = (parcel.source, parcel.target);
        if source.port() == 0 {
            return Err(Verdict::Drop(DropReason::PortZero));
        }
        let (datagram, transport) =
            (Datagram { source, target, payload: 0..parcel.message().len() }, parcel.transport);
        let (tables, oversize) = (&epoch.tables, epoch.oversize);
        let credentials = self.credentials.as_deref();
        let datagram = &datagram;
        let way = Way { tables, fib, credentials, datagram, transport, oversize, by_kernel: true };
        self.scratch.remember = Remember::Nothing;
        let outgoing = way.decide(parcel.message(), &mut self.scratch, probe)?;
        self.scratch.make_parcel(parcel, &outgoing, &way)
    }

    /// The port by which the message that [`Self::process_parcel`] has made just now may leave as a frame; none
    /// when it goes over a connection, has to be fragmented, or its neighbour is not known: the kernel asks for that.
    pub fn frame_port(&self, parcel: &Parcel) -> Option<u8> {
        let egress = &self.scratch.egress;
        let fits = !egress.transport.is_connection()
            && egress.adjacency.is_resolved()
            && parcel.message().len() <= egress.message_max();
        fits.then_some(egress.adjacency.port)
    }

    /// Makes a frame of that message in a new packet.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn frame_parcel<P: PacketBuf>(
        &self,
        packet: &mut P,
        parcel: &Parcel,
    ) -> Result<(), DropReason> {
        let Scratch { egress, checksums, .. } = &self.scratch;
        encode(packet, parcel.message(), 0..0, egress, *checksums)
    }

    /// Puts the message of an `Elsewhere` verdict into a parcel.
    ///
    /// # Errors
    /// As [`WorkerParcels::load`].
    #[cold]
    pub fn pack<P: PacketBuf>(
        &self,
        packet: &P,
        parcels: &mut WorkerParcels,
    ) -> Result<Parcel, DropReason> {
        let Scratch { egress, prefix, kept, .. } = &self.scratch;
        parcels.load(egress, prefix.bytes(), &packet.frame()[kept.clone()])
    }
}

impl Scratch {
    /// Makes the outgoing message in the parcel of the incoming one; gives whether it is our reply.
    fn make_parcel(
        &mut self,
        parcel: &mut Parcel,
        outgoing: &Outgoing,
        way: &Way<'_>,
    ) -> Result<bool, Verdict> {
        let fits = match *outgoing {
            Outgoing::Reply => parcel.fill(self.prefix.bytes(), &[]),
            Outgoing::Edited { end } => {
                self.edits.patch(parcel.message_mut());
                self.prefix.clear();
                let emitted = self.edits.emit_prefix(parcel.message(), &mut self.prefix);
                let replaced = emitted.map_err(|_| Verdict::Drop(DropReason::EgressTooLarge))?;
                let kept = replaced..end.max(replaced);
                if let Some(verdict) = self.remember(&parcel.message()[kept.clone()], way) {
                    return Err(verdict);
                }
                parcel.begin_anew(self.prefix.bytes(), kept)
            }
        };
        let is_connection = self.egress.transport.is_connection();
        if !fits
            || !is_connection && is_too_large(parcel.message().len(), &self.egress, way.oversize)
        {
            return Err(Verdict::Drop(DropReason::EgressTooLarge));
        }
        parcel.set_egress(&self.egress);
        Ok(matches!(outgoing, Outgoing::Reply))
    }
}

/// Whether a message of this length has no way out, not even in fragments.
pub(super) fn is_too_large(length: usize, egress: &Egress, oversize: Oversize) -> bool {
    length
        > match oversize {
            Oversize::Fragment => PAYLOAD_MAX,
            Oversize::Refuse => egress.message_max(),
        }
}
