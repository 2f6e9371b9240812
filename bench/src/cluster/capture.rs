//! What a first-stage node receives while users register and are called, as frames.
//!
//! ```text
//!  phone, caller          first stage           second stage
//!     │ ── REGISTER ─────────► │ ───────────────────► │
//!     │ ◄───────────────────── │ ◄────────────── 200 ─│
//!     │ ── INVITE ───────────► │ ───────────────────► │
//!     │ ◄───────────────────── │ ◄────────────── 100 ─│
//!     │ ◄───────────────────── │ ◄─ INVITE, by Path ──│
//!     │ ── 200 ──────────────► │ ───────────────────► │  and so on: 200, ACK twice, BYE twice, 200 twice
//! ```

use super::message::{self, Contact, Flow, Message};
use core::net::SocketAddr;
use dataplane::decode::{DecodeRules, decode};
use dataplane::packet::PacketBuf as _;
use dataplane::testing::{appliance::Appliance, frames};

/// The listen point of the first-stage node.
pub(crate) const NODE: &str = "10.77.1.1:5060";
/// Where phones and callers are.
const PHONES: &str = "10.77.1.2:5060";
/// The host of all second-stage nodes.
pub(crate) const SECOND_STAGE: &str = "10.77.1.3:5060";
/// Messages of a registration and of a call.
pub(crate) const MESSAGES: [usize; 2] = [2, 11];

/// The frames of a registration and a call for each of so many users, through an appliance that is a first stage.
///
/// # Panics
/// When the appliance does not forward one of them: then there is nothing to measure.
pub(crate) fn first_stage(appliance: &mut Appliance, users: u32) -> Vec<Vec<u8>> {
    let mut passage = Passage { appliance, frames: Vec::new() };
    for user in 0..users {
        let path = passage.register(user);
        passage.call(user, &path);
    }
    passage.frames
}

/// The way of messages through the appliance.
struct Passage<'a> {
    appliance: &'a mut Appliance,
    frames: Vec<Vec<u8>>,
}

impl Passage<'_> {
    /// A message arrives; gives what leaves.
    fn pass(&mut self, from: &str, text: &str) -> Message {
        let frame = frames::udp_between(address(from), address(NODE), text.as_bytes());
        let sent = self.appliance.forward(&frame).unwrap_or_else(|| panic!("not sent on: {text}"));
        self.frames.push(frame);
        let datagram = decode(sent.frame(), DecodeRules { verify_checksums: true });
        let payload = datagram.expect("a frame of the appliance").payload;
        let text = String::from_utf8(sent.frame()[payload].to_vec()).expect("ASCII");
        Message { text, from: address(NODE) }
    }

    /// Gives the Path.
    fn register(&mut self, user: u32) -> String {
        let branch = format!("z9hG4bK-register-{user}");
        let register = message::register(address(PHONES), contact(user), &branch, 1, 3_600);
        let register = self.pass(PHONES, &register);
        let path = register.header("Path").expect("a first stage adds Path").to_owned();
        let contact = register.header("Contact").expect("a Contact").to_owned();
        let more = format!("Contact: {contact};expires=3600\r\nPath: {path}\r\nContent-Length");
        let answer = message::ok(&register, address(SECOND_STAGE));
        self.pass(SECOND_STAGE, &answer.replacen("Content-Length", &more, 1));
        path
    }

    fn call(&mut self, user: u32, path: &str) {
        let (phone, second_stage) = (address(PHONES), address(SECOND_STAGE));
        let invite = message::invite(phone, user, &format!("z9hG4bK-{user}-0"));
        let invite = self.pass(PHONES, &invite);
        let trying = message::ok(&invite, second_stage).replacen("200 OK", "100 Trying", 1);
        self.pass(SECOND_STAGE, &trying);
        let (_, rest) = invite.text.split_once("\r\n").expect("a start line");
        let target = format!("sip:{}@{PHONES}", contact(user).user_part());
        let located = format!(
            "INVITE {target} SIP/2.0\r\n{}Record-Route: <sip:{SECOND_STAGE};lr>\r\nRoute: {path}\r\n{rest}",
            via("INVITE", user)
        );
        let answer = self.reach_phone(&located);
        let requests = message::ack_and_bye(phone, &answer.expect("a 200")).expect("a Contact");
        for request in requests {
            let request = self.pass(PHONES, &request);
            let (start, rest) = request.text.split_once("\r\n").expect("a start line");
            let rest = without_first(rest, "Route:");
            self.reach_phone(&format!("{start}\r\n{}{rest}", via(start, user)));
        }
    }

    /// A request of the second stage reaches the phone, whose answer goes back to the caller.
    fn reach_phone(&mut self, request: &str) -> Option<Message> {
        let request = self.pass(SECOND_STAGE, request);
        if request.method() == Some("ACK") {
            return None;
        }
        let answer = self.pass(PHONES, &message::ok(&request, address(PHONES)));
        Some(self.pass(SECOND_STAGE, &without_first(&answer.text, "Via:")))
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address of ours")
}

fn contact(user: u32) -> Contact {
    Contact { flow: Flow { user, flow: 0 }, generation: 1 }
}

/// The Via line of the second stage.
fn via(start: &str, user: u32) -> String {
    let method = start.split(' ').next().unwrap_or(start);
    format!("Via: SIP/2.0/UDP {SECOND_STAGE};branch=z9hG4bK-second-{method}-{user}\r\n")
}

/// A message without the first line of this header.
fn without_first(text: &str, name: &str) -> String {
    let mut is_found = false;
    let stays = |line: &&str| {
        is_found || {
            is_found = line.starts_with(name);
            !is_found
        }
    };
    text.split_inclusive("\r\n").filter(stays).collect()
}
