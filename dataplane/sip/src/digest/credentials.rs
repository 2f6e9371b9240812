//! What users prove to know: HA1 by realm and user, read by all workers.
//!
//! One array of slots of a cache line each, a fifth of them free. A user's place follows from a keyed hash of
//! realm and name, and neighbours stand in the order of their hashes: so a look-up ends as soon for somebody
//! who is not there as for somebody who is. Names are not kept.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::hash::Hash;
use crate::limits::USERS_MAX;
use crate::rewrite::keyed_hash::HashKey;
use crate::settings::DigestAlgorithm;

/// HA1 of every user of every realm.
#[derive(Debug)]
pub struct Credentials {
    key: HashKey,
    realms: Vec<Realm>,
    slots: Box<[Slot]>,
    /// Slots that can be somebody's first place; those behind them take what runs over.
    homes: u64,
    users: usize,
}

/// A realm whose users are known.
#[derive(Clone, Debug)]
struct Realm {
    name: String,
    users: usize,
    /// Users that have an HA1 of MD5, and of SHA-256.
    with_md5: usize,
    with_sha256: usize,
}

/// A user; free with the hash 0.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Slot {
    hash: u64,
    md5: [u8; 16],
    sha256: [u8; 32],
    has_md5: bool,
    has_sha256: bool,
}

/// A user that was found, or what stands for one.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    /// The hash of realm and name, never 0.
    pub(super) hash: u64,
    /// HA1, or for nobody something of the same length that nobody can know.
    pub(super) ha1: Hash,
    pub(super) is_known: bool,
}

impl Credentials {
    /// Nobody's.
    pub fn empty() -> Self {
        let slots = Box::default();
        Self { key: key(&[0; 16], 0), realms: Vec::new(), slots, homes: 0, users: 0 }
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.users
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users == 0
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// Whether the users of this realm are known.
    #[inline]
    pub fn has_realm(&self, name: &str) -> bool {
        self.realm(name).is_some()
    }

    /// Whether every user of the realm could answer a challenge with this algorithm: one that is offered
    /// is used by the clients that know it, whatever else is offered (RFC 8760 section 2.4).
    pub(super) fn serves(&self, name: &str, algorithm: DigestAlgorithm) -> bool {
        self.realm(name).is_some_and(|realm| match algorithm {
            DigestAlgorithm::Md5 => realm.with_md5 == realm.users,
            DigestAlgorithm::Sha256 => realm.with_sha256 == realm.users,
        })
    }

    fn realm(&self, name: &str) -> Option<&Realm> {
        self.realms.iter().find(|realm| realm.name == name)
    }

    /// The user with this hash.
    #[inline]
    pub(super) fn find(&self, hash: u64, algorithm: DigestAlgorithm) -> User {
        let slot = self.slot(hash);
        // What stands for a user that is not there is a secret too, and is as quickly made as copied.
        let (ha1, is_known) = match (algorithm, slot) {
            (DigestAlgorithm::Md5, Some(slot)) => (Hash::md5(slot.md5), slot.has_md5),
            (DigestAlgorithm::Sha256, Some(slot)) => (Hash::sha256(slot.sha256), slot.has_sha256),
            (DigestAlgorithm::Md5, None) => (Hash::md5(nobody(hash)), false),
            (DigestAlgorithm::Sha256, None) => (Hash::sha256(nobody(hash)), false),
        };
        User { hash, ha1, is_known }
    }

    /// The hash by which a user is found.
    #[inline]
    pub(super) fn hash(&self, realm: &[u8], user: &[u8]) -> u64 {
        hash(&self.key, realm, user)
    }

    /// Asks for the memory that a user stands in, and waits for nothing.
    #[inline]
    pub(super) fn touch(&self, hash: u64) {
        if let Some(slot) = self.slots.get(home(hash, self.homes)) {
            core::hint::black_box(slot.hash);
        }
    }

    #[inline]
    fn slot(&self, hash: u64) -> Option<&Slot> {
        let from = home(hash, self.homes);
        let slot =
            self.slots.get(from..)?.iter().find(|slot| slot.hash >= hash || slot.hash == 0)?;
        (slot.hash == hash).then_some(slot)
    }
}

/// Collects users for [`Credentials`].
#[derive(Debug)]
pub struct CredentialsBuilder {
    key: HashKey,
    realms: Vec<Realm>,
    slots: Vec<Slot>,
}

/// Why credentials cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsError {
    /// A user before the first realm.
    NoRealm,
    /// More than [`USERS_MAX`].
    TooMany,
    /// Two users have the same hash: the same user twice, or a chance of one in a million with five
    /// million users; with another key all is well.
    Collision,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRealm => f.write_str("a user without a realm"),
            Self::TooMany => write!(f, "more than {USERS_MAX} users"),
            Self::Collision => f.write_str("a user stands twice"),
        }
    }
}

impl core::error::Error for CredentialsError {}

impl CredentialsBuilder {
    /// Begins with nobody. `secret` is random and never leaves the process; `generation` differs from that of
    /// the credentials before, so that another try has another key.
    pub fn new(secret: &[u8; 16], generation: u8) -> Self {
        Self { key: key(secret, generation), realms: Vec::new(), slots: Vec::new() }
    }

    /// Begins a realm: the users that follow are in it. One that was begun before goes on.
    pub fn realm(&mut self, name: &str) {
        let realm = match self.realms.iter().position(|realm| realm.name == name) {
            Some(at) => self.realms.remove(at),
            None => Realm { name: name.into(), users: 0, with_md5: 0, with_sha256: 0 },
        };
        self.realms.push(realm);
    }

    /// Adds a user of the realm begun last, with the HA1 of each algorithm that is known.
    ///
    /// # Errors
    /// Without a realm, and when there are too many.
    pub fn user(
        &mut self,
        name: &[u8],
        md5: Option<[u8; 16]>,
        sha256: Option<[u8; 32]>,
    ) -> Result<(), CredentialsError> {
        let realm = self.realms.last_mut().ok_or(CredentialsError::NoRealm)?;
        if self.slots.len() >= USERS_MAX {
            return Err(CredentialsError::TooMany);
        }
        realm.users += 1;
        realm.with_md5 += usize::from(md5.is_some());
        realm.with_sha256 += usize::from(sha256.is_some());
        self.slots.push(Slot {
            hash: hash(&self.key, realm.name.as_bytes(), name),
            md5: md5.unwrap_or_default(),
            sha256: sha256.unwrap_or_default(),
            has_md5: md5.is_some(),
            has_sha256: sha256.is_some(),
        });
        Ok(())
    }

    /// Sorts the users into their places; takes a second for five million, so not on a core that has
    /// something else to do.
    ///
    /// # Errors
    /// When a user stands twice.
    pub fn finish(self) -> Result<Credentials, CredentialsError> {
        let Self { key, realms, slots: mut sorted } = self;
        sorted.sort_unstable_by_key(|slot| slot.hash);
        if sorted.array_windows().any(|[one, next]| one.hash == next.hash) {
            return Err(CredentialsError::Collision);
        }
        let users = sorted.len();
        let homes = users as u64 * 5 / 4;
        let mut slots = Vec::with_capacity(users * 5 / 4 + 64);
        for slot in sorted {
            let home = home(slot.hash, homes);
            if slots.len() < home {
                slots.resize(home, Slot::default());
            }
            slots.push(slot);
        }
        Ok(Credentials { key, realms, slots: slots.into(), homes, users })
    }
}

fn key(secret: &[u8; 16], generation: u8) -> HashKey {
    HashKey::derive(secret, generation | 0x80)
}

#[inline(always)]
fn hash(key: &HashKey, realm: &[u8], user: &[u8]) -> u64 {
    key.begin().text(realm).text(user).finish(0).max(1)
}

/// Where a user's place is looked for first: the larger the hash, the further behind.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "below `homes`, which is a count of slots")]
fn home(hash: u64, homes: u64) -> usize {
    ((u128::from(hash) * u128::from(homes)) >> 64) as usize
}

/// What stands for the HA1 of a user that is not there.
#[inline(always)]
fn nobody<const N: usize>(hash: u64) -> [u8; N] {
    let mut ha1 = [0; N];
    for eight in ha1.as_chunks_mut::<8>().0 {
        *eight = hash.to_le_bytes();
    }
    ha1
}

#[cfg(test)]
mod tests {
    use std::prelude::v1::*;

    use super::*;
    use DigestAlgorithm::{Md5, Sha256};

    fn find(
        credentials: &Credentials,
        realm: &[u8],
        user: &[u8],
        algorithm: DigestAlgorithm,
    ) -> User {
        credentials.find(credentials.hash(realm, user), algorithm)
    }

    fn build(users: u32) -> Credentials {
        let mut builder = CredentialsBuilder::new(b"0123456789abcdef", 1);
        builder.realm("r");
        for user in 0..users {
            let mut md5 = [0; 16];
            md5[..4].copy_from_slice(&user.to_le_bytes());
            builder.user(format!("user{user}").as_bytes(), Some(md5), None).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn everybody_is_found_and_nobody_else() {
        for count in [0, 1, 2, 5, 1_000, 30_000] {
            let credentials = build(count);
            assert_eq!(credentials.len(), count as usize);
            for user in 0..count {
                let found = find(&credentials, b"r", format!("user{user}").as_bytes(), Md5);
                assert!(found.is_known, "{user} of {count}");
                let mut ha1 = [0; 16];
                ha1[..4].copy_from_slice(&user.to_le_bytes());
                assert_eq!(found.ha1, Hash::md5(ha1));
            }
            for user in 0..1_000 {
                let unknown = find(&credentials, b"r", format!("other{user}").as_bytes(), Md5);
                assert!(!unknown.is_known);
                assert!(!find(&credentials, b"s", format!("user{user}").as_bytes(), Md5).is_known);
            }
            assert!(!find(&credentials, b"r", b"user0", Sha256).is_known);
        }
    }

    #[test]
    fn a_user_takes_at_most_80_bytes() {
        let credentials = build(100_000);
        let each = credentials.memory() / credentials.len();
        assert!(each <= 80, "{each}");
        let runs = credentials.slots.split(|slot| slot.hash == 0).map(<[Slot]>::len).max();
        assert!(runs < Some(400), "{runs:?}");
    }

    #[test]
    fn an_algorithm_is_served_when_all_have_it() {
        let mut builder = CredentialsBuilder::new(&[1; 16], 0);
        assert_eq!(builder.user(b"a", None, None), Err(CredentialsError::NoRealm));
        builder.realm("both");
        builder.user(b"a", Some([1; 16]), Some([2; 32])).unwrap();
        builder.realm("md5");
        builder.user(b"a", Some([1; 16]), None).unwrap();
        builder.realm("both");
        builder.user(b"b", Some([1; 16]), Some([2; 32])).unwrap();
        builder.realm("none");
        let credentials = builder.finish().unwrap();
        let serves = |realm| (credentials.serves(realm, Md5), credentials.serves(realm, Sha256));
        assert_eq!(serves("both"), (true, true));
        assert_eq!(serves("md5"), (true, false));
        assert_eq!(serves("none"), (true, true));
        assert_eq!(serves("other"), (false, false));
        assert!(!Credentials::empty().has_realm("both"));
    }

    #[test]
    fn a_user_that_stands_twice_is_refused() {
        let mut builder = CredentialsBuilder::new(&[1; 16], 0);
        builder.realm("r");
        builder.user(b"a", None, None).unwrap();
        builder.user(b"a", None, None).unwrap();
        assert_eq!(builder.finish().unwrap_err(), CredentialsError::Collision);
    }
}
