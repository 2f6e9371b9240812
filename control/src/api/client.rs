//! Asks control over its Unix socket, for the operator's commands.

use super::error::Body;
use crate::limits::API_REQUEST_MAX;
use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::path::Path;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Asks for `path` at the control process behind the socket, and gives the status and the body.
///
/// # Errors
/// Nobody there, no answer.
pub async fn ask(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes)> {
    let exchange = async {
        let stream = UnixStream::connect(socket)
            .await
            .with_context(|| format!("no control process at {}", socket.display()))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "trunkline")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        driver.abort();
        Ok((status, body))
    };
    timeout(API_REQUEST_MAX, exchange).await.context("control does not answer")?
}

/// The same for callers without a runtime.
///
/// # Errors
/// As [`ask`].
pub fn ask_blocking(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask(socket, method, path, body))
}

/// What stands at `path`.
///
/// # Errors
/// As [`ask`]; what control says is wrong.
pub fn get_blocking<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T> {
    let (status, body) = ask_blocking(socket, Method::GET, path, Vec::new())?;
    if status.is_success() {
        return serde_json::from_slice(&body).with_context(|| format!("the answer to {path}"));
    }
    bail!(problem(status, &body))
}

/// What control says is wrong.
pub fn problem(status: StatusCode, body: &[u8]) -> String {
    match serde_json::from_slice::<Body>(body) {
        Ok(Body { error }) => error,
        Err(_) => format!("control answered {status}"),
    }
}
