//! Frames collected for each port, and what they count as when they have left.

use super::Worker;
use crate::limits::{TX_ATTEMPTS_MAX, TX_BURST_MAX};
use crate::packet::PacketBuf;
use crate::packet_io::PacketIo;
use crate::parcel::Origin;
use crate::probe::Probe;
use crate::stats::Sent;
use control_api::DropReason;

impl<Io: PacketIo, Pr: Probe> Worker<Io, Pr> {
    /// Collects a frame for the transmit queue of `egress`; it is counted where it came `from`.
    pub(super) fn queue(&mut self, egress: u8, packet: Io::Packet, from: usize, sent: Sent) {
        let egress = usize::from(egress);
        if self.ports[egress].tx.len() == TX_BURST_MAX {
            self.flush(egress);
        }
        #[expect(clippy::cast_possible_truncation, reason = "PORTS_MAX fits a u8")]
        let origin = Origin { port: from as u8, sent };
        self.ports[egress].tx_bytes += packet.frame().len() as u64;
        self.ports[egress].tx.push(packet);
        self.ports[egress].origins.push(origin);
    }

    pub(super) fn flush_all(&mut self) {
        for port in 0..self.ports.len() {
            if !self.ports[port].tx.is_empty() {
                self.flush(port);
            }
        }
    }

    /// Sends what waits for `port`. A message counts as sent when the driver has taken it, and as
    /// dropped when the ring stays full.
    fn flush(&mut self, port: usize) {
        let mut sent = 0;
        let mut attempts = 0;
        while !self.ports[port].tx.is_empty() && attempts < TX_ATTEMPTS_MAX {
            let taken = self.io.tx_burst(port, &mut self.ports[port].tx);
            attempts = if taken == 0 { attempts + 1 } else { 0 };
            sent += taken;
        }
        let left: u64 =
            self.ports[port].tx.drain(..).map(|packet| packet.frame().len() as u64).sum();
        let offered = core::mem::take(&mut self.ports[port].tx_bytes);
        self.ports[port].counters.transmitted.add(sent as u64);
        self.ports[port].counters.transmitted_bytes.add(offered - left);
        let origins = core::mem::take(&mut self.ports[port].origins);
        for (index, origin) in origins.into_iter().enumerate() {
            let counters = self.counters_of(origin.port.into());
            if index < sent {
                counters.count_sent(origin.sent);
            } else {
                counters.drop_unsent(origin.sent, DropReason::TxRingFull);
            }
        }
    }
}
