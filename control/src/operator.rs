//! Control's own socket, `control.sock` in the run directory: where operators' commands ask who is
//! well and drain members. Packets and framing are those of the management socket.

use crate::api::caller::user;
use crate::audit::Audit;
use crate::connections::Connections;
use crate::dns::Names;
use crate::health::MonitorHandle;
use crate::leaving::Leaving;
use crate::limits::{ANSWER_MAX, OPERATORS_MAX};
use crate::location::stored::StoredBindings;
use crate::member_report::with_loads;
use anyhow::{Context, Result, bail, ensure};
use control_api::frame::{self, Assembler, PACKET_MAX};
use control_api::operator::{ConnectionsStatus, FromControl, MemberReport, RealmReport, ToControl};
use control_api::{API_VERSION, NamesStatus};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_seqpacket::{UnixSeqpacket, UnixSeqpacketListener};
use tracing::warn;

/// Opens the socket at `path` in place of one that a crash left behind; only its owner may connect.
/// The caller holds the lock of the run directory, so that no live socket is replaced.
///
/// # Errors
/// A directory that cannot be written.
pub fn bind(path: &Path) -> Result<UnixSeqpacketListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} cannot be replaced", path.display()));
        }
        _ => {}
    }
    let opened = || {
        let listener = UnixSeqpacketListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    opened().map_err(|error: std::io::Error| {
        anyhow::anyhow!("control's socket {} cannot be opened: {error}", path.display())
    })
}

/// Who knows what operators ask for.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The members of the destination sets.
    pub monitor: MonitorHandle,
    /// The bindings.
    pub bindings: StoredBindings,
    /// How reading the users of each realm went.
    pub realms: watch::Receiver<Vec<RealmReport>>,
    /// TCP, TLS and WebSocket.
    pub connections: Connections,
    /// Where host names lead.
    pub names: Names,
    /// Socket of the data plane, which knows what members say of their load.
    pub dataplane: PathBuf,
    /// Where it is written down who changed what.
    pub audit: Audit,
    /// Whether the appliance is about to go.
    pub leaving: Leaving,
}

/// Answers operators for ever.
///
/// # Errors
/// When the socket itself fails.
pub async fn serve(mut listener: UnixSeqpacketListener, answers: Answers) -> Result<()> {
    let room = Arc::new(Semaphore::new(OPERATORS_MAX));
    loop {
        let socket = listener.accept().await.context("control's socket failed")?;
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            warn!("more than {OPERATORS_MAX} operators' connections: one refused");
            continue;
        };
        let (answers, who) = (answers.clone(), who(&socket));
        tokio::spawn(async move {
            // An operator who goes away in the middle of a sentence is no event.
            let _ = answer(Channel::new(socket), &answers, &who).await;
            drop(place);
        });
    }
}

/// The user on the other side, by the kernel's word.
fn who(socket: &UnixSeqpacket) -> String {
    socket.peer_cred().map_or_else(|_| "nobody known".into(), |peer| user(peer.uid()))
}

/// One connection, until the other side closes it.
async fn answer(mut channel: Channel, answers: &Answers, who: &str) -> Result<()> {
    let Answers { monitor, bindings, realms, connections, names, dataplane, audit, leaving } =
        answers;
    channel.send(&FromControl::Hello { api_version: API_VERSION }).await?;
    let mut is_greeted = false;
    while let Some(message) = channel.receive::<ToControl>().await? {
        let answer = match message {
            ToControl::Hello { api_version } => {
                ensure!(api_version == API_VERSION, "another version");
                is_greeted = true;
                continue;
            }
            _ if !is_greeted => bail!("no hello"),
            ToControl::Members => {
                FromControl::Members(with_loads(monitor.report().await, dataplane).await)
            }
            ToControl::Realms => FromControl::Realms(realms.borrow().clone()),
            ToControl::Names => FromControl::Names(names.status()),
            ToControl::Drain { set, address, drained } => {
                let asked = monitor.drain(set.clone(), address, drained).await;
                audit.drained(who, &set, address, drained, asked.as_ref().err());
                match asked {
                    Ok(()) => FromControl::Done,
                    Err(reason) => FromControl::Refused { reason },
                }
            }
            ToControl::Leave { is_leaving } => {
                leaving.set(is_leaving, who, audit);
                FromControl::Done
            }
            ToControl::Bindings { aor } => bindings.get(aor).await,
            ToControl::AllBindings => {
                let mut pieces = bindings.all();
                while let Some(records) = pieces.next().await {
                    channel.send(&FromControl::Records { records }).await?;
                }
                pieces.end()
            }
            ToControl::Restore { records } => {
                let bytes = records.len();
                bindings.restore(records).await;
                audit.write(who, "restore", "done", json!({ "bytes": bytes }));
                FromControl::Done
            }
            ToControl::Connections { most } => {
                let connections = connections.clone();
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                let status = spawn_blocking(move || connections.status(most)).await?;
                FromControl::Connections(status)
            }
        };
        channel.send(&answer).await?;
    }
    Ok(())
}

/// Asks the control process behind the socket at `path` for every member of every set.
///
/// # Errors
/// Nobody there, another version, no answer.
pub fn members_blocking(path: &Path) -> Result<Vec<MemberReport>> {
    match ask_blocking(path, &ToControl::Members)? {
        FromControl::Members(members) => Ok(members),
        _ => bail!("control answered out of turn"),
    }
}

/// Asks how reading the users of each realm went.
///
/// # Errors
/// As [`members_blocking`].
pub fn realms_blocking(path: &Path) -> Result<Vec<RealmReport>> {
    match ask_blocking(path, &ToControl::Realms)? {
        FromControl::Realms(realms) => Ok(realms),
        _ => bail!("control answered out of turn"),
    }
}

/// Asks the control process behind the socket at `path` for its connections, with so many one by one.
///
/// # Errors
/// As [`members_blocking`].
pub fn connections_blocking(path: &Path, most: u32) -> Result<ConnectionsStatus> {
    match ask_blocking(path, &ToControl::Connections { most })? {
        FromControl::Connections(status) => Ok(status),
        _ => bail!("control answered out of turn"),
    }
}

/// Asks the control process behind the socket at `path` what it did about host names.
///
/// # Errors
/// As [`members_blocking`].
pub fn names_blocking(path: &Path) -> Result<NamesStatus> {
    match ask_blocking(path, &ToControl::Names)? {
        FromControl::Names(status) => Ok(status),
        _ => bail!("control answered out of turn"),
    }
}

/// Takes a member out of use for new calls, or puts it back.
///
/// # Errors
/// As [`members_blocking`]; no such set or member.
pub fn drain_blocking(path: &Path, set: String, address: SocketAddr, drained: bool) -> Result<()> {
    match ask_blocking(path, &ToControl::Drain { set, address, drained })? {
        FromControl::Done => Ok(()),
        FromControl::Refused { reason } => bail!(reason),
        _ => bail!("control answered out of turn"),
    }
}

/// Says that the appliance is about to go, or is not any more.
///
/// # Errors
/// As [`members_blocking`].
pub fn leave_blocking(path: &Path, is_leaving: bool) -> Result<()> {
    match ask_blocking(path, &ToControl::Leave { is_leaving })? {
        FromControl::Done => Ok(()),
        _ => bail!("control answered out of turn"),
    }
}

fn ask_blocking(path: &Path, question: &ToControl) -> Result<FromControl> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async { timeout(ANSWER_MAX, ask(path, question)).await });
    answer.context("control does not answer")?
}

async fn ask(path: &Path, question: &ToControl) -> Result<FromControl> {
    let mut channel = Channel::connect(path).await?;
    channel.send(question).await?;
    channel.receive().await?.context("control closed the connection")
}

/// Messages over a socket of packets.
pub(crate) struct Channel {
    socket: UnixSeqpacket,
    assembler: Assembler,
    packet: Vec<u8>,
}

impl Channel {
    fn new(socket: UnixSeqpacket) -> Self {
        Self { socket, assembler: Assembler::default(), packet: vec![0; PACKET_MAX] }
    }

    /// Connects to the control process behind the socket at `path`; both sides say hello.
    pub(crate) async fn connect(path: &Path) -> Result<Self> {
        let socket = UnixSeqpacket::connect(path)
            .await
            .with_context(|| format!("no control process at {}", path.display()))?;
        let mut channel = Self::new(socket);
        channel.send(&ToControl::Hello { api_version: API_VERSION }).await?;
        match channel.receive().await? {
            Some(FromControl::Hello { api_version: API_VERSION }) => Ok(channel),
            Some(FromControl::Hello { api_version }) => {
                bail!(
                    "control speaks version {api_version}, we speak {API_VERSION}: install both together"
                )
            }
            _ => bail!("control answered out of turn"),
        }
    }

    pub(crate) async fn send<T: Serialize>(&self, message: &T) -> Result<()> {
        for packet in frame::encode(message)? {
            self.socket.send(&packet).await?;
        }
        Ok(())
    }

    /// The next message; `None` when the other side has closed.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        loop {
            let length = self.socket.recv(&mut self.packet).await?.bytes_read();
            if length == 0 {
                return Ok(None);
            }
            if let Some(message) = self.assembler.push(&self.packet[..length])? {
                return Ok(Some(message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answers, bind, drain_blocking, leave_blocking, members_blocking, serve};
    use crate::audit::Audit;
    use crate::connections::Connections;
    use crate::dns::Names;
    use crate::health::Monitor;
    use crate::leaving::Leaving;
    use crate::location::keeper::KeeperHandle;
    use crate::location::stored::StoredBindings;
    use control_api::operator::MemberState;

    #[tokio::test]
    async fn an_operator_asks_and_drains() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let address = "192.0.2.1:5060".parse().unwrap();
        let set = crate::testing::set("core", &[address]);
        let file = directory.path().join("members.json");
        let (monitor, handle, states) = Monitor::new(&[set], file).unwrap();
        tokio::spawn(monitor.run());
        let keeper = KeeperHandle::start(&directory.path().join("location")).unwrap();
        let (workers, _) = tokio::sync::mpsc::channel(1);
        let bindings = StoredBindings::new(keeper, workers);
        let audit = Audit::open(directory.path()).unwrap();
        let (_reports, realms) = tokio::sync::watch::channel(Vec::new());
        let (monitor, connections) = (handle, Connections::default());
        let (names, audit_of) = (Names::none(), audit.clone());
        let dataplane = directory.path().join("nobody.sock");
        let leaving = Leaving::new();
        let is_leaving = leaving.subscribe();
        let answers = Answers {
            monitor,
            bindings,
            realms,
            connections,
            names,
            dataplane,
            audit: audit_of,
            leaving,
        };
        tokio::spawn(serve(bind(&path).unwrap(), answers));
        let asked = tokio::task::spawn_blocking(move || {
            let members = members_blocking(&path).unwrap();
            assert_eq!((members[0].state, members[0].is_in_use), (MemberState::Up, true));
            drain_blocking(&path, "core".into(), address, true).unwrap();
            let members = members_blocking(&path).unwrap();
            assert_eq!((members[0].state, members[0].is_in_use), (MemberState::Draining, false));
            let error = drain_blocking(&path, "cor".into(), address, true).unwrap_err();
            assert_eq!(error.to_string(), "no destination set cor; there are: core");
            leave_blocking(&path, true).unwrap();
            leave_blocking(&path, true).unwrap();
        });
        asked.await.unwrap();
        assert_eq!(states.borrow()[0].state, MemberState::Draining);
        let written = audit.last(9).unwrap();
        let outcomes: Vec<_> = written.iter().map(|entry| entry.outcome.as_str()).collect();
        assert_eq!(outcomes, ["done", "refused", "done", "unchanged"]);
        assert!(*is_leaving.borrow());
        assert!(written[0].who.starts_with("uid "), "{}", written[0].who);
    }
}
