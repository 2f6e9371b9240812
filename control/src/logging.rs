//! Log lines on standard error.

use crate::config::Level;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging at `level`; once per process. Of the store's own affairs only its troubles are shown.
pub fn start(level: Level) {
    let level = level.as_tracing();
    let ours = match level {
        tracing::Level::ERROR => "error",
        _ => "warn",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{level},fjall={ours},lsm_tree={ours}")))
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
