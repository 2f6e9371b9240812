//! The SIP stages, stateless: parse → route → adjacency → rewrite → encode.
//!
//! Cases by speed: a response costs least (its next hop stands in its second Via), then an in-dialog
//! request (its Route proves itself), then one that meets the rule table; answers of our own and parked messages are
//! rare.

mod at_home;
mod held;
mod loads;
mod names;
mod overload;
mod own;
mod parcels;
mod refused;
mod stateful;
mod way_out;

use crate::awaiting::Patience;
use crate::decode::Datagram;
use crate::encode::{ChecksumPorts, Egress, encode};
use crate::fib::{AdjacencyCache, Fib, NextHop};
use crate::held_replies::HeldReplies;
use crate::limits::{AWAITING_MAX, KEEPALIVE_MAX};
use crate::mailbox::Epoch;
use crate::packet::PacketBuf;
use crate::probe::{Probe, Stage};
use crate::verdict::Verdict;
use control_api::DropReason;
use core::net::SocketAddr;
use core::ops::Range;
use overload::Bans;
use parcels::is_too_large;
use refused::{Refused, sip_drop, stun_drop};
use sip_core::{
    Arrival, Choices, Credentials, Digest, DigestSizes, EditList, Headers, Location, LocationSizes,
    Message, Method, NameHops, Names, Output, Overload, Oversize, Refusal, Reply, Request,
    RequestRoute, Response, ResponseRoute, RouteReason, Share, Tables, Targets, TransactionSizes,
    Transactions, Transport, acknowledges_reply, feed_back, rewrite_request, rewrite_response,
    route_request, route_response, stun, write_reply,
};
use stateful::Remember;
use std::sync::Arc;

/// What the SIP stages of one worker own: the tables in force and scratch space.
#[derive(Default)]
pub struct FastPath {
    epoch: Option<Arc<Epoch>>,
    fib: Option<Arc<Fib>>,
    /// The users of all realms.
    credentials: Option<Arc<Credentials>>,
    /// Milliseconds from 1970 to the zero of the clock that [`Self::set_time`] is told.
    epoch_ms: u64,
    scratch: Scratch,
}

/// What the stages hand to each other beside small values. Large values are written here once, in
/// place: moving them from stage to stage costs more than the stages' own work on them.
struct Scratch {
    adjacencies: AdjacencyCache,
    choices: Choices,
    edits: EditList,
    prefix: Output,
    egress: Egress,
    checksums: ChecksumPorts,
    /// What follows the prefix in a message that is larger than the MTU: a range of the frame.
    kept: Range<usize>,
    transactions: Transactions,
    location: Location,
    /// The bindings that the request in hand goes to.
    targets: Targets,
    /// Questions for bindings that have been answered; never more than wait.
    answered: Vec<u64>,
    digest: Digest,
    /// Where host names lead.
    names: Names,
    /// The addresses of the name that the request in hand goes to.
    hops: NameHops,
    /// What the message in hand may still wait for.
    patience: Patience,
    /// Answers that wait for the store.
    held: HeldReplies,
    /// What transactions are to know of the message in hand as it leaves.
    remember: Remember,
    /// The next hop of a request that does not answer.
    failed: Option<NextHop>,
    overload: Overload,
    /// Sources that were banned since the worker last told of them.
    bans: Bans,
}

const NO_BINDINGS: LocationSizes = LocationSizes { aors: 0, bindings: 0, text_blocks: 0 };
const NO_NONCES: DigestSizes = DigestSizes { nonces: 0, failures: 0 };

impl Default for Scratch {
    fn default() -> Self {
        Self {
            adjacencies: AdjacencyCache::default(),
            choices: Choices::default(),
            edits: EditList::default(),
            prefix: Output::default(),
            egress: Egress::NOWHERE,
            checksums: ChecksumPorts::default(),
            kept: 0..0,
            transactions: Transactions::new(TransactionSizes { transactions: 0, buffers: 0 }, 0, 0),
            location: Location::new(NO_BINDINGS, 0, 1, [0; 16]),
            targets: Targets::new(),
            answered: Vec::with_capacity(AWAITING_MAX),
            digest: Digest::new(NO_NONCES, 0, &[0; 16]),
            names: Names::none(),
            hops: NameHops::new(),
            patience: Patience::All,
            held: HeldReplies::default(),
            remember: Remember::Nothing,
            failed: None,
            overload: Overload::new(0, &[0; 16]),
            bans: Bans::new(),
        }
    }
}

/// A message that leaves for the egress in the scratch, and how it is made from the one that came.
enum Outgoing {
    /// The edits in the scratch, applied to the message up to `end`, where its body ends.
    Edited { end: usize },
    /// Our own reply, which the scratch holds whole.
    Reply,
}

impl FastPath {
    /// Leaves the UDP checksums of what goes out of these ports to their NICs.
    pub fn leave_checksums(&mut self, ports: ChecksumPorts) {
        self.scratch.checksums = ports;
    }

    /// Becomes one of this many workers, which share the capacities of destinations.
    pub fn share(&mut self, share: Share) {
        self.scratch.choices = Choices::new(share);
    }

    /// Whether the time must be said before messages are processed.
    pub fn keeps_time(&self) -> bool {
        self.keeps_state() || self.epoch.as_ref().is_some_and(|epoch| epoch.tables.keeps_time())
    }

    /// Says what time it is, in milliseconds.
    pub fn set_time(&mut self, now_ms: u64) {
        self.scratch.choices.set_time(now_ms);
        self.scratch.transactions.set_time(now_ms);
        self.scratch.location.set_time(now_ms, self.epoch_ms + now_ms);
        self.scratch.digest.set_time(now_ms);
        self.scratch.names.set_time(now_ms);
    }

    /// Swaps the epoch; the old one is to be freed elsewhere.
    pub fn swap_epoch(&mut self, epoch: Arc<Epoch>) -> Option<Arc<Epoch>> {
        self.scratch.choices.note_tables();
        self.epoch.replace(epoch)
    }

    /// Swaps routes and neighbours; the old ones are to be freed elsewhere.
    pub fn swap_fib(&mut self, fib: Arc<Fib>) -> Option<Arc<Fib>> {
        self.fib.replace(fib)
    }

    /// Swaps the users and what they prove to know; the old ones are to be freed elsewhere.
    pub fn swap_credentials(&mut self, credentials: Arc<Credentials>) -> Option<Arc<Credentials>> {
        self.credentials.replace(credentials)
    }

    /// Where the last message was to be sent.
    pub fn target(&self) -> SocketAddr {
        self.scratch.egress.target
    }

    /// Takes one datagram from the parser to the encoder. On `Forward` and `Reply` the frame holds
    /// what is to be sent; on `Park` it is as it was; on `Elsewhere` [`Self::pack`] comes next.
    pub fn process<P: PacketBuf>(
        &mut self,
        packet: &mut P,
        datagram: &Datagram,
        probe: &mut impl Probe,
    ) -> Verdict {
        let (Some(epoch), Some(fib)) = (&self.epoch, &self.fib) else {
            return Verdict::Drop(DropReason::NoEpoch);
        };
        let oversize = epoch.oversize;
        let (tables, credentials) = (&epoch.tables, self.credentials.as_deref());
        let transport = Transport::Udp;
        let way = Way { tables, fib, credentials, datagram, transport, oversize, by_kernel: false };
        self.scratch.remember = Remember::Nothing;
        let outgoing = match way.decide(packet.frame(), &mut self.scratch, probe) {
            Ok(outgoing) => outgoing,
            Err(verdict) => return verdict,
        };
        let verdict = self.scratch.make(packet, &way, &outgoing, probe);
        probe.end(Stage::Encode);
        verdict
    }
}

impl Scratch {
    /// Makes the outgoing frame of the incoming one.
    fn make<P: PacketBuf>(
        &mut self,
        packet: &mut P,
        way: &Way<'_>,
        outgoing: &Outgoing,
        probe: &mut impl Probe,
    ) -> Verdict {
        let start = way.datagram.payload.start;
        let port = self.egress.adjacency.port;
        let (kept, verdict) = match *outgoing {
            Outgoing::Reply => (start..start, Verdict::Reply { port }),
            Outgoing::Edited { end } => {
                let (buffer, frame) = packet.buffer();
                let message = &mut buffer[frame][way.datagram.payload.clone()];
                self.edits.patch(message);
                self.prefix.clear();
                let Ok(replaced) = self.edits.emit_prefix(message, &mut self.prefix) else {
                    return Verdict::Drop(DropReason::EgressTooLarge);
                };
                let kept = replaced..end.max(replaced);
                if self.remember != Remember::Nothing {
                    probe.end(Stage::Rewrite);
                    let verdict = self.remember(&message[kept.clone()], way);
                    probe.end(Stage::Transaction);
                    if let Some(verdict) = verdict {
                        return verdict;
                    }
                }
                (start + kept.start..start + kept.end, Verdict::Forward { port })
            }
        };
        probe.end(Stage::Rewrite);
        if self.egress.transport.is_connection() {
            self.kept = kept;
            return Verdict::Elsewhere { is_reply: matches!(verdict, Verdict::Reply { .. }) };
        }
        let encoded =
            encode(packet, self.prefix.bytes(), kept.clone(), &self.egress, self.checksums);
        match encoded {
            Ok(()) => verdict,
            Err(DropReason::EgressTooLarge) if way.oversize == Oversize::Fragment => {
                self.kept = kept;
                Verdict::Elsewhere { is_reply: matches!(verdict, Verdict::Reply { .. }) }
            }
            Err(reason) => Verdict::Drop(reason),
        }
    }
}

/// One datagram on its way, with what it is decided by.
struct Way<'t> {
    tables: &'t Tables,
    fib: &'t Fib,
    credentials: Option<&'t Credentials>,
    datagram: &'t Datagram,
    /// What it came over.
    transport: Transport,
    oversize: Oversize,
    /// Whether the message came from the kernel, or a connection, and leaves through them.
    by_kernel: bool,
}

impl Way<'_> {
    fn decide(
        &self,
        frame: &[u8],
        scratch: &mut Scratch,
        probe: &mut impl Probe,
    ) -> Result<Outgoing, Verdict> {
        let message = &frame[self.datagram.payload.clone()];
        let listen = self
            .tables
            .listen_id_of(self.transport, self.datagram.target)
            .ok_or(Verdict::Drop(DropReason::NotOurs))?;
        let arrival = Arrival { source: self.datagram.source, listen };
        if message.first().is_none_or(|&first| first < b'@')
            && let Some(done) = self.beside_sip(message, &arrival, scratch)
        {
            return done;
        }
        if let Some(done) = self.shed(message, &arrival, scratch) {
            return done;
        }
        let mut headers = Headers::default();
        let parsed = sip_core::parse(message, &mut headers);
        probe.end(Stage::Parse);
        let refusal = match &parsed {
            Ok(Message::Response(response)) => return self.response(response, scratch, probe),
            Ok(Message::Request(request)) => {
                match self.request(request, &arrival, scratch, probe) {
                    Ok(outgoing) => return Ok(outgoing),
                    Err(Refused::Verdict(verdict)) => return Err(verdict),
                    Err(Refused::Reply(reply)) => Refusal::Reply(reply),
                }
            }
            Err(error) => error.refusal(),
        };
        match refusal {
            Refusal::Reply(reply) => self.reply(message, reply, &arrival, scratch),
            Refusal::Drop(reason) => Err(sip_drop(reason)),
        }
    }

    /// Keep-alives, which begin below all letters; `None` for SIP, whose extension methods and
    /// leading CRLFs may do so too.
    #[cold]
    fn beside_sip(
        &self,
        message: &[u8],
        arrival: &Arrival,
        scratch: &mut Scratch,
    ) -> Option<Result<Outgoing, Verdict>> {
        if is_keepalive(message) {
            return Some(Err(Verdict::Drop(DropReason::Keepalive)));
        }
        stun::is_stun(message).then(|| {
            stun::answer(message, arrival.source, &mut scratch.prefix).map_err(stun_drop)?;
            self.find_way_back(arrival.source, Some(arrival.listen), scratch)?;
            self.leave_from(arrival.listen, scratch);
            Ok(Outgoing::Reply)
        })
    }

    fn request(
        &self,
        request: &Request,
        arrival: &Arrival,
        scratch: &mut Scratch,
        probe: &mut impl Probe,
    ) -> Result<Outgoing, Refused> {
        let mut route = RequestRoute::default();
        let registers = request.method() == Method::Register && self.tables.has_location();
        let has_transactions = self.has_transactions(scratch);
        if has_transactions && !registers {
            self.ask_transactions(request, arrival, scratch, &mut route)?;
        } else {
            route_request(request, self.tables, arrival, &mut scratch.choices, &mut route)?;
            if has_transactions && route.is_stateful() {
                // A REGISTER for another registrar.
                self.ask_transactions(request, arrival, scratch, &mut route)?;
            }
        }
        probe.end(Stage::Route);
        if request.method() == Method::Ack
            && route.reason != RouteReason::InDialog
            && acknowledges_reply(request, &route, self.tables, arrival)
        {
            return Err(Refused::Verdict(Verdict::Absorb));
        }
        if self.is_home()
            && let Some(outgoing) = self.at_home(request, arrival, &mut route, scratch, probe)?
        {
            return Ok(outgoing);
        }
        if route.host_name().is_some() {
            self.resolve(request, arrival, &mut route, scratch)?;
        }
        if route.is_stateful() {
            return self.open(request, arrival, &mut route, scratch, probe);
        }
        let port = self.datagram.target.port();
        let leave_from = match self.find_way(&route, arrival, port, scratch) {
            // RFC 3261 16.9: a request that cannot be sent counts as answered with 503.
            Err(Verdict::Drop(DropReason::NoRoute)) => {
                return Err(Refused::Reply(Reply::Unavailable));
            }
            found => found.map_err(Refused::Verdict)?,
        };
        self.leave_from(leave_from, scratch);
        scratch.egress.is_on_flow = route.leave_from().is_some();
        probe.end(Stage::Adjacency);
        rewrite_request(request, &route, self.tables, arrival, leave_from, &mut scratch.edits);
        self.edited(request, scratch)
    }

    /// The request with the edits in the scratch, if there is a way for one of that size.
    #[inline]
    fn edited(&self, request: &Request, scratch: &Scratch) -> Result<Outgoing, Refused> {
        let end = request.body_end();
        let length = end.saturating_add_signed(scratch.edits.growth());
        if length > scratch.egress.message_max()
            && !scratch.egress.transport.is_connection()
            && is_too_large(length, &scratch.egress, self.oversize)
        {
            return Err(Refused::Reply(Reply::MessageTooLarge));
        }
        Ok(Outgoing::Edited { end })
    }

    fn response(
        &self,
        response: &Response,
        scratch: &mut Scratch,
        probe: &mut impl Probe,
    ) -> Result<Outgoing, Verdict> {
        if self.has_transactions(scratch)
            && let Some(done) = self.to_transaction(response, scratch, probe)
        {
            return done;
        }
        let route = match route_response(response, self.tables) {
            Ok(route) => route,
            Err(_) if scratch.location.take_keepalive_answer(response, self.tables) => {
                return Err(Verdict::Absorb);
            }
            Err(reason) => return Err(sip_drop(reason)),
        };
        probe.end(Stage::Route);
        self.find_way_back(route.next_hop, route.leave_from, scratch)?;
        self.edit_response(response, &route, scratch, probe)
    }

    /// Takes our Via off a response, whose adjacency is in the scratch.
    #[inline]
    fn edit_response(
        &self,
        response: &Response,
        route: &ResponseRoute,
        scratch: &mut Scratch,
        probe: &mut impl Probe,
    ) -> Result<Outgoing, Verdict> {
        // A response leaves from where its request came in, so that it passes the NAT of the client.
        let arrived_at = route.leave_from.filter(|listen| {
            let address = self.tables.listen_point(*listen).address;
            address.is_ipv4() == route.next_hop.is_ipv4()
        });
        let leave_from = match arrived_at {
            Some(listen) => listen,
            None => self.listen_point_of_route(self.datagram.target.port(), scratch)?,
        };
        self.leave_from(leave_from, scratch);
        probe.end(Stage::Adjacency);
        rewrite_response(response, route, &mut scratch.edits);
        if let Some(feedback) = scratch.overload.feedback(self.tables) {
            feed_back(response, route, feedback, &mut scratch.edits);
        }
        Ok(Outgoing::Edited { end: response.body_end() })
    }

    fn reply(
        &self,
        message: &[u8],
        reply: Reply,
        arrival: &Arrival,
        scratch: &mut Scratch,
    ) -> Result<Outgoing, Verdict> {
        let target = write_reply(message, reply, self.tables, arrival, &mut scratch.prefix)
            .map_err(sip_drop)?;
        self.find_way_back(target, Some(arrival.listen), scratch)?;
        self.leave_from(arrival.listen, scratch);
        Ok(Outgoing::Reply)
    }
}

/// What phones send to keep a NAT's binding alive: up to four bytes of CR, LF or NUL, or nothing. Over
/// UDP it has no answer; RFC 5626 3.5.1 has one on connections only.
fn is_keepalive(message: &[u8]) -> bool {
    message.len() <= KEEPALIVE_MAX && message.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}
