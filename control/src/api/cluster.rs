//! The cluster.

use super::Sources;
use super::error::ApiError;
use crate::cluster::report::{ClusterReport, Known, UserReport};
use crate::health::Impaired;
use crate::location::json::{aor_of, lines};
use axum::Json;
use axum::extract::{Path, State};
use control_api::operator::{FromControl, MemberState};

const NONE: &str = "this node shares users with nobody: its configuration has no [cluster] section";

pub(super) async fn report(
    State(sources): State<Sources>,
) -> Result<Json<ClusterReport>, ApiError> {
    known(&sources).await.map(Json).ok_or_else(|| ApiError::not_found(NONE))
}

/// None without `[cluster]`.
pub(super) async fn known(sources: &Sources) -> Option<ClusterReport> {
    with_known(sources, ClusterReport::new).await
}

pub(super) async fn user(
    State(sources): State<Sources>,
    Path(aor): Path<String>,
) -> Result<Json<UserReport>, ApiError> {
    let aor = aor_of(&aor).map_err(|error| ApiError::bad(format!("{error:#}")))?;
    let stored = match sources.bindings.get(aor.clone()).await {
        FromControl::Records { records } => lines(&records)?.into_iter().next(),
        _ => None,
    };
    let report = with_known(&sources, |known| UserReport::new(known, aor, stored)).await;
    report.map(Json).ok_or_else(|| ApiError::not_found(NONE))
}

async fn with_known<T>(sources: &Sources, make: impl FnOnce(&Known<'_>) -> T) -> T {
    let members = sources.monitor.report().await.into_iter();
    let members = members.filter(|member| member.state != MemberState::Up);
    let impaired: Vec<_> = members
        .map(|member| Impaired { set: member.set, address: member.address, state: member.state })
        .collect();
    let picture = sources.bindings.picture();
    let running = sources.running.borrow().clone();
    let config = &running.loaded.config;
    make(&Known { config, secret: sources.secret, impaired: &impaired, picture: picture.as_ref() })
}
