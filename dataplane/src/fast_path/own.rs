//! Messages of our own, which transactions have made, and the time that makes them.

use super::stateful::Ways;
use super::{FastPath, Scratch};
use crate::decode::Datagram;
use crate::encode::{Egress, encode};
use crate::fib::{AdjacencyCache, Fib, Lookup, NextHop};
use crate::mailbox::Epoch;
use crate::packet::PacketBuf;
use crate::parcel::{Parcel, WorkerParcels};
use crate::verdict::OwnVerdict;
use capsule_ffi::prefetch;
use control_api::DropReason;
use sip_core::{
    Digest, DigestCounts, ListenPoint, Location, Names, Outbox, Outgoing, Oversize, QuotedBranch,
    TransactionCounts, Transactions,
};

impl FastPath {
    /// Gets room for transactions, which it has none of before.
    pub fn give_transactions(&mut self, transactions: Transactions) {
        self.scratch.transactions = transactions;
    }

    /// Gets room for bindings, which it has none of before. `epoch_ms` is the time since 1970, in
    /// milliseconds, at the zero of the clock.
    pub fn give_location(&mut self, location: Location, epoch_ms: u64) {
        (self.scratch.location, self.epoch_ms) = (location, epoch_ms);
    }

    /// Gets a memory of nonces and failures, which it has none of before.
    pub fn give_digest(&mut self, digest: Digest) {
        self.scratch.digest = digest;
    }

    /// Gets a memory of where host names lead, which it has none of before.
    pub fn give_names(&mut self, names: Names) {
        self.scratch.names = names;
    }

    /// Where host names lead.
    #[inline]
    pub fn names(&mut self) -> &mut Names {
        &mut self.scratch.names
    }

    /// The bindings.
    #[inline]
    pub fn location(&mut self) -> &mut Location {
        &mut self.scratch.location
    }

    /// Whether there are transactions or bindings, or may soon be: timers run, and siblings hand messages
    /// over.
    #[inline]
    pub fn keeps_state(&self) -> bool {
        !self.scratch.transactions.is_empty()
            || self
                .epoch
                .as_ref()
                .is_some_and(|epoch| epoch.tables.has_transactions() || epoch.tables.has_location())
    }

    /// Looks at a message of a burst that is about to be processed; after the last of them
    /// [`Self::look_ahead`].
    #[inline]
    pub fn foresee(&mut self, frame: &[u8], datagram: &Datagram) {
        let Some(epoch) = &self.epoch else { return };
        let message = &frame[datagram.payload.clone()];
        let fetch = prefetch::<u8>;
        if let Some(listen) = epoch.tables.listen_id(datagram.target) {
            let Scratch { transactions, location, digest, .. } = &mut self.scratch;
            if epoch.tables.has_location() && message.starts_with(b"REGISTER ") {
                location.foresee(message, fetch);
                if let Some(credentials) = &self.credentials {
                    digest.foresee(message, credentials, &epoch.tables);
                }
            } else {
                transactions.foresee(message, listen, &epoch.tables, fetch);
                // Those that mostly stand outside of dialogs, and go to a user.
                let is_located =
                    message.starts_with(b"INVITE ") || message.starts_with(b"MESSAGE ");
                if is_located && epoch.tables.has_location() {
                    location.foresee(message, fetch);
                }
            }
        }
        self.look_on();
    }

    /// Asks memory for more of what the messages looked at will need: to be called before each of them but the
    /// first is taken.
    #[inline]
    pub fn look_on(&mut self) {
        self.scratch.location.look_on(prefetch::<u8>);
    }

    /// Asks memory for what the messages looked at will need, so many of them.
    #[inline]
    pub fn look_ahead(&mut self, messages: usize) {
        self.scratch.transactions.look_ahead(prefetch::<u8>);
        self.scratch.location.look_ahead(messages, prefetch::<u8>);
        if let Some(credentials) = &self.credentials {
            self.scratch.digest.look_ahead(credentials);
        }
    }

    /// What became of those who were asked for credentials.
    pub fn digest_counts(&self) -> DigestCounts {
        self.scratch.digest.counts()
    }

    /// What is counted of transactions.
    pub fn transaction_counts(&self) -> TransactionCounts {
        self.scratch.transactions.counts()
    }

    /// Runs at most `budget` timers that are due; the time has been said. Gives whether more are due.
    pub fn expire(&mut self, budget: u32) -> bool {
        let (Some(epoch), Some(fib)) = (&self.epoch, &self.fib) else { return false };
        let tables = &epoch.tables;
        let Scratch { transactions, location, choices, .. } = &mut self.scratch;
        let is_behind = transactions.expire(budget, tables, &mut Ways { tables, fib, choices });
        location.expire(budget, tables) || is_behind
    }

    /// An ICMP error quotes this branch of a request of ours.
    #[cold]
    pub fn unreachable(&mut self, quoted: QuotedBranch) {
        let (Some(epoch), Some(fib)) = (&self.epoch, &self.fib) else { return };
        let tables = &epoch.tables;
        let Scratch { transactions, location, choices, .. } = &mut self.scratch;
        if let Some(lost) = transactions.unreachable_flow(quoted, tables) {
            location.forget_flow(&lost, tables);
        }
        transactions.unreachable(quoted, tables, &mut Ways { tables, fib, choices });
    }

    /// The next hop of the request just processed, when it does not answer and the request went, or will
    /// go, elsewhere.
    pub fn take_failed(&mut self) -> Option<NextHop> {
        self.scratch.failed.take()
    }

    /// Whether messages of our own wait to be sent.
    #[inline]
    pub fn has_own_messages(&self) -> bool {
        self.scratch.transactions.has_outgoing() || self.scratch.location.has_outgoing()
    }

    /// Makes the frame of the next message of our own in a new packet. On `Elsewhere` the message stays:
    /// [`Self::pack_own`] or [`Self::discard_own`] comes next.
    pub fn make_own<P: PacketBuf>(&mut self, packet: &mut P) -> OwnVerdict {
        let verdict = self.encode_own(packet);
        if verdict != OwnVerdict::Elsewhere {
            self.discard_own();
        }
        verdict
    }

    fn encode_own<P: PacketBuf>(&mut self, packet: &mut P) -> OwnVerdict {
        let (Some(epoch), Some(fib)) = (&self.epoch, &self.fib) else {
            return OwnVerdict::Drop(DropReason::NoEpoch);
        };
        let Scratch { transactions, location, adjacencies, egress, .. } = &mut self.scratch;
        let Some(own) = outbox(transactions, location).first() else {
            return OwnVerdict::Drop(DropReason::NoRoute);
        };
        encode_alone(packet, &own, (epoch, fib), adjacencies, egress)
    }

    /// Puts the message of an `Elsewhere` verdict into a parcel, and forgets it.
    ///
    /// # Errors
    /// As [`WorkerParcels::load`].
    pub fn pack_own(&mut self, parcels: &mut WorkerParcels) -> Result<Parcel, DropReason> {
        let Scratch { transactions, location, egress, .. } = &mut self.scratch;
        let own = outbox(transactions, location).take().ok_or(DropReason::NoRoute)?;
        parcels.load(egress, own.message, &[])
    }

    /// Forgets the next message of our own.
    pub fn discard_own(&mut self) {
        let Scratch { transactions, location, .. } = &mut self.scratch;
        let _ = outbox(transactions, location).take();
    }
}

/// Those of transactions leave first.
fn outbox<'o>(transactions: &'o mut Transactions, location: &'o mut Location) -> &'o mut Outbox {
    if transactions.has_outgoing() { transactions.outbox() } else { location.outbox() }
}

/// Makes the frame of a message for which nothing was received just now.
pub(super) fn encode_alone<P: PacketBuf>(
    packet: &mut P,
    message: &Outgoing<'_>,
    (epoch, fib): (&Epoch, &Fib),
    adjacencies: &mut AdjacencyCache,
    egress: &mut Egress,
) -> OwnVerdict {
    let target = message.target;
    let ListenPoint { address: mut source, transport } =
        *epoch.tables.listen_point(message.leave_from);
    if transport.is_connection() {
        let is_on_flow = message.message.starts_with(b"SIP/2.0 ");
        *egress = Egress { source, target, transport, is_on_flow, ..*egress };
        return OwnVerdict::Elsewhere;
    }
    let adjacency = match adjacencies.lookup(fib, target.ip()) {
        Ok(adjacency) => *adjacency,
        Err(Lookup::Unresolved(next_hop) | Lookup::Failed(next_hop)) => {
            return OwnVerdict::NoNeighbour(next_hop);
        }
        Err(_) => return OwnVerdict::Drop(DropReason::NoRoute),
    };
    if source.is_ipv4() != target.is_ipv4() {
        // The listen points have changed since.
        let Some(listen) = epoch.tables.listen_for(transport, adjacency.source, source.port())
        else {
            return OwnVerdict::Drop(DropReason::NoListenPoint);
        };
        source = epoch.tables.listen_point(listen).address;
    }
    *egress = Egress { source, target, transport, is_on_flow: false, adjacency };
    match encode(packet, message.message, 0..0, egress) {
        Ok(()) => OwnVerdict::Send { port: egress.adjacency.port },
        Err(DropReason::EgressTooLarge) if epoch.oversize == Oversize::Fragment => {
            OwnVerdict::Elsewhere
        }
        Err(reason) => OwnVerdict::Drop(reason),
    }
}
