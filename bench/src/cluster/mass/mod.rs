//! Many phones and callers that keep to RFC 3261: a request without an answer is sent again after 0.5 s, 1 s, 2 s and so
//! on, and is given up after 32 s. Nobody tries another node: what fails has failed.

mod sending;
mod tally;

pub(super) use tally::{OutcomeReport, Tally};

use super::message::{self, Contact, Flow, Message};
use super::socket::Socket;
use crate::interrupt::Interrupt;
use anyhow::{Result, ensure};
use control::lab::topology::{Node, Role, Topology};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sending::{Due, Sending};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Expiry of registrations in seconds: longer than any run.
const EXPIRES: u32 = 7_200;
/// Between two words about the progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// Pause when there is nothing to do: appliances share the cores with us.
const PAUSE: Duration = Duration::from_micros(100);
/// Messages that are taken from a socket before it is the other one's turn.
const TURN: usize = 64;

/// Something that a user wants, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Register, or refresh what is registered, through the user's own first-stage node.
    Register(u32),
    /// A call for this user through any first-stage node: INVITE, 200, ACK, BYE, 200.
    Call(u32),
}

/// How much at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// At most so many registrations and calls are under way.
    pub(super) window: usize,
    /// And so many are begun in a second; infinite: the window alone decides.
    pub(super) per_second: f64,
}

/// All phones and callers.
pub(super) struct Mass {
    phones: Socket,
    callers: Socket,
    nodes: Vec<SocketAddr>,
    /// CSeq of each user's last REGISTER.
    sequence: Vec<u32>,
    operations: HashMap<u64, Operation>,
    /// The 200 of phones that wait for an ACK, by the number of the call.
    answers: HashMap<u64, Sending>,
    timers: BinaryHeap<Reverse<(u64, Due)>>,
    next: u64,
    start: Instant,
    random: SmallRng,
    tally: Tally,
}

/// What a user is doing.
struct Operation {
    step: Step,
    user: u32,
    began: Instant,
    sending: Sending,
    /// The ACK, once there is one: the 200 may come again.
    ack: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Register,
    Invite,
    Bye,
}

impl Mass {
    /// Phones of so many users.
    ///
    /// # Errors
    /// When the sockets cannot be made.
    pub(super) fn new(topology: Topology, users: u32, seed: u64) -> Result<Self> {
        let first_stage = topology.with(Role::FirstStage).into_iter();
        Ok(Self {
            phones: Socket::at(&topology.with(Role::Servers))?,
            callers: Socket::at(&topology.with(Role::Callers))?,
            nodes: first_stage.map(|node: Node| node.sip()[0]).collect(),
            sequence: vec![0; users as usize],
            operations: HashMap::new(),
            answers: HashMap::new(),
            timers: BinaryHeap::new(),
            next: 0,
            start: Instant::now(),
            random: SmallRng::seed_from_u64(seed),
            tally: Tally::default(),
        })
    }

    /// A user.
    pub(super) fn anybody(&mut self) -> u32 {
        let users = u32::try_from(self.sequence.len()).unwrap_or(u32::MAX);
        self.random.random_range(0..users)
    }

    /// Does all that is wanted and waits until it has ended. `wanted` may ask the phones who is there.
    ///
    /// # Errors
    /// When a socket fails, or the user ends the run.
    pub(super) fn drive(
        &mut self,
        mut wanted: impl FnMut(&mut Self) -> Option<Wanted>,
        pace: Pace,
        interrupt: &Interrupt,
        progress: &dyn Fn(&Tally),
    ) -> Result<Tally> {
        self.tally = Tally::default();
        let begin = Instant::now();
        let (mut begun, mut has_more, mut said) = (0.0, true, begin);
        while has_more || !self.operations.is_empty() || !self.answers.is_empty() {
            ensure!(!interrupt.is_set(), "ended by a signal");
            let has_heard = self.hear()?;
            self.send_again()?;
            let allowed = begin.elapsed().as_secs_f64() * pace.per_second;
            while has_more && self.operations.len() < pace.window && begun <= allowed {
                match wanted(self) {
                    Some(wanted) => self.begin(wanted)?,
                    None => has_more = false,
                }
                begun += 1.0;
            }
            if said.elapsed() >= PROGRESS {
                said = Instant::now();
                progress(&self.tally);
            }
            if !has_heard {
                sleep(PAUSE);
            }
        }
        self.tally.seconds = self.tally.last.map_or(0.0, |last| (last - begin).as_secs_f64());
        Ok(std::mem::take(&mut self.tally))
    }

    /// Milliseconds since the beginning.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn begin(&mut self, wanted: Wanted) -> Result<()> {
        let id = self.next;
        self.next += 1;
        let branch = format!("z9hG4bK-{id}-0");
        let (step, user, node, text) = match wanted {
            Wanted::Register(user) => {
                let cseq = &mut self.sequence[user as usize];
                *cseq += 1;
                let contact = Contact { flow: Flow { user, flow: 0 }, generation: 1 };
                let text = message::register(self.phones.at, contact, &branch, *cseq, EXPIRES);
                (Step::Register, user, user as usize % self.nodes.len(), text)
            }
            Wanted::Call(user) => {
                let node = self.random.random_range(0..self.nodes.len());
                (Step::Invite, user, node, message::invite(self.callers.at, user, &branch))
            }
        };
        let sending = Sending::new(text, self.nodes[node], step == Step::Invite, self.now());
        self.timers.push(Reverse((sending.due, Due::Client(id))));
        self.socket(step).send(&sending.text, sending.to)?;
        let began = Instant::now();
        self.operations.insert(id, Operation { step, user, began, sending, ack: None });
        Ok(())
    }

    fn socket(&self, step: Step) -> &Socket {
        if step == Step::Register { &self.phones } else { &self.callers }
    }

    /// Takes what came. Gives whether something did.
    fn hear(&mut self) -> Result<bool> {
        let mut has_heard = false;
        for _ in 0..TURN {
            let Some(message) = self.phones.hear()? else { break };
            has_heard = true;
            match message.method() {
                Some(method) => self.answer(method == "INVITE", method == "ACK", &message)?,
                None => self.heard(&message)?,
            }
        }
        for _ in 0..TURN {
            let Some(message) = self.callers.hear()? else { break };
            has_heard = true;
            self.heard(&message)?;
        }
        Ok(has_heard)
    }

    /// A phone was asked something.
    fn answer(&mut self, is_invite: bool, is_ack: bool, request: &Message) -> Result<()> {
        let id = request.header("Call-ID").and_then(number).map(|(id, _)| id);
        if is_ack {
            self.answers.retain(|call, _| Some(*call) != id);
            return Ok(());
        }
        let text = message::ok(request, self.phones.at);
        self.phones.send(&text, request.from)?;
        match id {
            Some(id) if is_invite => {
                let sending = Sending::new(text, request.from, false, self.now());
                self.timers.push(Reverse((sending.due, Due::Phone(id))));
                self.answers.insert(id, sending);
            }
            // A BYE: its caller has the 200, whatever became of the ACK.
            Some(id) => drop(self.answers.remove(&id)),
            None => {}
        }
        Ok(())
    }

    /// A response came.
    fn heard(&mut self, response: &Message) -> Result<()> {
        let number = response.branch().and_then(number);
        let (Some(status), Some((id, is_bye))) = (response.status(), number) else {
            return Ok(());
        };
        let Some(operation) = self.operations.get_mut(&id) else { return Ok(()) };
        if is_bye != (operation.step == Step::Bye) {
            // The 200 of an INVITE whose ACK was lost.
            let ack = operation.ack.as_ref().filter(|_| !is_bye && status == 200);
            return ack.map_or(Ok(()), |ack| self.callers.send(ack, operation.sending.to));
        }
        if status < 200 {
            operation.sending.is_proceeding = true;
            return Ok(());
        }
        if operation.step == Step::Invite {
            return self.invite_ended(id, status, response);
        }
        self.ended(id, (status != 200).then(|| format!("answered with {status}")));
        Ok(())
    }

    /// The final response to an INVITE.
    fn invite_ended(&mut self, id: u64, status: u16, response: &Message) -> Result<()> {
        let now = self.now();
        let Some(operation) = self.operations.get_mut(&id) else { return Ok(()) };
        let to = operation.sending.to;
        let reached = response.answering_contact().map(|contact| contact.flow.user);
        let texts = message::ack_and_bye(self.callers.at, response).filter(|_| status == 200);
        let Some([ack, bye]) = texts else {
            let ack = message::acknowledge(&operation.sending.text, response);
            self.ended(id, Some(format!("answered with {status}")));
            return ack.map_or(Ok(()), |ack| self.callers.send(&ack, to));
        };
        self.tally.calls.answered_after(operation.began.elapsed());
        operation.step = Step::Bye;
        operation.sending = Sending::new(bye, to, false, now);
        self.timers.push(Reverse((operation.sending.due, Due::Client(id))));
        self.callers.send(&ack, to)?;
        self.callers.send(&operation.sending.text, to)?;
        operation.ack = Some(ack);
        if reached != Some(operation.user) {
            self.ended(id, Some(format!("reached another user: {reached:?}")));
        }
        Ok(())
    }

    fn ended(&mut self, id: u64, failure: Option<String>) {
        let Some(operation) = self.operations.remove(&id) else { return };
        let outcome = match operation.step {
            Step::Register => &mut self.tally.registrations,
            Step::Invite | Step::Bye => &mut self.tally.calls,
        };
        if operation.step == Step::Register {
            outcome.answered_after(operation.began.elapsed());
        }
        let what = match operation.step {
            Step::Register => "REGISTER",
            Step::Invite => "INVITE",
            Step::Bye => "BYE",
        };
        outcome.ended(failure.map(|why| format!("{what} of user{}: {why}", operation.user)));
        self.tally.last = Some(Instant::now());
    }

    /// Sends again whatever is due, and gives up what has waited for too long.
    fn send_again(&mut self) -> Result<()> {
        let now = self.now();
        while let Some(Reverse((due, who))) = self.timers.peek().copied() {
            if due > now {
                break;
            }
            self.timers.pop();
            let (sending, socket) = match who {
                Due::Client(id) => match self.operations.get_mut(&id) {
                    Some(one) if one.step == Step::Register => (&mut one.sending, &self.phones),
                    Some(one) => (&mut one.sending, &self.callers),
                    None => continue,
                },
                Due::Phone(id) => match self.answers.get_mut(&id) {
                    Some(sending) => (sending, &self.phones),
                    None => continue,
                },
            };
            // The timer of a request before this one.
            if sending.due != due {
                continue;
            }
            if sending.is_over(now) {
                self.given_up(who);
                continue;
            }
            if sending.comes_again(now) {
                self.tally.retransmissions += 1;
                socket.send(&sending.text, sending.to)?;
            }
            self.timers.push(Reverse((sending.due, who)));
        }
        Ok(())
    }

    fn given_up(&mut self, who: Due) {
        match who {
            Due::Client(id) => self.ended(id, Some("no answer in 32 s".into())),
            Due::Phone(id) => drop(self.answers.remove(&id)),
        }
    }
}

/// The number of an operation in its branch or Call-ID, and whether this is the branch of its BYE.
fn number(branch: &str) -> Option<(u64, bool)> {
    let (id, rest) = branch.strip_prefix("z9hG4bK-")?.split_once('-')?;
    Some((id.parse().ok()?, rest.ends_with("-BYE")))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_branch_names_the_operation_and_its_step() {
        assert_eq!(number("z9hG4bK-17-0"), Some((17, false)));
        assert_eq!(number("z9hG4bK-17-0-BYE"), Some((17, true)));
        assert_eq!(number("z9hG4bK-x"), None);
        assert_eq!(number("tag"), None);
    }
}
