//! Phones and callers, in one loop over two sockets: one at which all phones are, and one from which all calls come.

use super::calls::{Call, Calls};
use super::edges::Edges;
use super::history::{Attempt, Event, Purpose};
use super::load::{Load, Rates};
use super::message::{self, Contact, Flow, Message};
use super::operation::{Operation, Registration, State, Try};
use super::socket::Socket;
use anyhow::Result;
use control::lab::topology::{Node, Role, Topology};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// T1 (RFC 3261 section 17.1.1.1), in milliseconds.
pub(super) const T1: u64 = 500;
/// How long a client waits for a first word before it tries the next first-stage node: one retransmission.
const SILENCE: u64 = 2 * T1;
/// And how long for a final response after a provisional one.
const PROCEEDING: u64 = 2_000;
/// Pause after a refusal.
const PAUSE: u64 = 100;
/// How long a caller goes on trying.
const CALL_LIMIT: u64 = 10_000;
/// How long a phone goes on trying.
const REGISTER_LIMIT: u64 = 60_000;
/// Expiry of registrations in seconds: longer than a campaign.
const EXPIRES: u32 = 7_200;
/// Most flows of a user (RFC 5626): when one first-stage node is away, the other one's flow is used.
const FLOWS: usize = 2;

/// All phones and callers.
pub(super) struct Generator {
    phones: Socket,
    callers: Socket,
    nodes: Edges,
    flows: BTreeMap<Flow, Registration>,
    users: u32,
    operations: BTreeMap<u32, Operation>,
    up: Calls,
    next_operation: u32,
    pub(super) events: Vec<Event>,
    start: Instant,
    random: SmallRng,
    load: Load,
}

impl Generator {
    /// Phones of so many users; `start` is the beginning of the history.
    pub(super) fn new(topology: Topology, users: u32, rates: Rates, seed: u64) -> Result<Self> {
        let node = |node: Node| (node.name(), node.sip()[0]);
        let nodes = topology.with(Role::FirstStage).into_iter().map(node);
        let nodes = Edges::new(nodes, rates.probes);
        let flows = u8::try_from(nodes.len().min(FLOWS))?;
        let flow =
            |user| (0..flows).map(move |flow| (Flow { user, flow }, Registration::default()));
        Ok(Self {
            phones: Socket::at(&topology.with(Role::Servers))?,
            callers: Socket::at(&topology.with(Role::Callers))?,
            nodes,
            flows: (0..users).flat_map(flow).collect(),
            users,
            operations: BTreeMap::new(),
            up: Calls::default(),
            next_operation: 0,
            events: Vec::new(),
            start: Instant::now(),
            random: SmallRng::seed_from_u64(seed),
            load: Load::new(rates),
        })
    }

    /// Milliseconds since the beginning.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Has every flow register that is not registered.
    pub(super) fn register_all(&mut self) {
        let missing = self.flows.iter().filter(|(_, registration)| !registration.is_acknowledged);
        let missing: Vec<Flow> = missing.map(|(flow, _)| *flow).collect();
        for flow in missing {
            self.register(flow);
        }
    }

    /// Has every flow that goes or should go through this first-stage node register anew, as phones do that notice by their
    /// keep-alives that it was away (RFC 5626 section 4.4).
    pub(super) fn refresh_flows_of(&mut self, node: &str) {
        let Some(index) = self.nodes.position(node) else { return };
        let is_of = |(flow, registration): &(&Flow, &Registration)| {
            registration.node == index || self.home(**flow) == index
        };
        let flows: Vec<Flow> = self.flows.iter().filter(is_of).map(|(flow, _)| *flow).collect();
        for flow in flows {
            self.register(flow);
        }
    }

    /// Calls every user that has registered.
    pub(super) fn check_all(&mut self) {
        let registered = self.flows.iter().filter(|(_, registration)| registration.is_acknowledged);
        let mut users: Vec<u32> = registered.map(|(flow, _)| flow.user).collect();
        users.dedup();
        for user in users {
            self.call(user, Purpose::Check);
        }
    }

    /// Begins or ends the load.
    pub(super) fn load(&mut self, is_on: bool) {
        self.load.set(is_on, self.now());
    }

    /// Users who want something now, of this kind.
    pub(super) fn under_way(&self, purpose: Purpose) -> usize {
        self.operations.values().filter(|operation| operation.purpose == purpose).count()
    }

    /// Flows that have a registration answered with 200, and all.
    pub(super) fn registered(&self) -> (usize, usize) {
        let count = self.flows.values().filter(|registration| registration.is_acknowledged).count();
        (count, self.flows.len())
    }

    /// Goes on until it is so; gives whether it became so within `limit`.
    pub(super) fn run_until(
        &mut self,
        limit: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<bool> {
        let begin = Instant::now();
        while !is_so(self) {
            if begin.elapsed() >= limit {
                return Ok(false);
            }
            self.step()?;
            sleep(Duration::from_millis(1));
        }
        Ok(true)
    }

    fn step(&mut self) -> Result<()> {
        while let Some(message) = self.phones.hear()? {
            match message.method() {
                Some(_) => self.answer(&message)?,
                None => self.heard(&message)?,
            }
        }
        while let Some(message) = self.callers.hear()? {
            self.heard(&message)?;
        }
        self.begin_load();
        let now = self.now();
        let due = self.operations.iter().filter(|(_, operation)| operation.is_due(now));
        let due: Vec<u32> = due.map(|(id, _)| *id).collect();
        due.into_iter().try_for_each(|id| self.go_on(id))?;
        let probes = self.nodes.due(self.callers.at, now);
        for (text, to) in self.up.due(now).into_iter().chain(probes) {
            self.callers.send(&text, to)?;
        }
        for call in self.up.given_up(now) {
            self.hung_up(&call, 0);
        }
        Ok(())
    }

    /// Begins what is due.
    fn begin_load(&mut self) {
        let [registers, calls] = self.load.due(self.now());
        for _ in 0..registers {
            let index = self.random.random_range(0..self.flows.len());
            if let Some(flow) = self.flows.keys().nth(index).copied() {
                self.register(flow);
            }
        }
        for _ in 0..calls {
            let user = self.random.random_range(0..self.users);
            // Nobody expects to reach who has not registered yet.
            let of_user = self.flows.range(Flow { user, flow: 0 }..=Flow { user, flow: u8::MAX });
            if of_user.into_iter().any(|(_, registration)| registration.is_acknowledged) {
                self.call(user, Purpose::Call);
            }
        }
    }

    /// A phone moves: the flow gets a new Contact.
    fn register(&mut self, flow: Flow) {
        let first_node = self.home(flow);
        let Some(registration) = self.flows.get_mut(&flow) else { return };
        if registration.is_under_way {
            return;
        }
        registration.is_under_way = true;
        registration.generation += 1;
        let contact = Contact { flow, generation: registration.generation };
        self.begin(Purpose::Register, flow.user, Some(contact), first_node);
    }

    /// The first-stage node through which a flow goes if it can.
    fn home(&self, flow: Flow) -> usize {
        (flow.user as usize + usize::from(flow.flow)) % self.nodes.len()
    }

    fn call(&mut self, user: u32, purpose: Purpose) {
        let first_node = self.random.random_range(0..self.nodes.len());
        self.begin(purpose, user, None, self.nodes.well(first_node));
    }

    fn begin(&mut self, purpose: Purpose, user: u32, contact: Option<Contact>, first_node: usize) {
        let now = self.now();
        let limit = if purpose == Purpose::Register { REGISTER_LIMIT } else { CALL_LIMIT };
        let state = State::Pausing(now);
        let deadline = now + limit;
        let operation =
            Operation { purpose, user, contact, attempts: 0, first_node, deadline, state };
        self.operations.insert(self.next_operation, operation);
        self.next_operation += 1;
    }

    /// Does what is due for an operation.
    fn go_on(&mut self, id: u32) -> Result<()> {
        let now = self.now();
        let Some(operation) = self.operations.get_mut(&id) else { return Ok(()) };
        match &mut operation.state {
            State::Pausing(_) => self.try_once(id),
            State::Trying(one) if one.gives_up <= now => {
                self.ended(id, 0, None);
                Ok(())
            }
            State::Trying(one) => {
                one.again = None;
                let text = one.text.clone();
                self.send(id, &text)
            }
        }
    }

    fn try_once(&mut self, id: u32) -> Result<()> {
        let now = self.now();
        let Some(operation) = self.operations.get(&id) else { return Ok(()) };
        let node = self.turn(operation);
        let Some(operation) = self.operations.get_mut(&id) else { return Ok(()) };
        operation.attempts += 1;
        let branch = format!("z9hG4bK-{id}-{}", operation.attempts);
        let text = match operation.contact {
            None => message::invite(self.callers.at, operation.user, &branch),
            Some(contact) => {
                let registration = self.flows.entry(contact.flow).or_default();
                registration.cseq += 1;
                message::register(self.phones.at, contact, &branch, registration.cseq, EXPIRES)
            }
        };
        operation.state = State::Trying(Try {
            node,
            text: text.clone(),
            began: now,
            again: Some(now + T1),
            gives_up: now + SILENCE,
        });
        self.send(id, &text)
    }

    /// Sends a message of an operation to the first-stage node that is its turn.
    fn send(&self, id: u32, text: &str) -> Result<()> {
        let Some(operation) = self.operations.get(&id) else { return Ok(()) };
        let State::Trying(one) = &operation.state else { return Ok(()) };
        let Some(to) = self.nodes.at(one.node) else { return Ok(()) };
        let from = if operation.contact.is_some() { &self.phones } else { &self.callers };
        from.send(text, to)
    }

    /// The first-stage node that the next attempt asks: one after the other, but none through which another flow of the
    /// user goes, for which they are there (RFC 5626 section 4.2.1).
    fn turn(&self, operation: &Operation) -> usize {
        let is_taken = |node: &usize| {
            let Some(Contact { flow, .. }) = operation.contact else { return false };
            let all = Flow { flow: 0, ..flow }..=Flow { flow: u8::MAX, ..flow };
            let mut others = self.flows.range(all).filter(|(other, _)| **other != flow);
            others.any(|(_, other)| other.is_acknowledged && other.node == *node)
        };
        let count = self.nodes.len();
        let order = (0..count).map(|step| (operation.first_node + step) % count);
        let free: Vec<usize> = order.filter(|node| !is_taken(node)).collect();
        let attempt = operation.attempts as usize;
        free.get(attempt % free.len().max(1)).copied().unwrap_or(operation.first_node)
    }

    /// A response came.
    fn heard(&mut self, message: &Message) -> Result<()> {
        if let Some(id) = message.branch().and_then(|branch| branch.strip_suffix("-BYE")) {
            let status = message.status().filter(|status| *status >= 200);
            if let Some((status, call)) =
                status.and_then(|status| Some((status, self.up.ended(id)?)))
            {
                self.hung_up(&call, status);
            }
            return Ok(());
        }
        if let Some(probe) = message.branch().and_then(|branch| branch.strip_suffix("-OPTIONS")) {
            let probe = probe.strip_prefix("z9hG4bK-").and_then(|probe| probe.parse().ok());
            if let (Some(probe), Some(status)) = (probe, message.status()) {
                self.nodes.answered(probe, status, self.now());
            }
            return Ok(());
        }
        let (Some(status), Some((id, attempt))) =
            (message.status(), message.branch().and_then(numbers))
        else {
            return Ok(());
        };
        let now = self.now();
        let Some(operation) = self.operations.get_mut(&id) else { return Ok(()) };
        let State::Trying(one) = &mut operation.state else { return Ok(()) };
        if operation.attempts != attempt {
            return Ok(());
        }
        if status < 200 {
            (one.again, one.gives_up) = (None, now + PROCEEDING);
            return Ok(());
        }
        if operation.contact.is_none() {
            let text = match status {
                200 => self.begin_call(id, message),
                _ => message::acknowledge(&one.text, message),
            };
            text.map_or(Ok(()), |text| self.send(id, &text))?;
        }
        self.ended(id, status, message.answering_contact());
        Ok(())
    }

    /// A call is up: gives the ACK.
    fn begin_call(&mut self, id: u32, answer: &Message) -> Option<String> {
        let operation = self.operations.get(&id)?;
        let [ack, bye] = message::ack_and_bye(self.callers.at, answer)?;
        let State::Trying(Try { node, .. }) = operation.state else { return None };
        let user = operation.user;
        let (to, ends) = (self.nodes.at(node)?, self.now() + self.load.rates.hold);
        let call = Call { user, node, to, bye, ends, due: ends, interval: T1 };
        self.up.begin(answer.branch()?.to_owned(), call);
        Some(ack)
    }

    /// The BYE of a call was answered, or given up.
    fn hung_up(&mut self, call: &Call, answer: u16) {
        let operation = self.next_operation;
        self.next_operation += 1;
        self.events.push(Event::Attempt(Attempt {
            operation,
            purpose: Purpose::HangUp,
            user: call.user,
            node: self.nodes.name(call.node).to_owned(),
            contact: None,
            began: call.ends,
            ended: self.now(),
            answer,
        }));
    }

    /// Calls that are up.
    pub(super) fn calls_up(&self) -> usize {
        self.up.len()
    }

    /// An attempt has ended: with this status, or 0 without a word.
    fn ended(&mut self, id: u32, answer: u16, answered: Option<Contact>) {
        let ended = self.now();
        let Some(mut operation) = self.operations.remove(&id) else { return };
        let State::Trying(one) = &operation.state else { return };
        let node = one.node;
        self.events.push(Event::Attempt(Attempt {
            operation: id,
            purpose: operation.purpose,
            user: operation.user,
            node: self.nodes.name(node).to_owned(),
            contact: operation.contact.or(answered),
            began: one.began,
            ended,
            answer,
        }));
        let is_over = answer == 200 || ended >= operation.deadline;
        if !is_over {
            let pause = if answer == 0 { 0 } else { PAUSE };
            operation.state = State::Pausing(ended + pause);
            self.operations.insert(id, operation);
        } else if let Some(contact) = operation.contact {
            let registration = self.flows.entry(contact.flow).or_default();
            registration.is_under_way = false;
            if answer == 200 {
                (registration.is_acknowledged, registration.node) = (true, node);
            }
        }
    }

    /// A phone answers whatever it is asked, except an ACK.
    fn answer(&self, request: &Message) -> Result<()> {
        if request.method() == Some("ACK") {
            return Ok(());
        }
        self.phones.send(&message::ok(request, self.phones.at), request.from)
    }
}

/// Operation and attempt of a branch.
fn numbers(branch: &str) -> Option<(u32, u32)> {
    let (operation, attempt) = branch.strip_prefix("z9hG4bK-")?.split_once('-')?;
    Some((operation.parse().ok()?, attempt.parse().ok()?))
}
