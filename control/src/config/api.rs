//! `[api]`: who may ask control, and where.

use super::error::Mistake;
use super::value;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// `[api]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Permissions of the socket `api.sock` in the run directory, as `chmod` writes them. Default `0600`;
    /// `0660` lets a group in, never others.
    #[serde(deserialize_with = "socket_mode")]
    pub socket_mode: u32,
    /// Group of that socket. Default the group of the process.
    pub socket_group: Option<String>,
    /// What those may who can open the socket and are neither root nor the user of the process. Default
    /// `read`.
    pub socket_role: Role,
    /// Address and port for HTTP over TCP, without encryption. Default none; needs tokens.
    #[serde(deserialize_with = "optional_address")]
    pub address: Option<SocketAddr>,
    /// `[[api.tokens]]`: who may ask over TCP. Default nobody; at most 64.
    pub tokens: Vec<Token>,
}

/// `[[api.tokens]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Who has it; stands in the audit log. Required; unique.
    #[serde(deserialize_with = "value::name")]
    pub name: String,
    /// What it allows. Default `read`.
    #[serde(default)]
    pub role: Role,
    /// SHA-256 of the token in 64 hex digits, so that the file holds no secret. Required.
    #[serde(deserialize_with = "digest")]
    pub sha256: [u8; 32],
}

/// What somebody may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look: status, metrics, members, locations.
    #[default]
    Read,
    /// Change: reload, roll back, drain; and see the configuration and the audit log.
    Operator,
}

impl Role {
    /// The role in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operator => "operator",
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            socket_mode: 0o600,
            socket_group: None,
            socket_role: Role::Read,
            address: None,
            tokens: Vec::new(),
        }
    }
}

/// Tokens that a file may have: one for each program that asks.
const TOKENS_MAX: usize = 64;

impl Api {
    /// What its parts ask of each other.
    pub(super) fn mistakes(&self) -> Vec<Mistake> {
        let mistake = |setting: String, problem: String| Mistake { line: None, setting, problem };
        let mut mistakes = Vec::new();
        if let Some(address) = self.address
            && self.tokens.is_empty()
        {
            let problem = format!("nobody could ask at {address}: add [[api.tokens]]");
            mistakes.push(mistake("api.address".into(), problem));
        }
        if self.tokens.len() > TOKENS_MAX {
            let problem = format!("{} tokens: at most {TOKENS_MAX}", self.tokens.len());
            mistakes.push(mistake("api.tokens".into(), problem));
        }
        for (index, token) in self.tokens.iter().enumerate() {
            if self.tokens[..index].iter().any(|other| other.name == token.name) {
                let setting = format!("api.tokens[{index}].name");
                mistakes.push(mistake(setting, format!("`{}` stands twice", token.name)));
            }
        }
        mistakes
    }
}

/// Permissions that keep others out.
fn socket_mode<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let text = String::deserialize(from)?;
    let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| mode & !0o660 == 0);
    mode.ok_or_else(|| {
        D::Error::custom(format!("`{text}`: write \"0600\", \"0660\" or less, never for others"))
    })
}

fn optional_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    value::address(from).map(Some)
}

fn digest<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(from)?;
    let mut digest = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_hex {
        // What stands there may be the token itself: it is not repeated.
        return Err(D::Error::custom("needs 64 hex digits: printf %s TOKEN | sha256sum"));
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        let digits = &text[2 * index..2 * index + 2];
        *byte = u8::from_str_radix(digits, 16).map_err(D::Error::custom)?;
    }
    Ok(digest)
}
