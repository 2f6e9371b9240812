//! What the connection threads work by: a configuration, ready to be used.

use super::tls::TlsSetup;
use crate::config::{Config, Connections, Listen};
use anyhow::Result;
use control_api::connection::SOCKET_NAME;
use sip_core::{ListenPoint, Settings, Tables};
use std::path::PathBuf;

/// One configuration.
#[derive(Debug)]
pub(super) struct Plan {
    /// Listen points of connections.
    pub(super) listen: Vec<Listen>,
    pub(super) settings: Connections,
    /// None when TLS is not configured.
    pub(super) tls: Option<TlsSetup>,
    /// For answers of our own.
    pub(super) tables: Tables,
    /// The socket of the data plane.
    pub(super) link: PathBuf,
}

impl Plan {
    /// Reads the files of certificates too.
    pub(super) fn new(config: &Config, secret: [u8; 16]) -> Result<Self> {
        let listen: Vec<Listen> =
            config.listen.iter().filter(|at| at.transport.is_connection()).copied().collect();
        let point = |at: &Listen| ListenPoint { address: at.address, transport: at.transport };
        // Rules and tables of prefixes say nothing about what we answer here.
        let settings = Settings {
            secret,
            listen: listen.first().or(config.listen.first()).map(point).into_iter().collect(),
            retry_after_seconds: config.appliance.retry_after,
            ..Settings::default()
        };
        Ok(Self {
            tls: TlsSetup::wanted(config).then(|| TlsSetup::read(&config.tls)).transpose()?,
            tables: Tables::build(&settings)?,
            link: config.appliance.run_directory.join(SOCKET_NAME),
            settings: config.connections.clone(),
            listen,
        })
    }

    /// Whether there is such a listen point.
    pub(super) fn listens(&self, listen: Listen) -> bool {
        self.listen.contains(&listen)
    }
}
