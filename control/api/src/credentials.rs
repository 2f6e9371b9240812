//! Users and what they prove to know, on their way to the data plane.

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Users in one piece: some 60 KiB, one packet, so that whatever else is asked for waits for little.
pub const PIECE_USERS: usize = 800;

/// A piece of all users of all realms. The pieces of one connection belong together from one that is the
/// first to one that is the last; with that they are in force, all at once, in place of those before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialsPiece {
    /// Whether it begins anew.
    pub is_first: bool,
    /// The realm of these users; empty for none. A realm without users is one that nobody is in.
    pub realm: String,
    /// The users, none of whom stands twice in a realm.
    pub users: Vec<UserSecrets>,
    /// Whether that was all.
    pub is_last: bool,
}

/// What one user proves to know: `H(user:realm:password)` by algorithm (RFC 7616 section 3.4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSecrets {
    /// The user name, as clients send it.
    pub name: String,
    /// With MD5.
    pub md5: Option<[u8; 16]>,
    /// With SHA-256.
    pub sha256: Option<[u8; 32]>,
}
