//! HTTP and JSON for operators and their programs: [`server`] listens, [`caller`] says who asks and what they may,
//! the endpoints stand in one list, and `openapi.json` describes them.

mod banned;
pub mod caller;
pub mod client;
mod cluster;
mod configuration;
mod endpoints;
mod error;
mod rss;
pub mod server;

pub use endpoints::{Configuration, WhereQuestion};
pub use error::ApiError;

use crate::audit::Audit;
use crate::config::Role;
use crate::configuration::Running;
use crate::configuration::history::History;
use crate::configuration::manager::Wishes;
use crate::connections::Connections;
use crate::dns::Names;
use crate::health::MonitorHandle;
use crate::leaving::Leaving;
use crate::limits::API_BODY_MAX;
use crate::location::stored::StoredBindings;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use control_api::operator::RealmReport;
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
    /// How reading the users of each realm went.
    pub realms: watch::Receiver<Vec<RealmReport>>,
    /// Who is registered.
    pub bindings: StoredBindings,
    /// The configuration in force.
    pub running: watch::Receiver<Arc<Running>>,
    /// Where changes of it are asked for.
    pub wishes: Wishes,
    /// TCP, TLS and WebSocket.
    pub connections: Connections,
    /// Where host names lead.
    pub names: Names,
    /// What was in force before.
    pub history: History,
    /// What was changed, and by whom.
    pub audit: Audit,
    /// Whether the appliance is about to go.
    pub leaving: Leaving,
    /// The key of branch checks, which decides about members.
    pub secret: [u8; 16],
}

/// One method of one path.
struct Endpoint {
    method: Method,
    path: &'static str,
    /// What a caller must be allowed; anybody who can connect may ask where there is none.
    role: Option<Role>,
    handler: Handler,
}

/// Makes the handler of a method.
type Handler = fn(MethodFilter) -> MethodRouter<Sources>;

/// All of them, in the order of the documentation.
fn endpoints() -> Vec<Endpoint> {
    use {banned as b, cluster as k, configuration as c, endpoints as e, rss as r};
    let read = |path: &'static str, handler: Handler| Endpoint {
        method: Method::GET,
        path,
        role: Some(Role::Read),
        handler,
    };
    let change = |path: &'static str, handler: Handler| Endpoint {
        method: Method::POST,
        path,
        role: Some(Role::Operator),
        handler,
    };
    let see = |path: &'static str, handler: Handler| Endpoint {
        role: Some(Role::Operator),
        ..read(path, handler)
    };
    vec![
        Endpoint { role: None, ..read("/v1/health", |m| on(m, e::health)) },
        Endpoint { role: None, ..read("/openapi.json", |m| on(m, e::openapi)) },
        read("/metrics", |m| on(m, e::metrics)),
        read("/v1/status", |m| on(m, e::status)),
        change("/v1/leave", |m| on(m, e::leave)),
        change("/v1/stay", |m| on(m, e::stay)),
        read("/v1/connections", |m| on(m, e::connections)),
        read("/v1/destinations", |m| on(m, e::destinations)),
        change("/v1/destinations/{set}/{member}/drain", |m| on(m, e::drain)),
        change("/v1/destinations/{set}/{member}/undrain", |m| on(m, e::undrain)),
        read("/v1/sources", |m| on(m, b::list)),
        change("/v1/sources/{address}/unban", |m| on(m, b::unban)),
        read("/v1/rss", |m| on(m, r::show)),
        read("/v1/rss/flows", |m| on(m, r::flows)),
        change("/v1/rss/apply", |m| on(m, r::apply)),
        change("/v1/rss/undo", |m| on(m, r::undo)),
        read("/v1/locations/{aor}", |m| on(m, e::location)),
        read("/v1/cluster", |m| on(m, k::report)),
        read("/v1/cluster/users/{aor}", |m| on(m, k::user)),
        Endpoint { method: Method::POST, ..read("/v1/where", |m| on(m, e::find_where)) },
        read("/v1/configuration", |m| on(m, c::summary)),
        see("/v1/configuration/text", |m| on(m, c::text)),
        read("/v1/configuration/history", |m| on(m, c::history)),
        change("/v1/configuration/diff", |m| on(m, c::diff)),
        change("/v1/configuration/reload", |m| on(m, c::reload)),
        change("/v1/configuration/rollback", |m| on(m, c::rollback)),
        see("/v1/audit", |m| on(m, e::audit)),
    ]
}

/// The endpoints over `sources`, each behind its role.
pub fn router(sources: Sources) -> Router {
    let mut router = Router::new();
    for Endpoint { method, path, role, handler } in endpoints() {
        let guard = from_fn_with_state((sources.clone(), role), caller::guard);
        // All of ours are methods that it knows.
        let method = MethodFilter::try_from(method).unwrap_or(MethodFilter::GET);
        router = router.route(path, handler(method).route_layer(guard));
    }
    router
        .fallback(|| async { ApiError::not_found("no such path: GET /openapi.json lists them") })
        .layer(DefaultBodyLimit::max(API_BODY_MAX))
        .with_state(sources)
}

#[cfg(test)]
mod tests;
