//! The font for text in charts, from Debian's package: plotters' own search would need fontconfig.

use anyhow::{Context, Result, anyhow};
use plotters::style::{FontStyle, register_font};
use std::sync::OnceLock;

const FILE: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";
const PACKAGE: &str = "fonts-dejavu-core";

static FONT: OnceLock<Vec<u8>> = OnceLock::new();

/// Registers the font under plotters' default name.
///
/// # Errors
/// When the font is not installed.
pub(super) fn register() -> Result<()> {
    if FONT.get().is_none() {
        let bytes = std::fs::read(FILE).with_context(|| {
            format!("plots need the font {FILE}; install Debian's package {PACKAGE}")
        })?;
        let bytes = FONT.get_or_init(|| bytes);
        register_font("sans-serif", FontStyle::Normal, bytes)
            .map_err(|_| anyhow!("{FILE} is no font; install Debian's package {PACKAGE} again"))?;
    }
    Ok(())
}
