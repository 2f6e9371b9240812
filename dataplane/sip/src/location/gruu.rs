//! Globally routable user agent URIs (RFC 5627): which instance a URI names.

use super::aor::{AorId, NoAor};
use super::layer::Location;
use super::locate::Wanted;
use crate::message::{Arrival, Span};
use crate::parse::params::Params;
use crate::parse::scan;
use crate::parse::uri::Uri;
use crate::route::tables::Tables;

impl Location {
    /// The AoR that a URI names, and which of its bindings are meant.
    #[inline]
    pub(super) fn named_by(
        &mut self,
        bytes: &[u8],
        uri: Span,
        tables: &Tables,
        arrival: &Arrival,
    ) -> Result<(AorId, Wanted), NoAor> {
        let id = self.aor_of(bytes, uri, tables, arrival)?;
        let instance = match gr(bytes, uri) {
            Some(gr) if !gr.is_empty() => self.hash_instance(gr.of(bytes)),
            _ => 0,
        };
        Ok((id, Wanted { instance, call: 0 }))
    }
}

/// The value of the URI parameter `gr`, which may be empty.
#[inline]
pub(super) fn gr(bytes: &[u8], uri: Span) -> Option<Span> {
    let uri = Uri::parse(bytes, uri).filter(|uri| !uri.params.is_empty())?;
    let mut params = Params::new(bytes, uri.params.start(), uri.params.end());
    while let Some(param) = params.next_param().ok()? {
        if scan::is_name(bytes, param.name, b"gr") {
            return Some(param.value);
        }
    }
    None
}
