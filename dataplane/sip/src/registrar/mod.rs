//! The registrar (RFC 3261 section 10.3, and RFCs 3327, 3608, 5626, 5627): a REGISTER whole.
//!
//! ```text
//!  request ──► fields ──► contacts ──► plan ──► changes ──► answer
//!                 │           │          └─ 403, 423, 500, 503
//!                 │           └─ 400
//!                 └─ 420, 439
//! ```
//!
//! Nothing is changed before all of it has been checked, so that a REGISTER happens whole or not at all.

mod answer;
mod contacts;
mod headers;
mod outbound;
mod plan;
mod same_uri;

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::limits::{BINDING_TEXT_MAX, CONTACTS_MAX};
use crate::location::{AorId, Location, NoAor};
use crate::message::{Arrival, Request};
use crate::rewrite::output::Output;
use crate::route::outcome::SipDrop;
use crate::route::request::RequestRoute;
use crate::route::tables::Tables;
use contacts::Wanted;
use headers::Fields;
pub(crate) use outbound::is_first_hop_of_flow;

/// What became of a REGISTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// An answer that goes here, and nothing has changed.
    Reply(SocketAddr),
    /// The 200 of a change, which goes here. Under
    /// [`Durability::Flushed`](crate::Durability::Flushed) it may leave when the store has all up to
    /// [`Location::position`].
    Changed(SocketAddr),
    /// It cannot be answered.
    Drop(SipDrop),
}

/// What is remembered while a REGISTER is being served.
#[derive(Debug)]
pub(crate) struct Work {
    wanted: Vec<Wanted>,
    /// Hash of the Call-ID.
    call: u64,
    /// Values of Path, with commas between them.
    path: Vec<u8>,
    /// The text of a binding.
    text: Vec<u8>,
}

impl Work {
    pub(crate) fn new() -> Self {
        Self {
            wanted: Vec::with_capacity(CONTACTS_MAX),
            call: 0,
            path: Vec::with_capacity(BINDING_TEXT_MAX),
            text: Vec::with_capacity(BINDING_TEXT_MAX),
        }
    }

    /// Stands in for one that is in use elsewhere.
    const fn empty() -> Self {
        Self { wanted: Vec::new(), call: 0, path: Vec::new(), text: Vec::new() }
    }
}

/// Why a REGISTER is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// 400 with this reason.
    Malformed(&'static str),
    /// 403: the AoR of somebody else.
    NotYours,
    /// 403 with this reason.
    OverLimit(&'static str),
    /// 404
    Unknown,
    /// 420
    BadExtension,
    /// 423
    TooBrief,
    /// 439
    NoOutbound,
    /// 500
    OutOfOrder,
    /// 503
    Full,
    /// 503
    Loading,
}

impl From<NoAor> for Refused {
    fn from(none: NoAor) -> Self {
        match none {
            NoAor::Malformed => Self::Malformed("Malformed To"),
            NoAor::NotFound => Self::Unknown,
        }
    }
}

/// A REGISTER and all that surrounds it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    request: &'a Request<'a>,
    route: &'a RequestRoute,
    tables: &'a Tables,
    arrival: &'a Arrival,
    /// The user that it was proved to come from.
    user: Option<&'a [u8]>,
    fields: &'a Fields,
}

/// What was done.
#[derive(Clone, Copy, Debug)]
struct Done {
    /// The AoR, if it is known.
    aor: Option<u32>,
    /// It wanted to change something, so that it must be in the store up to this place.
    position: Option<u64>,
    /// It made a flow (RFC 5626).
    is_outbound: bool,
}

impl Location {
    /// Serves a whole REGISTER, and writes the answer into `out`, which is cleared first. `user` is the
    /// user that the request was proved to come from, as written in its credentials; `None` when nobody asks.
    pub fn register(
        &mut self,
        request: &Request<'_>,
        route: &RequestRoute,
        tables: &Tables,
        arrival: &Arrival,
        user: Option<&[u8]>,
        out: &mut Output,
    ) -> Registered {
        let fields = &Fields::read(request);
        let asked = Asked { request, route, tables, arrival, user, fields };
        let served = self.serve(&asked);
        let answered = match served {
            Ok(done) => self.write_bindings(&asked, &done, out),
            Err(refused) => self.write_refusal(&asked, refused, out),
        };
        match (answered, served) {
            (Err(_), _) => Registered::Drop(SipDrop::ReplyTooLarge),
            (Ok(to), Ok(Done { position: Some(position), .. })) => {
                self.set_position(position);
                Registered::Changed(to)
            }
            (Ok(to), _) => Registered::Reply(to),
        }
    }

    fn serve(&mut self, asked: &Asked<'_>) -> Result<Done, Refused> {
        if !self.is_ready() {
            return Err(Refused::Loading);
        }
        if !asked.fields.requires.is_empty() {
            asked.check_require()?;
        }
        let id = self.aor_of_to(asked.request, asked.tables, asked.arrival)?;
        if let Some(user) = asked.user
            && !is_user(user, &self.aor)
        {
            return Err(Refused::NotYours);
        }
        self.read_contacts(asked)?;
        self.apply(asked, id)
    }

    fn apply(&mut self, asked: &Asked<'_>, id: AorId) -> Result<Done, Refused> {
        let aor = self.find(id);
        if asked.fields.contacts.is_empty() {
            self.counts.queries += 1;
            return Ok(Done { aor, position: None, is_outbound: false });
        }
        let is_outbound = asked.check_first_hop(&self.work.wanted)?;
        if asked.is_star() {
            self.remove_all(asked, aor)
        } else {
            self.plan(asked, aor, is_outbound)?;
            self.carry_out(asked, id, aor, is_outbound)
        }
    }
}

/// Whether the AoR is that of a user, whose name in credentials is `user` or `user@host`.
fn is_user(user: &[u8], aor: &[u8]) -> bool {
    // The last @ stands before the host: one in the user is an escaped one.
    let at = aor.iter().rposition(|&byte| byte == b'@').unwrap_or(aor.len());
    user == aor || aor.get(..at) == Some(user)
}

#[cfg(test)]
mod tests;
