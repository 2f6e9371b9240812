//! Callers and callees: each message that the appliance sends is turned into the next one of its call.
//!
//! ```text
//!   caller            appliance            callee
//!     │ ──── INVITE ───► │ ──── INVITE ───► │ ┐
//!     │ ◄───── 100 ───── │ ◄───── 180 ───── │ ┘
//!   ┌ │ ◄───── 180 ───── │                  │      the 200 waits until the caller
//!   └─│─ ─ ─ ─ ─ ─ ─ ─ ─ │ ◄── 200 ──────── │      has the 180
//!   ┌ │ ◄───── 200 ───── │                  │
//!   └ │ ────── ACK ────► │ ───── ACK ─────► │ ┐    the BYE waits until the callee
//!     │ ────── BYE ────► │ ─ ─ ─ ─ ─ ─ ─ ─ ─│─┘    has the ACK
//!     │                  │ ───── BYE ─────► │ ┐
//!   ┌ │ ◄───── 200 ───── │ ◄───── 200 ───── │ ┘
//!   └ │ ──── INVITE of the next call …
//! ```
//!
//! One frame goes in for each that came out, in the same buffer; only the 100 goes no further. So as
//! many calls are under way as INVITEs were put in at first.

use super::frame::{Frames, Side, payload};
use super::sent::Sent;
use crate::corpus;
use anyhow::{Result, bail};
use dataplane::packet::PacketBuf;

/// A call number that stands for all of them: as long as any, and nowhere else in an INVITE.
const MARK: usize = 98_765_432;
/// Stands for the number of a user.
const USER: &str = "87654321";
/// Digits of a call number.
pub(super) const DIGITS: usize = 8;
/// Room for a message.
const ROOM: usize = 2_048;

/// All callers and callees of one worker.
pub(super) struct Ends {
    frames: Frames,
    invite: Vec<u8>,
    /// Where the number of the call stands in it.
    marks: Vec<usize>,
    /// Where the number of the user stands in it, when it is for one.
    user_at: usize,
    users: usize,
    /// The next message of each call that is under way, until its time has come.
    held: Vec<String>,
    received: Vec<u8>,
    message: String,
    next: usize,
    /// No new call follows one that ends.
    pub(super) is_closed: bool,
    /// INVITEs that went in.
    pub(super) started: u64,
    /// Calls whose BYE was answered.
    pub(super) ended: u64,
}

/// What came of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// Nothing: its way ends here.
    Nothing,
    /// It is the next request of a caller.
    Request,
    /// It is the next response of a callee.
    Response,
}

impl Ends {
    /// Ends for `calls` calls at a time, counted from the number `first`.
    /// They are for one of `users` users each, or when there is none for all the same place.
    pub(super) fn new(calls: usize, first: usize, users: u32) -> Self {
        let mut invite = corpus::invite(MARK);
        if users > 0 {
            let (_, rest) = invite.split_once(" SIP/2.0").expect("a request");
            invite = format!("INVITE sip:u{USER}@example.com SIP/2.0{rest}");
        }
        let invite = invite.into_bytes();
        let mark = MARK.to_string();
        Self {
            frames: Frames::new(),
            marks: memchr::memmem::find_iter(&invite, mark.as_bytes()).collect(),
            user_at: memchr::memmem::find(&invite, USER.as_bytes()).unwrap_or(0),
            users: users as usize,
            invite,
            held: vec![String::with_capacity(ROOM); calls],
            received: Vec::with_capacity(ROOM),
            message: String::with_capacity(ROOM),
            next: first,
            is_closed: false,
            started: 0,
            ended: 0,
        }
    }

    /// Calls at a time.
    pub(super) fn calls(&self) -> u64 {
        self.held.len() as u64
    }

    /// Makes `packet` the INVITE of a new call.
    pub(super) fn invite(&mut self, packet: &mut impl PacketBuf) {
        let number = digits(self.next);
        for mark in &self.marks {
            self.invite[*mark..mark + DIGITS].copy_from_slice(&number);
        }
        if let Some(user) = self.next.checked_rem(self.users) {
            self.invite[self.user_at..self.user_at + DIGITS].copy_from_slice(&digits(user));
        }
        self.frames.write(packet, Side::Caller, &self.invite);
        self.next += 1;
        self.started += 1;
    }

    /// Makes `packet`, which the appliance sent, the next message of its call.
    ///
    /// # Errors
    /// When it is none that belongs to a call without faults.
    pub(super) fn turn(&mut self, packet: &mut impl PacketBuf) -> Result<Turned> {
        self.received.clear();
        self.received.extend_from_slice(payload(packet.frame()));
        let sent = Sent::read(&self.received)?;
        let calls = self.held.len();
        let (held, message) = (&mut self.held[sent.number % calls], &mut self.message);
        let side = match (sent.what(), sent.is_of_invite()) {
            ("INVITE", _) => {
                sent.answer("200 OK", held);
                sent.answer("180 Ringing", message);
                Side::Callee
            }
            ("100", _) => return Ok(Turned::Nothing),
            ("180", _) => {
                core::mem::swap(held, message);
                Side::Callee
            }
            ("200", true) => {
                sent.request("BYE", 2, held);
                sent.request("ACK", 1, message);
                Side::Caller
            }
            ("ACK", _) => {
                core::mem::swap(held, message);
                Side::Caller
            }
            ("BYE", _) => {
                sent.answer("200 OK", message);
                Side::Callee
            }
            ("200", false) => {
                self.ended += 1;
                if self.is_closed {
                    return Ok(Turned::Nothing);
                }
                self.invite(packet);
                return Ok(Turned::Request);
            }
            _ => bail!("the appliance sent {:?}, which no call without faults has", sent.start),
        };
        self.frames.write(packet, side, message.as_bytes());
        Ok(if side == Side::Caller { Turned::Request } else { Turned::Response })
    }
}

/// A number with so many digits.
pub(super) fn digits(mut number: usize) -> [u8; DIGITS] {
    let mut text = [b'0'; DIGITS];
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789"[number % 10];
        number /= 10;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::packet::MemoryPacket;
    use dataplane::testing::appliance::Appliance;

    #[test]
    fn calls_go_round_through_the_appliance() {
        let mut appliance = Appliance::default();
        let mut ends = Ends::new(10, 0, 0);
        let mut arriving: Vec<MemoryPacket> = vec![MemoryPacket::new(&[0; 1_000]); 10];
        for packet in &mut arriving {
            ends.invite(packet);
        }
        assert_eq!(payload(arriving[0].frame()).len(), corpus::INVITE_BYTES);
        let mut responses = 0;
        for _ in 0..12 {
            for packet in arriving.drain(..) {
                let port = usize::from(packet.frame()[29] == 2);
                appliance.worker.io_mut().rx[port].push_back(packet);
            }
            appliance.worker.run_once();
            for (_, mut packet) in appliance.sent() {
                let turned = ends.turn(&mut packet).unwrap();
                assert_ne!(turned, Turned::Nothing);
                responses += u32::from(turned == Turned::Response);
                arriving.push(packet);
            }
        }
        assert_eq!((ends.started, ends.ended, responses), (30, 20, 60));
    }
}
