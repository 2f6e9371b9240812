//! A destination set at work: which member takes a request, also while members come and go.
//!
//! A stateless proxy has to send an INVITE, its retransmissions, its CANCEL and its ACK to one place
//! (RFC 3261 section 16.11), and all it has is a hash. When members come, go or change weight, the
//! hash gives some calls another member, and an INVITE that left before meets its CANCEL after it.
//! So a set knows for the life of a transaction how it chose before, and the worker remembers the
//! choices that neither way of choosing gives:
//!
//! ```text
//!   ──── INVITE a ──┬─ change ─────────┬──────────────────────────────────┬──────► time
//!                   │ settling         │ window                           │
//!   hash only       │ remembered ─────────────────► as remembered         │ hash only
//!                   │ both hashes give one member ─► that one             │
//!                   │ else ACK and CANCEL, as of a ─► as before           │
//!                   │ else as before,  │ else as now,                     │
//!                   │ remembered       │ remembered                       │
//! ```
//!
//! Settling is for retransmissions: one of an INVITE that left just before the change cannot be
//! told from a new INVITE, so for a few seconds both go as before. A member that is down gets
//! nothing, whatever went to it before. Several changes in one window are one: what counts is how the
//! set chose before the first of them, which is how everything went that is not remembered.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use hashbrown::HashMap;

use super::choices::{self, Choices};
use super::dispatch::{Candidate, Dispatcher, GONE};
use super::loads::NOT_ASKED;
use super::outcome::Reply;
use crate::limits::{MEMBERS_MAX, SETTLE_MS, SETTLE_MS_MAX, TRANSACTION_SECONDS_MAX};
use crate::message::{Method, Request};
use crate::parse::header::HeaderId;
use crate::parse::name_addr::NameAddr;
use crate::settings::{DestinationSet, HashKey, Member, MemberState, Transport};

/// A destination set, prepared for choosing.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    dispatcher: Dispatcher,
    hash: HashKey,
    /// Whether hash and dispatcher are all there is to a choice.
    is_plain: bool,
    /// Index in the settings.
    index: u16,
    has_capacities: bool,
    /// Whether its members are asked to say how much less they want.
    asks: bool,
    before: Option<Before>,
    /// Every member, by its index.
    members: Arc<[Candidate]>,
    settings: Arc<DestinationSet>,
}

/// How a set chose before it was changed.
#[derive(Clone, Debug)]
struct Before {
    dispatcher: Dispatcher,
    hash: HashKey,
    /// Members that left the settings in the window.
    gone: Arc<[Candidate]>,
    /// When the last change of the window was.
    changed_ms: u64,
    /// When the first change was since which it has not settled.
    unsettled_ms: u64,
}

/// What a choice depends on beside the set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// What stands for the transaction in the memory of choices.
    pub(super) transaction: u64,
    /// Whether it follows another request: ACK and CANCEL.
    pub(super) follows: bool,
    /// Whether it counts against the capacity: it opens a dialog.
    pub(super) opens_dialog: bool,
    /// Whether a member that wants fewer may be spared it: it opens something (RFC 7339 section 5.10.1).
    pub(super) is_new: bool,
}

impl Asked {
    /// By a request of the call with this hash.
    pub(super) fn by(request: &Request<'_>, call: u64) -> Self {
        let to = request.headers.value(HeaderId::To);
        let to = NameAddr::parse(request.bytes, to.start(), to.end());
        let has_tag = to.is_some_and(|to| !to.tag.is_empty());
        let follows = matches!(request.method, Method::Ack | Method::Cancel);
        Self {
            transaction: choices::transaction(call, request.headers.cseq_number),
            follows,
            opens_dialog: request.method.opens_dialog() && !has_tag,
            is_new: !has_tag && !follows && request.method != Method::Bye,
        }
    }
}

impl Set {
    /// The set with this index; capacities are counted in slots from `first_slot` on, and what members say of their
    /// load is remembered in the places of those that are `asked`.
    pub(super) fn new(
        index: u16,
        settings: &DestinationSet,
        first_slot: u16,
        asked: &HashMap<SocketAddr, u16>,
        is_own: impl Fn(SocketAddr) -> bool,
    ) -> Self {
        let load = |member: &Member| {
            let place = asked.get(&member.address).filter(|_| settings.overload_control);
            place.copied().unwrap_or(NOT_ASKED)
        };
        let members = settings.members.iter().scan(first_slot, |slot, member| {
            let own = *slot;
            *slot += u16::from(member.capacity > 0);
            Some((own, member))
        });
        let members: Arc<[_]> = (0_u16..)
            .zip(members)
            .map(|(index, (slot, member))| {
                Candidate::new(index, member, slot, load(member), is_own(member.address))
            })
            .collect();
        Self {
            dispatcher: Dispatcher::new(settings.algorithm, &members, &settings.members),
            hash: settings.hash,
            is_plain: true,
            index,
            has_capacities: settings.members.iter().any(|member| member.capacity > 0),
            asks: settings.overload_control,
            before: None,
            members,
            settings: Arc::new(settings.clone()),
        }
        .with_before(None)
    }

    /// The set as it is from `now_ms` on, after it was `before`.
    pub(super) fn after(self, before: &Self, now_ms: u64) -> Self {
        let open = before.before.as_ref().filter(|open| open.is_open(now_ms));
        let chooses_alike =
            before.dispatcher.chooses_as(&self.dispatcher) && before.hash == self.hash;
        let kept = match open {
            Some(open) if chooses_alike => Some(open.clone()),
            Some(open) => Some(open.clone().changed_again(now_ms)),
            None if chooses_alike => None,
            None => Some(Before {
                dispatcher: before.dispatcher.clone(),
                hash: before.hash,
                changed_ms: now_ms,
                unsettled_ms: now_ms,
                gone: Arc::default(),
            }),
        };
        let kept = kept.map(|kept| Before {
            dispatcher: kept.dispatcher.renumbered(&self.members),
            gone: self.gone(kept.gone.iter().chain(&*before.members)),
            ..kept
        });
        self.with_before(kept)
    }

    /// The set with other states of members, by their index.
    pub(super) fn with_states(
        &self,
        states: impl Iterator<Item = (u16, MemberState)>,
        now_ms: u64,
    ) -> Self {
        let mut settings = DestinationSet::clone(&self.settings);
        for (index, state) in states {
            if let Some(member) = settings.members.get_mut(usize::from(index)) {
                member.state = state;
            }
        }
        let dispatcher = Dispatcher::new(settings.algorithm, &self.members, &settings.members);
        let settings = Arc::new(settings);
        Self { dispatcher, settings, before: None, ..self.clone() }.after(self, now_ms)
    }

    /// Those of `members`, each once, that are not among ours; no more than a set can have.
    fn gone<'a>(&self, members: impl Iterator<Item = &'a Candidate>) -> Arc<[Candidate]> {
        let mut gone: Vec<Candidate> = Vec::new();
        for member in members {
            let is_same = |other: &Candidate| other.address == member.address;
            if !self.members.iter().any(is_same) && !gone.iter().any(is_same) {
                let mut member = *member;
                member.index = GONE;
                gone.push(member);
            }
        }
        gone.drain(..gone.len().saturating_sub(MEMBERS_MAX));
        gone.into()
    }

    fn with_before(mut self, before: Option<Before>) -> Self {
        let is_told_by_hash = !self.has_capacities && !self.dispatcher.takes_turns();
        self.is_plain = before.is_none() && is_told_by_hash && !self.asks;
        self.before = before;
        self
    }

    /// The settings, with the states of the members.
    pub(super) fn settings(&self) -> &DestinationSet {
        &self.settings
    }

    /// Whether its members are asked to say how much less they want.
    #[inline]
    pub(crate) fn asks(&self) -> bool {
        self.asks
    }

    /// Whether we are one of its members.
    pub(super) fn has_own_member(&self) -> bool {
        self.members.iter().any(|one| one.is_own)
    }

    /// Whether [`Self::choose`] is all there is to it.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The member that the hash of a request gives; nothing is remembered or counted.
    #[inline]
    pub(super) fn choose(&self, key: impl FnOnce(HashKey) -> u64) -> Option<&Candidate> {
        self.dispatcher.choose(|| key(self.hash))
    }

    /// Another member for a call, by its hash, when those that were `tried` did not take it.
    pub(crate) fn choose_other(
        &self,
        call: u64,
        tried: impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let other = self.dispatcher.choose_free(call, |one| !one.is_own && !tried(one.address));
        other.map(|one| one.address)
    }

    /// The heaviest of the first tier that has a member which was not `tried`.
    pub(crate) fn untried(&self, tried: impl Fn(SocketAddr) -> bool) -> Option<SocketAddr> {
        self.dispatcher.untried(tried)
    }

    /// What a member is spoken to over.
    pub(crate) fn transport_to(&self, member: SocketAddr) -> Transport {
        let found = self.members.iter().find(|one| one.address == member);
        found.map_or(Transport::Udp, |one| one.transport)
    }

    /// Whether two members are of the same tier.
    pub(crate) fn is_same_tier(&self, one: SocketAddr, other: SocketAddr) -> bool {
        let tier = |at| self.members.iter().find(|one| one.address == at).map(Candidate::tier);
        tier(one) == tier(other)
    }

    /// The member for a request, by hash and by what is remembered.
    #[cold]
    pub(super) fn choose_remembering(
        &self,
        asked: Asked,
        mut key: impl FnMut(HashKey) -> u64,
        choices: &mut Choices,
    ) -> Result<&Candidate, Reply> {
        let now = self.dispatcher.choose(|| key(self.hash));
        let before = self.before.as_ref().filter(|before| before.is_open(choices.now_ms()));
        let is_told_by_hash = !(self.has_capacities
            || self.dispatcher.takes_turns()
            || self.asks && choices.has_strays());
        if before.is_none() && is_told_by_hash {
            return now.ok_or(Reply::NoDestination);
        }
        let remembered = choices.find(asked.transaction).and_then(|id| self.alive(id));
        if let Some(member) = remembered {
            return Ok(member);
        }
        let had = before.and_then(|before| before.choose(&mut key));
        let is_same = before.is_none() || had.map(Candidate::id) == now.map(Candidate::id);
        let had = had.filter(|had| self.is_alive(had));
        if asked.follows || is_same && is_told_by_hash {
            return had.or(now).ok_or(Reply::NoDestination);
        }
        let settles = before.is_some_and(|before| before.settles(choices.now_ms()));
        let chosen = match had {
            Some(had) if settles && !is_same => had,
            _ => self.admit(asked, now, || key(self.hash), choices)?,
        };
        choices.record(asked.transaction, chosen.id());
        Ok(chosen)
    }

    /// A member for a new request: the one by turn or hash, or the next that has room and wants no fewer.
    fn admit<'s>(
        &'s self,
        asked: Asked,
        by_hash: Option<&'s Candidate>,
        key: impl FnOnce() -> u64,
        choices: &mut Choices,
    ) -> Result<&'s Candidate, Reply> {
        let by_turn = self.dispatcher.turn(|| choices.turn(self.index));
        let first = by_turn.or(by_hash).ok_or(Reply::NoDestination)?;
        let is_kept = asked.is_new && choices.keeps_from(first, asked.transaction);
        if !is_kept && (!asked.opens_dialog || choices.take(first.capacity)) {
            return Ok(first);
        }
        let is_free = |one: &Candidate| choices.has_room(one.capacity) && !choices.is_reduced(one);
        let next = self.dispatcher.choose_free(key(), is_free);
        if is_kept {
            choices.count_kept(first, next.is_some());
        }
        let refusal = if is_kept { Reply::DestinationOverloaded } else { Reply::Unavailable };
        let next = next.ok_or(refusal)?;
        if asked.opens_dialog {
            choices.take(next.capacity);
        }
        Ok(next)
    }

    /// The member that is remembered by this id, unless it is down.
    fn alive(&self, id: u32) -> Option<&Candidate> {
        let gone = self.before.iter().flat_map(|before| &*before.gone);
        let known = self.members.iter().chain(gone);
        known.into_iter().find(|member| member.id() == id).filter(|member| self.is_alive(member))
    }

    /// Whether a member answers. One that the settings no longer have is being drained.
    fn is_alive(&self, member: &Candidate) -> bool {
        let settings = self.settings.members.get(usize::from(member.index));
        settings.is_none_or(|member| member.state.is_alive())
    }
}

impl Before {
    fn changed_again(self, now_ms: u64) -> Self {
        let unsettled_ms = if self.settles(now_ms) { self.unsettled_ms } else { now_ms };
        Self { changed_ms: now_ms, unsettled_ms, ..self }
    }

    /// Whether a transaction may still run that was sent by it.
    fn is_open(&self, now_ms: u64) -> bool {
        now_ms < self.changed_ms + TRANSACTION_SECONDS_MAX * 1000
    }

    /// Whether what looks new may be a retransmission of what was sent by it.
    fn settles(&self, now_ms: u64) -> bool {
        now_ms < (self.changed_ms + SETTLE_MS).min(self.unsettled_ms + SETTLE_MS_MAX)
    }

    /// The member that it gave to a request, which nobody knows when it took turns.
    fn choose(&self, key: impl FnOnce(HashKey) -> u64) -> Option<&Candidate> {
        let has_hash = !self.dispatcher.takes_turns();
        if has_hash { self.dispatcher.choose(|| key(self.hash)) } else { None }
    }
}

#[cfg(test)]
mod tests;
