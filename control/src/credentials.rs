//! Users and what they prove to know: read from files and databases, given to the data plane, and read again
//! when they change.
//!
//! Passwords end here: the data plane gets `H(user:realm:password)`, and nothing of it is ever logged.

mod database;
mod file;
mod publisher;

pub(crate) use database::is_server;
pub use publisher::publish;

use crate::config::{CredentialSource, Realm};
use anyhow::{Context, Result, bail};
use control_api::UserSecrets;
use md5::{Digest as _, Md5};
use sha2::Sha256;
use std::collections::HashSet;

/// Reads the users of a realm, from wherever they are.
///
/// # Errors
/// One line that names the file and line, or the database, and what is wrong there.
pub async fn read(realm: &Realm) -> Result<Vec<UserSecrets>> {
    let Realm { name, source } = realm.clone();
    match source {
        CredentialSource::File { path, format } => {
            tokio::task::spawn_blocking(move || file::read(&path, format, &name)).await?
        }
        CredentialSource::Database { address, query } => {
            let users = database::read(&address, &query, &name).await;
            // The address may hold a password.
            users.with_context(|| format!("auth.realms \"{name}\": its database"))
        }
    }
}

/// [`read`] for callers without a runtime.
///
/// # Errors
/// As [`read`].
pub fn read_blocking(realm: &Realm) -> Result<Vec<UserSecrets>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(read(realm))
}

/// What a user with this password proves to know (RFC 7616 section 3.4.2).
fn secrets_of(name: &str, realm: &str, password: &str) -> UserSecrets {
    let text = format!("{name}:{realm}:{password}");
    UserSecrets {
        name: name.to_owned(),
        md5: Some(Md5::digest(&text).into()),
        sha256: Some(Sha256::digest(&text).into()),
    }
}

/// A hash in hex digits. What was written is left out of the error: it may be a password.
fn hash<const N: usize>(digits: &str) -> Result<[u8; N]> {
    let mut hash = [0; N];
    let pairs = digits.as_bytes().chunks_exact(2);
    if digits.len() != 2 * N || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        bail!("needs {} hex digits and has {} bytes", 2 * N, digits.len());
    }
    for (byte, pair) in hash.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair)?, 16)?;
    }
    Ok(hash)
}

/// A user by hashes; an empty text is none.
fn secrets_from(name: &str, md5: &str, sha256: &str) -> Result<UserSecrets> {
    let some = |text: &str| !text.is_empty();
    let md5 = some(md5).then(|| hash(md5)).transpose().context("the HA1")?;
    let sha256 = some(sha256).then(|| hash(sha256)).transpose().context("the HA1 of SHA-256")?;
    if md5.is_none() && sha256.is_none() {
        bail!("{name} has neither HA1");
    }
    Ok(UserSecrets { name: name.to_owned(), md5, sha256 })
}

/// Users in the order in which they came, none of them twice.
#[derive(Default)]
struct Users {
    users: Vec<UserSecrets>,
    names: HashSet<String>,
}

impl Users {
    fn push(&mut self, user: UserSecrets) -> Result<()> {
        let length = user.name.len();
        if length == 0 || length > sip_core::limits::CREDENTIAL_TEXT_MAX {
            let most = sip_core::limits::CREDENTIAL_TEXT_MAX;
            bail!("a user name of {length} bytes; 1 to {most} are possible");
        }
        if !self.names.insert(user.name.clone()) {
            bail!("{} stands twice", user.name);
        }
        self.users.push(user);
        Ok(())
    }
}
