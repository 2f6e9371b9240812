//! The digest of RFC 7616 section 3.4.1 with `qop=auth`:
//! `H(HA1:nonce:nc:cnonce:auth:HA2)`, HA1 = `H(user:realm:password)`, HA2 = `H(method:uri)`.

use md5::{Digest as _, Md5};
use sha2::Sha256;
use smallvec::SmallVec;
use subtle::{Choice, ConstantTimeEq as _};

use super::claim::Claim;
use crate::limits::CREDENTIAL_TEXT_MAX;
use crate::rewrite::branch::hex16;
use crate::settings::DigestAlgorithm;

/// A hash of up to 32 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hash {
    bytes: [u8; 32],
    algorithm: DigestAlgorithm,
}

impl Hash {
    /// The hash of one text.
    #[inline]
    pub(super) fn of(algorithm: DigestAlgorithm, text: &[u8]) -> Self {
        match algorithm {
            DigestAlgorithm::Md5 => Self::md5(Md5::digest(text).into()),
            DigestAlgorithm::Sha256 => Self::sha256(Sha256::digest(text).into()),
        }
    }

    /// These bytes.
    #[inline(always)]
    pub(super) fn md5(hash: [u8; 16]) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&hash);
        Self { bytes, algorithm: DigestAlgorithm::Md5 }
    }

    /// These bytes.
    #[inline(always)]
    pub(super) fn sha256(bytes: [u8; 32]) -> Self {
        Self { bytes, algorithm: DigestAlgorithm::Sha256 }
    }

    /// In lower-case hex digits, of which the first [`digits`] count.
    #[inline(always)]
    fn hex(&self) -> [[u8; 16]; 4] {
        let (words, _) = self.bytes.as_chunks::<8>();
        let mut hex = [[0; 16]; 4];
        let count = digits(self.algorithm) / 16;
        for (hex, word) in hex.iter_mut().zip(words).take(count) {
            *hex = hex16(u64::from_be_bytes(*word));
        }
        hex
    }

    /// Whether `text` is the hash in hex digits of any case, in a time that does not tell where it differs.
    #[inline]
    pub(super) fn is(&self, text: &[u8]) -> Choice {
        if text.len() != digits(self.algorithm) {
            return Choice::from(0);
        }
        let (found, _) = text.as_chunks::<8>();
        let hex = self.hex();
        let (expected, _) = hex.as_flattened().as_chunks::<8>();
        let differ = found.iter().zip(expected).fold(0, |differ, (found, expected)| {
            // In small letters, and digits have that bit.
            let found = u64::from_le_bytes(*found) | 0x2020_2020_2020_2020;
            differ | found ^ u64::from_le_bytes(*expected)
        });
        differ.ct_eq(&0)
    }
}

/// Hex digits of a hash.
#[inline(always)]
fn digits(algorithm: DigestAlgorithm) -> usize {
    match algorithm {
        DigestAlgorithm::Md5 => 32,
        DigestAlgorithm::Sha256 => 64,
    }
}

/// Texts that are hashed together, in one piece: HA1 and HA2 in 64 hex digits at most, nonce and cnonce of
/// credentials, nc and qop; or a method and a URI.
struct Joined {
    bytes: [u8; JOINED_MAX],
    length: usize,
}

const JOINED_MAX: usize = 512;
const _: () = assert!(2 * 64 + CREDENTIAL_TEXT_MAX + super::nonce::LENGTH + 32 <= JOINED_MAX);

impl Joined {
    #[inline(always)]
    fn new() -> Self {
        Self { bytes: [0; JOINED_MAX], length: 0 }
    }

    /// What does not fit is left out, and makes the hash a wrong one.
    #[inline(always)]
    fn push(&mut self, text: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.length..self.length + text.len()) {
            place.copy_from_slice(text);
            self.length += text.len();
        }
    }

    #[inline(always)]
    fn push_hex(&mut self, hash: &Hash) {
        self.push(hash.hex().as_flattened().get(..digits(hash.algorithm)).unwrap_or_default());
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// What a right response to `claim` is.
#[inline]
pub(super) fn response(claim: &Claim<'_>, ha1: &Hash, ha2: &Hash) -> Hash {
    let mut text = Joined::new();
    text.push_hex(ha1);
    text.push(b":");
    text.push(claim.nonce);
    text.push(b":");
    text.push(&claim.nc);
    text.push(b":");
    text.push(claim.cnonce);
    text.push(b":auth:");
    text.push_hex(ha2);
    Hash::of(claim.algorithm, text.as_bytes())
}

/// HA2 of the request before: nearly all REGISTERs of a domain have the same.
#[derive(Debug, Default)]
pub(super) struct LastHa2 {
    /// Method and URI with a colon between them.
    text: SmallVec<[u8; 128]>,
    hash: Hash,
}

impl LastHa2 {
    /// The hash of method and URI.
    #[inline]
    pub(super) fn get(&mut self, algorithm: DigestAlgorithm, method: &[u8], uri: &[u8]) -> Hash {
        let is_same = self.hash.algorithm == algorithm
            && self.text.len() == method.len() + 1 + uri.len()
            && self.text.starts_with(method)
            && self.text.ends_with(uri)
            && self.text.get(method.len()) == Some(&b':');
        if is_same { self.hash } else { self.compute(algorithm, method, uri) }
    }

    #[inline(never)]
    fn compute(&mut self, algorithm: DigestAlgorithm, method: &[u8], uri: &[u8]) -> Hash {
        if method.len() + 1 + uri.len() > self.text.inline_size() {
            return long(algorithm, [method, b":", uri]);
        }
        self.text.clear();
        for part in [method, b":", uri] {
            self.text.extend_from_slice(part);
        }
        self.hash = Hash::of(algorithm, &self.text);
        self.hash
    }
}

/// The hash of a text that is longer than most.
fn long(algorithm: DigestAlgorithm, parts: [&[u8]; 3]) -> Hash {
    match algorithm {
        DigestAlgorithm::Md5 => Hash::md5(joined(Md5::new(), parts).into()),
        DigestAlgorithm::Sha256 => Hash::sha256(joined(Sha256::new(), parts).into()),
    }
}

fn joined<D: md5::Digest>(mut hasher: D, parts: [&[u8]; 3]) -> md5::digest::Output<D> {
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;
    use crate::message::Span;

    /// The right response, in hex digits, to these texts.
    fn answer(
        algorithm: DigestAlgorithm,
        [user, realm, password]: [&str; 3],
        [method, uri]: [&str; 2],
        nonce: &str,
        cnonce: &str,
    ) -> String {
        let ha1 = Hash::of(algorithm, format!("{user}:{realm}:{password}").as_bytes());
        let ha2 = LastHa2::default().get(algorithm, method.as_bytes(), uri.as_bytes());
        let claim = Claim {
            username: Span::default(),
            nonce: nonce.as_bytes(),
            uri: Span::default(),
            response: b"",
            cnonce: cnonce.as_bytes(),
            nc: *b"00000001",
            count: 1,
            algorithm,
        };
        let hash = response(&claim, &ha1, &ha2);
        hash.hex().as_flattened()[..digits(algorithm)].iter().copied().map(char::from).collect()
    }

    #[test]
    fn rfc_2617_section_3_5() {
        let found = answer(
            DigestAlgorithm::Md5,
            ["Mufasa", "testrealm@host.com", "Circle Of Life"],
            ["GET", "/dir/index.html"],
            "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            "0a4f113b",
        );
        assert_eq!(found, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn rfc_7616_section_3_9_1() {
        let answer = |algorithm| {
            answer(
                algorithm,
                ["Mufasa", "http-auth@example.org", "Circle of Life"],
                ["GET", "/dir/index.html"],
                "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            )
        };
        assert_eq!(answer(DigestAlgorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            answer(DigestAlgorithm::Sha256),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn hex_is_read_in_any_case_and_length_counts() {
        use DigestAlgorithm::{Md5, Sha256};
        let is = |hash: &Hash, text: &str| bool::from(hash.is(text.as_bytes()));
        let hash = Hash::of(Md5, b"a");
        let hex = "0cc175b9c0f1b6a831c399e269772661";
        assert!(is(&hash, hex) && is(&hash, &hex.to_uppercase()));
        assert!(!is(&hash, &hex[1..]) && !is(&hash, &format!("{hex}{hex}")) && !is(&hash, ""));
        for at in 0..32 {
            let mut changed = hex.as_bytes().to_vec();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(!bool::from(hash.is(&changed)), "{at}");
        }
        let hash = Hash::of(Sha256, b"a");
        let hex = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
        assert!(is(&hash, hex) && !is(&hash, &hex[32..]) && !is(&hash, &hex[..32]));
    }

    #[test]
    fn another_method_or_uri_is_another_hash() {
        let mut last = LastHa2::default();
        for (method, uri) in [("A", "b"), ("A", "b"), ("A", "bc"), ("AB", "c"), ("A:b", "c")] {
            for algorithm in [DigestAlgorithm::Md5, DigestAlgorithm::Sha256] {
                let expected = Hash::of(algorithm, format!("{method}:{uri}").as_bytes());
                assert_eq!(last.get(algorithm, method.as_bytes(), uri.as_bytes()), expected);
            }
        }
        let long = "u".repeat(500);
        let expected = Hash::of(DigestAlgorithm::Md5, format!("A:{long}").as_bytes());
        assert_eq!(last.get(DigestAlgorithm::Md5, b"A", long.as_bytes()), expected);
    }
}
