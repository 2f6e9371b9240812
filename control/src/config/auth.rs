//! `[auth]`: how credentials are asked for and checked, and where those of each realm come from.

use crate::credentials::is_server;
use serde::Deserialize;
use sip_core::{AuthSettings, Blocked, DigestAlgorithm};
use std::path::{Path, PathBuf};

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// `[[auth.realms]]`: what routes name with `auth`. Default none; at most 256.
    pub realms: Vec<Realm>,
    /// Algorithms that are offered, the preferred one first. Default `["SHA-256", "MD5"]`.
    pub algorithms: Vec<DigestAlgorithm>,
    /// How long a nonce is good. Default 300 s; 10 to 86,400.
    pub nonce_s: u32,
    /// Failures of one source address within the window that block it. Default 20; 0 (no limit) to 100,000.
    pub failures_per_source: u32,
    /// Failures for one user within the window that block it. Default 10; 0 (no limit) to 100,000.
    pub failures_per_user: u32,
    /// Length of that window. Default 60 s; 1 to 3,600.
    pub failure_window_s: u32,
    /// How long a block lasts. Default 60 s; 1 to 86,400.
    pub block_s: u32,
    /// What becomes of requests of who is blocked. Default `drop`; or `forbid`: 403.
    pub blocked: Blocked,
}

/// `[[auth.realms]]`: users and their credentials. Exactly one of `file` and `database` stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RealmText")]
pub struct Realm {
    /// The name that routes, challenges and the hashes of passwords have. Required; 1 to 256 bytes
    /// without `"`, `\` and control characters; unique.
    pub name: String,
    /// Where its credentials are.
    pub source: CredentialSource,
}

/// What a database is asked by default: the table that SIP proxies commonly share.
pub const SUBSCRIBERS: &str = "SELECT username, ha1 FROM subscriber WHERE domain = $1";

/// Where the credentials of a realm are read, at the start and on SIGHUP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// A text file, one user in a line.
    File {
        /// Its path; beside the configuration file unless it begins with `/`.
        path: PathBuf,
        /// How its lines are written.
        format: CredentialFormat,
    },
    /// A database that control asks.
    Database {
        /// The path of a file of SQLite, beside the configuration file unless it begins with `/`; or
        /// `postgres://USER:PASSWORD@HOST/DATABASE`.
        address: String,
        /// The question. `$1` is the name of the realm; a row has the user's name, the HA1 of MD5 and, if
        /// there is a third column, of SHA-256. Default [`SUBSCRIBERS`].
        query: String,
    },
}

/// How a line of a credential file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialFormat {
    /// `user,password`, or `user,realm,HA1[,HA1 of SHA-256]` so that no password stands in the file. What
    /// holds a comma is quoted.
    #[default]
    Csv,
    /// `user:realm:HA1` of MD5, as `htdigest` writes it; the default for files whose names end with it.
    Htdigest,
}

/// A realm as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RealmText {
    name: String,
    file: Option<PathBuf>,
    format: Option<CredentialFormat>,
    database: Option<String>,
    query: Option<String>,
}

impl TryFrom<RealmText> for Realm {
    type Error = &'static str;

    fn try_from(text: RealmText) -> Result<Self, Self::Error> {
        let source = match (text.file, text.format, text.database, text.query) {
            (Some(path), format, None, None) => {
                let by_name = || match path.extension() {
                    Some(end) if end == "htdigest" => CredentialFormat::Htdigest,
                    _ => CredentialFormat::Csv,
                };
                let format = format.unwrap_or_else(by_name);
                CredentialSource::File { path, format }
            }
            (None, None, Some(address), query) => {
                let query = query.unwrap_or_else(|| SUBSCRIBERS.to_owned());
                CredentialSource::Database { address, query }
            }
            _ => {
                return Err("needs exactly one of file = \"FILE\" (with format = \"csv\" or \
                            \"htdigest\") and database = \"FILE\" or \"postgres://...\" (with query = \"SELECT ...\")");
            }
        };
        Ok(Self { name: text.name, source })
    }
}

impl Default for Auth {
    fn default() -> Self {
        let AuthSettings {
            realms: _,
            algorithms,
            nonce_s,
            failures_per_source,
            failures_per_user,
            failure_window_s,
            block_s,
            blocked,
        } = AuthSettings::default();
        Self {
            realms: Vec::new(),
            algorithms,
            nonce_s,
            failures_per_source,
            failures_per_user,
            failure_window_s,
            block_s,
            blocked,
        }
    }
}

impl Auth {
    /// Paths become those beside `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        for realm in &mut self.realms {
            match &mut realm.source {
                CredentialSource::File { path, .. } => *path = directory.join(&*path),
                CredentialSource::Database { address, .. } if !is_server(address) => {
                    *address = directory.join(&*address).to_string_lossy().into_owned();
                }
                CredentialSource::Database { .. } => {}
            }
        }
    }

    /// The same as the router knows it: of realms only the names.
    pub(super) fn to_sip(&self) -> AuthSettings {
        AuthSettings {
            realms: self.realms.iter().map(|realm| realm.name.clone()).collect(),
            algorithms: self.algorithms.clone(),
            nonce_s: self.nonce_s,
            failures_per_source: self.failures_per_source,
            failures_per_user: self.failures_per_user,
            failure_window_s: self.failure_window_s,
            block_s: self.block_s,
            blocked: self.blocked,
        }
    }
}
