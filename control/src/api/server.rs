//! Where HTTP is answered: always at `api.sock` in the run directory, and at a TCP address if there is one.

use super::caller::Peer;
use super::{Sources, router};
use crate::config::Api;
use crate::limits::{API_CONNECTIONS_MAX, API_HEAD_MAX, ERROR_PAUSE};
use anyhow::{Context, Result};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::unistd::{Gid, Group, chown};
use std::fs::Permissions;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{error, info, warn};

/// Both listeners.
#[derive(Debug)]
pub struct ApiServer {
    door: Door,
    socket: PathBuf,
    _unix: JoinSet<()>,
    tcp: Option<(SocketAddr, JoinSet<()>)>,
}

/// What a listener gives its connections.
#[derive(Clone, Debug)]
struct Door {
    router: Router,
    room: Arc<Semaphore>,
}

impl ApiServer {
    /// Opens the socket at `socket` in place of one that a crash left behind, and the address of `api`. An address
    /// that cannot be opened is no reason not to start: it is tried again at every reload. The caller holds the
    /// lock of the run directory.
    ///
    /// # Errors
    /// A socket that cannot be opened.
    pub async fn start(sources: Sources, socket: &Path, api: &Api) -> Result<Self> {
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("{} cannot be replaced", socket.display()));
            }
            _ => {}
        }
        let listener = UnixListener::bind(socket)
            .with_context(|| format!("the API socket {} cannot be opened", socket.display()))?;
        permit(socket, api)?;
        let room = Arc::new(Semaphore::new(API_CONNECTIONS_MAX));
        let door = Door { router: router(sources), room };
        let mut unix = JoinSet::new();
        unix.spawn(serve_unix(listener, door.clone()));
        let mut server = Self { door, socket: socket.to_owned(), _unix: unix, tcp: None };
        match server.prepare(api).await {
            Ok(listener) => server.adopt(api, listener),
            Err(error) => error!("{error:#}: the API answers on its socket only"),
        }
        Ok(server)
    }

    /// Opens what `api` needs and is not open yet; nothing changes before [`ApiServer::adopt`].
    ///
    /// # Errors
    /// An address that cannot be opened, a group that is not there.
    pub async fn prepare(&self, api: &Api) -> Result<Option<TcpListener>> {
        group(api)?;
        let open = self.tcp.as_ref().map(|(address, _)| *address);
        match api.address {
            Some(address) if open != Some(address) => {
                let listener = TcpListener::bind(address).await;
                Ok(Some(listener.with_context(|| format!("api.address {address}"))?))
            }
            _ => Ok(None),
        }
    }

    /// Puts `api` into force, with what [`ApiServer::prepare`] opened for it.
    pub fn adopt(&mut self, api: &Api, listener: Option<TcpListener>) {
        if let Err(error) = permit(&self.socket, api) {
            error!("{error:#}");
        }
        match (api.address, listener) {
            (Some(address), Some(listener)) => {
                let mut task = JoinSet::new();
                task.spawn(serve_tcp(listener, self.door.clone()));
                info!(%address, "the API answers over TCP");
                self.tcp = Some((address, task));
            }
            (Some(_), None) => {}
            (None, _) => self.tcp = None,
        }
    }
}

/// Gives the socket its permissions.
fn permit(socket: &Path, api: &Api) -> Result<()> {
    let shown = || socket.display().to_string();
    std::fs::set_permissions(socket, Permissions::from_mode(api.socket_mode))
        .with_context(shown)?;
    match group(api)? {
        Some(group) => chown(socket, None, Some(group)).with_context(shown),
        None => Ok(()),
    }
}

fn group(api: &Api) -> Result<Option<Gid>> {
    let Some(name) = &api.socket_group else { return Ok(None) };
    let group = Group::from_name(name).with_context(|| format!("group {name}"))?;
    let group = group.with_context(|| format!("api.socket_group: there is no group {name}"))?;
    Ok(Some(group.gid))
}

async fn serve_unix(listener: UnixListener, door: Door) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Ok(peer) = stream.peer_cred() else { continue };
                door.admit(&mut connections, stream, Peer::User(peer.uid()));
            }
            Err(error) => pause(&error).await,
        }
    }
}

async fn serve_tcp(listener: TcpListener, door: Door) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => door.admit(&mut connections, stream, Peer::Remote(peer)),
            Err(error) => pause(&error).await,
        }
    }
}

/// Mostly out of files for a moment; no reason to spin.
async fn pause(error: &std::io::Error) {
    warn!("the API accepts no connection: {error}");
    sleep(ERROR_PAUSE).await;
}

impl Door {
    /// Serves a connection among the others of its listener, if there is room for it.
    fn admit<S>(&self, connections: &mut JoinSet<()>, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            warn!(?peer, "more than {API_CONNECTIONS_MAX} connections to the API: one refused");
            return;
        };
        connections.spawn(converse(self.router.clone(), stream, peer, place));
    }
}

/// One connection, to its end; what goes wrong with it is its peer's affair.
async fn converse<S>(router: Router, stream: S, peer: Peer, _place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router.layer(Extension(peer)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(API_HEAD_MAX);
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}
