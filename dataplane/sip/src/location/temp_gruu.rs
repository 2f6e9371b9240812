//! Temporary GRUUs (RFC 5627 section 3.1.2): URIs that hide who they are of.
//!
//! ```text
//!  sip:tgruu.<base64 of: nonce 12 │ encrypted: Call-ID hash 8, instance hash 8, AoR │ tag 16>@host;gr
//! ```
//!
//! All that must be known of one stands in it, encrypted and authenticated (AES-GCM-SIV, RFC 8452), so that
//! nothing is kept: every REGISTER gets a new one, those before stay good, and all of them end when the instance
//! registers with another Call-ID or not at all.

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes128GcmSiv, KeyInit, Nonce, Tag};
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding};
use core::fmt;

use super::aor::{AorId, NoAor};
use super::layer::{Location, urn_of};
use super::locate::Wanted;
use crate::limits::AOR_MAX;
use crate::rewrite::keyed_hash::HashKey;
use crate::rewrite::output::{Full, Output};
use crate::route::tables::Tables;

/// What the user of a temporary GRUU begins with.
const PREFIX: &[u8] = b"tgruu.";
const NONCE: usize = 12;
const HASHES: usize = 16;
const TAG: usize = 16;
const TOKEN_MAX: usize = NONCE + HASHES + AOR_MAX + TAG;

/// The key that temporary GRUUs are made with, from the secret of the appliance.
#[derive(Clone)]
pub(crate) struct GruuKey(Aes128GcmSiv);

impl fmt::Debug for GruuKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GruuKey")
    }
}

impl GruuKey {
    pub(crate) fn derive(secret: &[u8; 16]) -> Self {
        Self(Aes128GcmSiv::new(&HashKey::derive_bytes(secret, 9).into()))
    }

    /// Writes the user of a temporary GRUU.
    fn seal(
        &self,
        nonce: [u8; NONCE],
        call: u64,
        instance: u64,
        aor: &[u8],
        out: &mut Output,
    ) -> Result<(), Full> {
        let mut token = [0_u8; TOKEN_MAX];
        let end = NONCE + HASHES + aor.len();
        let mut at = 0;
        for part in [&nonce[..], &call.to_le_bytes(), &instance.to_le_bytes(), aor] {
            token.get_mut(at..at + part.len()).ok_or(Full)?.copy_from_slice(part);
            at += part.len();
        }
        let secret = token.get_mut(NONCE..end).ok_or(Full)?;
        let tag = self.0.encrypt_inout_detached(&Nonce::from(nonce), &[], secret.into());
        let tag: [u8; TAG] = tag.map_err(|_| Full)?.into();
        token.get_mut(end..end + TAG).ok_or(Full)?.copy_from_slice(&tag);
        let mut text = [0_u8; TOKEN_MAX.div_ceil(3) * 4];
        let token = token.get(..end + TAG).ok_or(Full)?;
        let text = Base64UrlUnpadded::encode(token, &mut text).map_err(|_| Full)?;
        out.push(PREFIX)?;
        out.push(text.as_bytes())
    }

    /// Reads one: writes its AoR to `aor`, and gives its hashes of Call-ID and instance.
    fn open(&self, user: &[u8], aor: &mut Vec<u8>) -> Option<[u64; 2]> {
        let mut token = [0_u8; TOKEN_MAX];
        let text = user.strip_prefix(PREFIX)?;
        let length = Base64UrlUnpadded::decode(text, &mut token).ok()?.len();
        let (nonce, rest) = token.get_mut(..length)?.split_first_chunk_mut::<NONCE>()?;
        let (secret, tag) = rest.split_last_chunk_mut::<TAG>()?;
        let (nonce, tag) = (Nonce::from(*nonce), Tag::from(*tag));
        self.0.decrypt_inout_detached(&nonce, &[], (&mut *secret).into(), &tag).ok()?;
        let (call, rest) = secret.split_first_chunk::<8>()?;
        let (instance, text) = rest.split_first_chunk::<8>()?;
        aor.clear();
        aor.extend_from_slice(text);
        Some([u64::from_le_bytes(*call), u64::from_le_bytes(*instance)])
    }
}

/// Whether the user of a URI is that of a temporary GRUU.
pub(super) fn is_one(user: &[u8]) -> bool {
    user.starts_with(PREFIX)
}

impl Location {
    /// Writes the user of a new temporary GRUU for an instance of the AoR in hand.
    pub(crate) fn push_temporary(
        &self,
        tables: &Tables,
        call: u64,
        instance: &[u8],
        out: &mut Output,
    ) -> Result<(), Full> {
        let mut nonce = [0; NONCE];
        let parts = [&self.unix_ms.to_le_bytes()[..], &self.gruus.to_le_bytes()];
        nonce.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        let instance = self.hash_instance_for_good(urn_of(instance));
        tables.keys.gruu.seal(nonce, call, instance, &self.aor, out)
    }

    /// Makes sure that the next temporary GRUUs are new ones.
    #[inline]
    pub(crate) fn next_gruu(&mut self) {
        self.gruus = self.gruus.wrapping_add(1);
    }

    /// The AoR of a temporary GRUU, and which of its bindings are meant.
    pub(super) fn opened(
        &mut self,
        user: &[u8],
        tables: &Tables,
    ) -> Result<(AorId, Wanted), NoAor> {
        let opened = tables.keys.gruu.open(user, &mut self.aor).ok_or(NoAor::NotFound)?;
        let [call, for_good] = opened;
        let id = AorId::of(&self.keys.aor, &self.aor);
        Ok((id, Wanted { call: Some(call), for_good: Some(for_good), instance: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_with_the_same_secret_only() {
        let (key, other) = (GruuKey::derive(&[1; 16]), GruuKey::derive(&[2; 16]));
        let mut out = Output::with_capacity(1_000);
        key.seal([3; NONCE], 4, 5, b"alice@example.com", &mut out).unwrap();
        let mut aor = Vec::new();
        assert_eq!(key.open(out.bytes(), &mut aor), Some([4, 5]));
        assert_eq!(aor, b"alice@example.com");
        assert_eq!(other.open(out.bytes(), &mut aor), None);
        for at in 0..out.len() {
            let mut forged = out.bytes().to_vec();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.open(&forged, &mut aor), None, "{at}");
        }
        for short in [&b""[..], b"tgruu.", b"tgruu.AAAA", &b"tgruu.A".repeat(100)] {
            assert_eq!(key.open(short, &mut aor), None);
        }
    }
}
