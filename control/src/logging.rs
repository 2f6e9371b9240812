//! Log lines on standard error: as text or as JSON, at a level that can change, and never more of one kind than
//! somebody can read.

mod limit;

use crate::config::{Level, Log, LogFormat};
use limit::Limit;
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// What [`apply`] changes.
struct Handles {
    level: reload::Handle<EnvFilter, Registry>,
    limit: Limit,
    format: LogFormat,
}

static HANDLES: OnceLock<Handles> = OnceLock::new();

/// Starts logging; once per process.
pub fn start(log: Log) {
    let (filter, level) = reload::Layer::new(filter(log.level));
    let limit = Limit::new(log);
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(limit.clone());
    tracing_subscriber::registry().with(filter).with(lines).init();
    // Whoever starts twice has failed in `init` already.
    let _ = HANDLES.set(Handles { level, limit, format: log.format });
}

/// Puts a changed level and limit into force; says whether the format is the one that was started with.
pub fn apply(log: Log) -> bool {
    let Some(handles) = HANDLES.get() else { return true };
    // The only error is that nobody logs any more.
    let _ = handles.level.reload(filter(log.level));
    handles.limit.set(log.lines_per_10_s);
    handles.format == log.format
}

/// Of the store's own affairs only its troubles are shown, and of the engine's nothing: each attempt of its client to
/// reach a node would be an error, and `cluster` says once what is wrong.
fn filter(level: Level) -> EnvFilter {
    let level = level.as_tracing();
    let others = match level {
        tracing::Level::ERROR => "error",
        _ => "warn",
    };
    let quiet = ["fjall", "lsm_tree", "hyper", "tokio_postgres"];
    let quiet = quiet.map(|name| format!("{name}={others}")).join(",");
    EnvFilter::new(format!("{level},{quiet},redis=off"))
}
