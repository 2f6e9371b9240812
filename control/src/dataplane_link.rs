//! The management socket, from the side that asks: control, `trunkline status` and the lab.

use control_api::frame::{self, Assembler, FrameError, PACKET_MAX};
use control_api::status::Status;
use control_api::{
    API_VERSION, BannedSource, CredentialsPiece, FromDataplane, MemberStatus, PortFlows, PortRss,
    RssRequest, ToDataplane, UnreachableHost,
};
use serde::Serialize;
use sip_core::Settings;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::time::timeout;
use tokio_seqpacket::UnixSeqpacket;

use crate::limits::ANSWER_MAX;

/// Why the data plane gave no answer.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Nobody listens on the socket.
    #[error("no data plane at {path}: {error}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the data plane broke: {0}")]
    Broken(#[from] io::Error),
    /// The data plane closed the connection.
    #[error("the data plane closed the connection")]
    Closed,
    /// No answer in time.
    #[error("the data plane did not answer within {} s", ANSWER_MAX.as_secs())]
    TimedOut,
    /// Bytes that are no message of ours.
    #[error("the data plane sent {0}")]
    Frame(#[from] FrameError),
    /// Another version of the data plane.
    #[error(
        "the data plane speaks version {theirs}, we speak {API_VERSION}: install both together"
    )]
    Version {
        /// Its version.
        theirs: u16,
    },
    /// An answer that does not fit the question.
    #[error("the data plane answered out of turn")]
    OutOfTurn,
    /// The data plane refused what was asked, and keeps the epoch it has.
    #[error("the data plane refused and stays at epoch {epoch}: {reason}")]
    Refused {
        /// Number of the refused epoch.
        epoch: u64,
        /// The setting and what is wrong with it.
        reason: String,
    },
}

/// A connection on which both sides have said Hello.
#[derive(Debug)]
pub struct Link {
    socket: UnixSeqpacket,
    assembler: Assembler,
    packet: Vec<u8>,
    epoch: u64,
}

impl Link {
    /// Connects to the socket at `path` and exchanges Hello.
    ///
    /// # Errors
    /// [`LinkError::Unreachable`] when nobody listens, [`LinkError::Version`] when the versions
    /// differ.
    pub async fn connect(path: &Path) -> Result<Self, LinkError> {
        let socket = UnixSeqpacket::connect(path)
            .await
            .map_err(|error| LinkError::Unreachable { path: path.to_owned(), error })?;
        let (assembler, packet) = (Assembler::default(), vec![0; PACKET_MAX]);
        let mut link = Self { socket, assembler, packet, epoch: 0 };
        let hello = ToDataplane::<()>::Hello { api_version: API_VERSION };
        match link.ask(&hello).await? {
            FromDataplane::Hello { api_version: API_VERSION, epoch } => link.epoch = epoch,
            FromDataplane::Hello { api_version, .. } => {
                return Err(LinkError::Version { theirs: api_version });
            }
            _ => return Err(LinkError::OutOfTurn),
        }
        Ok(link)
    }

    /// The epoch that the data plane named last; 0 when it has none.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Publishes `settings` as epoch `epoch` and waits until every worker runs on it.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when the data plane keeps its old epoch; the connection stays usable.
    pub async fn apply(&mut self, epoch: u64, settings: &Settings) -> Result<(), LinkError> {
        match self.ask(&ToDataplane::Apply { epoch, settings }).await? {
            FromDataplane::Applied { epoch: applied } if applied == epoch => {
                self.epoch = epoch;
                Ok(())
            }
            FromDataplane::Refused { epoch, reason } => Err(LinkError::Refused { epoch, reason }),
            _ => Err(LinkError::OutOfTurn),
        }
    }

    /// Puts new states of members into force as epoch `epoch` of the settings published last.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when the data plane keeps its old epoch; the connection stays usable.
    pub async fn member_states(
        &mut self,
        epoch: u64,
        members: Vec<MemberStatus>,
    ) -> Result<(), LinkError> {
        match self.ask(&ToDataplane::<()>::MemberStates { epoch, members }).await? {
            FromDataplane::Applied { epoch: applied } if applied == epoch => {
                self.epoch = epoch;
                Ok(())
            }
            FromDataplane::Refused { epoch, reason } => Err(LinkError::Refused { epoch, reason }),
            _ => Err(LinkError::OutOfTurn),
        }
    }

    /// Gives a piece of the users; gives how many have come so far.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when the data plane keeps those it had; the connection stays usable.
    pub async fn credentials(&mut self, piece: CredentialsPiece) -> Result<u64, LinkError> {
        match self.ask(&ToDataplane::<()>::Credentials(piece)).await? {
            FromDataplane::CredentialsTaken { users } => Ok(users),
            FromDataplane::Refused { epoch, reason } => Err(LinkError::Refused { epoch, reason }),
            _ => Err(LinkError::OutOfTurn),
        }
    }

    /// Asks for the counters.
    ///
    /// # Errors
    /// Any [`LinkError`] but [`LinkError::Refused`].
    pub async fn status(&mut self) -> Result<Status, LinkError> {
        match self.ask(&ToDataplane::<()>::Status).await? {
            FromDataplane::Status(status) => Ok(*status),
            _ => Err(LinkError::OutOfTurn),
        }
    }

    /// Takes the signs of unreachable hosts since the last time anybody took them.
    ///
    /// # Errors
    /// Any [`LinkError`] but [`LinkError::Refused`].
    pub async fn unreachable(&mut self) -> Result<Vec<UnreachableHost>, LinkError> {
        match self.ask(&ToDataplane::<()>::Unreachable).await? {
            FromDataplane::Unreachable(hosts) => Ok(hosts),
            _ => Err(LinkError::OutOfTurn),
        }
    }

    /// Asks who is banned, after the ban of `unban` has ended.
    ///
    /// # Errors
    /// Any [`LinkError`] but [`LinkError::Refused`].
    pub async fn sources(&mut self, unban: Option<IpAddr>) -> Result<Vec<BannedSource>, LinkError> {
        match self.ask(&ToDataplane::<()>::Sources { unban }).await? {
            FromDataplane::Sources(sources) => Ok(sources),
            _ => Err(LinkError::OutOfTurn),
        }
    }

    /// Shows or changes the RSS of a port.
    ///
    /// # Errors
    /// [`LinkError::Refused`] with the reason; the connection stays usable.
    pub async fn rss(&mut self, request: RssRequest) -> Result<PortRss, LinkError> {
        match self.ask(&ToDataplane::<()>::Rss(request)).await? {
            FromDataplane::Rss(port) => Ok(port),
            FromDataplane::Refused { epoch, reason } => Err(LinkError::Refused { epoch, reason }),
            _ => Err(LinkError::OutOfTurn),
        }
    }

    /// Asks which flows a port receives, at most so many of them one by one.
    ///
    /// # Errors
    /// [`LinkError::Refused`] with the reason; the connection stays usable.
    pub async fn flows(&mut self, port: Option<String>, most: u32) -> Result<PortFlows, LinkError> {
        match self.ask(&ToDataplane::<()>::Flows { port, most }).await? {
            FromDataplane::Flows(flows) => Ok(flows),
            FromDataplane::Refused { epoch, reason } => Err(LinkError::Refused { epoch, reason }),
            _ => Err(LinkError::OutOfTurn),
        }
    }

    /// Makes a worker panic; the connection ends with the process.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when the data plane allows no faults.
    pub async fn panic_worker(&mut self, worker: u16) -> Result<(), LinkError> {
        match self.ask(&ToDataplane::<()>::PanicWorker { worker }).await {
            Err(LinkError::Closed | LinkError::Broken(_)) => Ok(()),
            Ok(FromDataplane::Refused { epoch, reason }) => {
                Err(LinkError::Refused { epoch, reason })
            }
            Ok(_) => Err(LinkError::OutOfTurn),
            Err(error) => Err(error),
        }
    }

    /// Waits until the connection ends; the data plane never speaks unasked.
    pub async fn ended(&mut self) -> LinkError {
        match self.receive().await {
            Ok(_) => LinkError::OutOfTurn,
            Err(error) => error,
        }
    }

    /// Says something and gives the answer.
    pub(crate) async fn ask<S: Serialize>(
        &mut self,
        message: &ToDataplane<S>,
    ) -> Result<FromDataplane, LinkError> {
        let exchange = async {
            self.send(message).await?;
            self.receive().await
        };
        timeout(ANSWER_MAX, exchange).await.unwrap_or(Err(LinkError::TimedOut))
    }

    pub(crate) async fn send<S: Serialize>(
        &self,
        message: &ToDataplane<S>,
    ) -> Result<(), LinkError> {
        for packet in frame::encode(message)? {
            self.socket.send(&packet).await?;
        }
        Ok(())
    }

    /// The next message. Nothing is lost when this is dropped before it is done: a message that came is
    /// taken at once.
    pub(crate) async fn receive(&mut self) -> Result<FromDataplane, LinkError> {
        loop {
            let received = self.socket.recv(&mut self.packet).await?.bytes_read();
            if received == 0 {
                return Err(LinkError::Closed);
            }
            if let Some(message) = self.assembler.push(&self.packet[..received])? {
                return Ok(message);
            }
        }
    }
}

/// Asks the data plane behind the socket at `path` for its counters, once.
///
/// # Errors
/// Any [`LinkError`] but [`LinkError::Refused`].
pub async fn status(path: &Path) -> Result<Status, LinkError> {
    Link::connect(path).await?.status().await
}

/// The same for callers without a runtime.
///
/// # Errors
/// As [`status`].
pub fn status_blocking(path: &Path) -> Result<Status, LinkError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(status(path))
}

/// Asks the data plane behind the socket at `path` who is banned, after the ban of `unban` has ended.
///
/// # Errors
/// As [`Link::sources`].
pub fn sources_blocking(
    path: &Path,
    unban: Option<IpAddr>,
) -> Result<Vec<BannedSource>, LinkError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Link::connect(path).await?.sources(unban).await })
}

/// Makes a worker of the data plane behind the socket at `path` panic.
///
/// # Errors
/// As [`Link::panic_worker`].
pub fn panic_worker_blocking(path: &Path, worker: u16) -> Result<(), LinkError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Link::connect(path).await?.panic_worker(worker).await })
}

#[cfg(test)]
mod tests {
    use super::{Link, LinkError};
    use crate::testing::{Peer, settings};
    use control_api::FromDataplane;
    use control_api::status::Status;

    const HELLO: FromDataplane =
        FromDataplane::Hello { api_version: control_api::API_VERSION, epoch: 3 };

    #[tokio::test]
    async fn a_whole_conversation() {
        let status = Status { pid: 7, epoch: 4, ..Status::default() };
        let answers = vec![
            HELLO,
            FromDataplane::Applied { epoch: 4 },
            FromDataplane::Refused { epoch: 5, reason: "routes[0]: no".into() },
            FromDataplane::Status(Box::new(status.clone())),
            FromDataplane::Unreachable(vec![]),
        ];
        let peer = Peer::with_answers(answers);
        let mut link = Link::connect(peer.path()).await.unwrap();
        assert_eq!(link.epoch(), 3);
        link.apply(4, &settings()).await.unwrap();
        assert_eq!(link.epoch(), 4);
        let refused = link.apply(5, &settings()).await.unwrap_err();
        assert!(refused.to_string().contains("routes[0]: no"), "{refused}");
        assert_eq!(link.epoch(), 4);
        assert_eq!(link.status().await.unwrap(), status);
        assert_eq!(link.unreachable().await.unwrap(), []);
        assert!(matches!(link.ended().await, LinkError::Closed | LinkError::Broken(_)));
    }

    #[tokio::test]
    async fn another_version_is_refused() {
        let api_version = control_api::API_VERSION + 1;
        let peer = Peer::with_answers(vec![FromDataplane::Hello { api_version, epoch: 0 }]);
        let error = Link::connect(peer.path()).await.unwrap_err();
        assert!(matches!(error, LinkError::Version { theirs } if theirs == api_version));
    }

    #[tokio::test]
    async fn nobody_there() {
        let directory = tempfile::tempdir().unwrap();
        let error = Link::connect(&directory.path().join("none.sock")).await.unwrap_err();
        assert!(matches!(error, LinkError::Unreachable { .. }));
    }
}
