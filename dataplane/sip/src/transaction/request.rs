//! Requests: whether a transaction knows them, and the ones that are opened for those that are sent on.

use core::net::SocketAddr;

use super::buffers::Text;
use super::layer::{Around, Egress, Transactions, timers};
use super::place::BranchId;
use super::record::{Branch, Client, NO_SET, Progress, Server, ServerState, Transaction};
use crate::limits::TOP_LINES_MAX;
use crate::message::{Arrival, Method, Request};
use crate::parse::header::HeaderId;
use crate::parse::name_addr::NameAddr;
use crate::rewrite::branch::Branch as BranchText;
use crate::rewrite::reply::{write_reply, write_trying};
use crate::route::outcome::Reply;
use crate::route::request::{RequestRoute, RouteReason};
use crate::route::tables::Tables;
use crate::settings::{Fork, ListenId, MergedRequests, Relay};

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

impl Transactions {
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
        let now = self.now;
        let reaction = self.serve(slot, |server, listen| server.ack(now, &timers(tables, listen)));
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
                let source = found.source;
                self.send_trying(request, route, source, tables, arrival);
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
        let timers = timers(tables, leave_from.unwrap_or(arrival.listen));
        let attempts = tables.transactions().attempts;
        let has_others = set != NO_SET && fork == Fork::No && attempts > 1;
        let client = match leave_from {
            Some(_) => Client::sent(request.method, self.now, &timers),
            None => Client::Over,
        };
        let first = Branch {
            client,
            target: route.next_hop,
            leave_from: leave_from.unwrap_or(arrival.listen),
            limit: self.patience(request.method, has_others, tables),
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
                progress: Progress {
                    is_by_path: route.reason == RouteReason::Path,
                    ..Progress::default()
                },
                first,
                ..Transaction::FREE
            };
        });
        let Some(slot) = slot else { return Err(Reply::Unavailable) };
        self.counts.opened += 1;
        let generation = self.table.get(slot).map_or(0, |found| found.generation);
        let id = BranchId { slot, number: 0, generation };
        route.branch = Some(self.branch_text(id, tables));
        if request.method == Method::Invite {
            self.send_trying(request, route, source, tables, arrival);
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
        let branch = self.branch_text(id, tables);
        let Some(record) = self.table.get_mut(id.slot) else { return };
        let records_route = tables.records_route() && record.method.opens_dialog();
        let lines = tables.top_lines(record.first.leave_from, record.arrived_at, records_route);
        record.first.lines += u16::try_from(lines.text(branch).len()).unwrap_or(0);
        record.first.request = text.unwrap_or(Text::NONE);
        let (fork, is_unsent) = (record.fork, matches!(record.first.client, Client::Over));
        let has_targets = !record.targets.is_empty();
        if is_unsent {
            self.fail(id.slot, 0, 503, &mut Around { tables, egress });
        } else if fork == Fork::Parallel {
            self.ask_tier(id.slot, &mut Around { tables, egress });
        } else if has_targets {
            self.ask_beside_first(id.slot, &mut Around { tables, egress });
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

    fn send_trying(
        &mut self,
        request: &Request<'_>,
        route: &RequestRoute,
        target: SocketAddr,
        tables: &Tables,
        arrival: &Arrival,
    ) {
        let came = (arrival.source, tables.transport_of(arrival.listen));
        self.outbox
            .push(target, arrival.listen, |out| write_trying(request, &route.via, came, out));
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
