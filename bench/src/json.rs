//! Results as JSON.

use serde::Serialize;
use std::io::Write;

/// Writes `result` as JSON to the file `path`, or to standard output for `-`.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(result: &impl Serialize, path: &str) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(result)?;
    if path == "-" {
        writeln!(std::io::stdout(), "{text}")?;
    } else {
        std::fs::write(path, text + "\n").map_err(|error| anyhow::anyhow!("{path}: {error}"))?;
    }
    Ok(())
}
