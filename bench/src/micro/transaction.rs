//! A whole call through the transactions of one worker, in `sip-core` alone.

use super::cases::{Work, repeat};
use super::messages::Arrived;
use crate::corpus::{self, CALLEE_SIDE, CALLER, CALLER_SIDE};
use core::net::SocketAddr;
use dataplane::testing::appliance::lab_settings;
use sip_core::{
    Arrival, Choices, EditList, Egress, Fork, Headers, ListenId, Message, Output, Owner,
    Recognised, Relay, RequestRoute, ResponseFate, Tables, TransactionSizes, Transactions,
    Transport, begin_route, finish_route, rewrite_request, rewrite_response,
};
use std::hint::black_box;

const WELL_FORMED: &str = "a message of the corpus";
/// What comes before the place of a transaction in our branch.
const PREFIX: &[u8] = b"z9hG4bK-tl2";
/// Hex digits of the place and of its check.
const PLACE: usize = 32;
/// After so long both transactions of a call are over.
const CALL_MS: u64 = 40_000;
/// Timers and steps of the wheel that its end takes, and some more.
const BUDGET: u32 = 64;

/// INVITE, 180, 200, ACK, BYE and 200 parsed, taken to their transactions, rewritten and kept; 100
/// Trying; and the timers that end both transactions.
pub(super) fn whole_call(_: &Arrived) -> Work {
    let mut proxy = Proxy::new();
    let mut requests = [("INVITE", 1, "-0"), ("ACK", 1, "-1"), ("BYE", 2, "-2")]
        .map(|(method, cseq, branch)| corpus::request(method, cseq, 0, branch, "").into_bytes());
    requests[0] = corpus::invite(0).into_bytes();
    let [invite, ack, bye] = requests;
    let answer = |forwarded: &[u8], status: &str| {
        let forwarded = String::from_utf8_lossy(forwarded);
        corpus::response(&forwarded, status, true, 0).into_bytes()
    };
    let invited = proxy.request(&invite);
    let mut early = ["180 Ringing", "200 OK"].map(|status| answer(&invited, status));
    let mut last = answer(&proxy.request(&bye), "200 OK");
    proxy.end();
    repeat(move || {
        proxy.forward(black_box(&invite));
        for response in &mut early {
            proxy.response(black_box(response));
        }
        proxy.forward(black_box(&ack));
        proxy.forward(black_box(&bye));
        proxy.response(black_box(&mut last));
        proxy.end();
    })
}

/// What a worker keeps between messages.
struct Proxy {
    tables: Tables,
    transactions: Transactions,
    choices: Choices,
    edits: EditList,
    prefix: Output,
    caller: Arrival,
    ways: Ways,
    now_ms: u64,
    /// The place in the last branch of ours.
    place: [u8; PLACE],
    copy: Vec<u8>,
}

/// Everybody but the caller is on the callee's side.
struct Ways {
    caller: SocketAddr,
    sides: [ListenId; 2],
}

impl Egress for Ways {
    fn listen_towards(
        &mut self,
        target: SocketAddr,
        _: Transport,
        _: u16,
        _: ListenId,
    ) -> Option<ListenId> {
        Some(self.sides[usize::from(target != self.caller)])
    }
}

impl Proxy {
    fn new() -> Self {
        let mut settings = lab_settings();
        for rule in &mut settings.rules {
            rule.relay = Relay::Stateful(Fork::No);
        }
        let tables = Tables::build(&settings).expect("the settings are right");
        let address = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        let listen = |text| tables.listen_id(address(text)).expect("a listen point");
        let sides = [CALLER_SIDE, CALLEE_SIDE].map(listen);
        let source = address(CALLER);
        let sizes = TransactionSizes { transactions: 1_024, buffers: 8_192 };
        Self {
            transactions: Transactions::new(sizes, 0, 7),
            choices: Choices::default(),
            edits: EditList::new(),
            prefix: Output::new(),
            caller: Arrival { source, listen: sides[0] },
            ways: Ways { caller: source, sides },
            now_ms: 0,
            place: [0; PLACE],
            copy: Vec::with_capacity(2_048),
            tables,
        }
    }

    /// Forwards a request, and gives the whole of it.
    fn request(&mut self, message: &[u8]) -> Vec<u8> {
        let replaced = self.forward(message);
        [self.prefix.bytes(), &self.copy[replaced..]].concat()
    }

    /// Forwards a request; gives how many of its bytes the prefix replaces.
    fn forward(&mut self, message: &[u8]) -> usize {
        // The count of Max-Forwards is changed in place.
        self.copy.clear();
        self.copy.extend_from_slice(message);
        let (tables, arrival, ways) = (&self.tables, &self.caller, &mut self.ways);
        let (mut headers, mut route) = (Headers::default(), RequestRoute::default());
        let Ok(Message::Request(request)) = &sip_core::parse(message, &mut headers) else {
            unreachable!("{WELL_FORMED}")
        };
        begin_route(request, &mut route).expect(WELL_FORMED);
        let known = self.transactions.recognise(request, &route, tables, arrival, ways);
        let Recognised::New(key) = known else { unreachable!("it is new") };
        finish_route(request, tables, arrival, &mut self.choices, &mut route).expect(WELL_FORMED);
        route.branch_from(key, arrival);
        let leave_from = ways.listen_towards(route.next_hop, route.transport, 0, arrival.listen);
        let id = route.is_stateful().then(|| {
            let opened = self.transactions.open(request, &mut route, tables, arrival, leave_from);
            opened.expect("there is room")
        });
        let leave_from = leave_from.unwrap_or(arrival.listen);
        rewrite_request(request, &route, tables, arrival, leave_from, &mut self.edits);
        self.edits.patch(&mut self.copy);
        self.prefix.clear();
        let replaced = self.edits.emit_prefix(&self.copy, &mut self.prefix).expect("it fits");
        if let Some(id) = id {
            let start = self.prefix.bytes();
            self.transactions.sent(id, start, &self.copy[replaced..], tables, ways);
            let at = memchr::memmem::find(start, PREFIX).expect("our Via") + PREFIX.len();
            self.place.copy_from_slice(&start[at..at + PLACE]);
        }
        self.empty();
        replaced
    }

    /// Forwards a response to the last branch.
    fn response(&mut self, message: &mut [u8]) {
        let at = memchr::memmem::find(message, PREFIX).expect("our Via") + PREFIX.len();
        message[at..at + PLACE].copy_from_slice(&self.place);
        let mut headers = Headers::default();
        let Ok(Message::Response(response)) = &sip_core::parse(message, &mut headers) else {
            unreachable!("{WELL_FORMED}")
        };
        let Owner::Here(id) = self.transactions.owner(response, &self.tables) else {
            unreachable!("it is ours")
        };
        black_box(self.transactions.upstream(id));
        let fate = self.transactions.response(id, response, &self.tables, &mut self.ways);
        let ResponseFate::Forward(route) = fate else { unreachable!("it is forwarded") };
        rewrite_response(response, &route, &mut self.edits);
        self.prefix.clear();
        let replaced = self.edits.emit_prefix(message, &mut self.prefix).expect("it fits");
        let status = response.status();
        self.transactions.passed(id, status, self.prefix.bytes(), &message[replaced..]);
        self.empty();
    }

    /// Lets the time pass after which the call is forgotten: once, if it was answered.
    fn end(&mut self) {
        while !self.transactions.is_empty() {
            self.now_ms += CALL_MS;
            self.transactions.set_time(self.now_ms);
            while self.transactions.expire(BUDGET, &self.tables, &mut self.ways) {}
            self.empty();
        }
    }

    /// Takes out what transactions send on their own.
    fn empty(&mut self) {
        while let Some(own) = self.transactions.outbox().take() {
            black_box(own.message);
        }
    }
}
