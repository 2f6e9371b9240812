//! Who asks, and what they may: on the Unix socket the kernel says who, over TCP a token does.

use super::Sources;
use super::error::ApiError;
use crate::config::{Api, Role};
use crate::limits::API_REQUEST_MAX;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use nix::unistd::{Uid, User};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use tokio::time::timeout;
use tracing::warn;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// A process of this user, on the Unix socket.
    User(u32),
    /// Somebody at this address.
    Remote(SocketAddr),
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// As the audit log names them.
    pub name: String,
    /// What they may.
    pub role: Role,
}

/// Lets those through who may, within the time that a request may take.
pub(super) async fn guard(
    State((sources, needed)): State<(Sources, Option<Role>)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(needed) = needed {
        let peer = request.extensions().get::<Peer>().copied();
        let api = sources.running.borrow().loaded.config.api.clone();
        let caller = identify(peer, request.headers(), &api)?;
        if caller.role < needed {
            let Caller { name, role } = caller;
            let (role, needed) = (role.name(), needed.name());
            return Err(ApiError::forbidden(format!(
                "{name} has the role {role}; this needs {needed}"
            )));
        }
        request.extensions_mut().insert(caller);
    }
    let answer = timeout(API_REQUEST_MAX, next.run(request)).await;
    answer.map_err(|_| ApiError::away("it took too long"))
}

/// A token counts before the user, so that somebody who may more can ask for less.
fn identify(peer: Option<Peer>, headers: &HeaderMap, api: &Api) -> Result<Caller, ApiError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        return token.and_then(|token| by_token(token.trim(), api)).ok_or_else(|| {
            warn!(?peer, "the API refused a token that it does not know");
            ApiError::unknown("no such token: [[api.tokens]] lists them")
        });
    }
    match peer {
        Some(Peer::User(uid)) => Ok(by_user(uid, api)),
        _ => Err(ApiError::unknown("send a token: Authorization: Bearer TOKEN")),
    }
}

fn by_token(token: &str, api: &Api) -> Option<Caller> {
    // What is compared is a hash, of which the time it takes tells nothing that leads to the token.
    let digest = Sha256::digest(token.as_bytes());
    let known = api.tokens.iter().find(|known| known.sha256[..] == digest[..])?;
    Some(Caller { name: format!("token {}", known.name), role: known.role })
}

fn by_user(uid: u32, api: &Api) -> Caller {
    let is_operator = uid == 0 || uid == Uid::effective().as_raw();
    Caller { name: user(uid), role: if is_operator { Role::Operator } else { api.socket_role } }
}

/// A user as the audit log names them.
pub fn user(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("uid {uid} ({})", user.name),
        _ => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Peer, identify};
    use crate::config::{Api, Role, Token};
    use axum::http::{HeaderMap, header};
    use sha2::{Digest, Sha256};

    #[test]
    fn tokens_and_users_have_their_roles() {
        let token = |name: &str, role| Token {
            name: name.into(),
            role,
            sha256: Sha256::digest(name.as_bytes()).into(),
        };
        let tokens = vec![token("a", Role::Read), token("b", Role::Operator)];
        let api = Api { tokens, ..Api::default() };
        let remote = Some(Peer::Remote("192.0.2.1:5".parse().unwrap()));
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            headers
        };
        let none = HeaderMap::new();
        assert!(identify(remote, &none, &api).is_err());
        assert!(identify(remote, &with("Bearer c"), &api).is_err());
        assert!(identify(remote, &with("Basic b"), &api).is_err());
        let caller = identify(remote, &with("Bearer b"), &api).unwrap();
        assert_eq!((caller.name.as_str(), caller.role), ("token b", Role::Operator));
        let root = Some(Peer::User(0));
        assert_eq!(identify(root, &none, &api).unwrap().role, Role::Operator);
        assert_eq!(identify(root, &with("Bearer a"), &api).unwrap().role, Role::Read);
        let other = identify(Some(Peer::User(4_000_000)), &none, &api).unwrap();
        assert_eq!((other.name.as_str(), other.role), ("uid 4000000", Role::Read));
    }
}
