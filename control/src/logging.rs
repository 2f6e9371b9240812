//! Log lines on standard error.

use crate::config::Level;
use std::io::IsTerminal;

/// Starts logging at `level`; once per process.
pub fn start(level: Level) {
    tracing_subscriber::fmt()
        .with_max_level(level.as_tracing())
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
