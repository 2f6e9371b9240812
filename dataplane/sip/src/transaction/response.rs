//! What becomes of a response that belongs to a transaction (RFC 3261 section 16.7).

use core::net::SocketAddr;

use super::compose::{self, is_challenge, rank};
use super::layer::{Around, Egress, Transactions, copy, timers};
use super::machines::{InviteClientState, Reaction};
use super::place::BranchId;
use super::record::{Branch, Client, NO_TARGET, ServerState};
use crate::message::{Method, Response, Span};
use crate::parse::cseq;
use crate::parse::header::HeaderId;
use crate::rewrite::branch::{self, hex16};
use crate::route::outcome::SipDrop;
use crate::route::response::{Ours, ResponseRoute};
use crate::route::tables::Tables;
use crate::settings::{Fork, ListenId};

/// To whom a response belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// To nobody: our branch in it is a stateless one, or it has none of ours.
    Stateless,
    /// To this branch.
    Here(BranchId),
    /// To a transaction of the worker with this number.
    Worker(u8),
    /// The branch is none that we gave.
    Forged,
    /// The branch was ours; its transaction is over, or it is about another method.
    Stale,
}

/// What becomes of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFate {
    /// It goes upstream.
    Forward(ResponseRoute),
    /// It ends here; what there is to send is in the outbox.
    Absorbed,
    /// It breaks a rule.
    Drop(SipDrop),
}

impl Transactions {
    /// Finds out to whom `response` belongs; by arithmetic, up to the look at the place that it names.
    pub fn owner(&self, response: &Response<'_>, tables: &Tables) -> Owner {
        let Ok(ours) = Ours::of(response, tables) else { return Owner::Stateless };
        let Some((place, check)) = branch::read_place(ours.branch.of(response.bytes)) else {
            return Owner::Stateless;
        };
        if hex16(tables.keys.place(place, self.boot)) != check {
            return Owner::Forged;
        }
        let (worker, id) = BranchId::unpack(place);
        if !self.is_worker(worker) {
            return Owner::Worker(worker);
        }
        if self.table.holds(id) { Owner::Here(id) } else { Owner::Stale }
    }

    /// Where the responses of a branch go, and from where.
    #[inline]
    pub fn upstream(&self, id: BranchId) -> Option<(SocketAddr, ListenId)> {
        self.table.get(id.slot).map(|found| (found.source, found.arrived_at))
    }

    /// Takes the response to a branch, which [`Self::owner`] gave for it. A response that is forwarded
    /// must be shown to [`Self::passed`] as it leaves.
    pub fn response(
        &mut self,
        id: BranchId,
        response: &Response<'_>,
        tables: &Tables,
        egress: &mut impl Egress,
    ) -> ResponseFate {
        let method = cseq(response.bytes, response.headers.value(HeaderId::CSeq));
        let Ok(method) = method.map(|cseq| Method::of(cseq.method.of(response.bytes))) else {
            return ResponseFate::Drop(SipDrop::ResponseMalformed);
        };
        let Some(record) = self.table.get(id.slot) else {
            return ResponseFate::Drop(SipDrop::ResponseStale);
        };
        let around = &mut Around { tables, egress };
        if method == Method::Cancel && record.is_invite() {
            return self.cancel_answered(id, response.status, around);
        }
        if method != record.method {
            return ResponseFate::Drop(SipDrop::ResponseStale);
        }
        let cut = match Ours::of(response, tables).and_then(|ours| ours.next(response)) {
            Ok((_, cut)) => cut,
            Err(reason) => return ResponseFate::Drop(reason),
        };
        let (now, status) = (self.now, response.status);
        let Some(branch) = self.table.branch_mut(id.slot, id.number) else {
            return ResponseFate::Drop(SipDrop::ResponseStale);
        };
        let timers = timers(tables, branch.leave_from);
        let reaction = branch.client.respond(status, now, &timers);
        let is_forwarded = match status {
            100..=199 => self.provisional(id, status, reaction, around),
            200..=299 => self.success(id, reaction, around),
            _ => self.failure(id, response, cut, reaction, around),
        };
        // Over connections the transaction may end with this very response.
        let upstream = self.upstream(id).filter(|_| is_forwarded);
        self.rearm(id.slot);
        if let Some((next_hop, listen)) = upstream {
            let is_known = usize::from(listen.0) < tables.listen_points();
            let leave_from = is_known.then_some(listen);
            return ResponseFate::Forward(ResponseRoute { next_hop, leave_from, cut });
        }
        self.counts.responses_absorbed += 1;
        ResponseFate::Absorbed
    }

    /// Keeps a response that went upstream, in two pieces, when it may have to be sent again.
    pub fn passed(&mut self, id: BranchId, status: u16, start: &[u8], rest: &[u8]) {
        let Some(record) = self.table.get_mut(id.slot) else { return };
        self.buffers.free(&mut record.response);
        // Who answers an INVITE with 2xx repeats that himself (RFC 6026 section 7.1).
        if record.is_invite() && (200..300).contains(&status) {
            return;
        }
        match self.buffers.store(start, rest) {
            Some(text) => record.response = text,
            None => self.counts.outbox_full += 1,
        }
    }

    /// RFC 3261 section 16.7 steps 2 and 5. Gives whether the response goes upstream.
    fn provisional<E: Egress>(
        &mut self,
        id: BranchId,
        status: u16,
        reaction: Reaction,
        around: &mut Around<'_, E>,
    ) -> bool {
        let Some(record) = self.table.get(id.slot) else { return false };
        let (progress, is_invite) = (record.progress, record.is_invite());
        let now = self.now;
        let Some(branch) = self.table.branch_mut(id.slot, id.number) else { return false };
        if !reaction.pass {
            return false;
        }
        if is_invite && (progress.is_cancelled || progress.is_answered || branch.is_given_up) {
            // Now that the branch has answered at all it can be cancelled (RFC 3261 section 9.1).
            self.cancel_branch(id.slot, id.number, around);
            return false;
        }
        if branch.cancel.is_none() {
            branch.limit = is_invite.then(|| now.plus(around.tables.transactions().timer_c_ms));
        }
        if status == 100 || progress.is_answered {
            return false;
        }
        let tables = around.tables;
        self.serve(id.slot, |server, at| server.respond(status, now, &timers(tables, at)));
        true
    }

    /// A 2xx: to an INVITE every one goes upstream, to others the first.
    fn success<E: Egress>(
        &mut self,
        id: BranchId,
        reaction: Reaction,
        around: &mut Around<'_, E>,
    ) -> bool {
        let Some(branch) = self.table.branch_mut(id.slot, id.number) else { return false };
        branch.limit = None;
        let Some(record) = self.table.get_mut(id.slot) else { return false };
        let is_invite = record.is_invite();
        if is_invite && matches!(record.server.state(), ServerState::Over) {
            return reaction.pass;
        }
        if !reaction.pass {
            return false;
        }
        let is_first = !core::mem::replace(&mut record.progress.is_answered, true);
        if is_first {
            self.table.unmerge(id.slot);
            let (now, tables) = (self.now, around.tables);
            self.serve(id.slot, |server, at| server.respond(200, now, &timers(tables, at)));
            self.settle(id.slot, around);
        } else if !is_invite {
            return false;
        }
        true
    }

    /// After the final response: nobody else is waited for, and nothing is sent on again.
    pub(super) fn settle<E: Egress>(&mut self, slot: u32, around: &mut Around<'_, E>) {
        self.cancel_pending(slot, around);
        // What a branch sent is needed while it may be sent again, cancelled or acknowledged.
        let is_done = |branch: &Branch| match &branch.client {
            Client::Invite(client) => client.state() == InviteClientState::Accepted,
            Client::NonInvite(_) => !branch.client.is_pending(),
            Client::Over => true,
        };
        self.free_requests(slot, is_done);
        let Some(record) = self.table.get_mut(slot) else { return };
        for text in [&mut record.best, &mut record.targets] {
            self.buffers.free(text);
        }
    }

    /// A final response other than 2xx. Gives whether it goes upstream.
    #[cold]
    fn failure<E: Egress>(
        &mut self,
        id: BranchId,
        response: &Response<'_>,
        cut: Span,
        reaction: Reaction,
        around: &mut Around<'_, E>,
    ) -> bool {
        if reaction.ack {
            self.acknowledge(id, response);
        }
        let Some(branch) = self.table.branch_mut(id.slot, id.number) else { return false };
        let (was_given_up, entry) = (branch.is_given_up, branch.entry);
        branch.limit = None;
        let Some(record) = self.table.get_mut(id.slot) else { return false };
        if !reaction.pass || record.progress.is_answered {
            return false;
        }
        let status = response.status;
        record.progress.is_declined |= status >= 600;
        let parts = [
            response.bytes.get(response.line.start()..cut.start()).unwrap_or_default(),
            response.bytes.get(cut.end()..response.body_end()).unwrap_or_default(),
        ];
        if status >= 600 {
            self.cancel_pending(id.slot, around);
        }
        if !was_given_up && self.asks_on(id.slot, (entry, status), Some(parts), around) {
            return false;
        }
        if self.is_waiting(id.slot) {
            self.keep_best(id.slot, status, Some(parts));
            return false;
        }
        self.conclude(id.slot, status, Some(parts), around)
    }

    /// Sends ACK for a final response other than 2xx; to where the request went.
    fn acknowledge(&mut self, id: BranchId, response: &Response<'_>) {
        let Some(branch) = self.table.branch(id.slot, id.number) else { return };
        if !copy(&self.buffers, branch.request, &mut self.scratch) {
            return;
        }
        let to = response.headers.value(HeaderId::To).of(response.bytes);
        let scratch = &self.scratch;
        self.outbox.push(branch.target, branch.leave_from, |out| {
            compose::hop_request(scratch.bytes(), b"ACK", Some(to), out)
        });
    }

    /// A branch has come to its end without a final response.
    #[cold]
    pub(super) fn fail<E: Egress>(
        &mut self,
        slot: u32,
        number: u8,
        status: u16,
        around: &mut Around<'_, E>,
    ) {
        let Some(branch) = self.table.branch_mut(slot, number) else { return };
        branch.limit = None;
        let (was_given_up, entry) = (branch.is_given_up, branch.entry);
        let Some(record) = self.table.get(slot) else { return };
        if record.progress.is_answered {
            return;
        }
        let status = if record.progress.is_cancelled { 487 } else { status };
        if !was_given_up && self.asks_on(slot, (entry, status), None, around) {
            return;
        }
        if self.is_waiting(slot) {
            self.keep_best(slot, status, None);
        } else {
            self.conclude(slot, status, None, around);
        }
    }

    /// Whether the final response of some branch is still waited for.
    fn is_waiting(&self, slot: u32) -> bool {
        self.table.branches(slot).any(Branch::is_pending)
    }

    /// Asks others after one, `entry` of the target set, that answered with `status`, or not at all. Gives
    /// whether somebody is asked.
    fn asks_on<E: Egress>(
        &mut self,
        slot: u32,
        (entry, status): (u8, u16),
        parts: Option<[&[u8]; 2]>,
        around: &mut Around<'_, E>,
    ) -> bool {
        let Some(record) = self.table.get(slot) else { return false };
        // Whoever sent a request other than INVITE gives up when its first branch does (RFC 4321).
        let is_too_late = !record.is_invite() && status == 408 && parts.is_none();
        if is_too_late || !record.progress.wants_others() {
            return false;
        }
        let fork = record.fork;
        if (300..400).contains(&status)
            && around.tables.transactions().recurse
            && let Some(parts) = parts
            && self.follow(slot, parts, around)
        {
            return true;
        }
        // What an instance has lost its flow with: 430 (RFC 5626 section 5.3), or silence.
        let is_flow_lost = matches!(status, 408 | 430 | 503);
        if is_flow_lost && self.ask_flow(slot, entry, around)
            || !self.is_waiting(slot) && self.ask_targets(slot, around)
        {
            self.keep_best(slot, status, parts);
            return true;
        }
        let asked = match fork {
            Fork::No if matches!(status, 408 | 503) => self.fail_over(slot, around),
            Fork::Serial | Fork::Parallel if !self.is_waiting(slot) => self.ask_tier(slot, around),
            _ => false,
        };
        if asked {
            self.keep_best(slot, status, parts);
        }
        asked
    }

    /// Keeps a final response if it is the best so far; challenges are collected (RFC 3261 section
    /// 16.7 steps 6 and 7).
    fn keep_best(&mut self, slot: u32, status: u16, parts: Option<[&[u8]; 2]>) {
        let Some(record) = self.table.get_mut(slot) else { return };
        let has_best = record.best_status != 0;
        if has_best && is_challenge(record.best_status) && is_challenge(status) {
            return self.add_challenges(slot, parts);
        }
        if has_best && rank(record.best_status) <= rank(status) {
            return;
        }
        self.buffers.free(&mut record.best);
        record.best_status = status;
        if let Some([start, rest]) = parts {
            match self.buffers.store(start, rest) {
                Some(text) => record.best = text,
                None => self.counts.outbox_full += 1,
            }
        }
    }

    fn add_challenges(&mut self, slot: u32, parts: Option<[&[u8]; 2]>) {
        let Some([_, rest]) = parts else { return };
        let Some(record) = self.table.get_mut(slot) else { return };
        if !copy(&self.buffers, record.best, &mut self.scratch) {
            return;
        }
        self.spare.clear();
        if compose::with_challenges(self.scratch.bytes(), rest, &mut self.spare).is_err() {
            return;
        }
        if let Some(text) = self.buffers.store(self.spare.bytes(), &[]) {
            self.buffers.free(&mut record.best);
            record.best = text;
        }
    }

    /// All have answered, the last one with `status`: the best response goes upstream. Gives whether
    /// that is the one in hand.
    fn conclude<E: Egress>(
        &mut self,
        slot: u32,
        status: u16,
        parts: Option<[&[u8]; 2]>,
        around: &mut Around<'_, E>,
    ) -> bool {
        let Some(record) = self.table.get(slot) else { return false };
        let has_other = record.best_status != 0;
        let is_best = !has_other
            || rank(status) < rank(record.best_status) && !is_challenge(record.best_status);
        // RFC 3261 section 16.7 step 6: others than we may well be able to serve.
        let is_flow_lost = status == 430 && record.first.entry != NO_TARGET;
        if parts.is_some() && is_best && status != 503 && !is_flow_lost {
            self.answered(slot, status, around);
            return true;
        }
        self.keep_best(slot, status, parts);
        self.send_best(slot, around);
        false
    }

    /// Sends the best response, as it was kept or one of our own.
    fn send_best<E: Egress>(&mut self, slot: u32, around: &mut Around<'_, E>) {
        let Some(record) = self.table.get_mut(slot) else { return };
        let (status, is_invite) = (record.best_status, record.is_invite());
        let is_located = record.first.entry != NO_TARGET;
        let (is_answer, is_by_path) = (!record.best.is_empty(), record.progress.is_by_path);
        if is_answer && status != 503 && !(status == 430 && is_located) {
            let best = core::mem::take(&mut record.best);
            let old = core::mem::replace(&mut record.response, best);
            let mut old = old;
            self.buffers.free(&mut old);
            self.send_response(slot);
            return self.answered(slot, status, around);
        }
        if !is_invite && status == 408 {
            // By now the client has given up too (RFC 4320 section 4.1).
            record.progress.is_answered = true;
            self.table.unmerge(slot);
            return self.settle(slot, around);
        }
        let status = match status {
            // No flow to the user is left.
            430 if is_located => 480,
            503 if is_located && !is_answer => 480,
            // RFC 5626 section 5.3: whoever has the bindings may know of another flow.
            503 if is_by_path && !is_answer => 430,
            503 => 500,
            status => status,
        };
        self.respond_ourselves(slot, status, around.tables);
        self.answered(slot, status, around);
    }

    /// Sends a final response of our own, made from the request as it was sent on.
    fn respond_ourselves(&mut self, slot: u32, status: u16, tables: &Tables) {
        let Some(record) = self.table.get(slot) else { return };
        let (key, source, arrived_at) = (record.key, record.source, record.arrived_at);
        let Some(request) =
            self.table.branches(slot).map(|branch| branch.request).find(|text| !text.is_empty())
        else {
            return;
        };
        if !copy(&self.buffers, request, &mut self.scratch) {
            return;
        }
        let (scratch, tag) = (&self.scratch, tables.keys.tag(key));
        let sent = self.outbox.push(source, arrived_at, |out| {
            compose::final_response(scratch.bytes(), status, tag, &[], out)
        });
        let Some(record) = self.table.get_mut(slot) else { return };
        self.buffers.free(&mut record.response);
        if let Some(range) = sent
            && let Some(text) = self.buffers.store(self.outbox.message(range), &[])
        {
            record.response = text;
        }
    }

    /// The final response, which is no 2xx, goes or went upstream.
    fn answered<E: Egress>(&mut self, slot: u32, status: u16, around: &mut Around<'_, E>) {
        let (now, tables) = (self.now, around.tables);
        self.serve(slot, |server, listen| server.respond(status, now, &timers(tables, listen)));
        if let Some(record) = self.table.get_mut(slot) {
            record.progress.is_answered = true;
        }
        self.table.unmerge(slot);
        self.settle(slot, around);
    }
}
