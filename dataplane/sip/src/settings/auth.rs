//! How requests prove who sends them (RFC 3261 section 22, RFC 7616, RFC 8760).

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// How credentials are asked for and checked, for rules with a realm.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AuthSettings {
    /// Names of the realms; rules name one of them. At most 256.
    pub realms: Vec<String>,
    /// Algorithms that are offered, the preferred one first.
    pub algorithms: Vec<DigestAlgorithm>,
    /// How long a nonce is good, in seconds; 10 to 86,400.
    pub nonce_s: u32,
    /// Failures of one source address within the window that block it; 0 sets no limit. To 100,000.
    pub failures_per_source: u32,
    /// Failures for one user within the window that block it; 0 sets no limit. To 100,000.
    pub failures_per_user: u32,
    /// Length of that window, in seconds; 1 to 3,600.
    pub failure_window_s: u32,
    /// How long a block lasts, in seconds; 1 to 86,400.
    pub block_s: u32,
    /// What becomes of requests of who is blocked.
    pub blocked: Blocked,
}

/// A hash that digests are made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DigestAlgorithm {
    /// SHA-256 (RFC 7616, RFC 8760).
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = "SHA-256"))]
    Sha256,
    /// MD5 (RFC 2617), which nearly all phones speak and few should.
    #[cfg_attr(feature = "serde", serde(rename = "MD5"))]
    Md5,
}

/// What becomes of requests of who is blocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Blocked {
    /// They are dropped: a scanner learns nothing and has to wait.
    #[default]
    Drop,
    /// They are answered with 403.
    Forbid,
}

/// Index of a realm in [`AuthSettings::realms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealmId(pub u16);

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            realms: Vec::new(),
            algorithms: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
            nonce_s: 300,
            failures_per_source: 20,
            failures_per_user: 10,
            failure_window_s: 60,
            block_s: 60,
            blocked: Blocked::Drop,
        }
    }
}
