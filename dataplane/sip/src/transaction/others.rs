//! Others who can be asked: members of the destination set, and the target set.

use core::mem::replace;
use core::net::SocketAddr;

use super::branches::Asked;
use super::compose;
use super::layer::{Around, Egress, Transactions, copy};
use super::place::BranchId;
use super::record::{NO_SET, NO_TARGET};
use super::target_set::{self, TARGETS_MAX, Target};
use crate::location::Targets;
use crate::message::Span;
use crate::names::NameTarget;
use crate::parse::error::ParseErrorKind;
use crate::parse::uri::Uri;
use crate::rewrite::output::Output;
use crate::route::set::Set;
use crate::route::tables::Tables;
use crate::route::target;
use crate::settings::{Fork, Transport};

/// The number that all addresses of a name share.
const HOPS_GROUP: u8 = 1;

impl Transactions {
    /// Tries another member of the destination set, when that has one and it has not been too many.
    #[cold]
    pub(super) fn fail_over<E: Egress>(&mut self, slot: u32, around: &mut Around<'_, E>) -> bool {
        loop {
            let Some(record) = self.table.get(slot) else { return false };
            let (branches, attempts) = (record.branches, around.tables.transactions().attempts);
            if branches >= attempts {
                return false;
            }
            let Some(set) = around.tables.set(record.set).filter(|_| record.set != NO_SET) else {
                return false;
            };
            let Some((request, _)) = self.kept_request(slot) else { return false };
            let call = around.tables.keys.call(compose::call_id(request));
            let is_new = set.asks() && compose::is_new(request);
            let is_out =
                |one| self.was_asked(slot, one) || is_new && around.egress.holds_back(one, call);
            let Some(target) = set.choose_other(call, is_out) else {
                return false;
            };
            self.counts.failed_over += 1;
            // The one that is asked now counts, too.
            let has_others = branches + 1 < attempts;
            match self.ask(
                slot,
                (NO_TARGET, &Target::member(target, set.transport_to(target))),
                has_others,
                around,
            ) {
                Asked::Yes => return true,
                Asked::NoWay => {}
                Asked::NoRoom => return false,
            }
        }
    }

    /// Asks the same member by UDP, when the request went over TCP for its length alone and nobody takes TCP there
    /// (RFC 3261 section 18.1.1).
    #[cold]
    pub(super) fn ask_by_udp<E: Egress>(
        &mut self,
        failed: BranchId,
        around: &mut Around<'_, E>,
    ) -> bool {
        let Some(record) = self.table.get(failed.slot) else { return false };
        let Some(branch) = self.table.branch(failed.slot, failed.number) else { return false };
        let (tables, to) = (around.tables, branch.target);
        let is_by_tcp = tables.transport_of(branch.leave_from) == Transport::Tcp;
        let set = tables.set(record.set).filter(|_| record.set != NO_SET);
        let is_for_length = set.is_some_and(|set| set.transport_to(to) == Transport::Udp);
        if !is_by_tcp || !is_for_length || !record.progress.wants_others() {
            return false;
        }
        let has_others =
            record.fork == Fork::No && record.branches + 1 < tables.transactions().attempts;
        let target = Target::member(to, Transport::Udp);
        matches!(self.ask(failed.slot, (NO_TARGET, &target), has_others, around), Asked::Yes)
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
        let spared = self.call_to_spare(slot, set, around.tables);
        let holds_back = |one, egress: &E| spared.is_some_and(|call| egress.holds_back(one, call));
        // Whoever is asked counts as tried, so that each turn finds another one.
        while let Some(target) =
            set.untried(|one| self.was_asked(slot, one) || holds_back(one, around.egress))
        {
            if tier_of.is_some_and(|one| !set.is_same_tier(one, target)) {
                break;
            }
            match self.ask(
                slot,
                (NO_TARGET, &Target::member(target, set.transport_to(target))),
                false,
                around,
            ) {
                Asked::Yes if fork == Fork::Serial => return true,
                Asked::Yes => (is_asked, tier_of) = (true, Some(target)),
                Asked::NoWay => {}
                Asked::NoRoom => break,
            }
        }
        is_asked
    }

    /// The hash of the call of a request that members may be spared when they want fewer.
    fn call_to_spare(&mut self, slot: u32, set: &Set, tables: &Tables) -> Option<u64> {
        if !set.asks() {
            return None;
        }
        let (request, _) = self.kept_request(slot)?;
        compose::is_new(request).then(|| tables.keys.call(compose::call_id(request)))
    }

    /// Takes note of the target set of a request that was located: the first of `targets` is the branch
    /// that was just opened, and `lines` the length of the header lines that are its own.
    pub fn offer(&mut self, id: BranchId, targets: &Targets, lines: usize, tables: &Tables) {
        let Some(record) = self.table.get_mut(id.slot) else { return };
        record.first.lines = u16::try_from(lines).unwrap_or(0);
        record.first.entry = 0;
        record.asked = 1;
        if targets.len() > 1 {
            self.offer_others(id, targets, tables);
        }
    }

    /// Takes note of the others of a target set.
    fn offer_others(&mut self, id: BranchId, targets: &Targets, tables: &Tables) {
        let group = targets.get(0).map_or(0, |first| first.group);
        let shares = |index| targets.get(index).is_some_and(|one| one.group == group);
        let has_others = group != 0 && (1..targets.len()).any(shares);
        let all = (0..targets.len().min(TARGETS_MAX)).filter_map(|index| targets.target(index));
        self.keep_targets(id, all, has_others, tables);
    }

    /// Takes note of the addresses of a name, of which the first is the branch that was just opened: when one fails
    /// the next is asked (RFC 3263 section 4.3), as with the flows of one instance.
    pub fn offer_hops(&mut self, id: BranchId, hops: &[NameTarget], tables: &Tables) {
        let most = usize::from(tables.transactions().attempts).min(TARGETS_MAX);
        let hops = hops.get(..most).unwrap_or(hops);
        let Some(record) = self.table.get_mut(id.slot).filter(|_| hops.len() > 1) else { return };
        record.first.entry = 0;
        record.asked = 1;
        let target = |hop: &NameTarget| Target {
            group: HOPS_GROUP,
            ..Target::member(hop.address, hop.transport)
        };
        self.keep_targets(id, hops.iter().map(target), true, tables);
    }

    /// Keeps a target set; with `has_others` somebody is asked in place of the first when that one is silent.
    fn keep_targets<'t>(
        &mut self,
        id: BranchId,
        mut targets: impl Iterator<Item = Target<'t>>,
        has_others: bool,
        tables: &Tables,
    ) {
        let mut text = super::buffers::Text::NONE;
        self.spare.clear();
        let fits = targets.try_for_each(|target| target_set::push(&target, &mut self.spare));
        if fits.is_ok() {
            text = self.buffers.store(self.spare.bytes(), &[]).unwrap_or_default();
        }
        self.counts.outbox_full += u64::from(text.is_empty());
        let Some(method) = self.table.get(id.slot).map(|record| record.method) else { return };
        let limit = self.patience(method, has_others, tables);
        let Some(record) = self.table.get_mut(id.slot) else { return };
        record.targets = text;
        if record.first.is_pending() {
            record.first.limit = limit;
        }
    }

    /// Follows a redirection, without our Via in two pieces: its Contacts join the target set.
    pub(super) fn follow<E: Egress>(
        &mut self,
        slot: u32,
        [start, rest]: [&[u8]; 2],
        around: &mut Around<'_, E>,
    ) -> bool {
        let Some((request, lines)) = self.kept_request(slot) else { return false };
        // With a Route another Request-URI would go the same way again.
        if compose::has_route(request, lines) {
            return false;
        }
        self.scratch.clear();
        if self.scratch.push(start).and_then(|()| self.scratch.push(rest)).is_err() {
            return false;
        }
        let Some(record) = self.table.get(slot) else { return false };
        let old = record.targets;
        self.spare.clear();
        let has_old = !old.is_empty() && self.buffers.copy_to(old, &mut self.spare).is_ok();
        // Without a target set the destination set was asked, and has no numbers in it.
        let mut count = if has_old { target_set::each(self.spare.bytes()).count() } else { 0 };
        let before = count;
        let response = self.scratch.bytes();
        let mut found = Output::empty();
        core::mem::swap(&mut found, &mut self.spare);
        compose::each_contact(response, |contact| {
            let hop = target_of(response, contact.uri, around.tables);
            let Some((next_hop, transport)) = hop.filter(|hop| !self.was_asked(slot, hop.0)) else {
                return;
            };
            let uri = contact.uri.of(response);
            let target = Target { q: contact.q, uri, ..Target::member(next_hop, transport) };
            if count < TARGETS_MAX && target_set::push(&target, &mut found).is_ok() {
                count += 1;
            }
        });
        core::mem::swap(&mut found, &mut self.spare);
        if count == before {
            return false;
        }
        let Some(text) = self.buffers.store(self.spare.bytes(), &[]) else { return false };
        let Some(record) = self.table.get_mut(slot) else { return false };
        let mut old = replace(&mut record.targets, text);
        if !has_old {
            record.asked = 0;
        }
        self.buffers.free(&mut old);
        self.ask_targets(slot, around)
    }

    /// Asks those of the target set that are as good as the first, which has just been asked.
    pub(super) fn ask_beside_first<E: Egress>(&mut self, slot: u32, around: &mut Around<'_, E>) {
        self.with_targets(slot, |this, text| {
            let first = target_set::each(text).next();
            first.is_some_and(|(_, first)| this.ask_those_of(slot, text, first.q, around))
        });
    }

    /// Asks those of the target set that come next: all of the highest q that were not asked. Gives
    /// whether somebody is.
    pub(super) fn ask_targets<E: Egress>(&mut self, slot: u32, around: &mut Around<'_, E>) -> bool {
        self.with_targets(slot, |this, text| {
            loop {
                let Some(asked) = this.table.get(slot).map(|record| record.asked) else {
                    return false;
                };
                let is_free = |number: u8, target: &Target<'_>| {
                    let is_taken = |(other, one): (u8, Target<'_>)| {
                        one.group == target.group && asked & 1 << other != 0
                    };
                    asked & 1 << number == 0
                        && (target.group == 0 || !target_set::each(text).any(is_taken))
                };
                let free = target_set::each(text).filter(|(number, one)| is_free(*number, one));
                let Some(q) = free.map(|(_, target)| target.q).max() else { return false };
                if this.ask_those_of(slot, text, q, around) {
                    return true;
                }
            }
        })
    }

    /// Asks the targets of this q, of each group one.
    fn ask_those_of<E: Egress>(
        &mut self,
        slot: u32,
        text: &[u8],
        q: u16,
        around: &mut Around<'_, E>,
    ) -> bool {
        let mut is_asked = false;
        for (number, target) in target_set::each(text).filter(|(_, target)| target.q == q) {
            let Some(record) = self.table.get(slot) else { return is_asked };
            let asked = record.asked;
            let shares = |(other, one): &(u8, Target<'_>)| {
                *other != number && target.group != 0 && one.group == target.group
            };
            let others = || target_set::each(text).filter(shares);
            let is_taken = others().any(|(other, _)| asked & 1 << other != 0);
            if asked & 1 << number != 0 || is_taken {
                continue;
            }
            let has_others = others().next().is_some();
            is_asked |= self.ask_target(slot, number, &target, has_others, around);
        }
        is_asked
    }

    /// A flow or an address of a name has failed: asks another one of its instance (RFC 5626 section 5.3) or name (RFC
    /// 3263 section 4.3).
    #[cold]
    pub(super) fn ask_flow<E: Egress>(
        &mut self,
        slot: u32,
        failed: u8,
        around: &mut Around<'_, E>,
    ) -> bool {
        if failed == NO_TARGET {
            return false;
        }
        self.with_targets(slot, |this, text| {
            let failed = target_set::each(text).find(|(number, _)| *number == failed);
            let Some(group) = failed.map(|(_, target)| target.group).filter(|group| *group != 0)
            else {
                return false;
            };
            for (number, target) in target_set::each(text).filter(|(_, one)| one.group == group) {
                let Some(asked) = this.table.get(slot).map(|record| record.asked) else {
                    return false;
                };
                if asked & 1 << number == 0 && this.ask_target(slot, number, &target, true, around)
                {
                    this.counts.failed_over += 1;
                    return true;
                }
            }
            false
        })
    }

    fn ask_target<E: Egress>(
        &mut self,
        slot: u32,
        number: u8,
        target: &Target<'_>,
        has_others: bool,
        around: &mut Around<'_, E>,
    ) -> bool {
        let asked = self.ask(slot, (number, target), has_others, around);
        if let Some(record) = self.table.get_mut(slot) {
            record.asked |= 1 << number;
        }
        matches!(asked, Asked::Yes)
    }

    /// Reads the target set of a request beside its transaction.
    fn with_targets(&mut self, slot: u32, act: impl FnOnce(&mut Self, &[u8]) -> bool) -> bool {
        let Some(record) = self.table.get(slot) else { return false };
        let mut list = replace(&mut self.spare, Output::empty());
        let done = copy(&self.buffers, record.targets, &mut list) && act(self, list.bytes());
        self.spare = list;
        done
    }
}

/// Where a request to the URI of a Contact goes; none for those that need DNS or another transport, or
/// that are ourselves.
fn target_of(bytes: &[u8], span: Span, tables: &Tables) -> Option<(SocketAddr, Transport)> {
    let uri = Uri::parse(bytes, span)?;
    let params = uri.params(bytes)?;
    let hop = target::next_hop(bytes, &uri, &params, tables, ParseErrorKind::RequestUri).ok()?;
    let hop = hop.address()?;
    (!tables.is_listen_address(hop.0) && !uri.has_headers(span)).then_some(hop)
}
