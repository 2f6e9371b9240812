//! Callees, and callers as those to whom a BYE comes.

use rand::RngExt;

use super::call::{Dialog, Leg, LegState, Party};
use super::caller::{T1_MS, T2_MS};
use super::network::{Packet, in_1000};
use super::plan::{self, Health, Side};
use super::script::Script;
use super::text::{self, Seen, uri};
use super::world::{Event, World};

/// What a callee says, by and by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Saying {
    Ringing,
    Final(u16),
    /// Something after the final response that it should not have said.
    Stray(u16),
    /// A final response of another telephone behind it.
    Second,
}

impl World {
    /// A request has reached an endpoint.
    pub(crate) fn serve(&mut self, packet: &Packet, seen: &Seen<'_>) {
        let now_ms = self.now_ms();
        let number = seen.call().expect("a number");
        if let Side::Callee(host) = plan::side_of(packet.target) {
            match self.health[usize::from(host)] {
                Health::Well => {}
                Health::Silent => return,
                Health::Refuses => return self.plan(3, Event::Unreachable(packet.bytes.clone())),
                Health::NoWay => return self.fail(number, "a request to where there is no way"),
            }
        }
        let Some(call) = self.calls.get_mut(&number) else {
            return self.fail(number, "a request after the end of the call");
        };
        call.touched_ms = now_ms;
        match (seen.method(), plan::side_of(packet.target)) {
            ("INVITE", Side::Callee(host)) => self.ring(number, host, seen),
            ("ACK", Side::Callee(host)) => self.acknowledged(number, host, seen),
            ("CANCEL", Side::Callee(host)) => self.cancelled(number, host, packet, seen),
            ("OPTIONS", Side::Callee(host)) => self.options(number, host, packet, seen),
            ("BYE", _) => {
                let bytes = text::response(200, &seen.response_head(""), "");
                self.answer(packet, bytes);
            }
            _ => self.fail(number, "a request that nobody should get"),
        }
    }

    /// Sends a response to where a request came from (RFC 3261 section 18.2.2).
    fn answer(&mut self, packet: &Packet, bytes: Vec<u8>) {
        self.transmit(Packet { source: packet.target, target: packet.source, bytes });
    }

    fn ring(&mut self, number: u32, host: u8, seen: &Seen<'_>) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if let Some(leg) = call.leg(host, seen.branch()) {
            if let Some(last) = call.legs[leg].last.clone() {
                self.send_from(number, Party::Leg(leg), last);
            }
            return;
        }
        let leg = call.legs.len();
        let script = Script::random(&mut self.rng);
        call.legs.push(new_leg(host, seen, format!("t{number}-{leg}"), script));
        self.summary.legs += 1;
        if script == Script::Silent {
            return;
        }
        if in_1000(&mut self.rng, 300) {
            self.say_provisional(number, leg, 100);
        }
        let mut at_ms = 0;
        for _ in 0..self.rng.random_range(0..4) {
            at_ms += self.rng.random_range(1..1_500);
            self.plan(at_ms, Event::Say(number, leg, Saying::Ringing));
        }
        match script.verdict(&mut self.rng) {
            Some((after_ms, status)) => {
                self.plan(after_ms, Event::Say(number, leg, Saying::Final(status)));
            }
            // Whoever rings for long says so now and then, or at least once.
            None => self.plan(at_ms + 50, Event::Say(number, leg, Saying::Ringing)),
        }
    }

    /// What was planned to be said.
    pub(crate) fn say(&mut self, number: u32, leg: usize, saying: Saying) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let one = &call.legs[leg];
        match saying {
            Saying::Ringing if one.state == LegState::Ringing => {
                self.say_provisional(number, leg, 180);
            }
            Saying::Final(status) if one.state == LegState::Ringing => {
                self.say_final(number, leg, status);
            }
            Saying::Stray(status) => {
                let stray = text::response(status, &one.head, "");
                self.send_from(number, Party::Leg(leg), stray);
            }
            Saying::Second => self.second(number, leg),
            Saying::Ringing | Saying::Final(_) => {}
        }
    }

    fn say_provisional(&mut self, number: u32, leg: usize, status: u16) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let one = &mut call.legs[leg];
        let bytes = text::response(status, &one.head, "");
        one.last = Some(bytes.clone());
        self.send_from(number, Party::Leg(leg), bytes);
    }

    fn say_final(&mut self, number: u32, leg: usize, status: u16) {
        let now_ms = self.now_ms();
        let contacts = match status {
            300..=399 => {
                let first = self.rng.random_range(plan::REDIRECT_HOSTS);
                let second = self.rng.random_range(plan::REDIRECT_HOSTS);
                format!(
                    "Contact: <sip:one@10.77.2.{first}>;q=0.8\r\n\
                     Contact: <sip:two@10.77.2.{second}>;q=0.5\r\n"
                )
            }
            401 => "WWW-Authenticate: Digest realm=\"there\", nonce=\"abc\"\r\n".into(),
            407 => "Proxy-Authenticate: Digest realm=\"there\", nonce=\"def\"\r\n".into(),
            _ => String::new(),
        };
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.touched_ms = now_ms;
        let one = &mut call.legs[leg];
        let contact = format!("Contact: <sip:10.77.2.{}:5060>\r\n", one.host);
        let more = if status < 300 { &contact } else { &contacts };
        let bytes = text::response(status, &one.head, more);
        (one.state, one.answered_ms, one.interval_ms) = (LegState::Final(status), now_ms, T1_MS);
        one.last = Some(bytes.clone());
        let script = one.script;
        self.send_from(number, Party::Leg(leg), bytes);
        self.plan(T1_MS, Event::Repeat(number, leg));
        let stray = match (script, status) {
            (Script::AnswerTwice, 200) => (200, Saying::Second),
            (Script::AnswerThenRefuse, 200) => (30, Saying::Stray(486)),
            (Script::RefuseTwice(first), status) if first == status => (30, Saying::Stray(480)),
            _ => return,
        };
        self.plan(stray.0, Event::Say(number, leg, stray.1));
    }

    /// Another telephone behind the same callee answers too.
    fn second(&mut self, number: u32, leg: usize) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let second = call.legs.len();
        let one = &call.legs[leg];
        let tag = format!("t{number}-{second}");
        let mut dialog = one.dialog.clone();
        dialog.from = dialog.from.replace(&one.tag, &tag);
        let twin = Leg {
            host: one.host,
            branch: one.branch.clone(),
            head: one.head.replace(&format!("tag={}", one.tag), &format!("tag={tag}")),
            tag,
            dialog,
            script: Script::Answer,
            state: LegState::Ringing,
            was_cancelled: false,
            last: None,
            answered_ms: 0,
            interval_ms: 0,
            is_acknowledged: false,
            gave_up: false,
        };
        call.legs.push(twin);
        self.say_final(number, second, 200);
    }

    /// Timer G, and the same for 2xx (RFC 3261 section 13.3.1.4).
    pub(crate) fn repeat(&mut self, number: u32, leg: usize) {
        let now_ms = self.now_ms();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let one = &mut call.legs[leg];
        if one.is_acknowledged {
            return;
        }
        if now_ms - one.answered_ms >= 64 * T1_MS {
            one.gave_up = true;
            return;
        }
        one.interval_ms = (2 * one.interval_ms).min(T2_MS);
        let after_ms = one.interval_ms;
        if let Some(last) = one.last.clone() {
            self.send_from(number, Party::Leg(leg), last);
        }
        self.plan(after_ms, Event::Repeat(number, leg));
    }

    fn acknowledged(&mut self, number: u32, host: u8, seen: &Seen<'_>) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let leg = call.leg(host, seen.branch());
        let leg = match leg.filter(|&leg| call.legs[leg].tag == seen.to_tag()) {
            Some(leg) => {
                // With the branch of the INVITE: for a refusal.
                let one = &call.legs[leg];
                if one.script == Script::AnswerThenRefuse {
                    return;
                }
                if !matches!(one.state, LegState::Final(300..)) && !call.is_old {
                    return self.fail(number, "an ACK for a refusal to one that did not refuse");
                }
                leg
            }
            None => match call.leg_of_tag(seen.to_tag()) {
                Some(leg) if call.legs[leg].host == host => leg,
                // For a refusal of our own without a transaction, when the table was full.
                None if seen.to_tag().starts_with("tl-") => return,
                _ => return self.fail(number, "an ACK to somebody else"),
            },
        };
        call.legs[leg].is_acknowledged = true;
    }

    fn cancelled(&mut self, number: u32, host: u8, packet: &Packet, seen: &Seen<'_>) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let Some(leg) = call.leg(host, seen.branch()) else {
            // The CANCEL has overtaken its INVITE, or the caller was rude.
            let bytes = text::response(481, &seen.response_head("none"), "");
            return self.answer(packet, bytes);
        };
        let one = &mut call.legs[leg];
        if matches!(one.script, Script::Deaf | Script::Silent) {
            return;
        }
        let was_cancelled = std::mem::replace(&mut one.was_cancelled, true);
        let (script, state) = (one.script, one.state);
        let bytes = text::response(200, &seen.response_head(&one.tag), "");
        self.answer(packet, bytes);
        if was_cancelled || state != LegState::Ringing {
            return;
        }
        if script == Script::AnswerWhenCancelled {
            let after_ms = self.rng.random_range(1..3_000);
            self.plan(after_ms, Event::Say(number, leg, Saying::Final(200)));
        } else {
            self.say_final(number, leg, 487);
        }
    }

    /// The same answer each time that it is asked.
    fn options(&mut self, number: u32, host: u8, packet: &Packet, seen: &Seen<'_>) {
        let now_ms = self.now_ms();
        let mood = (number.wrapping_mul(0x9e37_79b1) ^ (u32::from(host) * 0x85eb)) % 16;
        let head = seen.response_head(&format!("o{number}-{host}"));
        let reply = |status| Packet {
            source: packet.target,
            target: packet.source,
            bytes: text::response(status, &head, ""),
        };
        match mood {
            0 => return,
            1 | 2 => return self.transmit(reply(503)),
            3 => return self.transmit(reply(404)),
            4 => {
                self.transmit(reply(100));
                self.plan(3_000, Event::Transmit(reply(200)));
            }
            5 => {
                // Whichever arrives first counts.
                self.transmit(reply(200));
                return self.transmit(reply(404));
            }
            _ => self.transmit(reply(200)),
        }
        if let Some(call) = self.calls.get_mut(&number) {
            call.options_answered_ms.get_or_insert(now_ms);
        }
    }
}

fn new_leg(host: u8, seen: &Seen<'_>, tag: String, script: Script) -> Leg {
    let dialog = Dialog {
        remote_uri: uri(seen.contact).into(),
        routes: seen.record_routes.iter().map(|&route| route.into()).collect(),
        from: format!("{};tag={tag}", seen.to),
        to: seen.from.into(),
    };
    Leg {
        host,
        branch: seen.branch().into(),
        head: seen.response_head(&tag),
        tag,
        dialog,
        script,
        state: LegState::Ringing,
        was_cancelled: false,
        last: None,
        answered_ms: 0,
        interval_ms: 0,
        is_acknowledged: false,
        gave_up: false,
    }
}
