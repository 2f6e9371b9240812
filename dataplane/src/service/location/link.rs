//! The connection for location.

use super::{LocationRelay, Service};
use crate::location_log::Errand;
use crate::mailbox::Command;
use crate::service::link::send;
use control_api::frame::{Assembler, PACKET_MAX};
use control_api::{FromDataplane, FromLocation, ToDataplane, ToLocation};
use sip_core::Settings;
use tokio_seqpacket::UnixSeqpacket;

impl Service {
    /// Serves a connection on which control has said `Attach`, until it ends or a newer one comes.
    ///
    /// # Errors
    /// Messages that do not belong here; a broken connection.
    pub(in crate::service) async fn serve_location(
        &self,
        socket: &UnixSeqpacket,
        is_shared: bool,
    ) -> anyhow::Result<()> {
        let relay = self.location();
        let connection = relay.attach();
        self.tell_workers(|| Command::AskForUsers(is_shared)).await;
        let ended = tokio::select! {
            ended = relay.speak(socket, connection) => ended,
            ended = self.follow_control(socket) => ended,
        };
        if relay.detach(connection) && is_shared {
            self.tell_workers(|| Command::AskForUsers(false)).await;
        }
        ended
    }

    async fn follow_control(&self, socket: &UnixSeqpacket) -> anyhow::Result<()> {
        let relay = self.location();
        let mut assembler = Assembler::default();
        let mut packet = vec![0; PACKET_MAX];
        loop {
            let length = socket.recv(&mut packet).await?.bytes_read();
            if length == 0 {
                return Ok(());
            }
            let message = assembler.push::<ToDataplane<Settings>>(&packet[..length])?;
            let Some(message) = message else { continue };
            let ToDataplane::Location(message) = message else {
                anyhow::bail!("a message that is not for location on the connection for location");
            };
            match message {
                ToLocation::Attach { .. } => anyhow::bail!("attached twice"),
                ToLocation::Load { records } => relay.load(&records).await,
                ToLocation::Replace { number, records } => relay.replace(number, &records).await,
                ToLocation::Loaded => {
                    let counts = self.finish_load().await;
                    relay.answer(FromLocation::Loaded {
                        taken: counts.aors,
                        expired: counts.expired,
                        refused: counts.refused + counts.foreign,
                    });
                }
                ToLocation::Answered { worker, numbers } => relay.answered(worker, &numbers).await,
                ToLocation::Flushed { worker, number } => relay.confirm(worker, number),
                ToLocation::StoreIll { reason } => self.store_ill(reason).await,
                ToLocation::StoreWell { set_aside } => self.store_well(set_aside).await,
            }
        }
    }
}

impl LocationRelay {
    /// A new connection: all that is not confirmed is to be sent on it.
    fn attach(&self) -> u64 {
        self.connection.set(self.connection.get() + 1);
        for way in self.ways.borrow_mut().iter_mut() {
            way.sent = 0;
        }
        self.trouble.borrow_mut().connected();
        self.news.notify_waiters(); // The connection before this one is to see that it has ended.
        let is_loaded = self.is_loaded.get() && !self.has_begun_without.get();
        self.answers.replace([FromLocation::Attached { is_loaded }].into());
        self.connection.get()
    }

    /// Says something beside changes. It never waits, so that who reads never waits for who writes.
    pub(super) fn answer(&self, answer: FromLocation) {
        self.answers.borrow_mut().push_back(answer);
        self.news.notify_one();
    }

    /// Gives whether nobody is connected any more.
    fn detach(&self, connection: u64) -> bool {
        let was_last = self.connection.get() == connection;
        if was_last {
            self.trouble.borrow_mut().disconnected();
        }
        was_last
    }

    /// Sends answers and changes until a newer connection comes.
    async fn speak(&self, socket: &UnixSeqpacket, connection: u64) -> anyhow::Result<()> {
        loop {
            let news = self.news.notified();
            anyhow::ensure!(self.connection.get() == connection, "a newer connection has come");
            let answer = self.answers.borrow_mut().pop_front();
            match answer.or_else(|| self.next_unsent()) {
                Some(message) => send(socket, &FromDataplane::Location(message)).await?,
                None => news.await,
            }
        }
    }

    /// The next changes that this connection has not seen, the workers one after the other.
    fn next_unsent(&self) -> Option<FromLocation> {
        for (worker, way) in (0..).zip(self.ways.borrow_mut().iter_mut()) {
            let Some((batch, _)) = way.unconfirmed.get(way.sent) else { continue };
            way.sent += 1;
            if let Errand::Changes { number, replaced, .. } = batch.errand {
                let records = batch.records.clone();
                return Some(FromLocation::Changes { worker, number, replaced, records });
            }
        }
        None
    }
}
