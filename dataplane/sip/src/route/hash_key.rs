//! What of a request is hashed to find its member, where that is not the Call-ID.

use core::net::IpAddr;

use super::prefixes::UserBytes;
use super::rules::Subject;
use crate::message::{Method, Request, Span};
use crate::parse::header::HeaderId;
use crate::parse::name_addr::NameAddr;
use crate::parse::uri::Uri;
use crate::rewrite::branch::Keys;
use crate::settings::HashKey;

/// Bytes of a user part that count.
const USER_MAX: usize = 128;

/// The hash of what `key` names; `None` when the request has no such thing.
#[cold]
pub(super) fn of(
    key: HashKey,
    request: &Request<'_>,
    subject: &Subject<'_>,
    keys: &Keys,
) -> Option<u64> {
    match key {
        HashKey::CallId => None,
        HashKey::FromUser => address_user(request, HeaderId::From, keys),
        HashKey::ToUser => address_user(request, HeaderId::To, keys),
        // RFC 3261 section 10.2: REGISTER names the address-of-record in To, and a domain alone in its Request-URI.
        HashKey::Aor if request.method == Method::Register => {
            address_user(request, HeaderId::To, keys)
        }
        HashKey::RequestUser | HashKey::Aor => {
            of_user(UserBytes::new(subject.scheme, subject.user), keys)
        }
        HashKey::Source => Some(match subject.source {
            IpAddr::V4(address) => keys.call(&address.octets()),
            IpAddr::V6(address) => keys.call(&address.octets()),
        }),
    }
}

fn address_user(request: &Request<'_>, header: HeaderId, keys: &Keys) -> Option<u64> {
    let value: Span = request.headers.value(header);
    let address = NameAddr::parse(request.bytes, value.start(), value.end())?;
    let uri = Uri::parse(request.bytes, address.uri)?;
    of_user(UserBytes::new(uri.scheme, uri.user.of(request.bytes)), keys)
}

/// The hash of a user part as it compares, which does not depend on how it is escaped.
pub(super) fn of_user(characters: impl Iterator<Item = u8>, keys: &Keys) -> Option<u64> {
    let mut text = [0; USER_MAX];
    let mut length = 0;
    for (place, byte) in text.iter_mut().zip(characters) {
        *place = byte;
        length += 1;
    }
    (length > 0).then(|| keys.call(&text[..length]))
}
