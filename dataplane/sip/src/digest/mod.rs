//! Digest authentication (RFC 3261 section 22, RFC 7616, RFC 8760) with MD5 and SHA-256, `qop=auth` only.
//!
//! Everything is of one worker and of a fixed size: nonces prove themselves, used nonce counts and failures
//! are kept in tables that forget the oldest. A wrong password and a user that does not exist are the same to
//! whoever asks, in the answer and in the time it takes.
//!
//! What is checked first and what it costs an attacker: a nonce that is not ours, over or used is answered with
//! another one before any digest is computed, so that such answers tell nothing about passwords and need no
//! limit; a wrong digest counts against its source and its user.

mod challenge;
mod claim;
mod consume;
mod credentials;
mod failures;
mod fingerprint;
mod foresee;
mod hash;
mod nonce;
mod replay;
mod resource;

use core::net::IpAddr;
use subtle::Choice;

pub use consume::consume_credentials;
pub use credentials::{Credentials, CredentialsBuilder, CredentialsError};

use crate::message::{Arrival, Request, Span};
use crate::rewrite::keyed_hash::HashKey;
use crate::route::request::RequestRoute;
use crate::route::tables::Tables;
use crate::settings::{AuthSettings, RealmId};
use claim::{Claim, Found};
use credentials::User;
use failures::{Failures, Limit};
use fingerprint::Fingerprints;
use foresee::Ahead;
use hash::LastHa2;
use nonce::Nonces;
use replay::{Replays, Sight, Use};

/// How much a worker remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestSizes {
    /// Nonces whose counts are known, about: 43 to 86 bytes each.
    pub nonces: u32,
    /// Sources, and as many users, that have failed lately: 16 to 32 bytes each.
    pub failures: u32,
}

impl DigestSizes {
    /// Bytes of memory of a worker.
    pub fn memory(self) -> usize {
        Replays::memory(self.nonces) + 2 * Failures::memory(self.failures)
    }
}

impl Default for DigestSizes {
    fn default() -> Self {
        Self { nonces: 98_304, failures: 16_384 }
    }
}

/// As what we ask for credentials (RFC 3261 section 22.2 and 22.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// 401 and WWW-Authenticate, answered by Authorization.
    Registrar,
    /// 407 and Proxy-Authenticate, answered by Proxy-Authorization.
    Proxy,
}

/// A request that must have credentials.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// How it is routed.
    pub route: &'a RequestRoute,
    /// Of which realm.
    pub realm: RealmId,
    /// The users.
    pub credentials: &'a Credentials,
    /// The tables.
    pub tables: &'a Tables,
    /// How it came in.
    pub arrival: &'a Arrival,
}

impl<'a> Demand<'a> {
    /// A registrar is a server of its own, what else we do is done as a proxy.
    fn role(&self) -> Role {
        if self.route.registers() { Role::Registrar } else { Role::Proxy }
    }

    fn realm(&self) -> &'a str {
        let realms = &self.tables.auth().realms;
        realms.get(usize::from(self.realm.0)).map_or("", |name| name)
    }
}

/// What is known about who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authenticated {
    /// It has proved to be the user whose name stands here in the request, with its escapes.
    User(Span),
    /// It has to be asked, with [`Digest::write_challenge`].
    Challenge {
        /// Whether credentials would have been good with another nonce.
        stale: bool,
    },
    /// It, or the user it claims to be, has failed too often: what happens is up to
    /// [`AuthSettings::blocked`].
    Limited,
    /// The credentials break the grammar, or are for another resource: 400.
    Bad,
    /// The users of the realm are not known yet: 503.
    Unready,
}

/// What became of requests that must have credentials. All count up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DigestCounts {
    /// Their credentials were right.
    pub accepted: u64,
    /// Of these, retransmissions.
    pub retransmitted: u64,
    /// They had none for the realm, or none that we offer.
    pub unproved: u64,
    /// Their nonce was over, unknown, or made by another worker or before a restart.
    pub stale: u64,
    /// Their nonce count had been used.
    pub replayed: u64,
    /// Their digest was wrong; those of unknown users count here too.
    pub failed: u64,
    /// Of these, for users that do not exist or have no password of the algorithm.
    pub unknown_user: u64,
    /// Their source or user had failed too often.
    pub limited: u64,
    /// Their credentials broke the grammar or were for another resource.
    pub bad: u64,
    /// They came before the users of their realm were known.
    pub unready: u64,
}

/// The digest authentication of one worker.
#[derive(Debug)]
pub struct Digest {
    now_ms: u64,
    nonces: Nonces,
    replays: Replays,
    prints: Fingerprints,
    source_key: HashKey,
    sources: Failures,
    users: Failures,
    last_ha2: LastHa2,
    ahead: Ahead,
    counts: DigestCounts,
}

impl Digest {
    /// The only allocation. `secret` is random for each process, all its workers have the same; it never
    /// leaves the process.
    pub fn new(sizes: DigestSizes, worker: u8, secret: &[u8; 16]) -> Self {
        let derive = |purpose| HashKey::derive(secret, purpose);
        Self {
            now_ms: 0,
            nonces: Nonces::new(derive(1), worker),
            replays: Replays::new(sizes.nonces),
            prints: Fingerprints::new(&derive(2)),
            source_key: derive(3),
            sources: Failures::new(sizes.failures),
            users: Failures::new(sizes.failures),
            last_ha2: LastHa2::default(),
            ahead: Ahead::new(),
            counts: DigestCounts::default(),
        }
    }

    /// Sets the time, in milliseconds of a clock that never goes back.
    #[inline]
    pub fn set_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// What has happened so far.
    pub fn counts(&self) -> DigestCounts {
        self.counts
    }

    /// Finds out who sent a request.
    #[inline]
    pub fn check(&mut self, demand: &Demand<'_>) -> Authenticated {
        let result = self.decide(demand);
        let counts = &mut self.counts;
        let count = match result {
            Authenticated::User(_) => &mut counts.accepted,
            Authenticated::Limited => &mut counts.limited,
            Authenticated::Bad => &mut counts.bad,
            Authenticated::Unready => &mut counts.unready,
            // Counted where it is known why.
            Authenticated::Challenge { .. } => return result,
        };
        *count += 1;
        result
    }

    #[inline(always)]
    fn decide(&mut self, demand: &Demand<'_>) -> Authenticated {
        let (realm, auth) = (demand.realm(), demand.tables.auth());
        if !demand.credentials.has_realm(realm) {
            return Authenticated::Unready;
        }
        let address = demand.arrival.source.ip();
        let source = self.source(address);
        let claim = match claim::find(demand.request, demand.role(), realm.as_bytes()) {
            Found::Bad => return Authenticated::Bad,
            Found::Claim(claim) if auth.algorithms.contains(&claim.algorithm) => claim,
            Found::Nothing => return self.ask(source, auth),
            // Whoever goes on with what is not offered is no phone that was asked.
            Found::Claim(_) | Found::Unoffered => {
                let answer = self.ask(source, auth);
                self.sources.note(source, &source_limit(auth), self.now_ms);
                return answer;
            }
        };
        if !resource::is_same(demand, claim.uri) {
            return Authenticated::Bad;
        }
        let user = user_hash(demand, &claim);
        demand.credentials.touch(user);
        let Some(nonce) = self.nonces.read(claim.nonce, address, realm.as_bytes()) else {
            return self.stale(source, auth);
        };
        if nonce.is_over(self.now_ms, u64::from(auth.nonce_s) * 1_000) {
            return self.stale(source, auth);
        }
        self.replays.touch(nonce);
        let print = self.prints.of(demand.request.bytes);
        let used = Use { nonce, count: claim.count, user, print };
        let sight = self.replays.look(&used);
        match sight {
            Sight::Unknown => return self.stale(source, auth),
            Sight::Used => {
                self.counts.replayed += 1;
                return Authenticated::Challenge { stale: true };
            }
            // Who has proved to be this user goes on, whatever others at the same address do, or in
            // the same name.
            Sight::Next | Sight::Again => {}
            Sight::New | Sight::NextOfAnother => {
                if self.is_blocked(source, user, auth) {
                    return Authenticated::Limited;
                }
            }
        }
        let user = demand.credentials.find(user, claim.algorithm);
        if !self.is_right(demand.request, &claim, &user) {
            return self.fail(source, &user, auth);
        }
        if sight == Sight::Again {
            self.counts.retransmitted += 1;
        } else {
            self.replays.note(&used);
        }
        Authenticated::User(claim.username)
    }

    /// Whether the digest is right. An unknown user costs as much as a wrong password.
    #[inline(always)]
    fn is_right(&mut self, request: &Request<'_>, claim: &Claim<'_>, user: &User) -> bool {
        let uri = claim.uri.of(request.bytes);
        let ha2 = self.last_ha2.get(claim.algorithm, request.method_name(), uri);
        let expected = hash::response(claim, &user.ha1, &ha2);
        bool::from(expected.is(claim.response) & Choice::from(u8::from(user.is_known)))
    }

    fn ask(&mut self, source: u64, auth: &AuthSettings) -> Authenticated {
        if self.sources.is_blocked(source, &source_limit(auth), self.now_ms) {
            return Authenticated::Limited;
        }
        self.counts.unproved += 1;
        Authenticated::Challenge { stale: false }
    }

    fn stale(&mut self, source: u64, auth: &AuthSettings) -> Authenticated {
        if self.sources.is_blocked(source, &source_limit(auth), self.now_ms) {
            return Authenticated::Limited;
        }
        self.counts.stale += 1;
        Authenticated::Challenge { stale: true }
    }

    fn is_blocked(&self, source: u64, user: u64, auth: &AuthSettings) -> bool {
        self.sources.is_blocked(source, &source_limit(auth), self.now_ms)
            || self.users.is_blocked(user, &user_limit(auth), self.now_ms)
    }

    #[inline(never)]
    fn fail(&mut self, source: u64, user: &User, auth: &AuthSettings) -> Authenticated {
        self.counts.failed += 1;
        self.counts.unknown_user += u64::from(!user.is_known);
        self.sources.note(source, &source_limit(auth), self.now_ms);
        self.users.note(user.hash, &user_limit(auth), self.now_ms);
        Authenticated::Challenge { stale: false }
    }

    /// The hash of a source: an IPv4 address, or the network of an IPv6 address that one subscriber has.
    fn source(&self, address: IpAddr) -> u64 {
        let word = match address {
            IpAddr::V4(v4) => v4.to_bits().into(),
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        };
        self.source_key.begin().word(word).finish(u8::from(address.is_ipv6())).max(1)
    }
}

/// The hash of the user that a claim names.
#[inline(always)]
fn user_hash(demand: &Demand<'_>, claim: &Claim<'_>) -> u64 {
    let (realm, name) = (demand.realm().as_bytes(), claim.username.of(demand.request.bytes));
    let hash = |name: &[u8]| demand.credentials.hash(realm, name);
    if name.contains(&b'\\') { claim::unescape(name, hash) } else { hash(name) }
}

fn source_limit(auth: &AuthSettings) -> Limit {
    limit(auth.failures_per_source, auth)
}

fn user_limit(auth: &AuthSettings) -> Limit {
    limit(auth.failures_per_user, auth)
}

fn limit(failures: u32, auth: &AuthSettings) -> Limit {
    Limit {
        failures,
        window_ms: u64::from(auth.failure_window_s) * 1_000,
        block_ms: u64::from(auth.block_s) * 1_000,
    }
}
