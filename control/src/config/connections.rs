//! `[connections]` and `[tls]`: connections that control has on behalf of the data plane.

use super::value;
use serde::Deserialize;
use sip_core::Network;
use std::path::{Path, PathBuf};

/// `[connections]`: TCP, TLS and WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connections {
    /// Threads that connections are spread over. Default 1; 1 to 64. Each has a table of file
    /// descriptors of its own.
    #[serde(deserialize_with = "value::connection_threads")]
    pub threads: u8,
    /// Cores that these threads are pinned to, one after the other; they should not be those of workers.
    /// Default none: the kernel decides.
    pub cores: Vec<u16>,
    /// Most connections at one time. Default 450,000; 1 to 4,000,000.
    #[serde(deserialize_with = "value::connections")]
    pub connections: u32,
    /// Most connections that one source address may have at one time; of IPv6 a /64 counts as one. Default 0:
    /// no limit.
    pub per_source: u32,
    /// Networks for which `per_source` does not count. Default none.
    #[serde(deserialize_with = "value::networks")]
    pub trusted: Vec<Network>,
    /// How long a message may take from its first byte to its last, and a handshake of TLS or WebSocket. Default
    /// 8 s; 1 to 300.
    #[serde(deserialize_with = "value::seconds")]
    pub message_seconds: u32,
    /// How long a connection may stand without a byte from the other side. Default 0: for ever; to 86,400 s.
    #[serde(deserialize_with = "value::idle_seconds")]
    pub idle_seconds: u32,
    /// Bytes that may wait for a slow reader; with more its connection is closed. Default 262,144; 65,536 to
    /// 16,777,216.
    #[serde(deserialize_with = "value::write_buffer")]
    pub write_buffer: u32,
    /// Receive buffer of a connection in the kernel: what a peer may send before it is read. Default 65,536; 16,384 to
    /// 16,777,216.
    #[serde(deserialize_with = "value::receive_buffer")]
    pub receive_buffer: u32,
    /// How long it may take to connect to a destination. Default 4 s; 1 to 300.
    #[serde(deserialize_with = "value::seconds")]
    pub connect_seconds: u32,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            threads: 1,
            cores: Vec::new(),
            connections: 450_000,
            per_source: 0,
            trusted: Vec::new(),
            message_seconds: 8,
            idle_seconds: 0,
            write_buffer: 262_144,
            receive_buffer: 65_536,
            connect_seconds: 4,
        }
    }
}

/// `[tls]`: certificates, for listen points with `tls` and `wss` and for connections that we open. Paths are
/// beside the configuration file unless they begin with `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain in PEM, our own first. Required when something listens with `tls` or `wss`.
    pub certificate: Option<PathBuf>,
    /// Its private key in PEM. Required with `certificate`.
    pub key: Option<PathBuf>,
    /// `[[tls.names]]`: certificates for clients that ask for a name (SNI). Default none.
    pub names: Vec<TlsName>,
    /// Authorities, in PEM, of which clients must have a certificate. Default none: clients are not asked.
    pub client_ca: Option<PathBuf>,
    /// Who vouches for servers that we connect to. Default `system`; `none`: nobody is asked, or a file in PEM.
    pub server_ca: ServerCa,
}

/// `[[tls.names]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsName {
    /// The name that clients ask for. Required.
    pub name: String,
    /// Certificate chain in PEM. Required.
    pub certificate: PathBuf,
    /// Private key in PEM. Required.
    pub key: PathBuf,
}

/// Who vouches for the certificates of servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum ServerCa {
    /// The authorities that the system trusts.
    #[default]
    System,
    /// Nobody: any certificate will do.
    Nobody,
    /// The authorities in this file, in PEM.
    File(PathBuf),
}

impl From<String> for ServerCa {
    fn from(text: String) -> Self {
        match text.as_str() {
            "system" => Self::System,
            "none" => Self::Nobody,
            _ => Self::File(text.into()),
        }
    }
}

impl Tls {
    /// Paths become those beside `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        let of_names =
            self.names.iter_mut().flat_map(|name| [&mut name.certificate, &mut name.key]);
        let own = [&mut self.certificate, &mut self.key, &mut self.client_ca].into_iter().flatten();
        for path in own.chain(of_names) {
            *path = directory.join(&*path);
        }
        if let ServerCa::File(path) = &mut self.server_ca {
            *path = directory.join(&*path);
        }
    }
}
