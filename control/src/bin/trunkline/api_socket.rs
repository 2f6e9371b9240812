//! Where control's API is asked.

use std::path::PathBuf;

/// The option that all commands which ask it share.
#[derive(clap::Args)]
pub(crate) struct ApiSocket {
    /// API socket of control
    #[arg(
        long = "socket",
        global = true,
        value_name = "PATH",
        env = "TRUNKLINE_API",
        default_value = "/run/trunkline/api.sock"
    )]
    pub(crate) path: PathBuf,
}
