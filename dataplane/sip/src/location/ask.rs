//! Users whom no binding here is known of, where other appliances may know one: their AoRs on the way to control, which
//! asks the engine that all of them share.

use core::fmt;

use super::aor::{AorId, AorUri};
use super::layer::Location;
use crate::limits::AOR_MAX;
use crate::message::Request;
use crate::route::tables::Tables;

/// What a worker asks: which bindings has this AoR?
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AorQuestion {
    aor: [u8; AOR_MAX],
    length: u16,
    number: u64,
}

impl AorQuestion {
    #[expect(clippy::cast_possible_truncation, reason = "AOR_MAX fits")]
    fn new(text: &[u8], id: AorId) -> Option<Self> {
        core::str::from_utf8(text).ok()?; // Only such AoRs are stored.
        let mut aor = [0; AOR_MAX];
        aor.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { aor, length: text.len() as u16, number: id.key() })
    }

    /// The AoR in its one form.
    pub fn aor(&self) -> &str {
        let text = self.aor.get(..self.length.into()).unwrap_or_default();
        core::str::from_utf8(text).unwrap_or_default()
    }

    /// What the worker knows the question by.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Debug for AorQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AorQuestion").field("aor", &self.aor()).finish_non_exhaustive()
    }
}

impl Location {
    /// Says whether there is somebody who knows of bindings that are not here.
    pub fn set_asks(&mut self, asks: bool) {
        self.asks = asks;
    }

    /// Whether there is.
    #[inline]
    pub fn asks(&self) -> bool {
        self.asks
    }

    /// Makes the question for the user of a request that [`Self::locate`] has not found; false for what nobody can
    /// know.
    #[cold]
    pub fn ask(&mut self, request: &Request<'_>, uri: &AorUri, tables: &Tables) -> bool {
        let Ok((id, _)) = self.named_by(request.bytes, uri, tables) else { return false };
        // The text stands in the request, or was written aside.
        let as_written = uri.text(request.bytes);
        let as_written = as_written.filter(|text| AorId::of(&self.keys.aor, text) == id);
        self.question = AorQuestion::new(as_written.unwrap_or(&self.aor), id);
        // It is counted when it is answered.
        self.counts.not_registered -= u64::from(self.question.is_some());
        self.question.is_some()
    }

    /// Takes the question that was made.
    pub fn take_question(&mut self) -> Option<AorQuestion> {
        self.question.take()
    }
}
