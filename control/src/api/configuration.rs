//! The configuration: seen, compared, changed.

use super::Sources;
use super::caller::Caller;
use super::endpoints::{Configuration, text_of};
use super::error::ApiError;
use crate::configuration::history::Generation;
use crate::configuration::manager::{Extent, Source, Wish};
use crate::configuration::report::{Report, Verdict};
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;

pub(super) async fn summary(State(sources): State<Sources>) -> Json<Configuration> {
    Json(Configuration::of(&sources))
}

/// Which text.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    /// The generation; the one in force without it.
    generation: Option<u64>,
}

pub(super) async fn text(
    State(sources): State<Sources>,
    Query(which): Query<Which>,
) -> Result<Response, ApiError> {
    let text = match which.generation {
        None => sources.running.borrow().loaded.text.clone(),
        Some(number) => {
            let kept = sources.history.text(number);
            kept.map_err(|error| ApiError::not_found(format!("{error:#}")))?.1
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/toml")], text).into_response())
}

pub(super) async fn history(State(sources): State<Sources>) -> Json<Vec<Generation>> {
    Json(sources.history.list())
}

/// What the file, or the text in the body, would change.
pub(super) async fn diff(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let text = text_of(&body)?;
    let source = if text.is_empty() { Source::File } else { Source::Text(text) };
    wish(&sources, caller, source, Extent::DryRun).await
}

/// How to reload, or roll back.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct How {
    /// Only say what would change.
    dry_run: bool,
    /// Change what can be changed now; what needs a restart waits for one.
    partial: bool,
    /// Roll back to this generation; to the one before without it.
    generation: Option<u64>,
}

impl How {
    /// An empty body asks for the usual.
    fn of(body: &Bytes) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body).map_err(|error| ApiError::bad(error.to_string()))
    }

    fn extent(&self) -> Extent {
        match (self.dry_run, self.partial) {
            (true, _) => Extent::DryRun,
            (false, true) => Extent::Partial,
            (false, false) => Extent::Whole,
        }
    }
}

pub(super) async fn reload(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let how = How::of(&body)?;
    if how.generation.is_some() {
        return Err(ApiError::bad("a generation is for /v1/configuration/rollback"));
    }
    wish(&sources, caller, Source::File, how.extent()).await
}

pub(super) async fn rollback(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let how = How::of(&body)?;
    let source = how.generation.map_or(Source::Previous, Source::Generation);
    wish(&sources, caller, source, how.extent()).await
}

async fn wish(
    sources: &Sources,
    caller: Caller,
    source: Source,
    extent: Extent,
) -> Result<Response, ApiError> {
    let wish = Wish { source, extent, who: caller.name };
    let report = sources.wishes.ask(wish).await;
    let report: Report = report.ok_or_else(|| ApiError::away("control is ending"))?;
    let status = match report.verdict {
        Verdict::InForce | Verdict::Unchanged | Verdict::WouldChange => StatusCode::OK,
        Verdict::Broken => StatusCode::UNPROCESSABLE_ENTITY,
        Verdict::NeedsRestart | Verdict::Refused => StatusCode::CONFLICT,
    };
    Ok((status, Json(report)).into_response())
}
