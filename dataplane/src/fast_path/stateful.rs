//! The SIP stages of messages that have a transaction.

use super::{Outgoing, Refused, Scratch, Way, sip_drop};
use crate::fib::{Fib, Lookup};
use crate::probe::{Probe, Stage};
use crate::verdict::Verdict;
use control_api::DropReason;
use core::net::SocketAddr;
use sip_core::{
    Arrival, BranchId, Choices, Egress, ListenId, Method, Owner, Recognised, Request, RequestRoute,
    Response, ResponseFate, RouteReason, Tables, Transport, begin_route, finish_route,
    rewrite_located, rewrite_request,
};

/// What transactions are to know of the message in hand as it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remember {
    /// It has no transaction.
    Nothing,
    /// The request of this branch.
    Request(BranchId),
    /// The request of this branch, which has no way out.
    Unsent(BranchId),
    /// The response to the client of this branch, with its status.
    Response(BranchId, u16),
}

/// What an edge proxy answers when a flow of its is no more (RFC 5626 section 11.6).
const FLOW_FAILED: u16 = 430;

/// Routes, neighbours, and what members say of their load, as far as transactions must know them.
pub(super) struct Ways<'t> {
    pub(super) tables: &'t Tables,
    pub(super) fib: &'t Fib,
    pub(super) choices: &'t Choices,
}

impl Egress for Ways<'_> {
    fn listen_towards(
        &mut self,
        target: SocketAddr,
        transport: Transport,
        prefer_port: u16,
        arrived_at: ListenId,
    ) -> Option<ListenId> {
        if transport.is_connection() {
            return self.connection_towards(target, transport, prefer_port, arrived_at);
        }
        let adjacency = match self.fib.lookup(target.ip()) {
            Lookup::Ready(adjacency) => adjacency,
            // The kernel will have found the neighbour when the request is sent again.
            Lookup::Unresolved(_) => self.fib.way_out(target.ip())?,
            Lookup::Failed(_) | Lookup::NoRoute => return None,
        };
        self.tables.listen_onward(arrived_at, transport, adjacency.source, prefer_port)
    }

    fn holds_back(&self, member: SocketAddr, call: u64) -> bool {
        self.choices.holds_back(member, call, self.tables)
    }
}

impl Ways<'_> {
    /// The listen point that a new connection to `target` is told of: the one of the way there, or where that does
    /// not lead over a port of ours any of its family.
    pub(super) fn connection_towards(
        &self,
        target: SocketAddr,
        transport: Transport,
        prefer_port: u16,
        arrived_at: ListenId,
    ) -> Option<ListenId> {
        let source = self.fib.way_out(target.ip()).map(|way| way.source);
        let onward = |ip| self.tables.listen_onward(arrived_at, transport, ip, prefer_port);
        let of_way = source.and_then(onward);
        of_way.or_else(|| self.tables.any_connection(transport, target.is_ipv4()))
    }
}

impl Way<'_> {
    /// Whether messages may have a transaction.
    #[inline]
    pub(super) fn has_transactions(&self, scratch: &Scratch) -> bool {
        self.tables.has_transactions() || !scratch.transactions.is_empty()
    }

    pub(super) fn ways<'w>(&'w self, choices: &'w Choices) -> Ways<'w> {
        Ways { tables: self.tables, fib: self.fib, choices }
    }

    /// Routes a request, unless a transaction knows it.
    pub(super) fn ask_transactions(
        &self,
        request: &Request,
        arrival: &Arrival,
        scratch: &mut Scratch,
        route: &mut RequestRoute,
    ) -> Result<(), Refused> {
        begin_route(request, route)?;
        let Scratch { transactions, choices, .. } = scratch;
        let ways = &mut self.ways(choices);
        match transactions.recognise(request, route, self.tables, arrival, ways) {
            Recognised::Absorbed => Err(Refused::Verdict(Verdict::Absorb)),
            Recognised::New(key) => {
                finish_route(request, self.tables, arrival, choices, route)?;
                route.branch_from(key, arrival);
                Ok(())
            }
        }
    }

    /// Sends a request on for which a transaction is opened.
    pub(super) fn open(
        &self,
        request: &Request,
        arrival: &Arrival,
        route: &mut RequestRoute,
        scratch: &mut Scratch,
        probe: &mut impl Probe,
    ) -> Result<Outgoing, Refused> {
        let way = match self.find_way(route, arrival, self.port_of(request, scratch), scratch) {
            Ok(listen) => Some(listen),
            Err(verdict @ (Verdict::Park(_) | Verdict::Drop(DropReason::NoListenPoint))) => {
                return Err(Refused::Verdict(verdict));
            }
            Err(verdict) => {
                if let Verdict::Unreachable(next_hop) = verdict {
                    // Within a dialog there is nowhere else to go. Over UDP it comes again, and the kernel has asked for
                    // the neighbour once more by then.
                    let comes_again = !self.tables.transport_of(arrival.listen).is_connection();
                    if comes_again && route.reason == RouteReason::InDialog {
                        return Err(Refused::Verdict(verdict));
                    }
                    scratch.failed = Some(next_hop);
                }
                None
            }
        };
        let leave_from = way.unwrap_or(arrival.listen);
        self.leave_from(leave_from, scratch);
        scratch.egress.is_on_flow = route.leave_from().is_some();
        probe.end(Stage::Adjacency);
        let id = scratch
            .transactions
            .open(request, route, self.tables, arrival, way)
            .map_err(Refused::Reply)?;
        if route.host_name().is_some() {
            scratch.transactions.offer_hops(id, &scratch.hops, self.tables);
        }
        if route.located().is_some() {
            let Scratch { transactions, targets, prefix, edits, .. } = scratch;
            targets.write_lines(
                request.method(),
                [leave_from, arrival.listen],
                self.tables,
                prefix,
            );
            transactions.offer(id, targets, prefix.len(), self.tables);
            probe.end(Stage::Transaction);
            let own = prefix.bytes();
            rewrite_located(request, route, targets, own, self.tables, arrival, leave_from, edits);
        } else {
            probe.end(Stage::Transaction);
            rewrite_request(request, route, self.tables, arrival, leave_from, &mut scratch.edits);
        }
        scratch.remember = match way {
            Some(_) => Remember::Request(id),
            None => Remember::Unsent(id),
        };
        let edited = self.edited(request, scratch);
        if edited.is_err() {
            scratch.transactions.forget(id);
        }
        edited
    }

    /// The port that a request with a transaction leaves from: this worker's own, so that the response finds it. The
    /// Path that a REGISTER may get outlives its transaction, and names a port for all.
    fn port_of(&self, request: &Request, scratch: &Scratch) -> u16 {
        let own = scratch.transactions.via_port(self.tables);
        let own = own.filter(|_| request.method() != Method::Register);
        own.unwrap_or(self.datagram.target.port())
    }

    /// Takes a response to the transaction that it belongs to; `None` when it belongs to none.
    pub(super) fn to_transaction(
        &self,
        response: &Response,
        scratch: &mut Scratch,
        probe: &mut impl Probe,
    ) -> Option<Result<Outgoing, Verdict>> {
        let id = match scratch.transactions.owner(response, self.tables) {
            Owner::Stateless => return None,
            Owner::Here(id) => id,
            Owner::Worker(worker) => return Some(Err(Verdict::Handoff(worker))),
            Owner::Forged => return Some(Err(Verdict::Drop(DropReason::ResponseForged))),
            Owner::Stale => return Some(Err(Verdict::Drop(DropReason::ResponseStale))),
        };
        Some(self.respond(id, response, scratch, probe))
    }

    fn respond(
        &self,
        id: BranchId,
        response: &Response,
        scratch: &mut Scratch,
        probe: &mut impl Probe,
    ) -> Result<Outgoing, Verdict> {
        let upstream = scratch.transactions.upstream(id);
        let (target, listen) = upstream.ok_or(Verdict::Drop(DropReason::ResponseStale))?;
        probe.end(Stage::Route);
        let found = self.find_way_back(target, Some(listen), scratch);
        // A parked response comes here once more, so nothing may have happened yet.
        if let Err(Verdict::Park(next_hop)) = found {
            return Err(Verdict::Park(next_hop));
        }
        probe.end(Stage::Adjacency);
        if response.status() == FLOW_FAILED
            && let Some(lost) = scratch.transactions.failed_flow(id)
        {
            scratch.location.forget_flow(&lost, self.tables);
        }
        let Scratch { transactions, choices, .. } = scratch;
        choices.hear(response, self.datagram.source, self.tables);
        let ways = &mut self.ways(choices);
        let fate = transactions.response(id, response, self.tables, ways);
        probe.end(Stage::Transaction);
        match fate {
            ResponseFate::Forward(route) => {
                found?;
                scratch.remember = Remember::Response(id, response.status());
                self.edit_response(response, &route, scratch, probe)
            }
            ResponseFate::Absorbed => Err(Verdict::Absorb),
            ResponseFate::Drop(reason) => Err(sip_drop(reason)),
        }
    }
}

impl Scratch {
    /// Shows transactions the message that leaves: the prefix, and the bytes `kept` of what came. Gives
    /// the verdict when it does not leave after all.
    pub(super) fn remember(&mut self, kept: &[u8], way: &Way<'_>) -> Option<Verdict> {
        let start = self.prefix.bytes();
        match self.remember {
            Remember::Nothing => {}
            Remember::Request(id) | Remember::Unsent(id) => {
                let ways = &mut way.ways(&self.choices);
                self.transactions.sent(id, start, kept, way.tables, ways);
            }
            Remember::Response(id, status) => self.transactions.passed(id, status, start, kept),
        }
        matches!(self.remember, Remember::Unsent(_)).then_some(Verdict::Absorb)
    }
}
