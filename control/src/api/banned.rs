//! Sources that are dropped altogether for a time.

use super::Sources;
use super::caller::Caller;
use super::error::ApiError;
use crate::dataplane_link::Link;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use control_api::BannedSource;
use std::net::IpAddr;

pub(super) async fn list(
    State(sources): State<Sources>,
) -> Result<Json<Vec<BannedSource>>, ApiError> {
    Ok(Json(ask(&sources, None).await?))
}

/// Gives who is banned still.
pub(super) async fn unban(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    Path(address): Path<IpAddr>,
) -> Result<Json<Vec<BannedSource>>, ApiError> {
    let left = ask(&sources, Some(address)).await;
    sources.audit.unbanned(&caller.name, address, left.is_ok());
    Ok(Json(left?))
}

async fn ask(sources: &Sources, unban: Option<IpAddr>) -> Result<Vec<BannedSource>, ApiError> {
    let answer = async { Link::connect(&sources.dataplane).await?.sources(unban).await };
    answer.await.map_err(|error| ApiError::away(error.to_string()))
}
