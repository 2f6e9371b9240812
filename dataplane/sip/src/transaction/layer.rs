//! The transactions of one worker: requests that come, and what is sent on.

use core::net::SocketAddr;

use super::buffers::{Buffers, Text};
use super::compose;
use super::counts::TransactionCounts;
use super::foresee::Ahead;
use super::machines::Timers;
use super::outbox::Outbox;
use super::place::{self, BranchId};
use super::record::{
    Branch, Client, NO_SET, NONE, Progress, Server, ServerState, Transaction, later, sooner,
};
use super::table::Table;
use super::time::Tick;
use super::wheel::Wheel;
use crate::limits::{MORE_BRANCHES_PART, TOP_LINES_MAX};
use crate::message::{Arrival, Method, Request};
use crate::parse::header::HeaderId;
use crate::parse::name_addr::NameAddr;
use crate::rewrite::branch::Branch as BranchText;
use crate::rewrite::output::Output;
use crate::rewrite::reply::{write_reply, write_trying};
use crate::route::outcome::Reply;
use crate::route::request::{RequestRoute, RouteReason};
use crate::route::tables::Tables;
use crate::settings::{Fork, ListenId, MergedRequests, Relay};

/// How much of everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionSizes {
    /// Requests that are served at one time; at most
    /// [`TRANSACTIONS_MAX`](crate::limits::TRANSACTIONS_MAX).
    pub transactions: u32,
    /// Blocks of 256 bytes for messages that may have to be sent again.
    pub buffers: u32,
}

impl TransactionSizes {
    /// Bytes of memory for all of it.
    pub fn memory(&self) -> usize {
        self.parts().iter().sum()
    }

    /// Bytes of memory for records, their indexes, the timer wheel, and message buffers.
    pub fn parts(&self) -> [usize; 4] {
        let [records, indexes] = Table::memory(self.transactions, self.more());
        [records, indexes, Wheel::memory(self.transactions), Buffers::memory(self.buffers)]
    }

    /// Branches beyond the first of each transaction.
    fn more(self) -> u32 {
        self.transactions.div_ceil(MORE_BRANCHES_PART)
    }
}

/// Where messages of our own leave.
pub trait Egress {
    /// The listen point that a message to `target` leaves from, on `prefer_port` if there is one;
    /// `None` when there is no way to it, which counts as an answer of 503 (RFC 3261 section 16.9).
    fn listen_towards(&mut self, target: SocketAddr, prefer_port: u16) -> Option<ListenId>;
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// No transaction knows it: it is routed. An ACK for a 2xx and a CANCEL too late are such.
    New(ServerKey),
    /// Its transaction has taken it; what there is to answer is in the outbox.
    Absorbed,
}

/// To what a client says ACK.
enum Acknowledged {
    /// To a 2xx: it goes on to the callee.
    Success,
    /// To a response that ends here.
    Refusal,
    /// To nothing that the transaction has sent: to a 503 from when there was no room for it. The client
    /// has given up, and a copy of its request has come after all.
    Nothing,
}

/// By what the retransmissions of a request are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerKey(pub(crate) u64);

/// All transactions of one worker.
#[derive(Debug)]
pub struct Transactions {
    worker: u8,
    pub(super) boot: u64,
    pub(super) now: Tick,
    pub(super) table: Table,
    pub(super) buffers: Buffers,
    pub(super) wheel: Wheel,
    pub(super) outbox: Outbox,
    /// One message that is being read while others are written.
    pub(super) scratch: Output,
    /// One that is written meanwhile.
    pub(super) spare: Output,
    pub(super) counts: TransactionCounts,
    pub(super) ahead: Ahead,
    /// Transactions by [`ServerState`].
    pub(super) states: [u64; ServerState::Over as usize + 1],
}

/// What a change is made with.
pub(super) struct Around<'a, E> {
    pub(super) tables: &'a Tables,
    pub(super) egress: &'a mut E,
}

impl Transactions {
    /// Room for so many, all of it allocated now. `worker` is its number; `boot` a random number that
    /// all workers of a process share, so that a branch of an earlier process proves nothing.
    pub fn new(sizes: TransactionSizes, worker: u8, boot: u64) -> Self {
        let now = Tick::of_ms(0);
        Self {
            worker,
            boot,
            now,
            table: Table::new(sizes.transactions, sizes.more()),
            buffers: Buffers::new(sizes.buffers),
            wheel: Wheel::new(sizes.transactions, now),
            outbox: Outbox::new(),
            scratch: Output::new(),
            spare: Output::new(),
            counts: TransactionCounts::default(),
            ahead: Ahead::default(),
            states: [0; ServerState::Over as usize + 1],
        }
    }

    /// Says what time it is, in milliseconds.
    #[inline]
    pub fn set_time(&mut self, now_ms: u64) {
        self.now = Tick::of_ms(now_ms);
    }

    /// Whether there is a transaction.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.alive == 0
    }

    /// What waits to be sent.
    #[inline]
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Whether something waits to be sent.
    #[inline]
    pub fn has_outgoing(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// A reading of all counts.
    pub fn counts(&self) -> TransactionCounts {
        let of = |state: ServerState| self.states[state as usize];
        TransactionCounts {
            alive: self.table.alive.into(),
            trying: of(ServerState::Trying),
            proceeding: of(ServerState::Proceeding),
            completed: of(ServerState::Completed),
            confirmed: of(ServerState::Confirmed),
            accepted: of(ServerState::Accepted),
            branches: self.table.more_alive.into(),
            buffers_used: self.buffers.used().into(),
            timer_lag_ms: self.wheel.lag(self.now).into(),
            outbox_full: self.counts.outbox_full + self.outbox.refused,
            ..self.counts
        }
    }

    /// Finds out whether a transaction knows `request` (RFC 3261 section 17.2.3), before it is routed.
    pub fn recognise(
        &mut self,
        request: &Request<'_>,
        route: &RequestRoute,
        tables: &Tables,
        arrival: &Arrival,
        egress: &mut impl Egress,
    ) -> Recognised {
        let key = tables.keys.branch(request.bytes, request.headers, &route.via, arrival.listen);
        let method = request.method;
        let is_same = |found: &Transaction| match method {
            Method::Ack | Method::Cancel => found.is_invite(),
            method => found.method == method,
        };
        let Some(slot) = self.table.find(key, is_same) else {
            return Recognised::New(ServerKey(key));
        };
        match method {
            Method::Ack => match self.take_ack(slot, tables) {
                Acknowledged::Success => return Recognised::New(ServerKey(key)),
                Acknowledged::Refusal => {}
                Acknowledged::Nothing => self.cancel(slot, &mut Around { tables, egress }),
            },
            Method::Cancel => {
                self.reply(request, Reply::Canceling, tables, arrival);
                self.cancel(slot, &mut Around { tables, egress });
            }
            _ => self.answer_again(slot, request, route, tables, arrival),
        }
        self.counts.requests_absorbed += u64::from(method != Method::Cancel);
        self.rearm(slot);
        Recognised::Absorbed
    }

    fn take_ack(&mut self, slot: u32, tables: &Tables) -> Acknowledged {
        let (now, timers) = (self.now, timers(tables));
        let reaction = self.serve(slot, |server| server.ack(now, &timers));
        match self.table.get(slot).map(|found| found.server.state()) {
            _ if reaction.pass => Acknowledged::Success,
            Some(ServerState::Proceeding) => Acknowledged::Nothing,
            _ => Acknowledged::Refusal,
        }
    }

    /// RFC 3261 sections 17.2.1 and 17.2.2: what was answered last is answered again.
    #[cold]
    fn answer_again(
        &mut self,
        slot: u32,
        request: &Request<'_>,
        route: &RequestRoute,
        tables: &Tables,
        arrival: &Arrival,
    ) {
        let Some(found) = self.table.get(slot) else { return };
        if !found.server.again().resend {
            return;
        }
        if found.response.is_empty() {
            if found.is_invite() && !found.progress.is_answered {
                self.send_trying(request, route, tables, arrival);
            }
            return;
        }
        self.send_response(slot);
        self.counts.retransmitted += 1;
    }

    /// Opens the transaction of a request that is sent on by `route`, which knows its key
    /// ([`RequestRoute::branch_from`]), leaving from `leave_from`; without
    /// that there is no way to its destination, and another is tried when [`Self::sent`] has what would
    /// have been sent. The client is told that we try.
    ///
    /// # Errors
    /// The reply when there is no room, or when the request is here already by another way.
    pub fn open(
        &mut self,
        request: &Request<'_>,
        route: &mut RequestRoute,
        tables: &Tables,
        arrival: &Arrival,
        leave_from: Option<ListenId>,
    ) -> Result<BranchId, Reply> {
        let Some(BranchText::Stateless(_, key)) = route.branch else {
            return Err(Reply::Unavailable);
        };
        let length = request.body_end() + TOP_LINES_MAX;
        if !self.table.has_room() || !self.buffers.fits(length) {
            self.counts.refused_full += 1;
            return Err(Reply::Unavailable);
        }
        let merged = merged(request, route, tables);
        if merged != 0 && self.table.has_merged(merged) {
            self.counts.merged += 1;
            return Err(Reply::LoopDetected);
        }
        if self.is_empty() {
            self.wheel.begin(self.now);
        }
        let (fork, set) = match (route.relay, route.reason) {
            (Relay::Stateful(fork), RouteReason::Member { set, .. }) => (fork, set),
            _ => (Fork::No, NO_SET),
        };
        let timers = timers(tables);
        let client = match leave_from {
            Some(_) => Client::sent(request.method, self.now, &timers),
            None => Client::Over,
        };
        let first = Branch {
            client,
            target: route.next_hop,
            leave_from: leave_from.unwrap_or(arrival.listen),
            limit: self.patience(request.method, set, fork, 1, tables),
            ..Branch::FREE
        };
        let server = Server::received(request.method);
        self.states[server.state() as usize] += 1;
        let source = crate::rewrite::reply::destination(request.bytes, &route.via, tables, arrival);
        let slot = self.table.insert(|record| {
            *record = Transaction {
                key,
                merged,
                generation: record.generation,
                server,
                method: request.method,
                source,
                arrived_at: arrival.listen,
                fork,
                set,
                branches: 1,
                progress: Progress::default(),
                first,
                ..Transaction::FREE
            };
        });
        let Some(slot) = slot else { return Err(Reply::Unavailable) };
        self.counts.opened += 1;
        let generation = self.table.get(slot).map_or(0, |found| found.generation);
        let id = BranchId { slot, number: 0, generation };
        route.branch = Some(place::branch_text(id, self.worker, self.boot, tables));
        if request.method == Method::Invite {
            self.send_trying(request, route, tables, arrival);
        }
        Ok(id)
    }

    /// Keeps what was sent on for a branch that was just opened, in two pieces, so that it can be sent
    /// again; and sends it to the others of a parallel fork.
    pub fn sent(
        &mut self,
        id: BranchId,
        start: &[u8],
        rest: &[u8],
        tables: &Tables,
        egress: &mut impl Egress,
    ) {
        let text = self.buffers.store(start, rest);
        self.counts.outbox_full += u64::from(text.is_none());
        let Some(record) = self.table.get_mut(id.slot) else { return };
        let records_route = tables.records_route() && record.method.opens_dialog();
        let lines = tables.top_lines(record.first.leave_from, record.arrived_at, records_route);
        let branch = place::branch_text(id, self.worker, self.boot, tables);
        record.first.lines = u16::try_from(lines.text(branch).len()).unwrap_or(0);
        record.first.request = text.unwrap_or(Text::NONE);
        let (fork, is_unsent) = (record.fork, matches!(record.first.client, Client::Over));
        if is_unsent {
            self.fail(id.slot, 0, 503, &mut Around { tables, egress });
        } else if fork == Fork::Parallel {
            self.ask_tier(id.slot, &mut Around { tables, egress });
        }
        self.rearm(id.slot);
    }

    /// Forgets a transaction that was just opened and whose request cannot be sent on at all.
    #[cold]
    pub fn forget(&mut self, id: BranchId) {
        if self.table.holds(id) {
            self.end(id.slot);
        }
    }

    /// How long a branch may stay silent: shortly, when there is somebody else to ask.
    pub(super) fn patience(
        &self,
        method: Method,
        set: u16,
        fork: Fork,
        branches: u8,
        tables: &Tables,
    ) -> Option<Tick> {
        let settings = tables.transactions();
        let has_others = set != NO_SET && fork == Fork::No && branches < settings.attempts;
        if has_others && settings.failover_ms > 0 {
            return Some(self.now.plus(settings.failover_ms));
        }
        // Timer C (RFC 3261 section 16.6 step 11).
        compose::is_invite(method).then(|| self.now.plus(settings.timer_c_ms))
    }

    /// Has the server transaction take an event, and counts its state.
    #[inline]
    pub(super) fn serve<R: Default>(
        &mut self,
        slot: u32,
        event: impl FnOnce(&mut Server) -> R,
    ) -> R {
        let Some(record) = self.table.get_mut(slot) else { return R::default() };
        let before = record.server.state();
        let result = event(&mut record.server);
        let after = record.server.state();
        if before != after {
            self.states[before as usize] -= 1;
            self.states[after as usize] += 1;
        }
        result
    }

    /// Sets the timer of a transaction to its next deadline; without one it is over.
    #[inline]
    pub(super) fn rearm(&mut self, slot: u32) {
        let Some(record) = self.table.get(slot) else { return };
        if record.rests() {
            // Nothing will be sent any more, so that nobody minds if all of it ends with its last part.
            let deadline = later(record.server.deadline(), record.first.client.deadline());
            return match deadline {
                Some(due) => self.wheel.settle(slot, due),
                None => self.end(slot),
            };
        }
        let mut deadline = sooner(record.server.deadline(), record.first.deadline());
        if record.more != NONE {
            for branch in self.table.branches(slot) {
                deadline = sooner(deadline, branch.deadline());
            }
        }
        match deadline {
            Some(due) => self.wheel.arm(slot, due),
            None => self.end(slot),
        }
    }

    #[cold]
    fn end(&mut self, slot: u32) {
        self.free_requests(slot, |_| true);
        let Some(record) = self.table.get_mut(slot) else { return };
        for text in [&mut record.response, &mut record.best, &mut record.redirect] {
            self.buffers.free(text);
        }
        self.states[record.server.state() as usize] -= 1;
        self.wheel.disarm(slot);
        self.table.remove(slot);
    }

    /// Frees the kept requests of those branches of a transaction for which `is_done` holds.
    pub(super) fn free_requests(&mut self, slot: u32, is_done: impl Fn(&Branch) -> bool) {
        let branches = self.table.get(slot).map_or(0, |found| found.branches);
        for number in 0..branches {
            if let Some(branch) = self.table.branch_mut(slot, number)
                && is_done(branch)
            {
                self.buffers.free(&mut branch.request);
            }
        }
    }

    fn send_trying(
        &mut self,
        request: &Request<'_>,
        route: &RequestRoute,
        tables: &Tables,
        arrival: &Arrival,
    ) {
        let target = crate::rewrite::reply::destination(request.bytes, &route.via, tables, arrival);
        self.outbox
            .push(target, arrival.listen, |out| write_trying(request, &route.via, arrival, out));
    }

    /// A stateless reply of ours.
    #[cold]
    fn reply(&mut self, request: &Request<'_>, reply: Reply, tables: &Tables, arrival: &Arrival) {
        self.scratch.clear();
        let written = write_reply(request.bytes, reply, tables, arrival, &mut self.scratch);
        if let Ok(target) = written {
            let scratch = &self.scratch;
            self.outbox.push(target, arrival.listen, |out| out.push(scratch.bytes()));
        }
    }

    /// Sends the response that was sent last.
    pub(super) fn send_response(&mut self, slot: u32) {
        let Some(record) = self.table.get(slot) else { return };
        let (buffers, text) = (&self.buffers, record.response);
        if !text.is_empty() {
            self.outbox.push(record.source, record.arrived_at, |out| buffers.copy_to(text, out));
        }
    }

    /// The branch text of a branch of ours.
    pub(super) fn branch_text(&self, id: BranchId, tables: &Tables) -> BranchText {
        place::branch_text(id, self.worker, self.boot, tables)
    }

    pub(super) fn is_worker(&self, worker: u8) -> bool {
        self.worker == worker
    }
}

/// What the request shares with copies that come another way; 0 when that is not to be known. A
/// request inside of a dialog cannot be one (RFC 3261 section 8.2.2.2).
fn merged(request: &Request<'_>, route: &RequestRoute, tables: &Tables) -> u64 {
    if tables.transactions().merged == MergedRequests::Forward
        || route.reason == RouteReason::InDialog
    {
        return 0;
    }
    let bytes = request.bytes;
    let value = |id| {
        let value = request.headers.value(id);
        NameAddr::parse(bytes, value.start(), value.end())
    };
    let has_tag = value(HeaderId::To).is_none_or(|to| !to.tag.is_empty());
    match value(HeaderId::From) {
        Some(from) if !has_tag => {
            let call = route.call.unwrap_or_else(|| tables.keys.call(request.call_id()));
            let tag = from.tag.of(bytes);
            tables.keys.merged(call, tag, request.cseq_number(), request.uri()) | 1
        }
        _ => 0,
    }
}

/// The base values of the timers.
#[inline]
pub(super) fn timers(tables: &Tables) -> Timers {
    let settings = tables.transactions();
    Timers { t1: settings.t1_ms, t2: settings.t2_ms, t4: settings.t4_ms }
}

/// Where a kept message lies while it is read.
pub(super) fn copy(buffers: &Buffers, text: Text, scratch: &mut Output) -> bool {
    scratch.clear();
    !text.is_empty() && buffers.copy_to(text, scratch).is_ok()
}
