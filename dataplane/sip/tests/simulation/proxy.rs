//! The workers of the appliance: each message on its way through sip-core, as the fast path takes it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use sip_core::{
    Arrival, Choices, EditList, Egress, Headers, ListenId, Message, Output, Owner, Recognised,
    Refusal, Reply, Request, RequestRoute, Response, ResponseFate, Share, SipDrop, Tables,
    TransactionCounts, TransactionSizes, Transactions, Transport, begin_route, finish_route, parse,
    quoted_branch, rewrite_request, rewrite_response, route_response, write_reply,
};

use super::network::Packet;
use super::plan::{self, Health};

/// Milliseconds between two looks at the timers.
pub(crate) const POLL_MS: u64 = 5;

/// The workers and what they share.
pub(crate) struct Proxy {
    pub(crate) tables: Tables,
    health: Vec<Health>,
    workers: Vec<Worker>,
}

/// What one worker owns.
struct Worker {
    transactions: Transactions,
    choices: Choices,
    edits: EditList,
    prefix: Output,
    tally: Tally,
}

/// What the transaction layer has told a worker, for comparison with its own counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) opened: u64,
    pub(crate) refused_full: u64,
    pub(crate) merged: u64,
    pub(crate) requests_absorbed: u64,
    pub(crate) responses_absorbed: u64,
}

/// What a worker has made of a message.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) sent: Vec<Packet>,
    /// The message belongs to another worker.
    pub(crate) handed_over: Option<(usize, Packet)>,
    /// Why it was dropped.
    pub(crate) dropped: Option<SipDrop>,
}

impl Proxy {
    /// `boot` is the random number of the process.
    pub(crate) fn new(
        workers: u8,
        boot: u64,
        sizes: TransactionSizes,
        tables: Tables,
        health: Vec<Health>,
    ) -> Self {
        let worker = |number| Worker {
            transactions: Transactions::new(sizes, number, boot),
            choices: Choices::with_room(Share::default(), 64),
            edits: EditList::new(),
            prefix: Output::new(),
            tally: Tally::default(),
        };
        Self { tables, health, workers: (0..workers).map(worker).collect() }
    }

    /// The worker whose queue a datagram comes to: receive-side scaling over addresses and ports.
    pub(crate) fn queue_of(&self, packet: &Packet) -> usize {
        let mut hash = DefaultHasher::new();
        (packet.source, packet.target).hash(&mut hash);
        usize::try_from(hash.finish() % self.workers.len() as u64).unwrap_or(0)
    }

    /// Has a worker take a datagram.
    pub(crate) fn receive(&mut self, worker: usize, mut packet: Packet, now_ms: u64) -> Done {
        let mut done = Done::default();
        let Self { tables, health, workers } = self;
        let worker = &mut workers[worker];
        worker.transactions.set_time(now_ms);
        worker.choices.set_time(now_ms);
        let way = Way { tables, health, worker, done: &mut done };
        if let Some(other) = way.take(&mut packet) {
            done.handed_over = Some((other, packet));
        }
        self.drain_into(&mut done);
        done
    }

    /// Has a worker hear that a request of ours did not arrive.
    pub(crate) fn unreachable(&mut self, datagram: &[u8], now_ms: u64) -> Done {
        let mut done = Done::default();
        if let Some(quoted) = quoted_branch(&datagram[..datagram.len().min(400)]) {
            let Self { tables, health, workers } = self;
            let worker = &mut workers[usize::from(quoted.worker())];
            worker.transactions.set_time(now_ms);
            worker.transactions.unreachable(quoted, tables, &mut Roads(health));
        }
        self.drain_into(&mut done);
        done
    }

    /// Has all workers look at their timers.
    pub(crate) fn poll(&mut self, now_ms: u64) -> Done {
        let mut done = Done::default();
        for worker in 0..self.workers.len() {
            loop {
                let Self { tables, health, workers } = &mut *self;
                let transactions = &mut workers[worker].transactions;
                transactions.set_time(now_ms);
                let is_more = transactions.expire(256, tables, &mut Roads(health));
                self.drain_into(&mut done);
                if !is_more {
                    break;
                }
            }
        }
        done
    }

    /// Takes what the transactions send on their own.
    fn drain_into(&mut self, done: &mut Done) {
        for worker in &mut self.workers {
            while let Some(outgoing) = worker.transactions.outbox().take() {
                done.sent.push(Packet {
                    source: self.tables.listen_point(outgoing.leave_from).address,
                    target: outgoing.target,
                    bytes: outgoing.message.to_vec(),
                });
            }
        }
    }

    /// What each worker counts, and what it was told.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (TransactionCounts, Tally)> {
        self.workers.iter().map(|worker| (worker.transactions.counts(), worker.tally))
    }
}

/// Which networks there is a way to.
struct Roads<'a>(&'a [Health]);

impl Egress for Roads<'_> {
    fn listen_towards(
        &mut self,
        target: SocketAddr,
        _transport: Transport,
        _prefer_port: u16,
        _arrived_at: ListenId,
    ) -> Option<ListenId> {
        match plan::side_of(target) {
            plan::Side::Caller(_) => Some(plan::CALLER_SIDE),
            plan::Side::Callee(host) if self.0[usize::from(host)] == Health::NoWay => None,
            plan::Side::Callee(_) => Some(plan::CALLEE_SIDE),
            plan::Side::Proxy => None,
        }
    }
}

/// One message on its way through a worker.
struct Way<'a> {
    tables: &'a Tables,
    health: &'a [Health],
    worker: &'a mut Worker,
    done: &'a mut Done,
}

impl Way<'_> {
    /// Gives the worker to whom the message belongs, if that is another one.
    fn take(mut self, packet: &mut Packet) -> Option<usize> {
        let listen = self.tables.listen_id(packet.target).expect("one of ours");
        let arrival = Arrival { source: packet.source, listen };
        let mut headers = Headers::default();
        let way_on = match parse(&packet.bytes, &mut headers) {
            Ok(Message::Request(request)) => self.request(&request, &arrival),
            Ok(Message::Response(response)) => self.response(&response),
            Err(error) => Err(error.refusal()),
        };
        match way_on {
            Ok(Fate::Forward(forward)) => self.forward(packet, &forward),
            Ok(Fate::Absorbed) => {}
            Ok(Fate::HandOver(other)) => return Some(other),
            Err(Refusal::Drop(reason)) => self.done.dropped = Some(reason),
            Err(Refusal::Reply(reply)) => {
                self.worker.prefix.clear();
                let out = &mut self.worker.prefix;
                match write_reply(&packet.bytes, reply, self.tables, &arrival, out) {
                    Ok(target) => self.send(target, listen, &[]),
                    Err(reason) => self.done.dropped = Some(reason),
                }
            }
        }
        None
    }

    fn request(&mut self, request: &Request<'_>, arrival: &Arrival) -> Result<Fate, Refusal> {
        let (tables, worker) = (self.tables, &mut *self.worker);
        let roads = &mut Roads(self.health);
        let mut route = RequestRoute::default();
        begin_route(request, &mut route)?;
        let key = match worker.transactions.recognise(request, &route, tables, arrival, roads) {
            Recognised::New(key) => key,
            Recognised::Absorbed => {
                let is_cancel = request.method() == sip_core::Method::Cancel;
                worker.tally.requests_absorbed += u64::from(!is_cancel);
                return Ok(Fate::Absorbed);
            }
        };
        finish_route(request, tables, arrival, &mut worker.choices, &mut route)?;
        route.branch_from(key, arrival);
        let leave_from =
            roads.listen_towards(route.next_hop, route.transport, 5060, arrival.listen);
        let mut branch = None;
        if route.is_stateful() {
            let opened = worker.transactions.open(request, &mut route, tables, arrival, leave_from);
            match opened {
                Ok(id) => branch = Some(Belongs::Request(id)),
                Err(Reply::LoopDetected) => worker.tally.merged += 1,
                Err(_) => worker.tally.refused_full += 1,
            }
            worker.tally.opened += u64::from(opened.is_ok());
            opened.map_err(Refusal::Reply)?;
        } else if leave_from.is_none() {
            return Err(Refusal::Reply(Reply::Unavailable));
        }
        let leaves = leave_from.unwrap_or(arrival.listen);
        rewrite_request(request, &route, tables, arrival, leaves, &mut worker.edits);
        let (target, end) = (route.next_hop, request.body_end());
        Ok(Fate::Forward(Forward { target, leave_from, end, belongs: branch }))
    }

    fn response(&mut self, response: &Response<'_>) -> Result<Fate, Refusal> {
        let (tables, worker) = (self.tables, &mut *self.worker);
        let (route, belongs) = match worker.transactions.owner(response, tables) {
            Owner::Stateless => (route_response(response, tables).map_err(Refusal::Drop)?, None),
            Owner::Here(id) => {
                let roads = &mut Roads(self.health);
                match worker.transactions.response(id, response, tables, roads) {
                    ResponseFate::Forward(route) => {
                        (route, Some(Belongs::Response(id, response.status())))
                    }
                    ResponseFate::Absorbed => {
                        worker.tally.responses_absorbed += 1;
                        return Ok(Fate::Absorbed);
                    }
                    ResponseFate::Drop(reason) => return Err(Refusal::Drop(reason)),
                }
            }
            Owner::Worker(other) => return Ok(Fate::HandOver(other.into())),
            Owner::Forged => {
                return Err(Refusal::Drop(SipDrop::ResponseForged));
            }
            Owner::Stale => {
                return Err(Refusal::Drop(SipDrop::ResponseStale));
            }
        };
        rewrite_response(response, &route, &mut worker.edits);
        let leave_from = route.leave_from;
        Ok(Fate::Forward(Forward {
            target: route.next_hop,
            leave_from,
            end: response.body_end(),
            belongs,
        }))
    }

    /// The message with its edits leaves, and its transaction sees it.
    fn forward(&mut self, packet: &mut Packet, forward: &Forward) {
        let worker = &mut *self.worker;
        worker.edits.patch(&mut packet.bytes);
        worker.prefix.clear();
        let replaced = worker.edits.emit_prefix(&packet.bytes, &mut worker.prefix);
        let replaced = replaced.expect("room for all of it");
        let rest = &packet.bytes[replaced..forward.end];
        let start = worker.prefix.bytes();
        match forward.belongs {
            Some(Belongs::Request(id)) => {
                let roads = &mut Roads(self.health);
                worker.transactions.sent(id, start, rest, self.tables, roads);
            }
            Some(Belongs::Response(id, status)) => {
                worker.transactions.passed(id, status, start, rest);
            }
            None => {}
        }
        if let Some(listen) = forward.leave_from {
            self.send(forward.target, listen, rest);
        }
    }

    /// The prefix and `rest` leave.
    fn send(&mut self, target: SocketAddr, listen: ListenId, rest: &[u8]) {
        let bytes = [self.worker.prefix.bytes(), rest].concat();
        let source = self.tables.listen_point(listen).address;
        self.done.sent.push(Packet { source, target, bytes });
    }
}

/// What becomes of a message.
enum Fate {
    Forward(Forward),
    Absorbed,
    /// To the worker with this number.
    HandOver(usize),
}

/// A message that goes on, with the edits of the worker.
struct Forward {
    target: SocketAddr,
    /// `None` when there is no way.
    leave_from: Option<ListenId>,
    end: usize,
    belongs: Option<Belongs>,
}

/// To which branch a message belongs.
enum Belongs {
    Request(sip_core::BranchId),
    Response(sip_core::BranchId, u16),
}
