//! Commands that must succeed.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// Runs `program` to its end and gives what it printed.
///
/// # Errors
/// The command line and what it wrote to standard error.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let output = command
        .output()
        .with_context(|| format!("`{program}` cannot be started: is it installed?"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{program} {}` failed: {}", arguments.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
