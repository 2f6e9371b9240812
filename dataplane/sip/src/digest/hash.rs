//! The digest of RFC 7616 section 3.4.1 with `qop=auth`:
//! `H(HA1:nonce:nc:cnonce:auth:HA2)`, HA1 = `H(user:realm:password)`, HA2 = `H(method:uri)`.

use md5::{Digest as _, Md5};
use sha2::Sha256;
use smallvec::SmallVec;

use super::claim::Claim;
use crate::limits::CREDENTIAL_TEXT_MAX;
use crate::rewrite::branch::hex16;
use crate::settings::DigestAlgorithm;

/// The texts that are hashed together, in one piece: HA1 and HA2 in 64 hex digits at most, nonce and cnonce
/// of credentials, nc and qop.
type Joined = SmallVec<[u8; 2 * 64 + 2 * CREDENTIAL_TEXT_MAX + 32]>;

/// A hash of up to 32 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hash {
    pub(super) bytes: [u8; 32],
    length: usize,
}

impl Hash {
    /// The hash of one text.
    #[inline]
    pub(super) fn of(algorithm: DigestAlgorithm, parts: &[&[u8]]) -> Self {
        match algorithm {
            DigestAlgorithm::Md5 => Self::finish(parts, Md5::new()),
            DigestAlgorithm::Sha256 => Self::finish(parts, Sha256::new()),
        }
    }

    #[inline(always)]
    fn finish(parts: &[&[u8]], mut hasher: impl md5::Digest) -> Self {
        for part in parts {
            hasher.update(part);
        }
        Self::new(&hasher.finalize())
    }

    /// These bytes.
    #[inline(always)]
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut hash = Self { bytes: [0; 32], length: bytes.len().min(32) };
        for (to, from) in hash.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        hash
    }

    /// What it consists of.
    #[inline(always)]
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// In lower-case hex digits.
    #[inline(always)]
    fn push_hex(&self, out: &mut Joined) {
        let (words, _) = self.as_bytes().as_chunks::<8>();
        for word in words {
            out.extend_from_slice(&hex16(u64::from_be_bytes(*word)));
        }
    }

    /// The hash that `digits` spell in hex, of any case; `None` if it is no hash of this algorithm.
    #[inline]
    pub(super) fn read(digits: &[u8], algorithm: DigestAlgorithm) -> Option<Self> {
        let length = length(algorithm);
        if digits.len() != 2 * length {
            return None;
        }
        let mut hash = Self { bytes: [0; 32], length };
        let mut odd = 0;
        for (byte, pair) in hash.bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            let [high, low] = pair.map(|digit| NIBBLES[usize::from(digit)]);
            odd |= high | low;
            *byte = high << 4 | low & 0xf;
        }
        (odd <= 0xf).then_some(hash)
    }
}

/// Bytes of a hash.
pub(super) fn length(algorithm: DigestAlgorithm) -> usize {
    match algorithm {
        DigestAlgorithm::Md5 => 16,
        DigestAlgorithm::Sha256 => 32,
    }
}

/// What each hex digit stands for; 0xff for other bytes.
static NIBBLES: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = value;
        table[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    table
};

/// What a right response to `claim` is.
#[inline]
pub(super) fn response(claim: &Claim<'_>, ha1: &Hash, ha2: &Hash) -> Hash {
    let mut text = Joined::new();
    ha1.push_hex(&mut text);
    for part in [b":", claim.nonce, b":", &claim.nc, b":", claim.cnonce, b":auth:"] {
        text.extend_from_slice(part);
    }
    ha2.push_hex(&mut text);
    Hash::of(claim.algorithm, &[&text])
}

/// HA2 of the request before: nearly all REGISTERs of a domain have the same.
#[derive(Debug, Default)]
pub(super) struct LastHa2 {
    algorithm: Option<DigestAlgorithm>,
    /// Method and URI with a colon between them.
    text: SmallVec<[u8; 128]>,
    hash: Hash,
}

impl LastHa2 {
    /// The hash of method and URI.
    #[inline]
    pub(super) fn get(&mut self, algorithm: DigestAlgorithm, method: &[u8], uri: &[u8]) -> Hash {
        let is_same = self.algorithm == Some(algorithm)
            && self.text.len() == method.len() + 1 + uri.len()
            && self.text.starts_with(method)
            && self.text.ends_with(uri)
            && self.text.get(method.len()) == Some(&b':');
        if !is_same {
            let hash = Hash::of(algorithm, &[method, b":", uri]);
            if method.len() + 1 + uri.len() > self.text.inline_size() {
                return hash;
            }
            self.text.clear();
            for part in [method, b":", uri] {
                self.text.extend_from_slice(part);
            }
            (self.algorithm, self.hash) = (Some(algorithm), hash);
        }
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;
    use crate::message::Span;

    /// The right response, in hex digits, to these texts.
    #[expect(clippy::too_many_arguments, reason = "the inputs of the RFC's examples")]
    fn answer(
        algorithm: DigestAlgorithm,
        [user, realm, password]: [&str; 3],
        [method, uri]: [&str; 2],
        nonce: &str,
        cnonce: &str,
    ) -> String {
        let ha1 = [user, ":", realm, ":", password].map(str::as_bytes);
        let ha1 = Hash::of(algorithm, &ha1);
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
        hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
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
        let hash = Hash::of(Md5, &[b"a"]);
        assert_eq!(Hash::read(b"0cc175b9c0f1b6a831c399e269772661", Md5), Some(hash));
        assert_eq!(Hash::read(b"0CC175B9C0F1B6A831C399E269772661", Md5), Some(hash));
        assert_eq!(Hash::read(b"0cc175b9c0f1b6a831c399e26977266", Md5), None);
        assert_eq!(Hash::read(b"0cc175b9c0f1b6a831c399e26977266g", Md5), None);
        assert_eq!(Hash::read(b"0cc175b9c0f1b6a831c399e269772661", Sha256), None);
        assert_eq!(Hash::read(&[b'f'; 64], Sha256), Some(Hash::new(&[0xff; 32])));
    }

    #[test]
    fn another_method_or_uri_is_another_hash() {
        let mut last = LastHa2::default();
        for (method, uri) in [("A", "b"), ("A", "b"), ("A", "bc"), ("AB", "c"), ("A:b", "c")] {
            for algorithm in [DigestAlgorithm::Md5, DigestAlgorithm::Sha256] {
                let expected = Hash::of(algorithm, &[format!("{method}:{uri}").as_bytes()]);
                assert_eq!(last.get(algorithm, method.as_bytes(), uri.as_bytes()), expected);
            }
        }
        let long = "u".repeat(500);
        let expected = Hash::of(DigestAlgorithm::Md5, &[b"A:", long.as_bytes()]);
        assert_eq!(last.get(DigestAlgorithm::Md5, b"A", long.as_bytes()), expected);
    }
}
