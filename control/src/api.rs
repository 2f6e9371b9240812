//! HTTP and JSON for operators and their programs: [`server`] listens, [`caller`] says who asks and what they may,
//! the endpoints stand in one list, and `openapi.json` describes them.

pub mod caller;
pub mod client;
mod configuration;
mod endpoints;
mod error;
pub mod server;

pub use endpoints::{Configuration, WhereQuestion};
pub use error::ApiError;

use crate::audit::Audit;
use crate::config::Role;
use crate::configuration::Running;
use crate::configuration::history::History;
use crate::configuration::manager::Wishes;
use crate::health::MonitorHandle;
use crate::limits::API_BODY_MAX;
use crate::location::stored::StoredBindings;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// What the endpoints answer from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The management socket of the data plane.
    pub dataplane: PathBuf,
    /// Which members are in use.
    pub monitor: MonitorHandle,
    /// Who is registered.
    pub bindings: StoredBindings,
    /// The configuration in force.
    pub running: watch::Receiver<Arc<Running>>,
    /// Where changes of it are asked for.
    pub wishes: Wishes,
    /// What was in force before.
    pub history: History,
    /// What was changed, and by whom.
    pub audit: Audit,
    /// The key of branch checks, which decides about members.
    pub secret: [u8; 16],
}

/// One method of one path.
struct Endpoint {
    method: Method,
    path: &'static str,
    /// What a caller must be allowed; anybody who can connect may ask where there is none.
    role: Option<Role>,
    handler: MethodRouter<Sources>,
}

/// All of them, in the order of the documentation.
fn endpoints() -> Vec<Endpoint> {
    use {configuration as c, endpoints as e};
    let get = MethodFilter::GET;
    let post = MethodFilter::POST;
    let read =
        |path, handler| Endpoint { method: Method::GET, path, role: Some(Role::Read), handler };
    let change = |path, handler| Endpoint {
        method: Method::POST,
        path,
        role: Some(Role::Operator),
        handler,
    };
    let see = |path, handler| Endpoint { role: Some(Role::Operator), ..read(path, handler) };
    vec![
        Endpoint { role: None, ..read("/v1/health", on(get, e::health)) },
        Endpoint { role: None, ..read("/openapi.json", on(get, e::openapi)) },
        read("/metrics", on(get, e::metrics)),
        read("/v1/status", on(get, e::status)),
        read("/v1/destinations", on(get, e::destinations)),
        change("/v1/destinations/{set}/{member}/drain", on(post, e::drain)),
        change("/v1/destinations/{set}/{member}/undrain", on(post, e::undrain)),
        read("/v1/locations/{aor}", on(get, e::location)),
        Endpoint { method: Method::POST, ..read("/v1/where", on(post, e::find_where)) },
        read("/v1/configuration", on(get, c::summary)),
        see("/v1/configuration/text", on(get, c::text)),
        read("/v1/configuration/history", on(get, c::history)),
        change("/v1/configuration/diff", on(post, c::diff)),
        change("/v1/configuration/reload", on(post, c::reload)),
        change("/v1/configuration/rollback", on(post, c::rollback)),
        see("/v1/audit", on(get, e::audit)),
    ]
}

/// The endpoints over `sources`, each behind its role.
pub fn router(sources: Sources) -> Router {
    let mut router = Router::new();
    for Endpoint { path, role, handler, .. } in endpoints() {
        let guard = from_fn_with_state((sources.clone(), role), caller::guard);
        router = router.route(path, handler.route_layer(guard));
    }
    router
        .fallback(|| async { ApiError::not_found("no such path: GET /openapi.json lists them") })
        .layer(DefaultBodyLimit::max(API_BODY_MAX))
        .with_state(sources)
}

#[cfg(test)]
mod tests;
