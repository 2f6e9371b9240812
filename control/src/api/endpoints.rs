//! What can be asked, but for the configuration itself.

use super::Sources;
use super::caller::Caller;
use super::error::ApiError;
use crate::audit::Entry;
use crate::configuration::history::Generation;
use crate::dataplane_link;
use crate::health::Impaired;
use crate::location::json::{AorLine, aor_of, lines};
use crate::member_report::{set_loads, with_loads};
use crate::metrics;
use crate::status_report::StatusReport;
use crate::whereis::{Answer, Appliance, queues};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use control_api::operator::{ConnectionsStatus, FromControl, MemberReport, MemberState};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sip_core::Transport;
use std::fmt;
use std::net::SocketAddr;

/// Which configuration is in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Configuration {
    /// The generation.
    #[serde(flatten)]
    pub generation: Generation,
    /// Whether the file holds something else now.
    pub file_differs: bool,
    /// What was wrong with the file at the start, when the last good one came into force instead.
    pub broken_file: Option<String>,
    /// Settings that wait for a restart.
    pub waiting: Vec<String>,
}

impl Configuration {
    pub(super) fn of(sources: &Sources) -> Self {
        let running = sources.running.borrow().clone();
        let on_disk = std::fs::read_to_string(&running.loaded.file);
        Self {
            generation: running.generation.clone(),
            file_differs: on_disk.map_or(true, |text| text != running.loaded.text),
            broken_file: running.broken_file.clone(),
            waiting: running.waiting.clone(),
        }
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, file_differs, broken_file, waiting } = self;
        let Generation { number, since, by, file } = generation;
        writeln!(f, "configuration generation {number} since {since}, by {by}")?;
        let file = file.display();
        match (broken_file, file_differs) {
            (Some(mistakes), _) => write!(
                f,
                "{file} was broken at the start, so this is the last good one:\n{mistakes}"
            )?,
            (None, true) => write!(f, "{file} holds something else: trunkline reload --dry-run")?,
            (None, false) => write!(f, "{file} holds the same")?,
        }
        if !waiting.is_empty() {
            write!(f, "\nwaiting for a restart: {}", waiting.join(", "))?;
        }
        Ok(())
    }
}

/// 200 while a data plane with an epoch is there, and does not say that it is about to go.
pub(super) async fn health(State(sources): State<Sources>) -> Response {
    let status = dataplane_link::status(&sources.dataplane).await;
    let epoch = status.as_ref().map_or(0, |status| status.epoch);
    let is_leaving = status.as_ref().is_ok_and(|status| status.is_leaving);
    let is_well = epoch != 0 && !is_leaving;
    let code = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let dataplane = status.is_ok();
    let seen =
        json!({ "control": true, "dataplane": dataplane, "epoch": epoch, "leaving": is_leaving });
    (code, Json(seen)).into_response()
}

pub(super) async fn openapi() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, include_str!("openapi.json")).into_response()
}

/// Counters for Prometheus; while the data plane is away, those of control alone.
pub(super) async fn metrics(State(sources): State<Sources>) -> Result<Response, ApiError> {
    let realms = sources.realms.borrow().clone();
    let mut members = sources.monitor.report().await;
    let dataplane = dataplane_link::status(&sources.dataplane).await.ok();
    if let Some(status) = &dataplane {
        set_loads(&mut members, status);
    }
    let snapshot = metrics::Snapshot {
        dataplane,
        members,
        realms,
        connections: connections_of(&sources, 0).await?,
        names: sources.names.status(),
        cluster: super::cluster::known(&sources).await,
        configuration: Configuration::of(&sources),
    };
    let text = metrics::encode(snapshot).map_err(anyhow::Error::from)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

pub(super) async fn status(State(sources): State<Sources>) -> Json<Value> {
    let (report, error) = match dataplane_link::status(&sources.dataplane).await {
        Ok(status) => (Some(StatusReport::new(&status)), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Json(json!({
        "dataplane": report,
        "dataplane_error": error,
        "members": sources.monitor.report().await,
        "realms": *sources.realms.borrow(),
        "names": sources.names.status(),
        "configuration": Configuration::of(&sources),
    }))
}

/// How many connections are listed one by one.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    /// None without it.
    list: Option<usize>,
}

pub(super) async fn connections(
    State(sources): State<Sources>,
    Query(Listed { list }): Query<Listed>,
) -> Result<Json<ConnectionsStatus>, ApiError> {
    Ok(Json(connections_of(&sources, list.unwrap_or(0)).await?))
}

/// The connection threads answer when they have time.
async fn connections_of(sources: &Sources, most: usize) -> Result<ConnectionsStatus, ApiError> {
    let connections = sources.connections.clone();
    let status = tokio::task::spawn_blocking(move || connections.status(most)).await;
    Ok(status.map_err(anyhow::Error::from)?)
}

pub(super) async fn destinations(State(sources): State<Sources>) -> Json<Vec<MemberReport>> {
    Json(with_loads(sources.monitor.report().await, &sources.dataplane).await)
}

pub(super) async fn drain(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    Path((set, member)): Path<(String, SocketAddr)>,
) -> Result<Json<Value>, ApiError> {
    set_drained(&sources, &caller, set, member, true).await
}

pub(super) async fn undrain(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
    Path((set, member)): Path<(String, SocketAddr)>,
) -> Result<Json<Value>, ApiError> {
    set_drained(&sources, &caller, set, member, false).await
}

pub(super) async fn leave(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
) -> Json<Value> {
    set_leaving(&sources, &caller, true)
}

pub(super) async fn stay(
    State(sources): State<Sources>,
    Extension(caller): Extension<Caller>,
) -> Json<Value> {
    set_leaving(&sources, &caller, false)
}

fn set_leaving(sources: &Sources, caller: &Caller, is_leaving: bool) -> Json<Value> {
    sources.leaving.set(is_leaving, &caller.name, &sources.audit);
    Json(json!({ "leaving": is_leaving }))
}

async fn set_drained(
    sources: &Sources,
    caller: &Caller,
    set: String,
    member: SocketAddr,
    drained: bool,
) -> Result<Json<Value>, ApiError> {
    let asked = sources.monitor.drain(set.clone(), member, drained).await;
    sources.audit.drained(&caller.name, &set, member, drained, asked.as_ref().err());
    match asked {
        Ok(()) => Ok(Json(json!({ "set": set, "member": member, "drained": drained }))),
        Err(reason) => Err(ApiError::not_found(reason)),
    }
}

pub(super) async fn location(
    State(sources): State<Sources>,
    Path(aor): Path<String>,
) -> Result<Json<AorLine>, ApiError> {
    let aor = aor_of(&aor).map_err(|error| ApiError::bad(format!("{error:#}")))?;
    match sources.bindings.get(aor.clone()).await {
        FromControl::Records { records } => {
            let line = lines(&records)?.into_iter().next();
            let nobody = || ApiError::not_found(format!("{aor} has no binding"));
            line.map(Json).ok_or_else(nobody)
        }
        FromControl::Refused { reason } => Err(ApiError::away(reason)),
        _ => Err(ApiError::away("the store answered out of turn")),
    }
}

/// What `where` is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhereQuestion {
    /// The message as it came in.
    pub message: String,
    /// Where it came from.
    pub from: SocketAddr,
    /// The listen point that it came to; without it the one that this machine would answer from.
    pub to: Option<SocketAddr>,
    /// What it came over; without it UDP.
    pub transport: Option<Transport>,
}

pub(super) async fn find_where(
    State(sources): State<Sources>,
    Json(question): Json<WhereQuestion>,
) -> Result<Json<Answer>, ApiError> {
    let is_impaired = |member: &MemberReport| !member.is_in_use && member.state != MemberState::Up;
    let members = sources.monitor.report().await.into_iter().filter(is_impaired);
    let impaired: Vec<_> = members
        .map(|member| Impaired { set: member.set, address: member.address, state: member.state })
        .collect();
    // Tables of millions of prefixes take their time.
    let answer = tokio::task::spawn_blocking(move || {
        let running = sources.running.borrow().clone();
        let config = &running.loaded.config;
        let appliance = Appliance::new(config, sources.secret, &impaired)?;
        let transport = question.transport.unwrap_or_default();
        let listen = appliance.listen(transport, question.from, question.to)?;
        let mut answer = appliance.ask(question.message.as_bytes(), question.from, listen);
        let machine = nic_config::Machine::probe();
        match machine.map(|machine| nic_config::plan(&config.nic, &machine)) {
            Ok(Ok(plan)) => answer.queues = queues(&plan, transport),
            Ok(Err(error)) => answer.notes.push(format!("the queue is not known here: {error}")),
            Err(error) => answer.notes.push(format!("the queue is not known here: {error}")),
        }
        anyhow::Ok(answer)
    });
    let answer = answer.await.map_err(anyhow::Error::from)?;
    answer.map(Json).map_err(|error| ApiError::bad(format!("{error:#}")))
}

/// How much of the audit log.
#[derive(Debug, Deserialize)]
pub(super) struct Extract {
    /// Lines, the newest; 50 without it.
    limit: Option<usize>,
}

pub(super) async fn audit(
    State(sources): State<Sources>,
    Query(Extract { limit }): Query<Extract>,
) -> Result<Json<Vec<Entry>>, ApiError> {
    Ok(Json(sources.audit.last(limit.unwrap_or(50))?))
}

/// A body as text.
pub(super) fn text_of(body: &Bytes) -> Result<String, ApiError> {
    let text = std::str::from_utf8(body);
    text.map(str::to_owned).map_err(|_| ApiError::bad("the body is no UTF-8 text"))
}
