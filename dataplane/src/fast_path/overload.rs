//! What is not taken: too much of one source, before it is read, and new work that is more than can be done.

use super::{FastPath, Outgoing, Scratch, Way};
use crate::limits::BURST_MAX;
use crate::verdict::Verdict;
use control_api::DropReason;
use core::net::IpAddr;
use sip_core::{Arrival, Ban, Excess, Judgement, Overload};
use smallvec::SmallVec;

/// At most one for each message of a burst.
pub(super) type Bans = SmallVec<[Ban; BURST_MAX]>;

impl FastPath {
    /// Gets room for the buckets of sources, which it has none of before.
    pub fn give_overload(&mut self, overload: Overload) {
        self.scratch.overload = overload;
    }

    /// What is known of the load, and of those who make it.
    #[inline]
    pub fn overload(&mut self) -> &mut Overload {
        &mut self.scratch.overload
    }

    /// Says what time it is, before the messages of a burst are taken.
    #[inline]
    pub fn set_load_time(&mut self, now_ns: u64) {
        if let Some(epoch) = &self.epoch {
            self.scratch.overload.set_time(now_ns, &epoch.tables);
        }
    }

    /// Takes note of a message from `source`, before it is read.
    ///
    /// # Errors
    /// Why it is dropped.
    #[inline]
    pub fn admit(&mut self, source: IpAddr, now_ns: u64) -> Result<(), DropReason> {
        let Some(epoch) = &self.epoch else { return Ok(()) };
        let admitted = self.scratch.overload.admit(source, &epoch.tables, now_ns);
        admitted.map_err(|excess| match excess {
            Excess::Rate => DropReason::SourceRate,
            Excess::Banned => DropReason::SourceBanned,
            Excess::NewlyBanned(ban) => {
                if self.scratch.bans.len() < BURST_MAX {
                    self.scratch.bans.push(ban);
                }
                DropReason::SourceBanned
            }
        })
    }

    /// Whether new work is dropped before its source is looked at.
    #[inline]
    pub fn skims_first(&self) -> bool {
        let tables = self.epoch.as_ref().map(|epoch| &epoch.tables);
        tables.is_some_and(|tables| self.scratch.overload.skims_first(tables))
    }

    /// Looks at the beginning of a message that came by UDP: whether it is new work that is dropped without an answer.
    ///
    /// # Errors
    /// That it is.
    #[inline]
    pub fn skim(&mut self, message: &[u8]) -> Result<(), DropReason> {
        let Some(epoch) = &self.epoch else { return Ok(()) };
        if self.scratch.overload.skims(message, &epoch.tables) {
            return Err(DropReason::Overload);
        }
        Ok(())
    }

    /// The next source that was banned since the last call.
    #[inline]
    pub fn take_ban(&mut self) -> Option<Ban> {
        self.scratch.bans.pop()
    }
}

impl Way<'_> {
    /// What becomes of a message that is not taken; `None` for one that is.
    #[inline]
    pub(super) fn shed(
        &self,
        message: &[u8],
        arrival: &Arrival,
        scratch: &mut Scratch,
    ) -> Option<Result<Outgoing, Verdict>> {
        let judgement = scratch.overload.judge(message, self.transport, self.tables);
        match judgement {
            Judgement::Take => None,
            Judgement::Drop => Some(Err(Verdict::Drop(DropReason::Overload))),
            Judgement::Acknowledged => Some(Err(Verdict::Absorb)),
            Judgement::Answer { .. } => {
                let reply = judgement.reply()?;
                Some(self.reply(message, reply, arrival, scratch))
            }
        }
    }
}
