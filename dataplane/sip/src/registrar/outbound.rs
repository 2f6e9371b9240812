//! Extensions that a REGISTER asks for: Require (RFC 3261 section 8.2.2.3) and flows (RFC 5626 section 6).

use super::contacts::{Wanted, has_reg_id};
use super::headers::{Fields, Options, tags};
use super::{Asked, Refused};
use crate::message::{Request, Span};
use crate::parse::header::HeaderId;
use crate::parse::name_addr::NameAddr;
use crate::parse::params::Params;
use crate::parse::scan;
use crate::parse::uri::Uri;
use crate::rewrite::output::{Full, Output};
use crate::settings::RegistrarSettings;

impl Asked<'_> {
    /// Refuses what requires extensions that we do not have.
    pub(super) fn check_require(&self) -> Result<(), Refused> {
        let has_unknown = self.required().any(|tag| !is_known(tag, self.tables.registrar()));
        if has_unknown { Err(Refused::BadExtension) } else { Ok(()) }
    }

    /// Writes the extensions that are required and that we do not have.
    pub(super) fn push_unsupported(&self, out: &mut Output) -> Result<(), Full> {
        let settings = self.tables.registrar();
        let mut lead: &[u8] = b"Unsupported: ";
        for tag in self.required().filter(|tag| !is_known(tag, settings)) {
            out.push(lead)?;
            out.push(tag)?;
            lead = b", ";
        }
        out.push(b"\r\n")
    }

    fn required(&self) -> impl Iterator<Item = &[u8]> {
        self.fields.requires(self.request).flat_map(|value| tags(value.of(self.request.bytes)))
    }

    /// Whether the REGISTER makes a flow: it has a reg-id, and says that it can have flows.
    #[inline]
    pub(super) fn check_first_hop(&self, wanted: &[Wanted]) -> Result<bool, Refused> {
        let has_flow = wanted.iter().any(|one| one.reg_id != 0 && one.expires_s != 0);
        let is_over = wanted.iter().any(|one| one.reg_id != 0);
        let is_able =
            self.tables.registrar().outbound && self.fields.supported.has(Options::OUTBOUND);
        if !is_over || !is_able {
            return Ok(false);
        }
        if has_flow && wanted.iter().filter(|one| one.expires_s != 0).count() > 1 {
            return Err(Refused::Malformed("A Flow Is Registered Alone"));
        }
        if self.is_first_hop_able() { Ok(true) } else { Err(Refused::NoOutbound) }
    }

    /// Whether the client has sent it straight to us, or its first hop keeps flows: that is the one whose
    /// Path stands last, with `ob` in its URI.
    fn is_first_hop_able(&self) -> bool {
        let bytes = self.request.bytes;
        match self.fields.paths(self.request).last() {
            None => has_one_via(self.request),
            Some(value) => last_value(bytes, value).is_some_and(|uri| has_ob(bytes, uri)),
        }
    }
}

/// Whether we are the first hop of a REGISTER that makes a flow, so that our Path must say so (RFC 5626
/// section 5.1): it comes from the client itself, and a Contact has a reg-id.
pub(crate) fn is_first_hop_of_flow(request: &Request<'_>) -> bool {
    let fields = Fields::read(request);
    has_one_via(request) && fields.contacts(request).any(|value| has_reg_id(request.bytes, value))
}

fn has_one_via(request: &Request<'_>) -> bool {
    let via = request.headers.value(HeaderId::Via);
    request.headers.more_vias == 0 && !via.of(request.bytes).contains(&b',')
}

/// The URI of the last value in a line of Path.
fn last_value(bytes: &[u8], line: Span) -> Option<Span> {
    let mut at = line.start();
    loop {
        let value = NameAddr::parse(bytes, at, line.end())?;
        if value.end >= line.end() {
            return Some(value.uri);
        }
        at = value.end + 1;
    }
}

fn has_ob(bytes: &[u8], uri: Span) -> bool {
    let Some(uri) = Uri::parse(bytes, uri) else { return false };
    let mut params = Params::new(bytes, uri.params.start(), uri.params.end());
    while let Ok(Some(param)) = params.next_param() {
        if scan::is_name(bytes, param.name, b"ob") {
            return true;
        }
    }
    false
}

fn is_known(tag: &[u8], settings: &RegistrarSettings) -> bool {
    match Options::of(tag) {
        Some(Options::OUTBOUND) => settings.outbound,
        Some(Options::GRUU) => settings.gruu,
        found => found.is_some(),
    }
}
