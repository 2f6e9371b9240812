//! Which queue gets which flow: keys and tables of ports that run, and the flows that they receive.

use super::Sources;
use super::caller::Caller;
use super::error::ApiError;
use crate::dataplane_link::{Link, LinkError};
use crate::limits::FLOWS_LISTED;
use crate::rss::port::{PlanFile, Shown};
use axum::extract::{Query, State};
use axum::{Extension, Json};
use control_api::{PortFlows, PortRss, RssAction, RssRequest};
use serde::Deserialize;
use serde_json::json;

/// Which port.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    /// Its name; without it the only one.
    port: Option<String>,
}

pub(super) async fn show(
    State(sources): State<Sources>,
    Query(Which { port }): Query<Which>,
) -> Result<Json<Shown>, ApiError> {
    Ok(Json(ask(&sources, port, RssAction::Show).await?.into()))
}

/// Which flows.
#[derive(Debug, Deserialize)]
pub(super) struct WhichFlows {
    /// Name of the port; without it the only one.
    port: Option<String>,
    /// How many are listed one by one.
    most: Option<u32>,
}

pub(super) async fn flows(
    State(sources): State<Sources>,
    Query(WhichFlows { port, most }): Query<WhichFlows>,
) -> Result<Json<PortFlows>, ApiError> {
    let most = most.unwrap_or(FLOWS_LISTED);
    let answer = async { Link::connect(&sources.dataplane).await?.flows(port, most).await };
    answer.await.map(Json).map_err(refused)
}

pub(super) async fn apply(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    Query(Which { port }): Query<Which>,
    Json(plan): Json<PlanFile>,
) -> Result<Json<Shown>, ApiError> {
    let before = ask(&sources, port.clone(), RssAction::Show).await?;
    let (key, reta) = plan.checked(&before).map_err(ApiError::bad)?;
    change(&sources, &caller, "rss apply", port, RssAction::Apply { key, reta }).await
}

pub(super) async fn undo(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    Query(Which { port }): Query<Which>,
) -> Result<Json<Shown>, ApiError> {
    change(&sources, &caller, "rss undo", port, RssAction::Undo).await
}

async fn change(
    sources: &Sources,
    caller: &Caller,
    what: &str,
    port: Option<String>,
    action: RssAction,
) -> Result<Json<Shown>, ApiError> {
    let changed = ask(sources, port.clone(), action).await;
    let (outcome, detail) = match &changed {
        Ok(now) => (
            "done",
            json!({ "port": now.port, "key_changed": now.key_changed, "entries_changed": now.entries_changed }),
        ),
        Err(_) => ("refused", json!({ "port": port })),
    };
    sources.audit.write(&caller.name, what, outcome, detail);
    Ok(Json(changed?.into()))
}

async fn ask(
    sources: &Sources,
    port: Option<String>,
    action: RssAction,
) -> Result<PortRss, ApiError> {
    let request = RssRequest { port, action };
    let answer = async { Link::connect(&sources.dataplane).await?.rss(request).await };
    answer.await.map_err(refused)
}

fn refused(error: LinkError) -> ApiError {
    match error {
        LinkError::Refused { reason, .. } => ApiError::bad(reason),
        error => ApiError::away(error.to_string()),
    }
}
