//! The key of the hash.

use std::fmt::{self, Display, Formatter, Write};
use std::str::FromStr;

use super::RssError;

/// Below this, not every bit of an IPv6 tuple would meet 32 bits of key.
pub const KEY_BYTES_MIN: usize = 40;
/// The longest key of a NIC (ice, i40e).
pub const KEY_BYTES_MAX: usize = 52;
/// Bytes of most NICs' keys.
pub const KEY_BYTES: usize = 40;

/// The key of Microsoft's verification suite, with which ixgbe, virtio and others start under DPDK.
const MICROSOFT: [u8; KEY_BYTES] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
    0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
    0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// The first 16 bits of a key that is repeated give both directions of a flow one hash (Woo and Park,
/// "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling", 2012, whose choice this is).
pub const SYMMETRIC_WORD: u16 = 0x6d5a;

/// A secret key, 40 to 52 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RssKey(Vec<u8>);

impl RssKey {
    /// A key of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, RssError> {
        let bytes = bytes.into();
        let fits = (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&bytes.len());
        if !fits || bytes.len() % 4 != 0 {
            return Err(RssError::KeyLength(bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// Microsoft's key; from byte 40 on, where no flow is hashed, it begins again.
    pub fn microsoft(length: usize) -> Result<Self, RssError> {
        Self::new(MICROSOFT.into_iter().cycle().take(length).collect::<Vec<_>>())
    }

    /// A key that repeats 16 bits, so that a flow and its answers have one hash.
    pub fn symmetric(word: u16, length: usize) -> Result<Self, RssError> {
        Self::new(word.to_be_bytes().into_iter().cycle().take(length).collect::<Vec<_>>())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it gives both directions of every flow one hash.
    pub fn is_symmetric(&self) -> bool {
        self.0.windows(3).all(|bytes| bytes[0] == bytes[2])
    }
}

impl FromStr for RssKey {
    type Err = RssError;

    /// Hexadecimal, with colons as `ethtool` writes it, or without as testpmd does.
    fn from_str(text: &str) -> Result<Self, RssError> {
        let text = text.trim();
        let pairs: Vec<&str> = if text.contains(':') {
            text.split(':').collect()
        } else {
            let ends = |start: usize| (start + 2).min(text.len());
            let pair = |start| text.get(start..ends(start)).unwrap_or(text);
            (0..text.len()).step_by(2).map(pair).collect()
        };
        let byte = |pair: &str| {
            let is_pair = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            let wrong = || RssError::KeyDigits(pair.to_owned());
            is_pair.then(|| u8::from_str_radix(pair, 16).ok()).flatten().ok_or_else(wrong)
        };
        Self::new(pairs.into_iter().map(byte).collect::<Result<Vec<_>, _>>()?)
    }
}

impl Display for RssKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_char(':')?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_ethtool_and_testpmd_write_them() {
        let key = RssKey::microsoft(KEY_BYTES).expect("40 bytes");
        let text = key.to_string();
        assert!(text.starts_with("6d:5a:56:da:") && text.ends_with(":01:fa"), "{text}");
        assert_eq!(text.parse::<RssKey>().as_ref(), Ok(&key));
        assert_eq!(text.replace(':', "").to_uppercase().parse::<RssKey>().as_ref(), Ok(&key));
        assert!(!key.is_symmetric());
        assert!(RssKey::symmetric(SYMMETRIC_WORD, 52).expect("52 bytes").is_symmetric());
    }

    #[test]
    fn wrong_keys_are_refused_with_the_reason() {
        let why = |text: &str| text.parse::<RssKey>().expect_err("refused").to_string();
        assert!(why("6d:5a").contains("has 2 bytes"), "{}", why("6d:5a"));
        assert!(why("").contains("has 0 bytes"), "{}", why(""));
        assert!(why(&"6d".repeat(41)).contains("has 41 bytes"));
        assert!(why("6d:5").contains("\"5\""));
        assert!(why("6d5").contains("\"5\""));
        assert!(why("6dé5").contains("hexadecimal"));
        assert!(why("+1").contains("\"+1\""));
    }
}
