//! Which AoR a request is about, and which worker has it.

use super::aor::{self, AorId, AorOwner, AorUri, NoAor};
use super::layer::Location;
use crate::message::{Arrival, Request};
use crate::route::tables::Tables;

impl Location {
    /// Who has the bindings that a REGISTER is about.
    #[inline]
    pub fn owner_of_to(
        &mut self,
        request: &Request<'_>,
        tables: &Tables,
        arrival: &Arrival,
    ) -> AorOwner {
        match aor::to_uri(request) {
            _ if self.workers == 1 => AorOwner::Here,
            Some(uri) => match AorUri::read(request.bytes, uri, tables, arrival) {
                Ok(uri) => self.owner_of_uri(request, &uri, tables),
                Err(none) => AorOwner::Nobody(none),
            },
            None => AorOwner::Nobody(NoAor::Malformed),
        }
    }

    /// Who has the bindings of a URI in the request.
    #[inline]
    pub fn owner_of_uri(
        &mut self,
        request: &Request<'_>,
        uri: &AorUri,
        tables: &Tables,
    ) -> AorOwner {
        if self.workers == 1 {
            return AorOwner::Here;
        }
        match self.named_by(request.bytes, uri, tables) {
            Ok((id, _)) => self.owner(id),
            Err(none) => AorOwner::Nobody(none),
        }
    }

    #[inline]
    pub(super) fn owner(&self, id: AorId) -> AorOwner {
        let owner = id.owner(self.workers);
        if owner == self.worker { AorOwner::Here } else { AorOwner::Worker(owner) }
    }

    /// The AoR that the To header names; its text is in `self.aor` then.
    #[inline]
    pub(crate) fn aor_of_to(
        &mut self,
        request: &Request<'_>,
        tables: &Tables,
        arrival: &Arrival,
    ) -> Result<AorId, NoAor> {
        let uri = aor::to_uri(request).ok_or(NoAor::Malformed)?;
        AorUri::read(request.bytes, uri, tables, arrival)?.write(request.bytes, &mut self.aor)?;
        Ok(AorId::of(&self.keys.aor, &self.aor))
    }

    /// The AoR that a URI names.
    #[inline]
    pub(super) fn aor_of(&mut self, bytes: &[u8], uri: &AorUri) -> Result<AorId, NoAor> {
        if let Some(text) = uri.text(bytes) {
            return Ok(AorId::of(&self.keys.aor, text));
        }
        uri.write(bytes, &mut self.aor)?;
        Ok(AorId::of(&self.keys.aor, &self.aor))
    }
}
