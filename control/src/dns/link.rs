//! The connection to the data plane for names.

use super::Plan;
use super::answers::Answers;
use crate::limits::{RECONNECT_FIRST, RECONNECT_MAX};
use anyhow::{Result, bail, ensure};
use control_api::frame::{self, Assembler, PACKET_MAX};
use control_api::names::NAMES_AT_ONCE;
use control_api::{API_VERSION, FromDataplane, FromNames, NameReply, ToDataplane, ToNames};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_seqpacket::UnixSeqpacket;
use tracing::{debug, warn};

/// Answers the data plane behind `socket` by the plan in force, until there will be no other one.
pub(super) async fn serve(socket: &Path, answers: &Arc<Answers>, mut plans: watch::Receiver<Plan>) {
    follow(answers, &mut plans);
    let mut pause = RECONNECT_FIRST;
    loop {
        match Link::attach(socket).await {
            Ok(mut link) => {
                pause = RECONNECT_FIRST;
                answers.set_linked(true);
                let ended = link.converse(answers, &mut plans).await;
                answers.set_linked(false);
                match ended {
                    Ok(()) => return,
                    Err(error) => warn!("names: {error:#}: connecting again"),
                }
            }
            // The other connection has said so.
            Err(error) => debug!("names: {error:#}"),
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(RECONNECT_MAX),
            changed = plans.changed() => match changed {
                Ok(()) => follow(answers, &mut plans),
                Err(_) => return,
            },
        }
    }
}

fn follow(answers: &Answers, plans: &mut watch::Receiver<Plan>) {
    let plan = plans.borrow_and_update().clone();
    answers.follow(plan);
}

/// A connection on which the data plane has answered `Attached`.
struct Link {
    socket: UnixSeqpacket,
    assembler: Assembler,
    packet: Vec<u8>,
}

impl Link {
    async fn attach(path: &Path) -> Result<Self> {
        let socket = UnixSeqpacket::connect(path).await?;
        let mut link =
            Self { socket, assembler: Assembler::default(), packet: vec![0; PACKET_MAX] };
        link.send(&ToDataplane::Hello { api_version: API_VERSION }).await?;
        match link.receive().await? {
            FromDataplane::Hello { api_version: API_VERSION, .. } => {}
            FromDataplane::Hello { api_version, .. } => {
                bail!("the data plane speaks version {api_version}, we speak {API_VERSION}")
            }
            _ => bail!("the data plane did not say hello"),
        }
        link.send(&ToDataplane::Names(ToNames::Attach)).await?;
        match link.receive().await? {
            FromDataplane::Names(FromNames::Attached) => Ok(link),
            _ => bail!("the data plane answered out of turn"),
        }
    }

    /// Answers until the connection breaks, or there will be no other plan.
    async fn converse(
        &mut self,
        answers: &Arc<Answers>,
        plans: &mut watch::Receiver<Plan>,
    ) -> Result<()> {
        let (found, mut replies) = mpsc::unbounded_channel();
        loop {
            tokio::select! {
                message = self.receive() => match message? {
                    FromDataplane::Names(FromNames::Questions(questions)) => {
                        for asked in questions {
                            if let Some(reply) = answers.known(&asked) {
                                let _ = found.send(reply);
                                continue;
                            }
                            let (answers, found) = (Arc::clone(answers), found.clone());
                            tokio::spawn(async move {
                                // Nobody waits for it when the connection has ended.
                                let _ = found.send(answers.find(asked).await);
                            });
                        }
                    }
                    _ => bail!("the data plane spoke out of turn"),
                },
                Some(reply) = replies.recv() => {
                    let mut all: Vec<NameReply> = vec![reply];
                    while all.len() < NAMES_AT_ONCE
                        && let Ok(another) = replies.try_recv()
                    {
                        all.push(another);
                    }
                    self.send(&ToDataplane::Names(ToNames::Answers(all))).await?;
                }
                changed = plans.changed() => match changed {
                    Ok(()) => follow(answers, plans),
                    Err(_) => return Ok(()),
                },
            }
        }
    }

    async fn send(&self, message: &ToDataplane<()>) -> Result<()> {
        for packet in frame::encode(message)? {
            self.socket.send(&packet).await?;
        }
        Ok(())
    }

    /// The next message. Nothing is lost when this is dropped before it is done: a message that came is
    /// taken at once.
    async fn receive(&mut self) -> Result<FromDataplane> {
        loop {
            let received = self.socket.recv(&mut self.packet).await?.bytes_read();
            ensure!(received > 0, "the data plane closed the connection");
            if let Some(message) = self.assembler.push(&self.packet[..received])? {
                return Ok(message);
            }
        }
    }
}
