//! What this worker counts of flows, for the service core.

use super::Worker;
use crate::flows::FlowCounter;
use crate::mailbox::Event;
use crate::packet_io::{Burst, PacketIo};
use crate::probe::Probe;

impl<Io: PacketIo, Pr: Probe> Worker<Io, Pr> {
    /// The same worker with counts of flows. `seed` decides which frames are looked at.
    #[must_use]
    pub fn counting_flows(mut self, seed: u64) -> Self {
        self.flows = Some(FlowCounter::new(seed));
        self
    }

    /// Counts the flows of a burst.
    #[inline]
    pub(super) fn count_flows(&mut self, port: usize, burst: &Burst<Io::Packet>) {
        if let Some(flows) = &mut self.flows {
            #[expect(clippy::cast_possible_truncation, reason = "PORTS_MAX fits a u8")]
            flows.note(port as u8, burst);
        }
    }

    /// Hands over what was counted, when it is time.
    pub(super) fn publish_flows(&mut self, now_ns: u64) {
        let Some(flows) = &mut self.flows else { return };
        // A table that did not fit would be freed here.
        if self.mailbox.has_room()
            && let Some(table) = flows.exchange(now_ns)
        {
            let _ = self.mailbox.send(Event::Flows(table));
        }
    }
}
