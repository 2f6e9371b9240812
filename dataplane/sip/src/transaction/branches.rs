//! Other branches: who else is asked, and who is told that nobody waits for him any more.

use core::net::SocketAddr;

use smallvec::SmallVec;

use super::compose::{self, NewBranch};
use super::layer::{Around, Egress, Transactions, copy, timers};
use super::machines::{NonInviteClient, Transport};
use super::place::BranchId;
use super::record::{Branch, Client, NO_SET};
use super::response::ResponseFate;
use crate::limits::{BRANCHES_MAX, URI_MAX};
use crate::message::Span;
use crate::parse::error::ParseErrorKind;
use crate::parse::uri::Uri;
use crate::rewrite::output::Output;
use crate::route::tables::Tables;
use crate::route::target;
use crate::settings::Fork;

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
        let (now, timers) = (self.now, timers(around.tables));
        let Some(branch) = self.table.branch_mut(slot, number) else { return };
        if !branch.is_proceeding() || branch.cancel.is_some() {
            return;
        }
        branch.cancel = Some(NonInviteClient::sent(now, &timers, Transport::Unreliable));
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
        let (now, timers) = (self.now, timers(around.tables));
        if let Some(branch) = self.table.branch_mut(id.slot, id.number)
            && let Some(cancel) = &mut branch.cancel
        {
            if status < 200 {
                cancel.provisional(&timers);
            } else {
                cancel.last(now, &timers, Transport::Unreliable);
            }
        }
        self.counts.responses_absorbed += 1;
        self.rearm(id.slot);
        ResponseFate::Absorbed
    }

    /// Tries another member of the destination set, when that has one and it has not been too many.
    #[cold]
    pub(super) fn fail_over<E: Egress>(&mut self, slot: u32, around: &mut Around<'_, E>) -> bool {
        loop {
            let Some(record) = self.table.get(slot) else { return false };
            if record.branches >= around.tables.transactions().attempts {
                return false;
            }
            let Some(set) = around.tables.set(record.set).filter(|_| record.set != NO_SET) else {
                return false;
            };
            let Some(request) = self.kept_request(slot) else { return false };
            let call = around.tables.keys.call(compose::call_id(request));
            let Some(target) = set.choose_other(call, |one| self.was_asked(slot, one)) else {
                return false;
            };
            self.counts.failed_over += 1;
            match self.ask(slot, target, None, around) {
                Asked::Yes => return true,
                Asked::NoWay => {}
                Asked::NoRoom => return false,
            }
        }
    }

    /// Asks those members of the destination set that come next: all of a tier, or with serial forks
    /// the heaviest. Gives whether somebody is asked.
    pub(super) fn ask_tier<E: Egress>(&mut self, slot: u32, around: &mut Around<'_, E>) -> bool {
        let Some(record) = self.table.get(slot) else { return false };
        let (fork, set) = (record.fork, around.tables.set(record.set));
        let Some(set) = set.filter(|_| record.set != NO_SET) else { return false };
        // The first branch of a parallel fork brings in the others of its tier, and no more.
        let opens = fork == Fork::Parallel && record.branches == 1 && record.first.is_pending();
        let mut tier_of = opens.then_some(record.first.target);
        let mut is_asked = false;
        // Whoever is asked counts as tried, so that each turn finds another one.
        while let Some(target) = set.untried(|one| self.was_asked(slot, one)) {
            if tier_of.is_some_and(|one| !set.is_same_tier(one, target)) {
                break;
            }
            match self.ask(slot, target, None, around) {
                Asked::Yes if fork == Fork::Serial => return true,
                Asked::Yes => (is_asked, tier_of) = (true, Some(target)),
                Asked::NoWay => {}
                Asked::NoRoom => break,
            }
        }
        is_asked
    }

    /// Follows a redirection, without our Via in two pieces: asks the Contacts of the highest q.
    pub(super) fn follow<E: Egress>(
        &mut self,
        slot: u32,
        [start, rest]: [&[u8]; 2],
        around: &mut Around<'_, E>,
    ) -> bool {
        let Some(request) = self.kept_request(slot) else { return false };
        // With a Route another Request-URI would go the same way again.
        if compose::has_route(request) {
            return false;
        }
        let Some(record) = self.table.get_mut(slot) else { return false };
        if !record.redirect.is_empty() {
            return false;
        }
        let Some(text) = self.buffers.store(start, rest) else { return false };
        (record.redirect, record.redirect_q) = (text, u16::MAX);
        self.follow_on(slot, around)
    }

    /// Asks the Contacts of the redirection that is followed which come next.
    pub(super) fn follow_on<E: Egress>(&mut self, slot: u32, around: &mut Around<'_, E>) -> bool {
        loop {
            let Some(record) = self.table.get_mut(slot) else { return false };
            let below = record.redirect_q;
            if !copy(&self.buffers, record.redirect, &mut self.scratch) {
                return false;
            }
            let mut next = None;
            compose::each_contact(self.scratch.bytes(), |contact| {
                if contact.q < below {
                    next = next.max(Some(contact.q));
                }
            });
            let Some(q) = next else {
                self.buffers.free(&mut record.redirect);
                return false;
            };
            record.redirect_q = q;
            let mut targets: SmallVec<[(SocketAddr, Span); 8]> = SmallVec::new();
            let bytes = self.scratch.bytes();
            compose::each_contact(bytes, |contact| {
                if contact.q == q
                    && targets.len() < targets.inline_size()
                    && let Some(target) = target_of(bytes, contact.uri, around.tables)
                {
                    targets.push((target, contact.uri));
                }
            });
            let redirect = record.redirect;
            let mut is_asked = false;
            for (target, uri) in targets {
                if self.was_asked(slot, target) || !copy(&self.buffers, redirect, &mut self.scratch)
                {
                    continue;
                }
                let mut text = [0; URI_MAX];
                let uri = uri.of(self.scratch.bytes());
                let Some(text) = text.get_mut(..uri.len()) else { continue };
                text.copy_from_slice(uri);
                match self.ask(slot, target, Some(text), around) {
                    Asked::Yes => is_asked = true,
                    Asked::NoWay => {}
                    Asked::NoRoom => return is_asked,
                }
            }
            if is_asked {
                return true;
            }
        }
    }

    /// Sends the request on a new branch.
    fn ask<E: Egress>(
        &mut self,
        slot: u32,
        target: SocketAddr,
        uri: Option<&[u8]>,
        around: &mut Around<'_, E>,
    ) -> Asked {
        let tables = around.tables;
        let Some(record) = self.table.get(slot) else { return Asked::NoRoom };
        if usize::from(record.branches) >= BRANCHES_MAX || !self.table.has_more() {
            return Asked::NoRoom;
        }
        let (method, arrived_at) = (record.method, record.arrived_at);
        let (set, fork, branches) = (record.set, record.fork, record.branches + 1);
        let generation = record.generation;
        let Some(from) = self.table.branches(slot).find(|branch| !branch.request.is_empty()) else {
            return Asked::NoRoom;
        };
        let (request, old_lines) = (from.request, usize::from(from.lines));
        let port = tables.listen_point(arrived_at).address.port();
        let way = around.egress.listen_towards(target, port);
        let leave_from = way.unwrap_or(arrived_at);
        let records_route = tables.records_route() && method.opens_dialog();
        let lines = tables.top_lines(leave_from, arrived_at, records_route);
        if !copy(&self.buffers, request, &mut self.scratch) {
            return Asked::NoRoom;
        }
        let timers = timers(tables);
        let client = match way {
            Some(_) => Client::sent(method, self.now, &timers),
            None => Client::Over,
        };
        let limit = self.patience(method, set, fork, branches, tables);
        let added = Branch { client, limit, leave_from, target, ..Branch::FREE };
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
        let new = NewBranch { old_lines, lines, branch, call, uri };
        let sent = self.outbox.push(target, leave_from, |out: &mut Output| {
            compose::branch_request(request, &new, out)
        });
        let length = u16::try_from(lines.text(branch).len()).unwrap_or(0);
        let kept = sent.and_then(|range| self.buffers.store(self.outbox.message(range), &[]));
        self.counts.outbox_full += u64::from(kept.is_none());
        if let (Some(branch), Some(text)) = (self.table.branch_mut(slot, number), kept) {
            (branch.request, branch.lines) = (text, length);
        }
        Asked::Yes
    }

    /// Whether a branch of the request goes there.
    fn was_asked(&self, slot: u32, target: SocketAddr) -> bool {
        self.table.branches(slot).any(|branch| branch.target == target)
    }

    /// The request as it was sent on some branch; it lies in the scratch.
    fn kept_request(&mut self, slot: u32) -> Option<&[u8]> {
        let kept = self.table.branches(slot).map(|branch| branch.request);
        let text = kept.into_iter().find(|text| !text.is_empty())?;
        copy(&self.buffers, text, &mut self.scratch).then(|| self.scratch.bytes())
    }
}

/// What became of the wish to ask somebody.
enum Asked {
    Yes,
    /// There is no way to him.
    NoWay,
    /// The request has too many branches, or there is no room for another one.
    NoRoom,
}

/// Where a request to the URI of a Contact goes; none for those that need DNS or another transport, or
/// that are ourselves.
fn target_of(bytes: &[u8], span: Span, tables: &Tables) -> Option<SocketAddr> {
    let uri = Uri::parse(bytes, span)?;
    let params = uri.params(bytes)?;
    let target = target::next_hop(bytes, &uri, &params, tables, ParseErrorKind::RequestUri).ok()?;
    (tables.listen_id(target).is_none() && !uri.has_headers(span)).then_some(target)
}
