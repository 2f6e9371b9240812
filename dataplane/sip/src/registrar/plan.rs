//! What a REGISTER does to the bindings of its AoR: first all is checked, then all is done.

use super::contacts::{Plan, Wanted};
use super::{Asked, Done, Refused, same_uri};
use crate::location::{AorId, Binding, Contact, Location, Said, address, fits, gr, leads_to};
use crate::message::Span;
use crate::parse::uri::{Scheme, Uri};
use crate::settings::Nat;

impl Location {
    /// Says what is to be done about each Contact (RFC 3261 section 10.3 step 7).
    #[inline]
    pub(super) fn plan(
        &mut self,
        asked: &Asked<'_>,
        aor: Option<u32>,
        is_outbound: bool,
    ) -> Result<(), Refused> {
        let settings = asked.tables.registrar();
        let call = self.hash_call(asked.request.call_id());
        self.work.call = call;
        let (mut adds, mut removes, mut places, mut new_texts, mut length) = (0, 0, 0, 0, 0);
        for index in 0..self.work.wanted.len() {
            let Some(mut wanted) = self.work.wanted.get(index).copied() else { break };
            if !is_outbound {
                wanted.reg_id = 0;
            }
            if wanted.expires_s != 0 {
                if wanted.expires_s < settings.min_expires_s {
                    return Err(Refused::TooBrief);
                }
                wanted.expires_s = wanted.expires_s.min(settings.max_expires_s);
            }
            let found = aor.and_then(|aor| self.matching(asked, aor, &wanted));
            wanted.plan = self.plan_of(asked, &wanted, found, call)?;
            if let Some(slot) = found
                && index > 0
                && self.shares(slot, &mut wanted, index)?
            {
                removes -= usize::from(!self.is_over(slot));
            }
            // One that is over, and only waits for its timer, counts as none.
            let is_over = found.is_some_and(|slot| self.is_over(slot));
            match wanted.plan {
                Plan::Add => {
                    self.check_new(asked, &wanted, index)?;
                    (adds, places, new_texts) = (adds + 1, places + 1, new_texts + 1);
                    length += self.said(asked, &wanted).len();
                }
                Plan::Update { is_same: false, .. } => {
                    self.check_new(asked, &wanted, index)?;
                    (adds, new_texts) = (adds + usize::from(is_over), new_texts + 1);
                    length += self.said(asked, &wanted).len();
                }
                Plan::Update { .. } => adds += usize::from(is_over),
                Plan::Remove(_) => removes += usize::from(!is_over),
                _ => {}
            }
            if let Some(place) = self.work.wanted.get_mut(index) {
                *place = wanted;
            }
        }
        if new_texts + adds == 0 {
            return Ok(());
        }
        let bindings = aor.into_iter().flat_map(|aor| self.table.bindings_of(aor));
        let before = bindings.filter(|(slot, _)| !self.is_over(*slot)).count();
        if adds > 0 && before + adds > usize::from(settings.contacts_per_aor) + removes {
            return Err(Refused::OverLimit("Too Many Contacts"));
        }
        let limit = settings.aors_per_source;
        if aor.is_none() && limit != 0 && self.aors_of(asked.arrival.source.ip()) >= limit {
            return Err(Refused::OverLimit("Too Many AoRs From This Address"));
        }
        if aor.is_none() && core::str::from_utf8(&self.aor).is_err() {
            return Err(Refused::Malformed("User Is Not UTF-8"));
        }
        let has_room = self.has_room(aor.is_none(), places, new_texts, length);
        if has_room { Ok(()) } else { Err(Refused::Full) }
    }

    /// Two Contacts of a REGISTER may be about one binding: a phone removes the address that it had and names
    /// its new one, both of the same flow. It has been changed, then, and is not removed; two changes
    /// are refused. Gives whether an earlier Contact, which was to remove it, does nothing now.
    fn shares(&mut self, slot: u32, wanted: &mut Wanted, index: usize) -> Result<bool, Refused> {
        let earlier = self.work.wanted.iter_mut().take(index);
        let Some(earlier) = earlier.rev().find(|one| one.plan.slot() == Some(slot)) else {
            return Ok(false);
        };
        match (earlier.plan, wanted.plan) {
            (_, Plan::Remove(_)) => wanted.plan = Plan::Nothing,
            (Plan::Remove(_), _) => {
                earlier.plan = Plan::Nothing;
                return Ok(true);
            }
            _ => return Err(Refused::Malformed("Contact Named Twice")),
        }
        Ok(false)
    }

    /// Whether a binding has ended, though its timer has not fired yet.
    #[inline]
    fn is_over(&self, slot: u32) -> bool {
        self.table.binding(slot).is_some_and(|binding| binding.expires_ms <= self.now_ms)
    }

    /// What is to be done about one Contact, whose binding was found in this slot.
    #[inline]
    fn plan_of(
        &self,
        asked: &Asked<'_>,
        wanted: &Wanted,
        found: Option<u32>,
        call: u64,
    ) -> Result<Plan, Refused> {
        let Some((slot, binding)) = found.and_then(|slot| Some((slot, self.table.binding(slot)?)))
        else {
            return Ok(if wanted.expires_s == 0 { Plan::Nothing } else { Plan::Add });
        };
        let cseq = asked.request.cseq_number();
        if binding.call == call && binding.expires_ms > self.now_ms && cseq <= binding.cseq {
            // The same request again is answered again; anything else has come too late.
            let is_again = cseq == binding.cseq && wanted.expires_s != 0;
            return if is_again { Ok(Plan::Again(slot)) } else { Err(Refused::OutOfOrder) };
        }
        if wanted.expires_s == 0 {
            return Ok(Plan::Remove(slot));
        }
        let has_path = binding.path_length != 0 || !self.work.path.is_empty();
        let is_same_text =
            binding.uri == wanted.uri_hash && binding.instance == wanted.instance_hash;
        Ok(Plan::Update { slot, is_same: is_same_text && !has_path })
    }

    /// The binding that a Contact is about: of a flow the one with the same instance and reg-id (RFC 5626
    /// section 6), else the one whose URI is the same (RFC 3261 section 10.3 step 7).
    #[inline]
    fn matching(&mut self, asked: &Asked<'_>, aor: u32, wanted: &Wanted) -> Option<u32> {
        let is_flow =
            |one: &Binding| one.reg_id == wanted.reg_id && one.instance == wanted.instance_hash;
        let is_uri =
            |one: &Binding| one.uri == wanted.uri_hash && (wanted.reg_id == 0 || one.reg_id == 0);
        let is_its = |one: &Binding| if wanted.reg_id == 0 { is_uri(one) } else { is_flow(one) };
        if let Some((slot, _)) = self.table.bindings_of(aor).find(|(_, one)| is_its(one)) {
            return Some(slot);
        }
        let (bytes, uri) = (asked.request.bytes, wanted.uri);
        let mut text = core::mem::take(&mut self.work.text);
        let found = self.table.bindings_of(aor).find(|(_, one)| {
            if wanted.reg_id != 0 && one.reg_id != 0 {
                return false;
            }
            let stored = self.copy_text(one, &mut text);
            same_uri::is_same(bytes, uri, &text, stored.uri)
        });
        let found = found.map(|(slot, _)| slot);
        self.work.text = text;
        found
    }

    /// What a Contact must be that is not known yet.
    fn check_new(&self, asked: &Asked<'_>, wanted: &Wanted, index: usize) -> Result<(), Refused> {
        let bytes = asked.request.bytes;
        let uri = Uri::parse(bytes, wanted.uri)
            .filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))
            .filter(|uri| !uri.has_headers(wanted.uri));
        if uri.is_none_or(|uri| uri.params(bytes).is_none()) {
            return Err(Refused::Malformed("Contact Is No SIP URI"));
        }
        // RFC 5627 section 5.1: a GRUU cannot be bound to itself.
        let is_ours =
            |uri: Uri| asked.tables.is_ours(uri.host.of(bytes), uri.port(), asked.arrival.listen);
        if gr(bytes, wanted.uri).is_some() && uri.is_some_and(is_ours) {
            return Err(Refused::NotYours);
        }
        let is_same = |one: &Wanted| match wanted.reg_id {
            0 => one.uri_hash == wanted.uri_hash,
            id => one.instance_hash == wanted.instance_hash && one.reg_id == id,
        };
        if self.work.wanted.iter().take(index).any(is_same) {
            return Err(Refused::Malformed("Contact Named Twice"));
        }
        let fits = fits(&self.said(asked, wanted));
        if fits { Ok(()) } else { Err(Refused::Malformed("Contact Too Long")) }
    }

    /// The texts of a Contact.
    fn said<'s>(&'s self, asked: &Asked<'s>, wanted: &Wanted) -> Said<'s> {
        let bytes = asked.request.bytes;
        Said {
            uri: wanted.uri.of(bytes),
            instance: wanted.instance.of(bytes),
            path: &self.work.path,
        }
    }

    /// Does what was planned.
    #[inline]
    pub(super) fn carry_out(
        &mut self,
        asked: &Asked<'_>,
        id: AorId,
        aor: Option<u32>,
        is_outbound: bool,
    ) -> Result<Done, Refused> {
        let work = core::mem::replace(&mut self.work, super::Work::empty());
        let done = self.carry_out_with(asked, id, aor, &work);
        self.work = work;
        let (aor, has_changed) = done.ok_or(Refused::Full)?;
        let position = self.place_of(aor, has_changed, asked.tables);
        Ok(Done { aor, position: Some(position), is_outbound })
    }

    fn carry_out_with(
        &mut self,
        asked: &Asked<'_>,
        id: AorId,
        mut aor: Option<u32>,
        work: &super::Work,
    ) -> Option<(Option<u32>, bool)> {
        let (bytes, call) = (asked.request.bytes, work.call);
        let mut has_changed = false;
        for wanted in &work.wanted {
            if let Plan::Remove(slot) = wanted.plan {
                self.remove(slot);
                self.counts.removed += 1;
                has_changed = true;
            }
        }
        for wanted in &work.wanted {
            let said = Said {
                uri: wanted.uri.of(bytes),
                instance: wanted.instance.of(bytes),
                path: &work.path,
            };
            match wanted.plan {
                Plan::Update { slot, is_same } => {
                    let contact = self.contact(asked, wanted, call, is_same.then_some(slot));
                    let said = (!is_same).then_some(&said);
                    if !self.update(slot, &contact, said, asked.tables) {
                        return None;
                    }
                    self.counts.refreshed += 1;
                    has_changed = true;
                }
                Plan::Add => {
                    let contact = self.contact(asked, wanted, call, None);
                    let slot = match aor {
                        Some(slot) => slot,
                        None => self.add_aor(id, asked.arrival.source.ip())?,
                    };
                    aor = Some(slot);
                    self.add(slot, &contact, &said, asked.tables)?;
                    self.counts.registered += 1;
                    has_changed = true;
                }
                Plan::Again(_) => self.counts.retransmitted += 1,
                Plan::Nothing | Plan::Remove(_) => {}
            }
        }
        Some((aor, has_changed))
    }

    /// The binding that a Contact makes. `before` is its slot, if its texts stay as they are.
    #[inline]
    fn contact(
        &self,
        asked: &Asked<'_>,
        wanted: &Wanted,
        call: u64,
        before: Option<u32>,
    ) -> Contact {
        let (source, nat) = (asked.arrival.source, asked.tables.registrar().nat);
        let before = before.and_then(|slot| self.table.binding(slot));
        let same = before
            .filter(|one| one.nat == nat && one.reg_id == wanted.reg_id && one.source() == source);
        let has_path = asked.fields.has_path();
        Contact {
            uri: wanted.uri_hash,
            instance: wanted.instance_hash,
            reg_id: wanted.reg_id,
            q: wanted.q,
            call,
            cseq: asked.request.cseq_number(),
            expires_ms: self.now_ms + u64::from(wanted.expires_s) * 1_000,
            source,
            listen: asked.arrival.listen,
            is_flow: match same {
                Some(same) => same.is_flow,
                None => !has_path && asked.is_flow(wanted.reg_id, wanted.uri),
            },
            is_at_source: match same {
                Some(same) => same.is_at_source,
                None => leads_to(
                    wanted.uri.of(asked.request.bytes),
                    (source, asked.tables.transport_of(asked.arrival.listen)),
                    asked.tables,
                ),
            },
            nat,
        }
    }

    /// `Contact: *` (RFC 3261 section 10.3 step 6).
    pub(super) fn remove_all(
        &mut self,
        asked: &Asked<'_>,
        aor: Option<u32>,
    ) -> Result<Done, Refused> {
        let call = self.hash_call(asked.request.call_id());
        let cseq = asked.request.cseq_number();
        let mut has_changed = false;
        if let Some(aor) = aor {
            let is_late = |one: &Binding| {
                one.call == call && one.expires_ms > self.now_ms && cseq <= one.cseq
            };
            if self.table.bindings_of(aor).any(|(_, one)| is_late(one)) {
                return Err(Refused::OutOfOrder);
            }
            while let Some(slot) = self.first_binding(aor) {
                self.remove(slot);
                self.counts.removed += 1;
                has_changed = true;
            }
        }
        let position = self.place_of(aor, has_changed, asked.tables);
        Ok(Done { aor, position: Some(position), is_outbound: false })
    }
}

impl Asked<'_> {
    /// Whether a Contact without Path is reached where it registers from.
    #[inline]
    fn is_flow(&self, reg_id: u32, uri: Span) -> bool {
        match self.tables.registrar().nat {
            _ if reg_id != 0 => true,
            _ if self.tables.transport_of(self.arrival.listen).is_connection() => true,
            Nat::Always => true,
            Nat::Never => false,
            // What cannot be reached as it stands, a name or another transport, is reached so, too.
            Nat::Auto => address(self.request.bytes, uri, self.tables)
                .is_none_or(|(address, _)| address.ip() != self.arrival.source.ip()),
        }
    }
}
