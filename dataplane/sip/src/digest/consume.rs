//! Credentials that go no further (RFC 3261 section 22.3).

use super::Role;
use super::claim::{Fields, value_start};
use crate::limits::CREDENTIAL_LINES_MAX;
use crate::message::Request;
use crate::parse::lines::Lines;
use crate::parse::registers::Compiled;
use crate::route::request::RequestRoute;
use crate::route::tables::Tables;

/// Has the copy of a request that goes on leave out the Proxy-Authorization that was for us: those of the realm of
/// its rule. Of other realms they stay, since others ask for them. An ACK, which repeats the credentials of its INVITE
/// (section 22.1), loses them too.
#[cold]
pub fn consume_credentials(request: &Request<'_>, tables: &Tables, route: &mut RequestRoute) {
    let Some(realm) = tables.realm_of(route.reason) else { return };
    let Some(realm) = tables.auth().realms.get(usize::from(realm.0)) else { return };
    let (bytes, mut left) = (request.bytes, CREDENTIAL_LINES_MAX);
    let mut lines = Lines::new(Compiled, bytes, request.line.end() + 2);
    while left > 0 {
        let line = lines.next_line();
        if line.is_empty() {
            return;
        }
        let Some(at) = value_start(bytes, line, Role::Proxy) else { continue };
        let fields = Fields::read(bytes, at, line.end as usize);
        if fields.is_ok_and(|fields| fields.is_for(bytes, realm.as_bytes())) {
            route.cuts.push(line.span());
            left -= 1;
        }
    }
}
