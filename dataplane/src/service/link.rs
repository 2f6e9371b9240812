//! The management socket: control and the operator's commands connect here.

use super::credentials::Incoming;
use super::state::Service;
use crate::limits::LINKS_MAX;
use anyhow::Context;
use control_api::frame::{self, Assembler, PACKET_MAX};
use control_api::{API_VERSION, FromDataplane, ToDataplane, ToLocation, ToNames};
use sip_core::Settings;
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use tokio_seqpacket::{UnixSeqpacket, UnixSeqpacketListener};

/// Opens the management socket at `path`, in place of one that a crash left behind. Only its
/// owner may connect. The caller holds the instance's lock, so no live socket is replaced.
///
/// # Errors
/// When the folder cannot be written.
pub(super) fn bind(path: &Path) -> anyhow::Result<UnixSeqpacketListener> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().context("the management socket needs a folder")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixSeqpacketListener::bind(path)
        .with_context(|| format!("cannot open the management socket {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Service {
    /// Accepts connections for ever, as soon as all workers run; each is served by a task of its own on
    /// this thread.
    ///
    /// # Errors
    /// When the socket itself fails.
    pub async fn serve_links(
        self: Rc<Self>,
        mut listener: UnixSeqpacketListener,
    ) -> anyhow::Result<()> {
        let open = Rc::new(Cell::new(0));
        self.all_started().await;
        loop {
            let socket = listener.accept().await.context("the management socket failed")?;
            if open.get() == LINKS_MAX {
                tracing::warn!("more than {LINKS_MAX} management connections: one refused");
                continue;
            }
            open.set(open.get() + 1);
            let (service, open) = (Rc::clone(&self), Rc::clone(&open));
            tokio::task::spawn_local(async move {
                if let Err(error) = service.serve_link(&socket).await {
                    tracing::warn!("management connection closed: {error:#}");
                }
                open.set(open.get() - 1);
            });
        }
    }

    async fn serve_link(&self, socket: &UnixSeqpacket) -> anyhow::Result<()> {
        send(socket, &FromDataplane::Hello { api_version: API_VERSION, epoch: self.epoch() })
            .await?;
        let mut assembler = Assembler::default();
        let mut packet = vec![0; PACKET_MAX];
        let mut incoming = Incoming::default();
        let mut is_greeted = false;
        loop {
            let length = socket.recv(&mut packet).await?.bytes_read();
            if length == 0 {
                return Ok(());
            }
            let Some(message) = assembler.push::<ToDataplane<Settings>>(&packet[..length])? else {
                continue;
            };
            match message {
                ToDataplane::Hello { api_version } => {
                    anyhow::ensure!(
                        api_version == API_VERSION,
                        "the peer speaks API version {api_version}, this data plane {API_VERSION}: \
                         install both from one release"
                    );
                    is_greeted = true;
                }
                _ if !is_greeted => anyhow::bail!("the peer did not say hello first"),
                ToDataplane::Apply { epoch, settings } => {
                    send(socket, &applied(epoch, self.apply(epoch, &settings).await)).await?;
                }
                ToDataplane::MemberStates { epoch, members } => {
                    let states = self.apply_states(epoch, &members).await;
                    send(socket, &applied(epoch, states)).await?;
                }
                ToDataplane::Credentials(piece) => {
                    let answer = self.take_credentials(piece, &mut incoming).await;
                    send(socket, &answer).await?;
                }
                ToDataplane::PanicWorker { worker } => {
                    if let Err(reason) = self.panic_worker(worker) {
                        let (epoch, reason) = (self.epoch(), format!("{reason:#}"));
                        send(socket, &FromDataplane::Refused { epoch, reason }).await?;
                    }
                }
                ToDataplane::Location(ToLocation::Attach { is_shared }) => {
                    return self.serve_location(socket, is_shared).await;
                }
                ToDataplane::Names(ToNames::Attach) => return self.serve_names(socket).await,
                ToDataplane::Names(_) | ToDataplane::Location(_) => {
                    anyhow::bail!("the peer did not attach first")
                }
                ToDataplane::Sources { unban } => {
                    send(socket, &FromDataplane::Sources(self.sources(unban).await)).await?;
                }
                ToDataplane::Rss(request) => {
                    send(socket, &self.answer(self.rss(request), FromDataplane::Rss)).await?;
                }
                ToDataplane::Flows { port, most } => {
                    let flows = self.port_flows(port.as_deref(), most);
                    send(socket, &self.answer(flows, FromDataplane::Flows)).await?;
                }
                ToDataplane::Status => {
                    send(socket, &FromDataplane::Status(Box::new(self.status()))).await?;
                }
                ToDataplane::Unreachable => {
                    send(socket, &FromDataplane::Unreachable(self.take_unreachable())).await?;
                }
            }
        }
    }
}

impl Service {
    /// What was found, or why not.
    fn answer<T>(
        &self,
        found: Result<T, String>,
        answer: impl FnOnce(T) -> FromDataplane,
    ) -> FromDataplane {
        let refused = |reason| FromDataplane::Refused { epoch: self.epoch(), reason };
        found.map_or_else(refused, answer)
    }
}

fn applied(epoch: u64, result: Result<(), String>) -> FromDataplane {
    match result {
        Ok(()) => FromDataplane::Applied { epoch },
        Err(reason) => FromDataplane::Refused { epoch, reason },
    }
}

/// Sends a message to control.
pub(super) async fn send(socket: &UnixSeqpacket, message: &FromDataplane) -> anyhow::Result<()> {
    for packet in frame::encode(message)? {
        socket.send(&packet).await?;
    }
    Ok(())
}
