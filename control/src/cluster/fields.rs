//! Bindings as fields of the engine, and back.
//!
//! ```text
//! field:  when it was changed 8 │ when it ends 8 │ CSeq 4 │ Call-ID hash 8 │ a record with the one binding
//! ```
//!
//! The times are milliseconds of the engine's clock. Without a record it is a tombstone: the binding was removed.

use super::keys::{Identity, identity};
use sip_core::limits::CONTACTS_MAX;
use sip_core::record::{BindingView, records, write};
use std::time::{Duration, Instant};

/// Bytes of a field before its record.
const HEAD: usize = 28;

/// What became of a binding here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) id: Identity,
    /// When we heard of it.
    pub(super) since: Instant,
    /// What it is now; none when it was removed.
    pub(super) live: Option<Live>,
}

/// A binding that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) call: u64,
    pub(super) cseq: u32,
    /// By our clock.
    pub(super) expires_unix_ms: u64,
    /// A record with it alone.
    pub(super) record: Vec<u8>,
}

impl Change {
    /// A binding of `aor` as a worker has it; none when no record can hold it.
    pub(super) fn live(aor: &str, binding: &BindingView<'_>, since: Instant) -> Option<Self> {
        let mut record = Vec::new();
        write(aor, std::slice::from_ref(binding), &mut record).ok()?;
        let BindingView { call_id_hash: call, cseq, expires_unix_ms, .. } = *binding;
        let live = Some(Live { call, cseq, expires_unix_ms, record });
        Some(Self { id: identity(binding), since, live })
    }

    pub(super) fn removed(id: Identity, since: Instant) -> Self {
        Self { id, since, live: None }
    }

    /// Whether it says the same as an earlier one.
    pub(super) fn repeats(&self, earlier: &Self) -> bool {
        let version = |change: &Self| change.live.as_ref().map(|live| (live.call, live.cseq));
        self.id == earlier.id && version(self) == version(earlier)
    }

    /// Milliseconds since we heard of it.
    pub(super) fn age_ms(&self) -> u64 {
        millis(self.since.elapsed())
    }
}

/// A field of the engine.
struct Field<'f> {
    ends: u64,
    record: &'f [u8],
}

fn read(value: &[u8]) -> Option<Field<'_>> {
    let (head, record) = value.split_at_checked(HEAD)?;
    let ends = head.get(8..16)?.try_into().ok().map(u64::from_be_bytes)?;
    Some(Field { ends, record })
}

/// Appends the record of an AoR with these fields to `out`, times by our clock; those that end last when there are too
/// many. `engine_ms` is the engine's time, `unix_ms` ours. Without bindings it says that there are none.
pub(super) fn to_record<'f>(
    aor: &str,
    fields: impl Iterator<Item = &'f [u8]>,
    (engine_ms, unix_ms): (u64, u64),
    out: &mut Vec<u8>,
) {
    let alive = fields.filter_map(read).filter(|field| field.ends > engine_ms);
    let views = alive.filter_map(|field| {
        let record = records(field.record).next()?.ok()?;
        let view = record.bindings().next()?;
        Some(BindingView { expires_unix_ms: unix_ms + (field.ends - engine_ms), ..view })
    });
    let mut bindings: Vec<BindingView<'_>> = views.collect();
    bindings.sort_by_key(|binding| std::cmp::Reverse(binding.expires_unix_ms));
    bindings.truncate(CONTACTS_MAX);
    if let Err(error) = write(aor, &bindings, out) {
        tracing::error!(aor, "the engine holds what nobody can read: {error}");
    }
}

/// Milliseconds of our clock since 1970.
pub(super) fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    millis(now.unwrap_or_default())
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
