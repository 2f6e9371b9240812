//! Nonces that prove themselves, so that nothing is kept for a challenge that is never answered
//! (RFC 7616 section 5.4).
//!
//! A nonce is a stamp (6 bytes: when it was made, and no two are the same), the number of its worker and a
//! keyed hash over these, the client's address and the realm. It is good at the worker that made it, from the
//! address that it was made for. 15 bytes are 20 characters: so a response is the hash of two blocks of MD5
//! with a cnonce of up to 18 characters.

use core::net::IpAddr;
use subtle::ConstantTimeEq as _;

use crate::rewrite::keyed_hash::HashKey;

/// Characters of a nonce.
pub(super) const LENGTH: usize = 20;

/// Stamps in a millisecond: as many nonces can be made before stamps run ahead of the clock.
const STAMPS_PER_MS: u64 = 1024;

const STAMP_BITS: u32 = 48;

/// Makes nonces and recognises them.
#[derive(Debug)]
pub(super) struct Nonces {
    key: HashKey,
    worker: u8,
    last: u64,
}

/// A nonce of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonce {
    /// Above those of all nonces made before it.
    pub(super) stamp: u64,
    /// Its keyed hash.
    pub(super) check: u64,
}

impl Nonce {
    /// Whether it is older than this.
    pub(super) fn is_over(self, now_ms: u64, life_ms: u64) -> bool {
        self.stamp / STAMPS_PER_MS + life_ms < now_ms
    }
}

impl Nonces {
    pub(super) fn new(key: HashKey, worker: u8) -> Self {
        Self { key, worker, last: 0 }
    }

    /// A new one.
    #[inline]
    pub(super) fn issue(&mut self, now_ms: u64, source: IpAddr, realm: &[u8]) -> [u8; LENGTH] {
        self.last = (now_ms * STAMPS_PER_MS).max(self.last + 1) & ((1 << STAMP_BITS) - 1);
        let check = self.check(self.last, source, realm);
        encode(u128::from(self.last) << 72 | u128::from(self.worker) << 64 | u128::from(check))
    }

    /// The nonce that `text` is, if this worker made it for the same client and realm.
    #[inline]
    pub(super) fn read(&self, text: &[u8], source: IpAddr, realm: &[u8]) -> Option<Nonce> {
        let bits = decode(text.first_chunk().filter(|_| text.len() == LENGTH)?)?;
        let (stamp, check) = ((bits >> 72) as u64, low(bits));
        let expected = self.check(stamp, source, realm);
        let is_ours = low(bits >> 64) & 0xff == u64::from(self.worker)
            && bool::from(expected.ct_eq(&check))
            && stamp <= self.last;
        is_ours.then_some(Nonce { stamp, check })
    }

    #[inline]
    fn check(&self, stamp: u64, source: IpAddr, realm: &[u8]) -> u64 {
        let hash = self.key.begin().word(stamp << 8 | u64::from(self.worker));
        let hash = match source {
            IpAddr::V4(v4) => hash.word(v4.to_bits().into()),
            IpAddr::V6(v6) => hash.word((v6.to_bits() >> 64) as u64).word(low(v6.to_bits())),
        };
        hash.text(realm).finish(0)
    }
}

/// The lower half.
#[expect(clippy::cast_possible_truncation, reason = "that is what is asked for")]
fn low(bits: u128) -> u64 {
    bits as u64
}

/// Base64 with the URL-safe alphabet (RFC 4648 section 5).
static DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What each of them stands for; 0xff for other bytes.
static VALUES: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut value = 0;
    while value < 64 {
        table[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    table
};

/// 120 bits in 20 characters.
fn encode(bits: u128) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    for (at, character) in (1..).zip(&mut text) {
        *character = DIGITS[(bits >> (120 - 6 * at)) as usize & 63];
    }
    text
}

#[inline]
fn decode(text: &[u8; LENGTH]) -> Option<u128> {
    let (halves, _) = text.as_chunks::<10>();
    let mut odd = 0;
    let mut bits = 0;
    for half in halves {
        let mut word = 0_u64;
        for &character in half {
            let value = VALUES[usize::from(character)];
            odd |= value;
            word = word << 6 | u64::from(value & 63);
        }
        bits = bits << 60 | u128::from(word);
    }
    (odd < 64).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: &str = "192.0.2.7";

    fn nonces(worker: u8) -> Nonces {
        Nonces::new(HashKey::derive(b"0123456789abcdef", 1), worker)
    }

    #[test]
    fn a_nonce_is_good_where_it_was_made_and_for_whom() {
        let mut ours = nonces(3);
        let phone = PHONE.parse().unwrap();
        let text = ours.issue(5_000, phone, b"realm");
        let nonce = ours.read(&text, phone, b"realm").unwrap();
        assert!(!nonce.is_over(305_000, 300_000));
        assert!(nonce.is_over(305_001, 300_000));
        assert_eq!(ours.read(&text, phone, b"another"), None);
        assert_eq!(ours.read(&text, "192.0.2.8".parse().unwrap(), b"realm"), None);
        assert_eq!(nonces(4).read(&text, phone, b"realm"), None);
        assert_eq!(nonces(3).read(&text, phone, b"realm"), None, "of a later boot of this key");
        let v6 = "2001:db8::7".parse().unwrap();
        let text = ours.issue(5_000, v6, b"realm");
        assert!(ours.read(&text, v6, b"realm").is_some());
        assert_eq!(ours.read(&text, "2001:db8:1::7".parse().unwrap(), b"realm"), None);
    }

    #[test]
    fn no_changed_character_passes() {
        let mut ours = nonces(0);
        let phone = PHONE.parse().unwrap();
        let text = ours.issue(1, phone, b"realm");
        for at in 0..LENGTH {
            for byte in 0..=255 {
                let mut changed = text;
                changed[at] = byte;
                assert_eq!(ours.read(&changed, phone, b"realm").is_some(), changed == text);
            }
        }
        assert_eq!(ours.read(&text[1..], phone, b"realm"), None);
        assert_eq!(ours.read(b"", phone, b"realm"), None);
    }

    #[test]
    fn no_two_are_the_same_and_time_may_stand_still() {
        let mut ours = nonces(0);
        let phone = PHONE.parse().unwrap();
        let mut before = 0;
        for now_ms in [7, 7, 7, 8, 8, 6] {
            let text = ours.issue(now_ms, phone, b"realm");
            let stamp = ours.read(&text, phone, b"realm").unwrap().stamp;
            assert!(stamp > before);
            before = stamp;
        }
    }
}
