//! Taking in what was stored.

use super::aor::{AorId, AorOwner};
use super::binding::{Binding, Contact};
use super::counts::LoadCounts;
use super::layer::Location;
use super::locate::leads_to;
use super::record::{BadRecord, BindingView, Record, records};
use super::texts::Said;
use crate::limits::CONTACTS_MAX;
use crate::route::tables::Tables;
use crate::settings::ListenId;

impl Location {
    /// Takes in records of AoRs of this worker. Bindings that are over are left out; an AoR that has no
    /// others is put into the queue of changes, so that the store forgets it. An AoR that is there already gets
    /// what the record says; once requests are answered it keeps, beside that, what phones have said, and
    /// of two states of one binding the one that ends later counts.
    ///
    /// # Errors
    /// When the bytes are no records: what stands before the first bad one is taken in.
    pub fn load(&mut self, bytes: &[u8], tables: &Tables) -> Result<LoadCounts, BadRecord> {
        let mut counts = LoadCounts::default();
        for record in records(bytes) {
            self.load_record(&record?, tables, &mut counts);
        }
        Ok(counts)
    }

    /// Replaces the bindings of AoRs of this worker by those of these records, which other appliances have changed;
    /// without a binding that is alive the AoR is forgotten. The store knows all that. An AoR with a change that the
    /// store has not been given is left as it is, and says so with that change.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn replace(&mut self, bytes: &[u8], tables: &Tables) -> Result<(), BadRecord> {
        for record in records(bytes) {
            self.replace_record(&record?, tables);
        }
        Ok(())
    }

    fn replace_record(&mut self, record: &Record<'_>, tables: &Tables) {
        self.aor.clear();
        self.aor.extend_from_slice(record.aor().as_bytes());
        let id = AorId::of(&self.keys.aor, &self.aor);
        if self.owner(id) != AorOwner::Here {
            return;
        }
        let found = self.table.find(id);
        if let Some(aor) = found.and_then(|slot| self.table.aor_mut(slot))
            && aor.is_changed
        {
            aor.has_passed = true;
            return;
        }
        while let Some(old) = found.and_then(|slot| self.first_binding(slot)) {
            self.remove(old);
        }
        // Read twice instead of collected: nothing is allocated here.
        let now = self.unix_ms;
        let alive = || record.bindings().filter(|binding| binding.expires_unix_ms > now);
        let slot = match (found, alive().next()) {
            (None, Some(binding)) => self.add_aor(id, binding.source.ip()),
            (found, _) => found,
        };
        let Some(slot) = slot else { return };
        for binding in alive() {
            self.load_binding(slot, &binding, tables);
        }
        if self.first_binding(slot).is_none() {
            self.forget(slot);
        }
    }

    fn load_record(&mut self, record: &Record<'_>, tables: &Tables, counts: &mut LoadCounts) {
        self.aor.clear();
        self.aor.extend_from_slice(record.aor().as_bytes());
        let id = AorId::of(&self.keys.aor, &self.aor);
        if self.owner(id) != AorOwner::Here {
            counts.foreign += 1;
            return;
        }
        let first = record.bindings().next();
        let found = self.table.find(id);
        let slot = match (found, first) {
            (Some(slot), _) => Some(slot),
            (None, None) => return,
            (None, Some(binding)) => self.add_aor(id, binding.source.ip()),
        };
        let Some(slot) = slot else {
            counts.refused += 1;
            return;
        };
        let is_merged = self.is_ready() && self.first_binding(slot).is_some();
        while !is_merged && let Some(old) = self.first_binding(slot) {
            self.remove(old);
        }
        let mut is_whole = true;
        for binding in record.bindings() {
            if binding.expires_unix_ms <= self.unix_ms {
                counts.expired += 1;
            } else if (is_merged && self.outlives(slot, &binding))
                || self.load_binding(slot, &binding, tables)
            {
                counts.bindings += 1;
            } else {
                is_whole = false;
            }
        }
        counts.refused += u64::from(!is_whole);
        match self.table.aor(slot) {
            Some(aor) if aor.bindings > 0 => {
                counts.aors += 1;
                if is_merged {
                    self.changed(slot, tables); // The store has less.
                }
            }
            Some(aor) if is_whole || aor.is_changed => _ = self.changed(slot, tables),
            // What finds no room stays in the store.
            _ => self.forget(slot),
        }
    }

    /// Whether an AoR has this binding and will have it for no shorter; an older state of it is removed.
    fn outlives(&mut self, slot: u32, stored: &BindingView<'_>) -> bool {
        let (uri, instance) = (self.hash_uri(stored.uri), self.hash_instance(stored.instance));
        let is_same = |one: &Binding| match (instance, stored.reg_id) {
            (0, _) | (_, 0) => one.uri == uri,
            flow => (one.instance, one.reg_id) == flow,
        };
        let found = self.table.bindings_of(slot).find(|(_, one)| is_same(one));
        let Some((at, ours)) = found else { return false };
        let outlives = self.unix_of(ours.expires_ms) >= stored.expires_unix_ms;
        if !outlives {
            self.remove(at);
        }
        outlives
    }

    /// False when there is no room for it.
    fn load_binding(&mut self, slot: u32, binding: &BindingView<'_>, tables: &Tables) -> bool {
        let said = Said { uri: binding.uri, instance: binding.instance, path: binding.path };
        let contact = Contact {
            uri: self.hash_uri(said.uri),
            instance: self.hash_instance(said.instance),
            reg_id: binding.reg_id,
            q: binding.q,
            call: binding.call_id_hash,
            cseq: binding.cseq,
            expires_ms: self.now_ms + (binding.expires_unix_ms - self.unix_ms),
            source: binding.source,
            // That of another appliance is none of ours.
            listen: tables
                .listen_id_of(binding.transport, binding.listen)
                .or_else(|| tables.listen_like(binding.transport, binding.listen.is_ipv4()))
                .unwrap_or(ListenId(0)),
            is_flow: binding.is_flow,
            is_at_source: leads_to(said.uri, (binding.source, binding.transport), tables),
            nat: tables.registrar().nat,
        };
        let count = self.table.aor(slot).map_or(0, |aor| aor.bindings);
        let fits = super::fits(&said) && usize::from(count) < CONTACTS_MAX;
        fits && self.add(slot, &contact, &said, tables).is_some()
    }
}
