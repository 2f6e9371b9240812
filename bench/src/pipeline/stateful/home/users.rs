//! Users who register.

use super::super::frame::{Frames, Side, payload};
use crate::corpus::{CALLEE, CALLER};
use anyhow::{Result, ensure};
use dataplane::packet::PacketBuf;
use rand::seq::SliceRandom as _;
use rand::{SeedableRng as _, rngs::SmallRng};

/// Stands for the number of a user; as long as any, and nowhere else in a REGISTER.
const USER: &str = "98765432";
/// Stands for the CSeq.
const CSEQ: &str = "87654321";
/// Stands for the time that is asked for.
const EXPIRES: &str = "76543210";
const DIGITS: usize = 8;

/// Users and the REGISTER that they send.
pub(in super::super) struct Users {
    frames: Frames,
    side: Side,
    message: Vec<u8>,
    user: Vec<usize>,
    cseq: Vec<usize>,
    expires: Vec<usize>,
    /// The order in which they come.
    order: Vec<u32>,
    at: usize,
    pass: u32,
    /// A pass is followed by another one.
    pub(super) is_endless: bool,
    /// Seconds from the shortest to the longest time that they ask for.
    expires_s: [u32; 2],
}

impl Users {
    /// As [`Self::new`], at the callee's host.
    pub(in super::super) fn of_callee(count: u32, expires_s: u32) -> Self {
        Self::at(Side::Callee, 0, count, [expires_s; 2])
    }

    /// So many users from the number `first` on, in random order, who ask for times evenly spread from
    /// the first to the last of `expires_s`.
    pub(super) fn new(first: u32, count: u32, expires_s: [u32; 2]) -> Self {
        Self::at(Side::Caller, first, count, expires_s)
    }

    fn at(side: Side, first: u32, count: u32, expires_s: [u32; 2]) -> Self {
        let host = if side == Side::Caller { CALLER } else { CALLEE };
        let message = format!(
            "REGISTER sip:example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP {host};branch=z9hG4bK-{USER}-{CSEQ}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:u{USER}@example.com>;tag=t{USER}\r\n\
             To: <sip:u{USER}@example.com>\r\n\
             Call-ID: {USER}-reg@10.77.1.2\r\n\
             CSeq: {CSEQ} REGISTER\r\n\
             Contact: <sip:u{USER}@{host};transport=udp>;\
             +sip.instance=\"<urn:uuid:00000000-0000-1000-8000-0000{USER}>\"\r\n\
             Expires: {EXPIRES}\r\n\
             User-Agent: trunkline-bench\r\n\
             Content-Length: 0\r\n\r\n"
        )
        .into_bytes();
        let marks = |mark: &str| memchr::memmem::find_iter(&message, mark.as_bytes()).collect();
        let mut order: Vec<u32> = (first..first + count).collect();
        order.shuffle(&mut SmallRng::seed_from_u64(1));
        Self {
            frames: Frames::new(),
            side,
            user: marks(USER),
            cseq: marks(CSEQ),
            expires: marks(EXPIRES),
            message,
            at: order.len(),
            order,
            pass: 0,
            is_endless: false,
            expires_s,
        }
    }

    /// Lets all of them register once more.
    pub(in super::super) fn begin_pass(&mut self) {
        self.pass += 1;
        self.at = 0;
    }

    /// Whether some of them have not yet registered in this pass.
    pub(in super::super) fn is_under_way(&self) -> bool {
        self.at < self.order.len()
    }

    /// Bytes of a REGISTER.
    pub(super) fn message_bytes(&self) -> usize {
        self.message.len()
    }

    /// Makes `packet` the REGISTER of the next user; false when there is none.
    pub(in super::super) fn write_next(&mut self, packet: &mut impl PacketBuf) -> bool {
        if self.at == self.order.len() && self.is_endless {
            self.begin_pass();
        }
        let Some(&user) = self.order.get(self.at) else { return false };
        let [from, to] = self.expires_s.map(u64::from);
        let spread = (to - from) * self.at as u64 / self.order.len() as u64;
        put(&mut self.message, &self.user, user);
        put(&mut self.message, &self.cseq, self.pass);
        put(&mut self.message, &self.expires, u32::try_from(from + spread).unwrap_or(u32::MAX));
        self.frames.write(packet, self.side, &self.message);
        self.at += 1;
        true
    }

    /// Whether the worker has answered as it should.
    ///
    /// # Errors
    /// When it has not.
    pub(in super::super) fn check(packet: &impl PacketBuf) -> Result<()> {
        let answer = payload(packet.frame());
        let is_good = answer.starts_with(b"SIP/2.0 200 OK\r\n");
        ensure!(is_good, "the worker answered: {}", String::from_utf8_lossy(answer));
        Ok(())
    }
}

fn put(message: &mut [u8], marks: &[usize], number: u32) {
    let mut digits = [b'0'; DIGITS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789"[rest as usize % 10];
        rest /= 10;
    }
    for &mark in marks {
        message[mark..mark + DIGITS].copy_from_slice(&digits);
    }
}
