//! Questions of the workers where host names lead, on their way to control, and the answers.
//!
//! Each question goes to control once, however many workers ask it. While control is away every question fails at
//! once: workers then go on with what they knew, or answer 503.

use super::link::send;
use super::state::Service;
use crate::limits::NAMES_ASKED_MAX;
use crate::mailbox::{Command, ServiceEnd};
use anyhow::Context;
use control_api::frame::{Assembler, PACKET_MAX};
use control_api::names::NAMES_AT_ONCE;
use control_api::{
    FromDataplane, FromNames, NameAsked, NameReply, Resolved, ResolvedAddress, ToDataplane, ToNames,
};
use sip_core::{NameAnswer, NameOutcome, NameQuestion, NameTarget, Settings, Transport};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_seqpacket::UnixSeqpacket;

/// How long a failure counts when control is away: it is back within a second.
const FAILED_MS: u32 = 1_000;

/// All that the service core knows of names.
pub(super) struct NameRelay {
    workers: Vec<ServiceEnd>,
    /// Who waits for the answer to each question that control has, or will be sent.
    asked: RefCell<HashMap<NameQuestion, Vec<usize>>>,
    unsent: RefCell<VecDeque<NameQuestion>>,
    /// Answers for workers that took no more commands.
    undelivered: RefCell<VecDeque<(usize, Arc<NameAnswer>)>>,
    /// There is something to be sent, or another connection has come.
    news: Notify,
    /// Counts connections for names; the newest one counts.
    connection: Cell<u64>,
    is_connected: Cell<bool>,
}

impl Service {
    /// Serves a connection on which control has said `Attach`, until it ends or a newer one comes.
    ///
    /// # Errors
    /// Messages that do not belong here; a broken connection.
    pub(super) async fn serve_names(&self, socket: &UnixSeqpacket) -> anyhow::Result<()> {
        let relay = self.names();
        let connection = relay.attach();
        let ended = tokio::select! {
            ended = relay.speak(socket, connection) => ended,
            ended = relay.listen(socket) => ended,
        };
        relay.detach(connection);
        ended
    }
}

impl NameRelay {
    pub(super) fn new(workers: Vec<ServiceEnd>) -> Self {
        Self {
            workers,
            asked: RefCell::default(),
            unsent: RefCell::default(),
            undelivered: RefCell::default(),
            news: Notify::new(),
            connection: Cell::new(0),
            is_connected: Cell::new(false),
        }
    }

    /// Takes a question of a worker.
    pub(super) fn ask(&self, worker: usize, question: &NameQuestion) {
        let mut asked = self.asked.borrow_mut();
        if let Some(waiting) = asked.get_mut(question) {
            if !waiting.contains(&worker) {
                waiting.push(worker);
            }
        } else if self.is_connected.get() && asked.len() < NAMES_ASKED_MAX {
            asked.insert(*question, vec![worker]);
            self.unsent.borrow_mut().push_back(*question);
            self.news.notify_one();
        } else {
            let answer = Arc::new(failed(question));
            self.undelivered.borrow_mut().push_back((worker, answer));
        }
    }

    /// Gives the workers their answers, as far as they take commands.
    pub(super) fn deliver(&self) {
        let mut undelivered = self.undelivered.borrow_mut();
        undelivered.retain(|(worker, answer)| {
            !self.workers[*worker].offer(Command::Name(Arc::clone(answer)))
        });
    }

    fn attach(&self) -> u64 {
        self.connection.set(self.connection.get() + 1);
        // The connection before this one is to see that it has ended; what it was asked is asked again.
        self.news.notify_waiters();
        self.unsent.replace(self.asked.borrow().keys().copied().collect());
        self.is_connected.set(true);
        self.connection.get()
    }

    /// What control has been asked, nobody answers any more.
    fn detach(&self, connection: u64) {
        if self.connection.get() != connection {
            return;
        }
        self.is_connected.set(false);
        self.unsent.borrow_mut().clear();
        let asked = std::mem::take(&mut *self.asked.borrow_mut());
        for (question, workers) in asked {
            self.answer(failed(&question), workers);
        }
    }

    fn answer(&self, answer: NameAnswer, workers: Vec<usize>) {
        let answer = Arc::new(answer);
        let each = workers.into_iter().map(|worker| (worker, Arc::clone(&answer)));
        self.undelivered.borrow_mut().extend(each);
    }

    /// Sends questions until a newer connection comes.
    async fn speak(&self, socket: &UnixSeqpacket, connection: u64) -> anyhow::Result<()> {
        send(socket, &FromDataplane::Names(FromNames::Attached)).await?;
        loop {
            let news = self.news.notified();
            anyhow::ensure!(self.connection.get() == connection, "a newer connection has come");
            let questions: Vec<_> = {
                let mut unsent = self.unsent.borrow_mut();
                let count = unsent.len().min(NAMES_AT_ONCE);
                unsent.drain(..count).map(|question| to_control(&question)).collect()
            };
            if questions.is_empty() {
                news.await;
            } else {
                send(socket, &FromDataplane::Names(FromNames::Questions(questions))).await?;
            }
        }
    }

    /// Takes answers until the connection ends.
    async fn listen(&self, socket: &UnixSeqpacket) -> anyhow::Result<()> {
        let mut assembler = Assembler::default();
        let mut packet = vec![0; PACKET_MAX];
        loop {
            let length = socket.recv(&mut packet).await?.bytes_read();
            if length == 0 {
                return Ok(());
            }
            let message = assembler.push::<ToDataplane<Settings>>(&packet[..length])?;
            let Some(message) = message else { continue };
            let ToDataplane::Names(ToNames::Answers(replies)) = message else {
                anyhow::bail!("a message that is no answer on the connection for names");
            };
            for reply in replies {
                let answer = from_control(&reply).context("an answer that makes no sense")?;
                let workers = self.asked.borrow_mut().remove(&answer.question);
                self.answer(answer, workers.unwrap_or_default());
            }
            self.deliver();
        }
    }
}

fn failed(question: &NameQuestion) -> NameAnswer {
    NameAnswer { question: *question, outcome: NameOutcome::Failed, ttl_ms: FAILED_MS, stale_ms: 0 }
}

fn to_control(question: &NameQuestion) -> NameAsked {
    NameAsked {
        name: String::from_utf8_lossy(question.name()).into_owned(),
        port: question.port(),
        transport: question.transport().map(Transport::number),
    }
}

fn from_control(reply: &NameReply) -> Option<NameAnswer> {
    let NameAsked { name, port, transport } = &reply.asked;
    let transport = match transport {
        Some(number) => Some(Transport::of_number(*number)?),
        None => None,
    };
    let target = |one: &ResolvedAddress| {
        let transport = Transport::of_number(one.transport)?;
        Some(NameTarget::new(one.address, transport, one.priority, one.weight))
    };
    let outcome = match &reply.outcome {
        Resolved::Found(all) => NameOutcome::Found(all.iter().map(target).collect::<Option<_>>()?),
        Resolved::NoSuchName => NameOutcome::NoSuchName,
        Resolved::Failed => NameOutcome::Failed,
    };
    Some(NameAnswer {
        question: NameQuestion::new(name.as_bytes(), *port, transport)?,
        outcome,
        ttl_ms: reply.ttl_ms,
        stale_ms: reply.stale_ms,
    })
}
