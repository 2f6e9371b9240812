//! Callers, and what is the same for all requests that endpoints send.

use std::fmt::Write;

use rand::RngExt;

use super::call::{Call, Client, Dialog, Party};
use super::network::{Packet, in_1000};
use super::plan::{self, Kind};
use super::text::{Seen, line, uri};
use super::world::{Event, World};

/// Timer values of the endpoints (RFC 3261 table 4).
pub(crate) const T1_MS: u64 = 500;
pub(crate) const T2_MS: u64 = 4_000;

impl World {
    /// Somebody calls somebody, or asks for options.
    pub(crate) fn start(&mut self, number: u32) {
        let now_ms = self.now_ms();
        let rng = &mut self.rng;
        let kind = Kind::random(rng);
        let is_invite = !in_1000(rng, 150);
        let (is_rude, is_old) = (in_1000(rng, 20), in_1000(rng, 50));
        // Some have no patience, most have some, few have no end of it.
        let patience_ms = match rng.random_range(0..20) {
            0..4 => rng.random_range(0..8_000),
            4..19 => rng.random_range(20_000..90_000),
            _ => u64::MAX,
        };
        let call = Call {
            number,
            kind,
            started_ms: now_ms,
            touched_ms: now_ms,
            clients: vec![],
            legs: vec![],
            is_rude,
            is_old,
            options_answered_ms: None,
        };
        let dialog = Dialog {
            remote_uri: format!("sip:{}{number}@example.com", kind.letter()),
            from: format!("<sip:caller@example.com>;tag=f{number}"),
            to: format!("<sip:{}{number}@example.com>", kind.letter()),
            routes: vec![],
        };
        self.calls.insert(number, call);
        self.ask(number, Party::Caller, if is_invite { "INVITE" } else { "OPTIONS" }, &dialog);
        if is_invite && patience_ms < u64::MAX {
            self.plan(patience_ms, Event::Cancel(number));
        }
        self.plan(super::world::QUIET_MS, Event::Check(number));
    }

    /// Sends a new request of one end of a call.
    pub(crate) fn ask(&mut self, number: u32, party: Party, method: &'static str, dialog: &Dialog) {
        let now_ms = self.now_ms();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let client = call.clients.len();
        let message = request(call, party, method, dialog, &call.branch(client), 1 + client);
        call.clients.push(Client {
            method,
            party,
            message,
            since_ms: now_ms,
            interval_ms: T1_MS,
            has_provisional: false,
            finals: vec![],
            acks: vec![],
        });
        self.summary.requests += 1;
        self.send_client(number, client);
        self.plan(T1_MS, Event::Resend(number, client));
    }

    /// Timers A and E, up to B and F.
    pub(crate) fn resend(&mut self, number: u32, client: usize) {
        let now_ms = self.now_ms();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let one = &mut call.clients[client];
        let is_invite = one.method == "INVITE";
        if !one.finals.is_empty()
            || is_invite && one.has_provisional
            || now_ms - one.since_ms >= 64 * T1_MS
        {
            return;
        }
        one.interval_ms *= 2;
        if !is_invite {
            one.interval_ms = if one.has_provisional { T2_MS } else { one.interval_ms.min(T2_MS) };
        }
        let after_ms = one.interval_ms;
        self.send_client(number, client);
        self.plan(after_ms, Event::Resend(number, client));
    }

    fn send_client(&mut self, number: u32, client: usize) {
        let Some(call) = self.calls.get(&number) else { return };
        let one = &call.clients[client];
        let bytes = one.message.clone();
        self.send_from(number, one.party, bytes);
    }

    /// Sends what an end of a call has to say to the proxy.
    pub(crate) fn send_from(&mut self, number: u32, party: Party, bytes: Vec<u8>) {
        let Some(call) = self.calls.get(&number) else { return };
        let side = match party {
            Party::Caller => plan::CALLER_SIDE,
            Party::Leg(_) => plan::CALLEE_SIDE,
        };
        let source = call.address(party);
        self.transmit(Packet { source, target: plan::proxy_address(side), bytes });
    }

    /// The caller has waited for long enough.
    pub(crate) fn cancel(&mut self, number: u32) {
        let now_ms = self.now_ms();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let invite = &call.clients[0];
        if !invite.finals.is_empty() || call.clients.iter().any(|one| one.method == "CANCEL") {
            return;
        }
        if !invite.has_provisional && !call.is_rude {
            // Not before something has come back (RFC 3261 section 9.1).
            return self.plan(100, Event::Cancel(number));
        }
        let text = String::from_utf8_lossy(&invite.message);
        let message = text.replace("INVITE", "CANCEL").into_bytes();
        let client = call.clients.len();
        call.clients.push(Client {
            method: "CANCEL",
            party: Party::Caller,
            message,
            since_ms: now_ms,
            interval_ms: T1_MS,
            has_provisional: false,
            finals: vec![],
            acks: vec![],
        });
        call.touched_ms = now_ms;
        self.summary.cancels += 1;
        self.send_client(number, client);
        self.plan(T1_MS, Event::Resend(number, client));
    }

    /// A response has reached an endpoint.
    pub(crate) fn respond(&mut self, packet: &Packet, seen: &Seen<'_>, status: u16) {
        let now_ms = self.now_ms();
        let number = seen.call().expect("a number");
        let Some(call) = self.calls.get_mut(&number) else {
            return self.fail(number, "a response after the end of the call");
        };
        let index = seen.branch().strip_prefix(&format!("z9hG4bK{number}."));
        let index = index.and_then(|index| index.parse::<usize>().ok());
        let method = seen.cseq_method();
        let index = match index {
            Some(0) if method == "CANCEL" => {
                call.clients.iter().position(|one| one.method == "CANCEL")
            }
            index => index
                .filter(|&index| call.clients.get(index).is_some_and(|one| one.method == method)),
        };
        let is_mine = |index: usize| call.address(call.clients[index].party) == packet.target;
        let Some(index) = index.filter(|&index| is_mine(index) && seen.vias.len() == 1) else {
            return self.fail(number, "a response to a request that was not sent");
        };
        call.touched_ms = now_ms;
        let client = &mut call.clients[index];
        if status < 200 {
            client.has_provisional = true;
            return;
        }
        let is_new = client.finish(status, seen.to_tag());
        if client.method == "INVITE" {
            if status < 300 {
                self.acknowledge_success(number, seen);
            } else {
                self.acknowledge_failure(number, seen);
            }
        }
        if is_new {
            self.summary.finals += 1;
        }
    }

    /// RFC 3261 section 17.1.1.3.
    fn acknowledge_failure(&mut self, number: u32, seen: &Seen<'_>) {
        let Some(call) = self.calls.get(&number) else { return };
        let (start, _) = invite_line(call);
        let mut text = start.replace("INVITE", "ACK");
        line(&mut text, "Via", seen.vias[0]);
        line(&mut text, "Max-Forwards", "70");
        line(&mut text, "From", seen.from);
        line(&mut text, "To", seen.to);
        line(&mut text, "Call-ID", seen.call_id);
        text.push_str("CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n");
        self.send_from(number, Party::Caller, text.into_bytes());
    }

    /// RFC 3261 section 13.2.2.4: each 2xx gets its ACK, each time.
    fn acknowledge_success(&mut self, number: u32, seen: &Seen<'_>) {
        let hangs_up = in_1000(&mut self.rng, 500);
        let after_ms = self.rng.random_range(100..3_000);
        let Some(call) = self.calls.get_mut(&number) else { return };
        let sent = call.clients[0].acks.iter().find(|(tag, _)| tag == seen.to_tag());
        let bytes = if let Some((_, bytes)) = sent {
            bytes.clone()
        } else {
            let dialog = Dialog {
                remote_uri: uri(seen.contact).into(),
                routes: seen.record_routes.iter().rev().map(|&route| route.into()).collect(),
                from: seen.from.into(),
                to: seen.to.into(),
            };
            let acks = call.clients[0].acks.len();
            let branch =
                if call.is_old { call.branch(0) } else { format!("z9hG4bKa{number}.{acks}") };
            let bytes = request(call, Party::Caller, "ACK", &dialog, &branch, 1);
            call.clients[0].acks.push((seen.to_tag().into(), bytes.clone()));
            if hangs_up {
                self.plan(after_ms, Event::HangUp(number, Party::Caller, Box::new(dialog)));
            } else if let Some(leg) = call.leg_of_tag(seen.to_tag()) {
                let dialog = call.legs[leg].dialog.clone();
                self.plan(after_ms, Event::HangUp(number, Party::Leg(leg), Box::new(dialog)));
            }
            bytes
        };
        self.send_from(number, Party::Caller, bytes);
    }
}

fn invite_line(call: &Call) -> (String, usize) {
    let text = &call.clients[0].message;
    let end = text.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
    (String::from_utf8_lossy(&text[..end]).into_owned(), end)
}

/// A request of an endpoint.
fn request(
    call: &Call,
    party: Party,
    method: &str,
    dialog: &Dialog,
    branch: &str,
    cseq: usize,
) -> Vec<u8> {
    let (number, address) = (call.number, call.address(party));
    let mut text = String::with_capacity(512);
    let uri = &dialog.remote_uri;
    let _ =
        write!(text, "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch={branch}\r\n");
    dialog.routes.iter().for_each(|route| line(&mut text, "Route", route));
    line(&mut text, "Max-Forwards", "70");
    line(&mut text, "From", &dialog.from);
    line(&mut text, "To", &dialog.to);
    let _ = write!(text, "Call-ID: {number}@sim\r\nCSeq: {cseq} {method}\r\n");
    let _ = write!(text, "Contact: <sip:{address}>\r\nContent-Length: 0\r\n\r\n");
    text.into_bytes()
}
