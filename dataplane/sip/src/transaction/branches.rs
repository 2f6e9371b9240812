//! Branches: one more that the request goes on, and those that nobody waits for any more.

use core::net::SocketAddr;

use super::buffers::Text;
use super::compose::{self, NewBranch};
use super::layer::{Around, Egress, Transactions, copy, timers};
use super::machines::NonInviteClient;
use super::place::BranchId;
use super::record::{Branch, Client};
use super::response::ResponseFate;
use super::target_set::Target;
use crate::limits::BRANCHES_MAX;
use crate::rewrite::flow::push_target_lines;
use crate::rewrite::output::Output;
use crate::settings::Transport;

impl Transactions {
    /// The client has cancelled its INVITE (RFC 3261 section 16.10).
    #[cold]
    pub(super) fn cancel<E: Egress>(&mut self, slot: u32, around: &mut Around<'_, E>) {
        let Some(record) = self.table.get_mut(slot) else { return };
        if !record.progress.is_answered {
            record.progress.is_cancelled = true;
            self.cancel_pending(slot, around);
        }
    }

    /// Cancels every branch that is still waited for: at once, or when it has said anything.
    pub(super) fn cancel_pending<E: Egress>(&mut self, slot: u32, around: &mut Around<'_, E>) {
        let branches = self.table.get(slot).map_or(0, |found| found.branches);
        for number in 0..branches {
            self.cancel_branch(slot, number, around);
        }
    }

    /// Sends CANCEL on a branch that has answered provisionally (RFC 3261 section 9.1), once.
    pub(super) fn cancel_branch<E: Egress>(
        &mut self,
        slot: u32,
        number: u8,
        around: &mut Around<'_, E>,
    ) {
        let now = self.now;
        let Some(branch) = self.table.branch_mut(slot, number) else { return };
        let timers = timers(around.tables, branch.leave_from);
        if !branch.is_proceeding() || branch.cancel.is_some() {
            return;
        }
        branch.cancel = Some(NonInviteClient::sent(now, &timers));
        // Whoever is silent after that counts as cancelled (RFC 3261 section 9.1).
        branch.limit = Some(now.plus(64 * timers.t1));
        self.counts.cancelled += 1;
        self.send_cancel(slot, number);
    }

    pub(super) fn send_cancel(&mut self, slot: u32, number: u8) {
        let Some(branch) = self.table.branch(slot, number) else { return };
        if !copy(&self.buffers, branch.request, &mut self.scratch) {
            return;
        }
        let scratch = &self.scratch;
        self.outbox.push(branch.target, branch.leave_from, |out| {
            compose::hop_request(scratch.bytes(), b"CANCEL", None, out)
        });
    }

    /// The response to our CANCEL, which says nothing about the INVITE.
    #[cold]
    pub(super) fn cancel_answered<E: Egress>(
        &mut self,
        id: BranchId,
        status: u16,
        around: &mut Around<'_, E>,
    ) -> ResponseFate {
        let now = self.now;
        if let Some(branch) = self.table.branch_mut(id.slot, id.number)
            && let Some(cancel) = &mut branch.cancel
        {
            let timers = timers(around.tables, branch.leave_from);
            if status < 200 {
                cancel.provisional(&timers);
            } else {
                cancel.last(now, &timers);
            }
        }
        self.counts.responses_absorbed += 1;
        self.rearm(id.slot);
        ResponseFate::Absorbed
    }

    /// Sends the request on a new branch to `target`, which is `entry` of its target set;
    /// `has_others` when somebody else can be asked in place of it.
    pub(super) fn ask<E: Egress>(
        &mut self,
        slot: u32,
        (entry, target): (u8, &Target<'_>),
        has_others: bool,
        around: &mut Around<'_, E>,
    ) -> Asked {
        let tables = around.tables;
        let Some(record) = self.table.get(slot) else { return Asked::NoRoom };
        if usize::from(record.branches) >= BRANCHES_MAX || !self.table.has_more() {
            return Asked::NoRoom;
        }
        let (method, arrived_at) = (record.method, record.arrived_at);
        let generation = record.generation;
        let Some((request, old_lines)) = self.kept(slot) else { return Asked::NoRoom };
        let own = if target.transport == Transport::Udp { self.via_port(tables) } else { None };
        let port = own.unwrap_or_else(|| tables.listen_point(arrived_at).address.port());
        let way = around.egress.listen_towards(target.next_hop, target.transport, port, arrived_at);
        let leave_from = target.leave_from.or(way).unwrap_or(arrived_at);
        let records_route = tables.records_route() && method.opens_dialog();
        let lines = tables.top_lines(leave_from, arrived_at, records_route);
        if !copy(&self.buffers, request, &mut self.scratch) {
            return Asked::NoRoom;
        }
        let timers = timers(tables, leave_from);
        let client = match way {
            Some(_) => Client::sent(method, self.now, &timers),
            None => Client::Over,
        };
        let limit = self.patience(method, has_others, tables);
        let next_hop = target.next_hop;
        let added = Branch { client, limit, leave_from, entry, target: next_hop, ..Branch::FREE };
        let Some(number) = self.table.add_branch(slot, added) else { return Asked::NoRoom };
        if way.is_none() {
            if let Some(branch) = self.table.branch_mut(slot, number) {
                branch.limit = None;
            }
            return Asked::NoWay;
        }
        let branch = self.branch_text(BranchId { slot, number, generation }, tables);
        let request = self.scratch.bytes();
        let call = records_route.then(|| tables.keys.call(compose::call_id(request)));
        let new = NewBranch { old_lines, lines, branch, call, uri: target.uri };
        let mut length = 0;
        let sent = self.outbox.push(target.next_hop, leave_from, |out: &mut Output| {
            let own = |out: &mut Output| {
                push_target_lines(target, records_route, [leave_from, arrived_at], tables, out)
            };
            length = compose::branch_request(request, &new, own, out)?;
            Ok(())
        });
        let kept = sent.and_then(|range| self.buffers.store(self.outbox.message(range), &[]));
        self.counts.outbox_full += u64::from(kept.is_none());
        if let (Some(branch), Some(text)) = (self.table.branch_mut(slot, number), kept) {
            (branch.request, branch.lines) = (text, u16::try_from(length).unwrap_or(0));
        }
        Asked::Yes
    }

    /// Whether a branch of the request goes there.
    pub(super) fn was_asked(&self, slot: u32, target: SocketAddr) -> bool {
        self.table.branches(slot).any(|branch| branch.target == target)
    }

    /// The request as it was sent on some branch, and the length of our lines in it.
    fn kept(&self, slot: u32) -> Option<(Text, usize)> {
        let mut kept = self.table.branches(slot).filter(|branch| !branch.request.is_empty());
        kept.next().map(|branch| (branch.request, usize::from(branch.lines)))
    }

    /// The same, copied into the scratch.
    pub(super) fn kept_request(&mut self, slot: u32) -> Option<(&[u8], usize)> {
        let (text, lines) = self.kept(slot)?;
        copy(&self.buffers, text, &mut self.scratch).then(|| (self.scratch.bytes(), lines))
    }
}

/// What became of the wish to ask somebody.
pub(super) enum Asked {
    Yes,
    /// There is no way to him.
    NoWay,
    /// The request has too many branches, or there is no room for another one.
    NoRoom,
}
