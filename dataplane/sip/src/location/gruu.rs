//! Globally routable user agent URIs (RFC 5627): which instance a URI names.

use super::aor::{AorId, AorUri, NoAor};
use super::layer::Location;
use super::locate::Wanted;
use super::temp_gruu;
use crate::message::Span;
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
        uri: &AorUri,
        tables: &Tables,
    ) -> Result<(AorId, Wanted), NoAor> {
        let id = self.aor_of(bytes, uri)?;
        match gr_of(bytes, &uri.parts) {
            None => Ok((id, Wanted::default())),
            Some(urn) if !urn.is_empty() => {
                let instance = self.hash_instance(urn.of(bytes));
                Ok((id, Wanted { instance, ..Wanted::default() }))
            }
            Some(_) => {
                let user = uri.parts.user.of(bytes);
                if temp_gruu::is_one(user) {
                    self.opened(user, tables)
                } else {
                    Err(NoAor::NotFound)
                }
            }
        }
    }
}

/// The value of the URI parameter `gr`, which may be empty.
#[inline]
pub(crate) fn gr(bytes: &[u8], uri: Span) -> Option<Span> {
    gr_of(bytes, &Uri::parse(bytes, uri)?)
}

/// The same of a URI that was read.
#[inline]
fn gr_of(bytes: &[u8], uri: &Uri) -> Option<Span> {
    if uri.params.is_empty() {
        return None;
    }
    let mut params = Params::new(bytes, uri.params.start(), uri.params.end());
    while let Some(param) = params.next_param().ok()? {
        if scan::is_name(bytes, param.name, b"gr") {
            return Some(param.value);
        }
    }
    None
}
