//! Addresses of record: the text `user@host`, and the keyed hash that a worker knows one by.

use alloc::vec::Vec;

use crate::limits::AOR_MAX;
use crate::message::{Arrival, Request, Span};
use crate::parse::header::HeaderId;
use crate::parse::name_addr::NameAddr;
use crate::parse::uri::{Scheme, Uri};
use crate::rewrite::keyed_hash::HashKey;
use crate::route::tables::Tables;

/// A keyed hash over the text of an AoR. Nobody outside can make two of them meet, so that the text
/// is never compared; the key is of this process alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AorId(u128);

impl AorId {
    /// What no AoR has.
    pub(super) const NONE: Self = Self(0);

    /// The id of an AoR.
    #[inline]
    pub(super) fn of(key: &HashKey, text: &[u8]) -> Self {
        Self(key.begin().text(text).finish_wide(0))
    }

    /// What the index finds it by.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(super) fn key(self) -> u64 {
        self.0 as u64
    }

    /// The worker that owns it, of so many; by other bits than those of the index.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "below `workers`")]
    pub(super) fn owner(self, workers: u8) -> u8 {
        (((self.0 >> 96) * u128::from(workers)) >> 32) as u8
    }
}

/// Who has the bindings of an AoR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AorOwner {
    /// This worker.
    Here,
    /// Another one.
    Worker(u8),
    /// Nobody: it is no URI of a user of ours.
    Nobody(NoAor),
}

/// Why a URI names no AoR of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAor {
    /// 400: it cannot be read.
    Malformed,
    /// 404: its host is not ours, or it has no user.
    NotFound,
}

/// The URI of the To header.
#[inline]
pub(super) fn to_uri(request: &Request<'_>) -> Option<Span> {
    let to = request.headers.value(HeaderId::To);
    NameAddr::parse(request.bytes, to.start(), to.end()).map(|to| to.uri)
}

/// A URI in its parts, which may name an AoR: its host is ours, if it has one.
#[derive(Clone, Copy, Debug)]
pub struct AorUri {
    /// Where it stands in the request.
    pub span: Span,
    pub(crate) parts: Uri,
}

impl AorUri {
    /// Reads a URI.
    #[inline]
    pub(crate) fn read(
        bytes: &[u8],
        span: Span,
        tables: &Tables,
        arrival: &Arrival,
    ) -> Result<Self, NoAor> {
        let parts = Uri::parse(bytes, span).ok_or(NoAor::Malformed)?;
        let is_ours = tables.is_ours(parts.host.of(bytes), parts.port(), arrival.listen);
        if is_ours { Ok(Self { span, parts }) } else { Err(NoAor::NotFound) }
    }

    fn has_user(&self) -> bool {
        matches!(self.parts.scheme, Scheme::Sip | Scheme::Sips) && !self.parts.user.is_empty()
    }

    /// The AoR that it names, if it stands there in its one form already, as nearly always.
    #[inline]
    pub(super) fn text<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let Uri { user, host, .. } = self.parts;
        let is_other = |byte: &u8| byte.is_ascii_uppercase();
        let is_usual = self.has_user()
            && user.end() + 1 == host.start()
            && user.len() + host.len() < AOR_MAX
            && !user.of(bytes).contains(&b'%')
            && !host.of(bytes).iter().any(is_other)
            && host.of(bytes).last() != Some(&b'.');
        if is_usual { bytes.get(user.start()..host.end()) } else { None }
    }

    /// Writes the AoR that it names to `text`, in its one form: the user without escapes, the host in lower case,
    /// without port and parameters (RFC 3261 section 10.3 step 5).
    #[inline]
    pub(super) fn write(&self, bytes: &[u8], text: &mut Vec<u8>) -> Result<(), NoAor> {
        text.clear();
        if !self.has_user() {
            return Err(NoAor::NotFound);
        }
        write_parts(self.parts.user.of(bytes), self.parts.host.of(bytes), text)
    }
}

/// The AoR of an escaped user at a host.
#[inline]
fn write_parts(user: &[u8], host: &[u8], text: &mut Vec<u8>) -> Result<(), NoAor> {
    let host = host.strip_suffix(b".").unwrap_or(host);
    if user.len() + host.len() >= AOR_MAX {
        return Err(NoAor::Malformed);
    }
    if user.contains(&b'%') {
        unescape(user, text);
    } else {
        text.extend_from_slice(user);
    }
    text.push(b'@');
    let start = text.len();
    text.extend_from_slice(host);
    text.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
    Ok(())
}

/// Adds `text` without its escapes (RFC 3261 section 19.1.2); what is none stays as it is.
pub(crate) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let escaped = match behind {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        let byte = escaped.and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;

    #[test]
    fn an_aor_has_one_form() {
        let form = |user: &str, host: &str| {
            let mut text = Vec::new();
            write_parts(user.as_bytes(), host.as_bytes(), &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(form("alice", "Example.COM"), "alice@example.com");
        assert_eq!(form("%61lice", "example.com."), "alice@example.com");
        assert_eq!(form("Alice%2", "[2001:DB8::1]"), "Alice%2@[2001:db8::1]");
    }

    #[test]
    fn owners_are_spread_evenly() {
        let key = HashKey::derive(&[7; 16], 0);
        for workers in [1_u8, 2, 3, 16] {
            let mut owned = [0_u32; 16];
            for user in 0..8_000_u32 {
                let owner =
                    AorId::of(&key, format!("u{user}@example.com").as_bytes()).owner(workers);
                owned[usize::from(owner)] += 1;
            }
            let (used, rest) = owned.split_at(workers.into());
            let fair = 8_000 / u32::from(workers);
            assert!(used.iter().all(|&count| count.abs_diff(fair) < fair / 5), "{used:?}");
            assert!(rest.iter().all(|&count| count == 0));
        }
    }
}
