//! Flows on which requests do not arrive any more (RFC 5626 sections 5.3, 6 and 11.6).

use core::net::SocketAddr;

use super::layer::{Transactions, copy};
use super::place::{BranchId, QuotedBranch};
use super::record::NO_TARGET;
use crate::route::tables::Tables;
use crate::settings::ListenId;

/// A flow of a binding that is no more.
#[derive(Clone, Copy, Debug)]
pub struct LostFlow<'a> {
    /// The request as it was sent to the binding.
    pub(crate) request: &'a [u8],
    /// Where it was sent, and from where.
    pub(crate) next_hop: SocketAddr,
    pub(crate) leave_from: ListenId,
    /// It is lost between an edge proxy and the client, not on the way to `next_hop`.
    pub(crate) is_beyond: bool,
}

impl Transactions {
    /// The flow of the binding that a branch went to, which somebody on the way says is no more: 430.
    #[cold]
    pub fn failed_flow(&mut self, id: BranchId) -> Option<LostFlow<'_>> {
        self.flow(id, true)
    }

    /// The flow of the binding that a branch went to, of which ICMP says that nobody is there.
    #[cold]
    pub fn unreachable_flow(
        &mut self,
        quoted: QuotedBranch,
        tables: &Tables,
    ) -> Option<LostFlow<'_>> {
        let id = quoted.verified(tables, self.boot)?;
        self.flow(id, false)
    }

    fn flow(&mut self, id: BranchId, is_beyond: bool) -> Option<LostFlow<'_>> {
        let is_there = self.table.holds(id);
        let branch = self.table.branch(id.slot, id.number).filter(|_| is_there)?;
        let is_located = branch.entry != NO_TARGET;
        let (text, next_hop, leave_from) = (branch.request, branch.target, branch.leave_from);
        if !is_located || !copy(&self.buffers, text, &mut self.scratch) {
            return None;
        }
        Some(LostFlow { request: self.scratch.bytes(), next_hop, leave_from, is_beyond })
    }
}
